"""Notifications in Django's admin: to be looked at. What changes them is `manage.py dovecote`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.timezone import template_localtime

from dovecote.errors import UnknownNotification
from dovecote.integrations.django.configuration import alias
from dovecote.integrations.django.listing import bots
from dovecote.integrations.django.models import Notification
from dovecote.integrations.django.project import get_dovecote
from dovecote.model import Priority, State
from dovecote.stores.own_loop import in_own_loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from dovecote.model import NotificationRecord

MOST_COUNTED = 10_000
SHOWN_OF_A_TEXT = 60


class NewestOnly(Paginator):
    """Counts no further, so that there are no pages beyond: a history may have millions."""

    @cached_property
    def count(self) -> int:
        """How many there are to be shown."""
        return int(self.object_list[:MOST_COUNTED].count())


class BotFilter(admin.SimpleListFilter):
    """By bot."""

    title = "bot"
    parameter_name = "bot"

    def lookups(self, _request: Any, _model_admin: Any) -> list[tuple[str, str]]:
        """Every bot."""
        return [(str(bot_id), name) for bot_id, name in bots(alias())]

    def queryset(self, _request: Any, queryset: Any) -> Any:
        """Those of the chosen one."""
        chosen = self.value()
        return queryset.filter(bot_id=int(chosen)) if chosen is not None and chosen.isdecimal() else queryset


class OutcomeFilter(admin.SimpleListFilter):
    """By outcome, and for what has none yet by state."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, _request: Any, _model_admin: Any) -> list[tuple[str, str]]:
        """Every state."""
        return [(state.value, state.value) for state in State]

    def queryset(self, _request: Any, queryset: Any) -> Any:
        """Those in the chosen one."""
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(Notification)
class NotificationAdmin(admin.ModelAdmin):
    """The list, newest first, and the life of each."""

    list_display = ("id", "bot", "chat", "content", "key", "state", "attempts", "enqueued_at", "settled_at", "error")
    list_filter = (BotFilter, OutcomeFilter)
    search_fields = ("chat__exact", "key__exact")
    search_help_text = "A chat's id or @name, or a key, as a whole."
    ordering = ("-id",)
    paginator = NewestOnly
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("state", "waits_for", "error_code", "error", "life")}),
        ("Request", {"fields": ("bot", "chat", "method", "parameters", "key", "labels", "importance", "at_most_once")}),
        ("Times", {"fields": ("enqueued_at", "planned_at", "due_at", "expires_at", "settled_at")}),
    )

    def has_add_permission(self, _request: Any) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, _request: Any, _obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, _request: Any, _obj: Any = None) -> bool:
        """Nobody."""
        return False

    @admin.display
    def content(self, obj: Notification) -> str:
        """The beginning of its text, else its method."""
        params = json.loads(obj.params)
        text = str(params.get("text") or params.get("caption") or obj.method)
        return text if len(text) <= SHOWN_OF_A_TEXT else f"{text[:SHOWN_OF_A_TEXT]}…"

    @admin.display
    def parameters(self, obj: Notification) -> str:
        """As JSON."""
        html: str = format_html("<pre>{}</pre>", json.dumps(json.loads(obj.params), ensure_ascii=False, indent=2))
        return html

    @admin.display(description="priority")
    def importance(self, obj: Notification) -> str:
        """By its name."""
        return Priority(obj.priority).name.lower()

    @admin.display
    def waits_for(self, obj: Notification) -> str:
        """What holds it back."""
        record = _record(obj)
        held = record.waits_for if record is not None else ()
        return "; ".join(" ".join(_words(waiting)) for waiting in held) or "nothing"

    @admin.display(description="attempts")
    def life(self, obj: Notification) -> str:
        """Every attempt, in a table."""
        record = _record(obj)
        attempts = record.attempts if record is not None else ()
        if not attempts:
            return "none yet"
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            (
                (
                    attempt.number,
                    attempt.outcome,
                    _moment(attempt.ended_at),
                    ", ".join(map(str, attempt.message_ids)),
                    " ".join(str(part) for part in (attempt.error_code, attempt.error) if part is not None),
                )
                for attempt in attempts
            ),
        )
        html: str = format_html(
            "<table><tr><th>No.</th><th>Outcome</th><th>Ended</th><th>Messages</th><th>Error</th></tr>{}</table>", rows
        )
        return html


def _words(waiting: Any) -> Iterator[str]:
    yield waiting.reason.value
    if waiting.behind is not None:
        yield f"behind {waiting.behind}"
    if waiting.until is not None:
        yield f"until {_moment(waiting.until)}"
    if waiting.detail:
        yield f"({waiting.detail})"


def _moment(instant: datetime) -> str:
    return f"{template_localtime(instant):%Y-%m-%d %H:%M:%S}"


def _record(obj: Notification) -> NotificationRecord | None:
    """Its whole life, read once for a page; None where it has been pruned since."""
    if not hasattr(obj, "record"):
        try:
            obj.record = in_own_loop(get_dovecote().notification(obj.pk))
        except UnknownNotification:
            obj.record = None
    record: NotificationRecord | None = obj.record
    return record

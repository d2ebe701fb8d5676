"""A broadcast as JSON, and the notifications it makes: how the store keeps the content once. Pure.

A notification of a broadcast holds no text: its parameters name the broadcast, `{"broadcast": "broadcast://7"}`, and
the content is put in their place when it is claimed. What the outbox itself looks at (stored files, the items of an
album, the topic of a group) stays in the parameters. Telegram knows no parameter of that name.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dovecote.content import plain_params
from dovecote.model import Brake, Broadcast, BroadcastKind, DeliveryPolicy, Notification, Priority, Quiet
from dovecote.references import restored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEMBER: Final = "broadcast"
MARK: Final = '"broadcast://'
"""What is in the JSON text of the parameters of every notification of a broadcast, and in that of few others."""

PUT_OFF: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""When what waits of a paused broadcast is due: later than anything that may be enqueued."""

# What the notification of one recipient leaves to the content.
_OF_THE_CONTENT: Final = frozenset(
    {"text", "caption", "parse_mode", "entities", "caption_entities", "reply_markup", "link_preview_options"}
)
_REFERENCE = re.compile(r"broadcast://([1-9][0-9]{0,18})")


def written_form(broadcast: Broadcast) -> str:
    """The broadcast as JSON text, all but its name. Its parameters are valid by now."""
    params = plain_params(broadcast.params)
    if broadcast.text is not None:
        params["text"] = broadcast.text
    form = {
        "bot": broadcast.bot,
        "method": broadcast.method,
        "params": params,
        "locales": {locale: plain_params(others) for locale, others in broadcast.locales.items()},
        "template": broadcast.template,
        "priority": int(broadcast.priority),
        "delivery": str(broadcast.delivery),
        "labels": list(broadcast.labels),
        "category": broadcast.category,
        "quiet": None if broadcast.quiet is None else str(broadcast.quiet),
        "expires_at": None if broadcast.expires_at is None else broadcast.expires_at.isoformat(),
        "brake": asdict(broadcast.brake),
    }
    return json.dumps(form, ensure_ascii=False, separators=(",", ":"))


def broadcast_of(name: str, form: Mapping[str, Any]) -> Broadcast:
    """The broadcast that `written_form` has written."""
    params = restored(form["params"])
    text = params.pop("text", None)
    return Broadcast(
        name=name,
        bot=form["bot"],
        text=text,
        method=form["method"],
        params=params,
        locales=restored(form["locales"]),
        template=form["template"],
        priority=Priority(form["priority"]),
        delivery=DeliveryPolicy(form["delivery"]),
        labels=tuple(form["labels"]),
        # A broadcast that was made before there were any has none.
        category=form.get("category"),
        quiet=_quiet(form),
        expires_at=None if form["expires_at"] is None else datetime.fromisoformat(form["expires_at"]),
        brake=Brake(**form["brake"]),
    )


def _quiet(form: Mapping[str, Any]) -> Quiet | None:
    return None if form.get("quiet") is None else Quiet(form["quiet"])


def params_in(form: Mapping[str, Any], locale: str | None) -> tuple[dict[str, Any], str | None]:
    """The plain parameters for a locale, and the locale that they are of: `pt-BR`, else `pt`, else None by default."""
    locales: dict[str, Any] = {each.lower(): each for each in form["locales"]}
    wanted = (locale or "").replace("_", "-").lower()
    while wanted:
        if wanted in locales:
            found = locales[wanted]
            return {**form["params"], **form["locales"][found]}, found
        wanted = wanted.rpartition("-")[0]
    return dict(form["params"]), None


def reference(broadcast_id: int) -> str:
    """How parameters name a broadcast."""
    return f"broadcast://{broadcast_id}"


def referred(params: Mapping[str, Any]) -> int | None:
    """The id of the broadcast that parameters name; None where they name none."""
    value = params.get(MEMBER)
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return None if match is None else int(match[1])


def notification_of(
    form: Mapping[str, Any],
    broadcast_id: int,
    kind: BroadcastKind,
    chat: str,
    *,
    targets: Sequence[int] = (),
    expires_at: datetime | None = None,
) -> Notification:
    """What a broadcast enqueues for a chat; `targets` are the messages that a recall or an edit is about."""
    method = form["method"]
    params: dict[str, Any] = {}
    if kind is BroadcastKind.RECALL:
        method = "deleteMessage" if len(targets) == 1 else "deleteMessages"
        params = {"message_id": targets[0]} if len(targets) == 1 else {"message_ids": list(targets)}
        params[MEMBER] = reference(broadcast_id)
    else:
        kept = {name: value for name, value in form["params"].items() if name not in _OF_THE_CONTENT}
        params = restored(kept)
        if kind is BroadcastKind.EDIT:
            params["message_id"] = targets[0]
        if method.lower() == "sendmessage":
            params["text"] = reference(broadcast_id)
        params[MEMBER] = reference(broadcast_id)
    ends_at = [each for each in (expires_at, form["expires_at"] and datetime.fromisoformat(form["expires_at"])) if each]
    return Notification(
        bot=form["bot"],
        chat_id=chat,
        method=method,
        params=params,
        priority=Priority(form["priority"]),
        delivery=DeliveryPolicy(form["delivery"]),
        labels=tuple(form["labels"]),
        # What was said once is taken back and mended for everybody.
        category=form.get("category") if kind is BroadcastKind.SEND else None,
        quiet=_quiet(form),
        expires_at=min(ends_at) if ends_at else None,
    )


def completed(params: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a notification with the content in the place of its name."""
    own = {name: value for name, value in params.items() if name not in {MEMBER, "text"}}
    return {**own, **content}

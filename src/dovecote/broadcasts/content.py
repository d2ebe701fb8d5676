"""The content of a broadcast for one recipient: its locale's parameters, rendered, and judged as at the door. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from dovecote.broadcast_form import params_in, written_form
from dovecote.content import Fault, plain_params, shown, weigh
from dovecote.errors import InvalidBroadcast, InvalidNotification
from dovecote.model import BroadcastKind, Notification
from dovecote.references import restored
from dovecote.validation import prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dovecote.model import Brake, Broadcast, StoredContent

NAME_LENGTH: Final = 64
LOCALES: Final = 100
LARGEST_SAMPLE: Final = 100_000
ANYBODY: Final = 1
"""A chat for what is judged before there is any."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,3}")
_MARKERS = ("{{", "{%", "{#")
# Texts that are shown as their holder's parse mode says.
_FORMATTED = {"text": "parse_mode", "caption": "parse_mode"}


class Content:
    """The content of a broadcast, parsed once. Raises MissingExtra for a template without its extra."""

    def __init__(self, stored: StoredContent) -> None:
        self.kind = stored.kind
        self.form: Mapping[str, Any] = json.loads(stored.form)
        self._fixed: dict[str | None, dict[str, Any]] = {}

    @property
    def is_personal(self) -> bool:
        """Whether it is another one for different recipients."""
        return bool(self.form["template"] or self.form["locales"])

    def params(self, locale: str | None, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The plain parameters for a recipient. Raises Fault for a text that cannot be made or would be refused."""
        if not self.form["template"]:
            if locale not in self._fixed:
                if len(self._fixed) > LOCALES:
                    self._fixed.clear()
                self._fixed[locale] = params_in(self.form, locale)[0]
            return self._fixed[locale]
        from dovecote.broadcasts.templates import render  # noqa: PLC0415 (an extra)

        merged, _ = params_in(self.form, locale)
        params = _mapped(merged, lambda text, mode, _: render(text, mode, variables))
        weigh(self.form["method"].lower(), params, "text")
        return params

    @property
    def weight(self) -> int:
        """How many messages it is for each recipient."""
        params = self.form["params"]
        if self.form["template"]:
            params = _mapped(params, lambda *_: "x")
        return weigh(self.form["method"].lower(), params, "text")


def _mapped(params: dict[str, Any], change: Callable[[str, object, str], str]) -> dict[str, Any]:
    """The parameters with `change` made to every text that has a template's markers."""
    answer: dict[str, Any] = _walked(params, None, "", change)
    return answer


def _walked(value: Any, mode: object, field: str, change: Callable[[str, object, str], str]) -> Any:
    if isinstance(value, str):
        return change(value, mode, field) if any(marker in value for marker in _MARKERS) else value
    if isinstance(value, dict):
        modes = {name: value.get(own) for name, own in _FORMATTED.items()}
        return {
            name: _walked(inner, modes.get(name), f"{field}.{name}" if field else name, change)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_walked(inner, mode, f"{field}[{number}]", change) for number, inner in enumerate(value)]
    return value


def checked_form(broadcast: Broadcast, kind: BroadcastKind = BroadcastKind.SEND) -> str:
    """The broadcast as JSON text, if nothing about it is certain to be refused.

    Raises InvalidBroadcast, InvalidNotification, and MissingExtra for a template without its extra.
    """
    if not _NAME.fullmatch(broadcast.name):
        raise InvalidBroadcast(
            "name",
            f"{shown(broadcast.name)}: give 1 to {NAME_LENGTH} letters, digits, dots, hyphens and underscores, a letter"
            " or digit first.",
        )
    _check_locales(broadcast)
    _check_brake(broadcast.brake)
    for locale, params in _variants(broadcast):
        where = "" if locale is None else f"locale {locale}: "
        try:
            _check_variant(broadcast, params)
        except Fault as fault:
            raise InvalidBroadcast(f"{where}{fault.field}", fault.problem) from None
        except InvalidNotification as error:
            if not where:
                raise
            raise InvalidBroadcast(where.rstrip(": "), str(error)) from None
    form = written_form(broadcast)
    if kind is BroadcastKind.SEND and "message_id" in broadcast.params:
        raise InvalidBroadcast("params", "message_id is for an edit of a broadcast: use `broadcast edit`.")
    return form


def _variants(broadcast: Broadcast) -> Iterator[tuple[str | None, dict[str, Any]]]:
    base = dict(broadcast.params)
    if broadcast.text is not None and base.setdefault("text", broadcast.text) != broadcast.text:
        raise InvalidBroadcast("text", "it is not params['text']: give only one of them.")
    yield None, base
    for locale, others in broadcast.locales.items():
        yield locale, {**base, **others}


def _check_variant(broadcast: Broadcast, params: dict[str, Any]) -> None:
    plain = plain_params(params)
    for name in ("chat_id", "broadcast"):
        if name in plain:
            raise Fault("params", f'"{name}" is the recipient\'s: leave it out.')
    if broadcast.template:
        from dovecote.broadcasts.templates import check_template  # noqa: PLC0415 (an extra)

        def neutral(text: str, mode: object, field: str) -> str:
            try:
                check_template(text, mode)
            except Fault as fault:
                raise Fault(field, fault.problem) from None
            return "x"

        plain = _mapped(plain, neutral)
    prepared(
        Notification(
            bot=broadcast.bot,
            chat_id=ANYBODY,
            method=broadcast.method,
            params=restored(plain),
            priority=broadcast.priority,
            delivery=broadcast.delivery,
            labels=broadcast.labels,
            category=broadcast.category,
            quiet=broadcast.quiet,
            expires_at=broadcast.expires_at,
        )
    )


def _check_locales(broadcast: Broadcast) -> None:
    if len(broadcast.locales) > LOCALES:
        raise InvalidBroadcast("locales", f"{len(broadcast.locales)} are given: {LOCALES} at most.")
    for locale in broadcast.locales:
        checked_locale(locale)


def checked_locale(locale: object) -> str:
    """A locale, if it looks like one. Raises InvalidBroadcast."""
    if isinstance(locale, str) and _LOCALE.fullmatch(locale):
        return locale.replace("_", "-")
    raise InvalidBroadcast("locale", f"{shown(locale)} is none: write it as pt or pt-BR.")


def _check_brake(brake: Brake) -> None:
    for name in ("blocks", "errors"):
        share = getattr(brake, name)
        if share is not None and not (isinstance(share, int | float) and 0 < share <= 1):
            raise InvalidBroadcast(f"brake.{name}", f"{shown(share)} is no share: give more than 0 and at most 1.")
    if type(brake.sample) is not int or not 1 <= brake.sample <= LARGEST_SAMPLE:
        raise InvalidBroadcast("brake.sample", f"{shown(brake.sample)}: give a number from 1 to {LARGEST_SAMPLE}.")

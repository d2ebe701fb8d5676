"""What may be told of a recipient: every field checked at the door, all faults at once. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dovecote.content import Fault, shown
from dovecote.errors import InvalidNotification, InvalidRecipient, InvalidSchedule
from dovecote.model import UNCHANGED, QuietHours, RecipientChange, Segment, Unchanged
from dovecote.schedule_checks import checked_zone
from dovecote.validation import checked_category, checked_labels, prepared_chat

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FIELDS: Final = frozenset(
    {"zone", "language", "labels", "opted_out", "quiet_hours", "seen_at", "disabled_at", "reason"}
)
LISTS: Final = frozenset({"labels", "opted_out"})
INSTANTS: Final = frozenset({"seen_at", "disabled_at"})
EXPORTED: Final = frozenset({"bot", "told_at", "delivered_at", "blocked_at"})
"""What an export says besides, and an import leaves aside."""
LONGEST_TAG: Final = 35
"""Of BCP 47: longer ones need not be taken by anybody."""
MOST_OPTED_OUT: Final = 64
# A phone's clock may be ahead, but not by more.
YEARS: Final = range(2000, 9999)

# The form of a tag in RFC 5646, without the few old ones that have none. Underscores are as common as hyphens.
_TAG = re.compile(
    r"""
    (?: [a-z]{2,3} (?: - [a-z]{3} ){0,3} | [a-z]{4,8} )      # the language, and extended ones
    (?: - (?P<script> [a-z]{4} ) )?
    (?: - (?P<region> [a-z]{2} | [0-9]{3} ) )?
    (?: - (?: [a-z0-9]{5,8} | [0-9][a-z0-9]{3} ) )*          # variants
    (?: - [0-9a-wy-z] (?: - [a-z0-9]{2,8} )+ )*              # extensions
    (?: - x (?: - [a-z0-9]{1,8} )+ )?                        # private use
    """,
    re.VERBOSE,
)
_HOURS = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})((?:[ ,]+(?:silent|urgent))*)")


def checked_change(chat_id: object, given: dict[str, Any]) -> RecipientChange:
    """What is told of a recipient, as the outbox holds it. `given` has the fields of `RecipientChange` but `chat`.

    Raises InvalidRecipient with every fault.
    """
    faults: list[str] = []
    checks: dict[str, Callable[[Any], Any]] = {
        "zone": _or_none(checked_zone),
        "language": _or_none(checked_language),
        "labels": lambda labels: checked_labels(labels, "a recipient"),
        "opted_out": checked_categories,
        "quiet_hours": _or_none(checked_quiet_hours),
        "seen": _checked_seen,
    }
    checked: dict[str, Any] = {"chat": _tried(lambda: prepared_chat(chat_id), faults)}
    for name, value in given.items():
        if not isinstance(value, Unchanged):
            checked[name] = _tried(lambda check=checks[name], value=value: check(value), faults)  # type: ignore[misc]
    if faults:
        raise InvalidRecipient(faults)
    return RecipientChange(**checked)


def checked_line(value: object) -> RecipientChange:
    """A recipient from a line of a file: a mapping with a `chat_id`, fields by name, lists also as text with commas.

    Text that is empty is not given, as in a cell of a CSV file. Raises InvalidRecipient with every fault.
    """
    if not isinstance(value, Mapping) or "chat_id" not in value:
        raise InvalidRecipient([f"chat_id: {shown(value)} has none: every recipient needs a chat_id."])
    given = {str(name): inner for name, inner in value.items() if inner != "" and name not in EXPORTED}
    chat = given.pop("chat_id")
    strangers = sorted(given.keys() - FIELDS)
    if strangers:
        fields = ", ".join(sorted(FIELDS))
        raise InvalidRecipient([f"{shown(strangers[0])} is no field of a recipient: there are chat_id, {fields}."])
    for name in LISTS & given.keys():
        given[name] = [] if given[name] is None else _listed(given[name])
    faults: list[str] = []
    for name in INSTANTS & given.keys():
        instant = _tried(partial(_read_instant, name, given[name]), faults)
        given[name] = instant
    if faults:
        raise InvalidRecipient(faults)
    seen, disabled_at = given.pop("seen_at", None), given.pop("disabled_at", UNCHANGED)
    reason = str(given.pop("reason", None) or "imported")
    change = checked_change(chat.strip() if isinstance(chat, str) else chat, {**given, "seen": seen or False})
    if isinstance(disabled_at, Unchanged):
        return change
    return replace(change, disabled=None if disabled_at is None else (disabled_at, reason))


def _listed(value: object) -> object:
    """A list that was written as text: as JSON, or its items with commas between them."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        with suppress(ValueError):
            return json.loads(value)
    return [item.strip() for item in value.split(",")]


def _read_instant(field: str, value: object) -> datetime | None:
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    remedy = "give one with a zone, as 2026-01-31T09:00+01:00."
    return None if value is None else _instant(value, field, remedy)


def _tried(check: Callable[[], T], faults: list[str]) -> T | None:
    try:
        return check()
    except (InvalidNotification, InvalidSchedule) as error:
        faults.append(str(error))
    except Fault as fault:
        faults.append(f"{fault.field}: {fault.problem}")
    return None


def _or_none(check: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else check(value)


def checked_segment(segment: Segment) -> Segment:
    """The segment as recipients are kept. Raises InvalidRecipient with every fault."""
    faults: list[str] = []
    zones, languages = segment.zones, segment.languages
    if isinstance(zones, str) or isinstance(languages, str):
        faults.append('zones and languages are lists: write ["Europe/Berlin"], ["pt"].')
        zones, languages = None, ()
    checked = Segment(
        zones=None if zones is None else tuple(_tried(partial(checked_zone, each), faults) or "" for each in zones),
        labels=_tried(lambda: checked_labels(segment.labels, "a recipient"), faults) or (),
        languages=tuple(_tried(partial(checked_language, each), faults) or "" for each in languages),
        category=None if segment.category is None else _tried(lambda: checked_category(segment.category), faults),
        seen_since=None
        if segment.seen_since is None
        else _tried(lambda: _instant(segment.seen_since, "seen_since"), faults),
    )
    if faults:
        raise InvalidRecipient(faults)
    return checked


def checked_language(language: object) -> str:
    """A language tag in the usual spelling, as pt-BR or zh-Hant-TW. Raises Fault."""
    tag = language.replace("_", "-").lower() if isinstance(language, str) else ""
    match = _TAG.fullmatch(tag)
    if match is None or len(tag) > LONGEST_TAG:
        raise Fault("language", f"{shown(language)} is no language tag of BCP 47: write it as pt or pt-BR.")
    for name, change in (("script", str.title), ("region", str.upper)):
        begin, end = match.span(name)
        if begin >= 0:
            tag = tag[:begin] + change(tag[begin:end]) + tag[end:]
    return tag


def checked_categories(categories: object) -> tuple[str, ...]:
    """Categories that somebody opts out of, each once, in order. Raises Fault."""
    if isinstance(categories, str) or not isinstance(categories, Sequence):
        raise Fault("opted_out", f'{shown(categories)} is no sequence of categories: write ("news",).')
    if len(categories) > MOST_OPTED_OUT:
        raise Fault("opted_out", f"there are {len(categories)}, and at most {MOST_OPTED_OUT} are kept: disable it.")
    return tuple(sorted({checked_category(each, "opted_out") for each in categories}))


def checked_quiet_hours(hours: object) -> QuietHours:
    """Quiet hours, also as text: "22:00-08:00", with `silent` and `urgent` behind it. Raises Fault."""
    read = _read_hours(hours) if isinstance(hours, str) else hours
    if not isinstance(read, QuietHours):
        raise Fault(
            "quiet_hours",
            f"{shown(hours)} are none: give QuietHours(time(22), time(8)), or text as 22:00-08:00, with silent or"
            " urgent behind it.",
        )
    hours = read
    for name in ("begins", "ends"):
        value = getattr(hours, name)
        if not isinstance(value, time) or value.tzinfo is not None or value.second or value.microsecond:
            raise Fault(
                "quiet_hours", f"{name} is {shown(value)}: give a local time in whole minutes, as time(22, 30)."
            )
    if hours.begins == hours.ends:
        raise Fault(
            "quiet_hours",
            f"they begin and end at {hours.begins:%H:%M}: give two times, or disable who is to get nothing at all.",
        )
    for name in ("silent", "urgent"):
        if type(getattr(hours, name)) is not bool:
            raise Fault("quiet_hours", f"{name} is {shown(getattr(hours, name))}: give True or False.")
    return hours


def _read_hours(text: str) -> QuietHours | None:
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        return None
    try:
        begins, ends = (time(int(match[number]), int(match[number + 1])) for number in (1, 3))
    except ValueError:
        return None
    return QuietHours(begins, ends, silent="silent" in match[5], urgent="urgent" in match[5])


def _checked_seen(seen: object) -> datetime | bool:
    return seen if isinstance(seen, bool) else _instant(seen, "seen", "give a datetime with a zone, or True for now.")


def _instant(value: object, field: str, remedy: str = "give a datetime with a zone.") -> datetime:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise Fault(field, f"{shown(value)} is no instant: {remedy}")
    try:
        instant = value.astimezone(UTC)
    except (OverflowError, ValueError):
        instant = datetime.min.replace(tzinfo=UTC)
    if instant.year not in YEARS:
        raise Fault(field, f"{value} is beyond the years {YEARS[0]} to {YEARS[-1]} in UTC: give a nearer one.")
    return instant

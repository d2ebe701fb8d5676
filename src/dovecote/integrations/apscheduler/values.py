"""What a job is called with, as JSON: everything comes back as the very thing that it was, or is refused.

JSON's own values stand as they are; the others are objects with a key that begins with `$`, for example
`{"$datetime": "2026-01-05T09:00:00+01:00", "zone": "Europe/Berlin"}`. A dict stands as it is unless a key of it could
be mistaken for one of these. Exact types only: a subclass (an IntEnum, a named tuple) would come back as something
else.
"""

from __future__ import annotations

import base64
import math
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dovecote.errors import InvalidJob

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST = 50
REMEDY = (
    "give None, bool, int, float, str, bytes, date, datetime, time, timedelta, UUID, Decimal, or a list, tuple, set,"
    " frozenset or dict of them"
)
MICROSECOND = timedelta(microseconds=1)


def encoded(value: object, where: str) -> Any:
    """`value` as JSON. Raises InvalidJob that names `where` for what would not come back."""
    return _encoded(value, where, 0)


def _encoded(value: object, where: str, depth: int) -> Any:
    if depth > DEEPEST:
        raise InvalidJob(f"{where} is nested deeper than {DEEPEST} levels, or holds itself: {REMEDY}.")
    kind = type(value)
    if kind in PLAIN:
        return _plain(value, where)
    if kind in WRITERS:
        return WRITERS[kind](value, where)
    if kind is list:
        return [_encoded(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(_items(value))]
    if kind in {tuple, set, frozenset}:
        items = [_encoded(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(_items(value))]
        # The order of a set differs from process to process, and a definition is compared as text.
        return {f"${kind.__name__}": items if kind is tuple else sorted(items, key=repr)}
    if isinstance(value, dict) and kind is dict:
        return _dict(value, where, depth)
    raise InvalidJob(f"{where} is {_shown(value)}, which cannot be kept as JSON: {REMEDY}.")


PLAIN = {type(None), bool, int, float, str}


def _plain(value: object, where: str) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidJob(f"{where} is {value}, which JSON does not know: give a finite number.")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidJob(f"{where} is {_shown(value)}, which no UTF-8 can hold: give a text.") from None
        if "\0" in value:
            raise InvalidJob(f"{where} is {_shown(value)} with a NUL in it, which no database keeps: give a text.")
    return value


def _items(value: Any) -> list[Any]:
    return list(value)


def _dict(value: dict[Any, Any], where: str, depth: int) -> Any:
    plain = all(type(key) is str and not key.startswith("$") for key in value)
    if plain:
        for key in value:
            _plain(key, f"{where}'s key {key!r}")
        return {key: _encoded(item, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
    pairs = [
        [_encoded(key, f"{where}'s key {key!r}", depth + 1), _encoded(item, f"{where}[{key!r}]", depth + 1)]
        for key, item in value.items()
    ]
    return {"$dict": pairs}


def _shown(value: object) -> str:
    shown = ascii(value)
    shown = shown if len(shown) <= 60 else shown[:60] + "..."  # noqa: PLR2004 (enough to know it by)
    return f"{shown} (a {type(value).__module__}.{type(value).__qualname__})"


def _datetime(value: datetime, where: str) -> Any:
    written: dict[str, Any] = {"$datetime": value.isoformat()}
    if value.tzinfo is not None:
        written["zone"] = zone(value.tzinfo, where)
    if value.fold:
        written["fold"] = 1
    return written


def _time(value: time, where: str) -> Any:
    written: dict[str, Any] = {"$time": value.replace(tzinfo=None).isoformat()}
    if value.tzinfo is not None:
        written["zone"] = zone(value.tzinfo, where)
    if value.fold:
        written["fold"] = 1
    return written


WRITERS: dict[type, Callable[[Any, str], Any]] = {
    datetime: _datetime,
    date: lambda value, _: {"$date": value.isoformat()},
    time: _time,
    timedelta: lambda value, _: {"$timedelta": value // MICROSECOND},
    UUID: lambda value, _: {"$uuid": str(value)},
    Decimal: lambda value, _: {"$decimal": str(value)},
    bytes: lambda value, _: {"$bytes": base64.b64encode(value).decode()},
}


def zone(given: tzinfo, where: str) -> str:
    """A zone by its IANA name, or a fixed offset as seconds: `Europe/Berlin`, `UTC`, `+3600`."""
    if given is UTC:
        return "UTC"
    if isinstance(given, ZoneInfo) and given.key is not None:
        return given.key
    name = getattr(given, "zone", None)  # pytz
    if isinstance(name, str):
        return name
    if isinstance(given, timezone):
        return f"{given.utcoffset(None) // MICROSECOND / 1_000_000:+g}"
    raise InvalidJob(f"{where} has the zone {_shown(given)}, which has no name: use zoneinfo.ZoneInfo(name).")


def read_zone(name: object) -> tzinfo:
    """The zone of a name as `zone` writes it. Raises InvalidJob."""
    if not isinstance(name, str):
        raise InvalidJob(f"{name!r} is no zone.")
    if name == "UTC":
        return UTC
    try:
        if name.startswith(("+", "-")):
            return timezone(timedelta(seconds=float(name)))
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise InvalidJob(f"{name!r} is no zone that is known here: update the time zone data (tzdata).") from error


def decoded(value: Any) -> Any:
    """What `encoded` was given. Raises InvalidJob for what it never writes."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    tags = [key for key in value if key.startswith("$")]
    if not tags:
        return {key: decoded(item) for key, item in value.items()}
    (tag, *more), written = tags, value[tags[0]]
    if more or tag not in READERS:
        raise InvalidJob(f"{', '.join(tags)} is no kind of value that this version knows: upgrade the program.")
    try:
        return READERS[tag](written, value)
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise InvalidJob(f"{_shown(written)} is no {tag[1:]}.") from error


def _read_datetime(written: str, value: dict[str, Any]) -> datetime:
    instant = datetime.fromisoformat(written)
    if "zone" in value:
        # Its wall time and zone are what was meant; the offset is what the zone said on that day.
        instant = instant.replace(tzinfo=read_zone(value["zone"]))
    return instant.replace(fold=value.get("fold", 0))


def _read_time(written: str, value: dict[str, Any]) -> time:
    known = read_zone(value["zone"]) if "zone" in value else None
    return time.fromisoformat(written).replace(tzinfo=known, fold=value.get("fold", 0))


READERS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "$datetime": _read_datetime,
    "$date": lambda written, _: date.fromisoformat(written),
    "$time": _read_time,
    "$timedelta": lambda written, _: timedelta(microseconds=written),
    "$uuid": lambda written, _: UUID(written),
    "$decimal": lambda written, _: Decimal(written),
    "$bytes": lambda written, _: base64.b64decode(written, validate=True),
    "$tuple": lambda written, _: tuple(decoded(item) for item in written),
    "$set": lambda written, _: {decoded(item) for item in written},
    "$frozenset": lambda written, _: frozenset(decoded(item) for item in written),
    "$dict": lambda written, _: {decoded(key): decoded(item) for key, item in written},
}

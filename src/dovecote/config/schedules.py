"""Schedules as code: the tables `[[schedule]]` of the settings file, and the same words from the command line.

A table is flat: when (`cron`, `every`, `at` or `dates`), in which `zone`, who sends (`bot`) what (`text`, or `method`,
`params` and stored `files`) to whom (`chat`, `chats`, or `everybody = true`), and policies. Durations are written as in
settings, local times as TOML's local date-times or as ISO 8601. All that is wrong is told at once, with the schedule's
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dovecote.config.reading import settings_file
from dovecote.config.values import TAKES_DURATION_OR_ZERO, parse_duration
from dovecote.content import shown
from dovecote.errors import InvalidConfiguration, InvalidNotification, InvalidSchedule
from dovecote.model import (
    Attachment,
    Cron,
    Dates,
    DeliveryPolicy,
    Every,
    Notification,
    Once,
    Policies,
    Priority,
    Recurrence,
    Schedule,
    Timing,
)
from dovecote.schedule_checks import EARLIEST, checked_schedule
from dovecote.schedule_form import schedule_form

if TYPE_CHECKING:
    from pathlib import Path

    from dovecote.config.reading import Tables

WHEN: Final = ("cron", "every", "at", "dates")
TO: Final = ("chat", "chats", "everybody")
DURATIONS: Final = ("every", "jitter", "catch_up_window", "grace", "window")
POLICIES: Final = ("catch_up", "catch_up_window", "catch_up_cap", "grace", "overlap", "window")
# What the errors of the model call these groups, and something sound in place of what is wrong.
NAMED_IN_ERRORS: Final = {"cron": ("recurrence",), "chat": ("to", "chat_id")}
STAND_INS: Final[Mapping[str, Mapping[str, Any]]] = {
    "name": {"name": "schedule"},
    "bot": {"bot": "bot"},
    "text": {"text": "text"},
    "cron": {"cron": "0 9 * * *"},
    "chat": {"everybody": True},
}
KEYS: Final = frozenset(
    {
        "name",
        *WHEN,
        *TO,
        *POLICIES,
        *("anchor", "zone", "start", "end", "jitter", "skipped_hour", "repeated_hour", "local_time"),
        *("bot", "text", "method", "params", "files", "priority", "delivery", "labels", "category"),
        "quiet",
    }
)


def load_schedules(
    path: Path | Tables | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Schedule, ...] | None:
    """The schedules of the settings file, found as by `load_settings`; None where there is no file.

    A file without any means that there are to be none, and no file says nothing. What they hold is checked when they
    are applied. Raises InvalidConfiguration with every fault of their form.
    """
    tables = settings_file(path, environ)
    if tables is None:
        return None
    found, faults = _read(tables)
    if faults:
        raise InvalidConfiguration(faults)
    return tuple(found.values())


def _read(tables: Mapping[str, Any], *, meaning: bool = False) -> tuple[dict[str, Schedule], list[str]]:
    """The schedules whose form is right, and the faults of the others; with `meaning` also what keeps them out."""
    faults: list[str] = []
    found: dict[str, Schedule] = {}
    names: list[object] = []
    for number, table in enumerate(_list_of_tables(tables.get("schedule", []), faults), start=1):
        which = f"schedule {table.get('name', f'number {number}')}"
        if table.get("name") in names:
            faults.append(f"{which}: there are two of that name: rename one.")
        names.append(table.get("name"))
        try:
            schedule = _checked(table, meaning=meaning)
            found[schedule.name] = schedule
        except (InvalidSchedule, InvalidNotification):
            faults += [f"{which}: {fault}" for fault in table_faults(table, meaning=meaning)]
    return found, faults


def _checked(table: Mapping[str, Any], *, meaning: bool) -> Schedule:
    schedule = schedule_of(table)
    if meaning:
        checked_schedule(schedule, EARLIEST, may_be_over=True)
    return schedule


def table_faults(table: Mapping[str, Any], *, meaning: bool = True) -> list[str]:
    """Every fault of a flat table: one is told, something sound is put in its place, and the next is looked for."""
    faults: list[str] = []
    left = dict(table)
    for _ in range(len(table) + len(STAND_INS)):
        try:
            _checked(left, meaning=meaning)
        except (InvalidSchedule, InvalidNotification) as error:
            faults.append(str(error))
            mended = _with_stand_in(left, error.field)
            if mended == left:
                break  # What stands in its place is no better, so it hangs on something else.
            left = mended
        else:
            break
    return faults


def _with_stand_in(table: Mapping[str, Any], field: str) -> dict[str, Any]:
    """The table without what is wrong with a field, as the error names it."""
    alone: tuple[str, ...] = (field.partition(".")[0].partition("[")[0],)
    groups = ((*WHEN, "anchor"), TO)
    wrong = next((keys for keys in groups if field in {*keys, *NAMED_IN_ERRORS[keys[0]]}), alone)
    return {**{key: value for key, value in table.items() if key not in wrong}, **STAND_INS.get(wrong[0], {})}


def schedule_faults(path: Path | Tables | None = None, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Everything that keeps the schedules of the settings file from being applied and shows without a database.

    A file that cannot be read is not told of: it is a fault of the settings.
    """
    try:
        tables = settings_file(path, environ)
    except InvalidConfiguration:
        return ()
    return tuple(_read(tables or {}, meaning=True)[1])


def _list_of_tables(given: object, faults: list[str]) -> list[dict[str, Any]]:
    if isinstance(given, list) and all(isinstance(table, dict) for table in given):
        return given
    faults.append("schedule is a list of tables: begin each with [[schedule]].")
    return []


def schedule_of(table: Mapping[str, Any]) -> Schedule:
    """The schedule that a flat table describes. Raises InvalidSchedule for its form."""
    unknown = sorted(table.keys() - KEYS)
    if unknown:
        raise InvalidSchedule(unknown[0], f"there is no such key: known are {', '.join(sorted(KEYS))}.")
    for needed in ("name", "bot"):
        if not isinstance(table.get(needed), str):
            raise InvalidSchedule(needed, f"{shown(table.get(needed))} is none: give a name.")
    given: dict[str, Any] = {key: _duration(value, key) if key in DURATIONS else value for key, value in table.items()}
    timing = {key: given[key] for key in ("zone", "jitter", "skipped_hour", "repeated_hour") if key in given}
    local_time = given.get("local_time", False)
    if not isinstance(local_time, bool):
        raise InvalidSchedule("local_time", f"{shown(local_time)}: give true or false.")
    return Schedule(
        name=given["name"],
        timing=Timing(
            recurrence=_recurrence(given),
            start=_wall(given.get("start"), "start"),
            end=_wall(given.get("end"), "end"),
            **timing,
        ),
        notification=_notification(given),
        to=_to(given),
        local_time=local_time,
        policies=Policies(**{key: given[key] for key in POLICIES if key in given}),
    )


def _recurrence(given: Mapping[str, Any]) -> Recurrence:
    chosen = [key for key in WHEN if given.get(key) is not None]
    if len(chosen) != 1:
        raise InvalidSchedule("cron", f"{len(chosen)} of {', '.join(WHEN)} are given: give exactly one of them.")
    if "anchor" in given and chosen != ["every"]:
        raise InvalidSchedule("anchor", "it goes with `every` only: leave it.")
    value = given[chosen[0]]
    match chosen[0]:
        case "cron":
            return Cron(value)
        case "every":
            return Every(value, _wall(given.get("anchor"), "anchor"))
        case "at":
            return Once(_wall_needed(value, "at"))
        case _:
            if not isinstance(value, list):
                raise InvalidSchedule("dates", f"{shown(value)} is no list of local times.")
            return Dates(tuple(_wall_needed(each, "dates") for each in value))


def _to(given: Mapping[str, Any]) -> tuple[int | str, ...] | None:
    # `everybody = false` says nothing.
    chosen = [key for key in TO if given.get(key) is not None and given[key] is not False]
    if len(chosen) != 1:
        raise InvalidSchedule("chat", f"{len(chosen)} of {', '.join(TO)} are given: give exactly one of them.")
    if chosen == ["everybody"]:
        return None
    if chosen == ["chat"]:
        return (given["chat"],)
    if not isinstance(given["chats"], list):
        raise InvalidSchedule("chats", f"{shown(given['chats'])} is no list of chats.")
    return tuple(given["chats"])


def _notification(given: Mapping[str, Any]) -> Notification:
    values: dict[str, Any] = {
        key: given[key] for key in ("bot", "text", "method", "params", "category", "quiet") if key in given
    }
    if "files" in given:
        values["params"] = _with_files(given.get("params", {}), given["files"])
    if "priority" in given:
        name = str(given["priority"]).upper()
        if name not in Priority.__members__:
            known = ", ".join(priority.lower() for priority in Priority.__members__)
            raise InvalidSchedule("priority", f"{shown(given['priority'])} is none of {known}.")
        values["priority"] = Priority[name]
    if "delivery" in given:
        if given["delivery"] not in list(DeliveryPolicy):
            raise InvalidSchedule("delivery", f"{shown(given['delivery'])} is none of {', '.join(DeliveryPolicy)}.")
        values["delivery"] = DeliveryPolicy(given["delivery"])
    labels = given.get("labels", [])
    if not isinstance(labels, list):
        raise InvalidSchedule("labels", f"{shown(labels)} is no list of labels.")
    return Notification(labels=tuple(labels), **values)


def _with_files(params: object, files: object) -> dict[str, Any]:
    """The parameters and the stored files that are named beside them, as photo = 17."""
    if not isinstance(params, Mapping):
        raise InvalidSchedule("params", f"{shown(params)} is no table of parameters.")
    if not isinstance(files, Mapping):
        raise InvalidSchedule("files", f"{shown(files)} is no table of files: write it as {{ photo = 17 }}.")
    for name, file_id in files.items():
        if type(file_id) is not int or file_id < 1:
            raise InvalidSchedule("files", f"{name} is {shown(file_id)}: give an id of `dovecote file list`.")
        if name in params and not isinstance(params[name], Attachment):
            raise InvalidSchedule("files", f"{name} is among the params as well: give only one of them.")
    return {**params, **{name: Attachment(file_id) for name, file_id in files.items()}}


def _duration(value: object, key: str) -> timedelta:
    try:
        return parse_duration(value)
    except ValueError:
        raise InvalidSchedule(key, f"{shown(value)} is no duration: it takes {TAKES_DURATION_OR_ZERO}.") from None


def _wall(value: object, key: str) -> datetime | None:
    return None if value is None else _wall_needed(value, key)


def _wall_needed(value: object, key: str) -> datetime:
    given, why = value, ""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            # What has the form and is no day says why: "day is out of range for month".
            value, why = None, "" if str(error).startswith("Invalid isoformat") else f" ({error})"
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 (a local time)
    raise InvalidSchedule(key, f"{shown(given)} is no local time{why}: write it as 2026-01-31T09:00, without a zone.")


def edited_schedule(schedule: Schedule, changes: Mapping[str, Any]) -> Schedule:
    """The schedule with what `changes`, a part of a table, names. Raises InvalidSchedule for its form.

    Another way to say when or to whom takes the place of the old one; files stay, unless the method is another.
    """
    table = table_of(schedule)
    for group in (WHEN, TO):
        if any(changes.get(key) for key in group):
            table = {key: value for key, value in table.items() if key not in group}
    if any(changes.get(key) for key in WHEN):
        table.pop("anchor", None)
    if "files" in changes and "params" not in changes:
        table["params"] = {name: value for name, value in table["params"].items() if name not in changes["files"]}
    if "method" in changes and changes["method"] != schedule.notification.method:
        # Its files were those of the other method.
        table["params"] = {name: value for name, value in table["params"].items() if not isinstance(value, Attachment)}
    elif "params" in changes:
        changes = {**changes, "params": {**_files(schedule), **changes["params"]}}
    return schedule_of({**table, **changes})


def _files(schedule: Schedule) -> dict[str, Any]:
    params = schedule.notification.params
    return {name: value for name, value in params.items() if isinstance(value, Attachment)}


def table_of(schedule: Schedule) -> dict[str, Any]:
    """The flat table that describes a schedule."""
    form = schedule_form(schedule)
    table: dict[str, Any] = {
        "name": schedule.name,
        "local_time": schedule.local_time,
        **form["timing"],
        **form["notification"],
        **form["policies"],
        "params": dict(schedule.notification.params),
    }
    if "priority" in table:
        table["priority"] = schedule.notification.priority.name.lower()
    return table | ({"everybody": True} if schedule.to is None else {"chats": list(schedule.to)})

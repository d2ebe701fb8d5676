"""When a country changes its rules: fire times move with them, and what has fired does not fire again."""

from __future__ import annotations

import importlib.util
import shutil
import zoneinfo
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from timetables import schedule
from whenever import clear_tzcache, reset_tzpath

from dovecote import zones
from dovecote.firing import cursor_at, following, plan
from dovecote.model import FireTime, Origin, Schedule, ScheduleRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ISTANBUL = "Europe/Istanbul"


@pytest.fixture
def rules_become(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Let Istanbul have the rules of another zone from now on."""

    def become(other: str) -> None:
        target = tmp_path / ISTANBUL
        target.parent.mkdir(exist_ok=True)
        shutil.copy(_file_of(other), target)
        reset_tzpath([str(tmp_path)])
        clear_tzcache()
        zones.zone.cache_clear()

    yield become
    reset_tzpath()
    clear_tzcache()
    zones.zone.cache_clear()


def _file_of(name: str) -> Path:
    for folder in zoneinfo.TZPATH:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    package = importlib.util.find_spec("tzdata")  # where the system has no zones of its own
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "zoneinfo" / name


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def standing(made: Schedule, cursor: FireTime) -> ScheduleRecord:
    then = following(made, cursor)
    return ScheduleRecord(
        id=1,
        version=1,
        schedule=made,
        origin=Origin.API,
        cursor=cursor,
        next_fire_at=then.fire_at,
        due_at=then.due_at,
        paused_at=None,
        created_at=cursor.at,
        changed_at=cursor.at,
    )


def test_a_fire_time_that_has_become_later_waits_for_it(rules_become: Callable[[str], None]) -> None:
    made = schedule(recurrence="0 9 * * *", zone=ISTANBUL)
    record = standing(made, cursor_at(made, at("2026-07-01T12:00")))
    assert record.next_fire_at == at("2026-07-02T06:00")

    rules_become("Europe/Berlin")
    early = plan(record, at("2026-07-02T06:00"))

    assert early.occurrences == []
    assert early.then is not None
    assert early.then.fire_at == at("2026-07-02T07:00")
    (fired,) = plan(record, at("2026-07-02T07:00")).occurrences
    assert fired.fire == FireTime(at("2026-07-02T07:00"), datetime(2026, 7, 2, 9))


def test_what_has_fired_does_not_fire_again_when_its_local_time_comes_once_more(
    rules_become: Callable[[str], None],
) -> None:
    made = schedule(recurrence="0 9 * * *", zone=ISTANBUL)
    record = standing(made, cursor_at(made, at("2026-07-01T12:00")))
    fired = plan(record, at("2026-07-02T06:00"))
    assert fired.then is not None
    record = standing(made, fired.then.cursor)

    rules_become("Europe/Berlin")
    again = plan(record, at("2026-07-02T08:00"))

    assert again.occurrences == []
    assert again.then is not None
    assert again.then.fire_at == at("2026-07-03T07:00")


def test_a_fire_time_that_has_become_earlier_fires_when_it_is_found(rules_become: Callable[[str], None]) -> None:
    made = schedule(recurrence="0 9 * * *", zone=ISTANBUL)
    record = standing(made, cursor_at(made, at("2026-07-01T12:00")))

    rules_become("Asia/Dubai")
    found = plan(record, at("2026-07-02T06:00"))

    assert [each.fire for each in found.occurrences] == [FireTime(at("2026-07-02T05:00"), datetime(2026, 7, 2, 9))]
    assert found.then is not None
    assert found.then.fire_at == at("2026-07-03T05:00")

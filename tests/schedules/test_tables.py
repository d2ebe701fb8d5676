"""A flat table of a schedule: every fault of it is told at once, and none that it does not have."""

from __future__ import annotations

from typing import Any

import pytest

from dovecote.config import table_faults

SOUND: dict[str, Any] = {"name": "digest", "bot": "shop", "cron": "0 9 * * *", "chat": 42, "text": "hello"}


def fields(table: dict[str, Any]) -> list[str]:
    return sorted(fault.partition(":")[0] for fault in table_faults(table))


def test_a_sound_one_has_none() -> None:
    assert fields(SOUND) == []


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, ["bot", "chat", "cron", "name", "text"]),
        ({**SOUND, "colour": "red", "cron": "61 * * * *", "zone": "Mars/X"}, ["colour", "cron", "zone"]),
        ({**SOUND, "every": "1h", "chats": [7], "jitter": "-3s", "labels": 3}, ["chat", "cron", "jitter", "labels"]),
        (
            {**SOUND, "catch_up": "perhaps", "grace": "never", "overlap": 7, "text": ""},
            sorted(["catch_up", "grace", "overlap", "text"]),
        ),
        ({**SOUND, "chat": "nobody!", "method": "send it", "skipped_hour": "z"}, ["chat_id", "method", "skipped_hour"]),
        ({**SOUND, "cron": None, "dates": 3, "priority": "wow"}, ["dates", "priority"]),
    ],
)
def test_all_faults_of_one_are_told(table: dict[str, Any], expected: list[str]) -> None:
    found = set(fields(table))

    assert found >= set(expected)
    # Where nothing sound can stand in its place, what hangs on it may be told as well.
    assert found - set(expected) <= {"text"}

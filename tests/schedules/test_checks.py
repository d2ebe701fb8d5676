"""What a schedule may be, and the words in which it is told what it may not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from timetables import MINUTE, schedule

from dovecote.errors import InvalidNotification, InvalidSchedule
from dovecote.model import Attachment, Dates, Every, Notification, Once
from dovecote.schedule_checks import checked_schedule
from dovecote.schedule_form import notification_form, notification_of

if TYPE_CHECKING:
    from dovecote.model import Recurrence

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
PAST = datetime(2020, 1, 31, 9)


@pytest.mark.parametrize("to", [(7,), None])
def test_a_stored_file_comes_back_as_it_was_given(to: tuple[int] | None) -> None:
    media = ({"type": "photo", "media": Attachment(2, name="a/b.png", cache=False)}, {"type": "photo", "media": "AgAC"})
    template = Notification(bot="shop", method="sendMediaGroup", params={"media": media})

    kept = checked_schedule(replace(schedule(to=to), notification=template), NOW).notification

    assert kept.params == {"media": list(media)}
    assert notification_of(json.loads(json.dumps(notification_form(kept)))) == kept


@pytest.mark.parametrize("to", [(7,), None])
def test_a_text_that_looks_like_a_stored_file_is_refused(to: tuple[int] | None) -> None:
    guessed = Notification(bot="shop", method="sendPhoto", params={"photo": "attach://file1"})

    with pytest.raises(InvalidNotification, match="pass an Attachment of that file"):
        checked_schedule(replace(schedule(to=to), notification=guessed), NOW)


@pytest.mark.parametrize("to", [(7,), None])
def test_whatever_mapping_holds_the_parameters_can_be_kept(to: tuple[int] | None) -> None:
    markup = MappingProxyType({"inline_keyboard": ((MappingProxyType({"text": "Go", "url": "https://e.org"}),),)})
    template = Notification(bot="shop", text="a", params={"reply_markup": markup, "message_thread_id": None})

    kept = checked_schedule(replace(schedule(to=to), notification=template), NOW).notification

    back = notification_of(json.loads(json.dumps(notification_form(kept))))
    assert back.params == {"reply_markup": {"inline_keyboard": [[{"text": "Go", "url": "https://e.org"}]]}}


@pytest.mark.parametrize(
    ("recurrence", "bounds", "words"),
    [
        (
            Once(PAST),
            {},
            "2020-01-31 09:00:00 can never fire after 2026-01-05 12:00:00 UTC in UTC: give one that does.",
        ),
        (
            Dates([PAST + timedelta(days=n) for n in range(5)]),
            {},
            "2020-01-31 09:00:00, 2020-02-01 09:00:00, 2020-02-02 09:00:00 and 2 more can never fire after",
        ),
        (
            Every(MINUTE, PAST),
            {"end": PAST},
            "every 0:01:00 from 2020-01-31 09:00:00 can never fire after 2026-01-05 12:00:00 UTC, with end 2020-01-31",
        ),
        (Once(PAST.replace(year=1)), {}, "at: 0001-01-31 09:00:00: give a year from 1970 to 8999."),
        (Dates([PAST] * 10_001), {}, "dates: 10001 are given: give 1 to 10000 local times."),
        (Every(timedelta(0)), {}, "every: 0:00:00 is none that can be: give a duration from 0:00:01 to"),
    ],
)
def test_an_error_speaks_no_python(recurrence: Recurrence, bounds: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        checked_schedule(schedule("digest", recurrence, **bounds), NOW)

    assert words in str(refused.value)
    for leak in ("datetime", "timedelta", "None"):
        assert leak not in str(refused.value)


@pytest.mark.parametrize("field", ["timing", "notification", "policies"])
def test_what_is_no_part_of_a_schedule_is_refused_by_its_name(field: str) -> None:
    made = schedule()
    wrong: Any = {field: None}

    with pytest.raises(InvalidSchedule, match=rf"{field}: None is none: give {field.capitalize()}\(\.\.\.\)"):
        checked_schedule(replace(made, **wrong), NOW)


@pytest.mark.parametrize(
    "policies",
    [
        {"catch_up": "none", "grace": timedelta(0)},
        {"catch_up": "none", "grace": timedelta(milliseconds=999)},
        {"catch_up": "all", "catch_up_window": timedelta(0), "grace": timedelta(0)},
    ],
)
def test_what_would_always_be_too_late_is_refused(policies: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchedule, match="so none would fire"):
        checked_schedule(schedule(policies=policies), NOW)


def test_without_grace_fire_times_are_caught_up_and_without_catching_up_a_second_is_enough() -> None:
    for policies in ({"grace": timedelta(0)}, {"catch_up": "none", "grace": timedelta(seconds=1)}):
        assert checked_schedule(schedule(policies=policies), NOW).policies.grace == policies["grace"]

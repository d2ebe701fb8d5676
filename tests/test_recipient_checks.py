"""What may be told of a recipient: the door refuses what cannot be, all of it at once, and says what would be right."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

import pytest

from dovecote.errors import InvalidRecipient
from dovecote.model import QuietHours, RecipientChange, Segment
from dovecote.recipient_checks import checked_change, checked_line, checked_segment


def told(**given: Any) -> RecipientChange:
    return checked_change(42, given)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("pt", "pt"),
        ("PT-br", "pt-BR"),
        ("pt_BR", "pt-BR"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("sl-ROZAJ-biske-1994", "sl-rozaj-biske-1994"),
        ("de-DE-u-CO-phonebk", "de-DE-u-co-phonebk"),
        ("zh-cmn-Hans-CN", "zh-cmn-Hans-CN"),
        ("en-x-Shop", "en-x-shop"),
        (None, None),
    ],
)
def test_a_language_is_kept_in_the_usual_spelling(given: str | None, kept: str | None) -> None:
    assert told(language=given).language == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("22:00-08:00", QuietHours(time(22), time(8))),
        (" 9:05 - 17:30 urgent silent", QuietHours(time(9, 5), time(17, 30), silent=True, urgent=True)),
        (QuietHours(time(0), time(6)), QuietHours(time(0), time(6))),
    ],
)
def test_quiet_hours_are_text_or_times(given: object, kept: QuietHours) -> None:
    assert told(quiet_hours=given).quiet_hours == kept
    assert told(quiet_hours=str(kept)).quiet_hours == kept


def test_the_rest_is_kept_as_it_is_and_categories_once() -> None:
    seen = datetime(2026, 1, 5, 12, tzinfo=UTC)

    change = told(zone="Asia/Tokyo", labels=["b", "a"], opted_out=["z", "a", "z"], seen=seen)

    assert change == RecipientChange(chat="42", zone="Asia/Tokyo", labels=("b", "a"), opted_out=("a", "z"), seen=seen)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"language": "portuguese!"}, "language: 'portuguese!' is no language tag of BCP 47: write it as pt or pt-BR"),
        ({"language": "p"}, "is no language tag"),
        ({"language": ""}, "is no language tag"),
        ({"language": "en-" + "x-" * 20 + "a"}, "is no language tag"),
        ({"language": 7}, "is no language tag"),
        ({"zone": "Europe/Berln"}, 'did you mean "Europe/Berlin"'),
        ({"labels": "gold"}, "is no sequence of labels"),
        ({"labels": [""]}, "is no label: give text of 1 to 64 characters"),
        ({"labels": ["x"] * 17}, "a recipient has at most 16: leave some out"),
        ({"opted_out": "news"}, "is no sequence of categories"),
        ({"opted_out": ["two words"]}, "opted_out: 'two words' is no category: give 1 to 64 letters"),
        ({"opted_out": [f"c{number}" for number in range(65)]}, "at most 64 are kept"),
        ({"quiet_hours": "22-8"}, "text as 22:00-08:00, with silent or urgent behind it"),
        ({"quiet_hours": "25:00-08:00"}, "'25:00-08:00' are none"),
        ({"quiet_hours": "22:00-08:00 loud"}, "are none"),
        ({"quiet_hours": 8}, "8 are none"),
        ({"quiet_hours": "08:00-08:00"}, "they begin and end at 08:00: give two times"),
        ({"quiet_hours": QuietHours(time(8, 0, 1), time(9))}, "give a local time in whole minutes"),
        ({"quiet_hours": QuietHours(time(8, tzinfo=UTC), time(9))}, "give a local time in whole minutes"),
        ({"quiet_hours": QuietHours(time(8), time(9), silent=1)}, "silent is 1: give True or False"),  # type: ignore[arg-type]
        ({"seen": datetime(2026, 1, 5)}, "is no instant: give a datetime with a zone, or True for now"),
        ({"seen": "now"}, "is no instant"),
        ({"seen": datetime(1970, 1, 1, tzinfo=UTC)}, "is beyond the years 2000 to 9998"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRecipient) as refused:
        told(**given)

    assert words in str(refused.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidRecipient) as refused:
        checked_change("shop_news", {"zone": "x", "language": "?", "labels": 7, "seen": None})

    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        "chat_id",
        "zone",
        "language",
        "labels",
        "seen",
    ]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (
            {"chat_id": " 42 ", "labels": "a, b", "zone": "", "opted_out": '["news"]'},
            {"labels": ("a", "b"), "opted_out": ("news",)},
        ),
        ({"chat_id": 42, "labels": None, "language": None}, {"labels": (), "language": None}),
        ({"chat_id": "42", "told_at": "x", "bot": "y", "delivered_at": 1, "blocked_at": None}, {}),
        ({"chat_id": 42, "seen_at": "2026-01-05T12:00:00+00:00"}, {"seen": datetime(2026, 1, 5, 12, tzinfo=UTC)}),
        (
            {"chat_id": 42, "disabled_at": "2026-01-05T12:00Z", "reason": "blocked"},
            {"disabled": (datetime(2026, 1, 5, 12, tzinfo=UTC), "blocked")},
        ),
        ({"chat_id": 42, "disabled_at": None, "reason": None}, {"disabled": None}),
        ({"chat_id": 42, "disabled_at": "", "reason": ""}, {}),
    ],
)
def test_a_line_of_a_file_is_read(line: dict[str, Any], kept: dict[str, Any]) -> None:
    assert checked_line(line) == RecipientChange(chat="42", **kept)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (42, "chat_id: 42 has none: every recipient needs a chat_id"),
        ({"zone": "Asia/Tokyo"}, "every recipient needs a chat_id"),
        ({"chat_id": 42, "langauge": "pt"}, "'langauge' is no field of a recipient: there are chat_id, disabled_at"),
        (
            {"chat_id": 42, "seen_at": "yesterday"},
            "seen_at: 'yesterday' is no instant: give one with a zone, as 2026-01-31T09:00+01:00",
        ),
        ({"chat_id": 42, "disabled_at": True}, "disabled_at: True is no instant"),
        ({"chat_id": "x", "labels": "a," * 17, "language": "?"}, "a recipient has at most 16"),
    ],
)
def test_a_bad_line_is_refused_with_a_remedy(line: object, words: str) -> None:
    with pytest.raises(InvalidRecipient) as refused:
        checked_line(line)

    assert words in str(refused.value)


def test_a_segment_is_kept_as_recipients_are() -> None:
    seen = datetime(2026, 1, 5, 12, tzinfo=UTC)

    kept = checked_segment(Segment(["Asia/Tokyo"], ["gold"], ["PT-br"], "news", seen))

    assert kept == Segment(("Asia/Tokyo",), ("gold",), ("pt-BR",), "news", seen)


def test_every_fault_of_a_segment_is_told() -> None:
    with pytest.raises(InvalidRecipient) as refused:
        checked_segment(Segment(["x"], "gold", ["?"], "two words", datetime(2026, 1, 5)))
    with pytest.raises(InvalidRecipient, match="are lists"):
        checked_segment(Segment("Asia/Tokyo"))

    faults = [fault.partition(":")[0] for fault in refused.value.faults]
    assert faults == ["zone", "labels", "language", "category", "seen_since"]

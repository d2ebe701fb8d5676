"""What is refused at the door, with which words; and that nothing odd gets through or breaks it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovecote.errors import InvalidNotification
from dovecote.model import DeliveryPolicy, Notification, Priority
from dovecote.validation import prepared

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def message(**fields: Any) -> Notification:
    return Notification(**{"bot": "shop", "chat_id": 42, "text": "hello", **fields})


def photo(**params: Any) -> Notification:
    return Notification(bot="shop", chat_id=42, method="sendPhoto", params={"photo": "x", **params})


def refusal(notification: Any) -> str:
    """The message of the error, whose field it begins with."""
    with pytest.raises(InvalidNotification) as caught:
        prepared(notification)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return str(caught.value)


class Chat(IntEnum):
    OFFICE = 2**40


class TestChats:
    @pytest.mark.parametrize(
        ("chat_id", "chat"),
        [
            (42, "42"),
            ("42", "42"),
            (-1001234567890, "-1001234567890"),
            (Chat.OFFICE, "1099511627776"),
            ("-1001234567890", "-1001234567890"),
            (2**52 - 1, "4503599627370495"),
            ("@Shop_News1", "@shop_news1"),
            ("@durov", "@durov"),
            ("@abcd", "@abcd"),
        ],
    )
    def test_chats(self, chat_id: int | str, chat: str) -> None:
        assert prepared(message(chat_id=chat_id)).chat == chat
        assert prepared(message(chat_id=None, params={"chat_id": chat_id})).chat == chat

    @pytest.mark.parametrize(
        "chat_id",
        [0, "0", True, 2**52, -(2**52), "9999999999999999", 4.2, "", "@", "@abc", "@" + "a" * 33, "@a-b-c", "042",
         "+42", " 42", "\uff14\uff12", "42\n", "@абвгд", b"42", (42,), "https://t.me/durov"],
    )  # fmt: skip
    def test_what_is_none(self, chat_id: Any) -> None:
        assert "is no chat" in refusal(message(chat_id=chat_id))
        assert refusal(message(chat_id=None, params={"chat_id": chat_id})).startswith('params["chat_id"]: ')

    def test_the_at_sign_is_asked_for(self) -> None:
        assert refusal(message(chat_id="durov")) == (
            "chat_id: 'durov' is no chat: the name of a channel begins with @, write \"@durov\"."
        )

    def test_a_chat_in_the_params_is_taken_out_of_them(self) -> None:
        twice = prepared(message(chat_id="@Durov", params={"chat_id": "@durov"}))

        assert (twice.chat, json.loads(twice.params)) == ("@durov", {"text": "hello"})
        assert "give only one of them" in refusal(message(params={"chat_id": 43}))

    def test_only_methods_that_are_nothing_without_a_chat_need_one(self) -> None:
        assert refusal(message(chat_id=None)) == (
            "chat_id: None: sendMessage needs a chat: give its number or an @channel."
        )
        edit = message(chat_id=None, method="editMessageText", params={"inline_message_id": "x"})
        assert prepared(edit).chat is None
        assert prepared(message(chat_id=None, method="answerCallbackQuery")).chat is None


class TestTexts:
    @pytest.mark.parametrize("text", ["", " \n\t", "\xa0"])
    @pytest.mark.parametrize("parse_mode", [None, "HTML", "MarkdownV2"])
    def test_an_empty_text(self, text: str, parse_mode: str | None) -> None:
        assert refusal(message(text=text, params={"parse_mode": parse_mode})).startswith("text: ")
        params = {"text": text, "parse_mode": parse_mode}
        assert refusal(message(text=None, params=params)).startswith('params["text"]: ')

    def test_html_that_shows_nothing(self) -> None:
        assert "shows nothing" in refusal(message(text="<b> </b>", params={"parse_mode": "html"}))

    def test_no_text(self) -> None:
        assert refusal(message(text=None)).startswith("text: None is no text")
        assert refusal(message(text=None, params={"text": 7})).startswith("text: 7 is no text")
        assert refusal(message(text=b"hello")).startswith("text: b'hello' is no text")

    @pytest.mark.parametrize(
        ("text", "parse_mode"),
        [
            ("a" * 4096, None),
            ("😀" * 2048, None),
            ("  " + "a" * 4096 + "\n", None),
            ("<b>" + "a" * 4094 + "</b>&lt;&#128512", "HTML"),
            ("[" + "a" * 4096 + "](https://example.org/" + "b" * 5000 + ")", "MarkdownV2"),
            ("\\." * 4096, "MarkdownV2"),
            ("```" + "x" * 5000 + "\ncode\n```", "MarkdownV2"),
            ("a" * 9000, "a mode of tomorrow"),
        ],
    )
    def test_as_long_as_telegram_takes(self, text: str, parse_mode: str | None) -> None:
        if text.endswith("&#128512"):
            text = text.replace("a", "", 1)
        assert json.loads(prepared(message(text=text, params={"parse_mode": parse_mode})).params)["text"] == text

    @pytest.mark.parametrize(
        ("text", "parse_mode", "length"),
        [
            ("a" * 4097, None, 4097),
            ("😀" * 2049, None, 4098),
            ("<b>" + "a" * 4095 + "</b>&lt;&amp;", "HTML", 4097),
            ("<b>" + "a" * 4095 + "</b>&#x1F600;", "HTML", 4097),
            ("*" + "a" * 4097 + "*", "Markdown", 4097),
        ],
    )
    def test_too_long(self, text: str, parse_mode: str | None, length: int) -> None:
        assert f"is {length} UTF-16 code units long, and Telegram takes 4096" in refusal(
            message(text=text, params={"parse_mode": parse_mode})
        )

    def test_captions(self) -> None:
        prepared(photo(caption="a" * 1024))
        assert refusal(photo(caption="a" * 1025)).startswith('params["caption"]: ')
        prepared(photo(caption="<b>" + "a" * 1024 + "</b>", parse_mode="HTML"))

    def test_a_text_where_a_caption_is_meant(self) -> None:
        notification = Notification(bot="shop", chat_id=42, method="sendPhoto", params={"photo": "x"}, text="hello")
        assert 'write params={"caption": ...}' in refusal(notification)

    def test_text_in_both_places(self) -> None:
        assert json.loads(prepared(message(params={"text": "hello"})).params) == {"text": "hello"}
        assert refusal(message(params={"text": "bye"})).startswith("text: 'hello' is not params[\"text\"], 'bye'")


class TestAlbums:
    def album(self, media: Any) -> Notification:
        return Notification(bot="shop", chat_id=42, method="sendMediaGroup", params={"media": media})

    @pytest.mark.parametrize("count", [2, 10])
    def test_it_takes_a_slot_for_each_item(self, count: int) -> None:
        media = [{"type": "photo", "media": "x"}] * count

        assert prepared(self.album(media)).weight == count
        assert prepared(self.album(tuple(media))).weight == count
        assert prepared(self.album(json.dumps(media))).weight == count
        assert prepared(message()).weight == 1

    @pytest.mark.parametrize("media", [[], [{}], [{}] * 11, None, "x", "{}", {"a": 1}, 7])
    def test_what_is_none(self, media: Any) -> None:
        assert refusal(self.album(media)).startswith('params["media"]: ')

    def test_a_caption_in_it(self) -> None:
        assert refusal(self.album([{}, {"caption": "a" * 1025}])).startswith('params["media"][1]["caption"]: ')


class Colour(StrEnum):
    RED = "red"


class Shape(str, Enum):  # noqa: UP042 (the older way, which applications have as well)
    ROUND = "round"


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {}


class TestParams:
    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            (NOON, "int(value.timestamp())"),
            (b"x", "pass an Attachment"),
            (Path("x"), "cannot be written as JSON"),
            ({1}, "pass a list"),
            (Model(), "model_dump"),
            (float("nan"), "nan is no number that JSON has"),
            (float("inf"), "inf is no number that JSON has"),
            (2**64, "more than 64 bits"),
            pytest.param(10**5000, "more than 64 bits", id="an integer that has no repr"),
            ("a\0b", "the character NUL"),
            ("a\ud800b", "half of a surrogate pair at 1"),
            (UUID(int=1), "cannot be written as JSON"),
            (1j, "cannot be written as JSON"),
        ],
    )
    def test_what_json_or_a_database_has_not(self, value: Any, problem: str) -> None:
        assert refusal(message(params={"x": value})).startswith('params["x"]: ')
        assert problem in refusal(message(params={"x": value}))
        assert refusal(message(params={"x": [1, {"y": value}]})).startswith('params["x"][1]["y"]: ')

    def test_names_are_text(self) -> None:
        assert refusal(message(params={1: 2})) == "params: 1 is no name: JSON has only text as names, write '1'."
        assert refusal(message(params={"x": {None: 2}})).startswith('params["x"]: None is no name')
        assert refusal(message(params={"x": {"a\ud800": 2}})).startswith('params["x"]: ')

    def test_it_is_a_mapping(self) -> None:
        for wrong in ([], "x", None, 7, [("a", 1)]):
            assert "is no mapping" in refusal(message(params=wrong))

    def test_what_contains_itself(self) -> None:
        endless: list[Any] = []
        endless.append(endless)
        assert "contains itself" in refusal(message(params={"x": endless}))

    def test_what_is_too_much(self) -> None:
        params = {"reply_markup": "x" * (1024 * 1024)}
        assert "Telegram takes 1048576 in one call" in refusal(message(params=params))

    def test_subclasses_are_written_as_what_they_are(self) -> None:
        params = {"a": Colour.RED, Colour.RED: Priority.BULK, "b": Shape.ROUND, "c": (1, 2)}

        written = json.loads(prepared(message(params=params)).params)

        assert written == {"text": "hello", "a": "red", "red": 2, "b": "round", "c": [1, 2]}

    def test_none_at_the_top_is_not_given(self) -> None:
        written = json.loads(prepared(message(params={"parse_mode": None, "x": [None]})).params)

        assert written == {"text": "hello", "x": [None]}

    def test_the_callers_params_are_not_touched(self) -> None:
        params = {"chat_id": 42, "x": {"y": 1}}
        prepared(message(params=params))

        assert params == {"chat_id": 42, "x": {"y": 1}}


class Broken(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(days=7)

    def dst(self, _: datetime | None) -> None: ...

    def tzname(self, _: datetime | None) -> None: ...


class TestTimes:
    def test_they_are_written_in_utc(self) -> None:
        due = datetime(2026, 7, 1, 9, tzinfo=ZoneInfo("Europe/Berlin"))
        written = prepared(message(due_at=due, expires_at=due + timedelta(hours=1)))

        assert (written.due_at, written.expires_at) == (
            datetime(2026, 7, 1, 7, tzinfo=UTC),
            datetime(2026, 7, 1, 8, tzinfo=UTC),
        )

    @pytest.mark.parametrize("field", ["due_at", "expires_at"])
    @pytest.mark.parametrize(
        ("instant", "problem"),
        [
            (datetime(2026, 1, 5), "2026-01-05 00:00:00 has no zone"),
            (date(2026, 1, 5), "is no datetime"),
            (1767607200, "is no datetime"),
            ("2026-01-05T12:00Z", "is no datetime"),
            (timedelta(hours=1), "is no datetime"),
            (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "beyond the years"),
            (datetime(2026, 1, 5, tzinfo=Broken()), "beyond the years"),
            (datetime.max.replace(tzinfo=UTC), "beyond the years 2000 to 9998"),
            (datetime(9999, 1, 1, tzinfo=UTC), "beyond the years 2000 to 9998"),
            (datetime(9998, 12, 31, 23, tzinfo=timezone(timedelta(hours=-1))), "beyond the years 2000 to 9998"),
            (datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), "beyond the years 2000 to 9998"),
        ],
    )
    def test_what_is_none(self, field: str, instant: Any, problem: str) -> None:
        assert problem in refusal(message(**{field: instant}))

    @pytest.mark.parametrize("year", [2000, 9998])
    def test_the_first_and_the_last_year_are_taken(self, year: int) -> None:
        instant = datetime(year, 6, 1, tzinfo=UTC)

        assert prepared(message(due_at=instant)).due_at == instant

    def test_an_expiry_before_the_due_time(self) -> None:
        assert "is not after due_at" in refusal(message(due_at=NOON, expires_at=NOON))

    def test_an_expiry_in_the_past_is_taken_whatever_the_time_is(self) -> None:
        assert prepared(message(expires_at=datetime(2001, 1, 1, tzinfo=UTC))).expires_at is not None


class TestTheRest:
    @pytest.mark.parametrize(
        ("field", "values"),
        [
            ("bot", [None, "", 7, "a\0", "a\udfff"]),
            ("method", [None, "", "ab", "a" * 65, "send_message", "sendMessage/../x", "sendMessage\n", 7, "\u017fend"]),
            ("key", ["", 7, "a" * 256, "a\0", "\ud800", b"a"]),
            ("priority", [None, -1, 3, True, "1", 1.0]),
            ("delivery", [None, "once", "AT_MOST_ONCE", 1, ["at_most_once"]]),
            ("labels", ["promo", None, 7, [""], ["a" * 65], [7], ["a"] * 17, {"a"}, ["a\0"], [None]]),
        ],
    )
    def test_what_is_none(self, field: str, values: list[Any]) -> None:
        for value in values:
            assert refusal(message(**{field: value})).startswith(f"{field}: ")

    def test_what_is_allowed(self) -> None:
        written = prepared(
            message(key="a" * 255, priority=0, delivery="at_most_once", labels=["a" * 64] * 16, method="SENDMESSAGE")
        )

        assert (written.key, written.priority, written.at_most_once) == ("a" * 255, 0, True)
        assert (written.labels, written.method) == (("a" * 64,) * 16, "SENDMESSAGE")

    @pytest.mark.parametrize("wrong", [None, {}, "hello", 7])
    def test_what_is_no_notification(self, wrong: Any) -> None:
        assert "is no Notification" in refusal(wrong)

    def test_the_index_is_named(self) -> None:
        with pytest.raises(InvalidNotification, match=r"^notification 7: key: '' is no key") as caught:
            prepared(message(key=""), index=7)
        assert (caught.value.index, caught.value.field) == (7, "key")


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20) | st.binary()
    | st.datetimes() | st.datetimes(timezones=st.timezones()) | st.dates() | st.timedeltas() | st.uuids()
    | st.decimals() | st.complex_numbers() | st.sampled_from([*Priority, *DeliveryPolicy, object(), len, Model()])
    | st.from_regex(r"@?[a-z0-9_]{1,40}|-?[0-9]{1,20}|<b>.*</b>|&#x[0-9a-f]*;"),
    lambda inner: st.lists(inner, max_size=5) | st.tuples(inner) | st.frozensets(st.integers())
    | st.dictionaries(st.text(max_size=5) | st.integers() | st.none(), inner, max_size=5),
    max_leaves=10,
)  # fmt: skip
METHODS = ["sendMessage", "editMessageText", "sendMediaGroup", "sendPhoto", "setMyName"]
NAMES = ["chat_id", "text", "caption", "parse_mode", "media", "x"]


@given(
    st.fixed_dictionaries(
        {"bot": st.just("shop") | odd},
        optional={
            "chat_id": st.integers() | odd,
            "text": st.text() | odd,
            "method": st.sampled_from(METHODS) | odd,
            "params": st.dictionaries(st.sampled_from(NAMES), odd) | odd,
            "key": st.text() | odd,
            "priority": odd,
            "due_at": st.datetimes(timezones=st.timezones()) | odd,
            "expires_at": st.datetimes(timezones=st.timezones()) | odd,
            "delivery": odd,
            "labels": st.lists(st.text()) | odd,
        },
    )
)
def test_whatever_is_given_it_is_refused_or_can_be_stored(fields: dict[str, Any]) -> None:
    refused = ""
    try:
        written = prepared(Notification(**fields))
    except InvalidNotification as error:
        refused = str(error)
    assert len(refused.encode()) < 1000
    if refused:
        return
    assert written.bot
    assert isinstance(json.loads(written.params), dict)
    assert "\0" not in written.params + (written.key or "") + "".join(written.labels)
    for part in (written.params, written.key or "", *written.labels):
        part.encode()
    assert 1 <= written.weight <= 10

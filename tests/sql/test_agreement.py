"""Python's enqueue and the functions in the database take the same, refuse the same, and write the same rows."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from migrated import migrate
from outboxes import START, Outbox
from sql_enqueue import BothWays, Refused, Written, both_ways

from dovecote import methods
from dovecote.content import CAPTIONED
from dovecote.model import Attachment, DeliveryPolicy, Notification, Priority
from dovecote.validation import NEEDS_CHAT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databases import PostgresDatabases

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
MEGABYTE = 1024 * 1024
FILES = [
    {"id": 1, "size": 1000, "content_type": "image/png"},
    {"id": 2, "size": 11 * MEGABYTE, "content_type": "image/png"},
    {"id": 3, "size": 51 * MEGABYTE, "content_type": "video/mp4"},
    {"id": 4, "size": 0, "content_type": "image/png"},
    {"id": 5, "size": 1000, "content_type": "application/pdf"},
]


@pytest.fixture(scope="module", params=["postgres"])
def both(request: pytest.FixtureRequest) -> Iterator[BothWays]:
    """Both ways into one outbox with a bot "shop" and some files, whose clock stands still. Nothing is committed."""
    server: PostgresDatabases = request.getfixturevalue(request.param)
    url = server.create_database(server.template("migrated", migrate))
    outbox = Outbox(url)
    asyncio.run(prepare(outbox))
    with both_ways(url, outbox.database) as ways:
        yield ways
    server.drop_database(url)


async def prepare(outbox: Outbox) -> None:
    await outbox.stop_clock()
    await outbox.bot()
    await outbox.bot("support")
    rows = [
        {**file, "sha256": f"{file['id']:064x}", "created_at": START, "needed_at": START, "kept": False}
        for file in FILES
    ]
    table = outbox.database.tables.files.file
    await outbox.database.run(lambda connection: connection.execute(table.insert(), rows), write=True)
    await outbox.close()


def message(**fields: Any) -> Notification:
    return Notification(**{"bot": "shop", "chat_id": 42, "text": "hello", **fields})


def call(method: str, **params: Any) -> Notification:
    return Notification(bot="shop", chat_id=42, method=method, params=params)


def marked(text: str, parse_mode: Any) -> Notification:
    return message(text=text, params={} if parse_mode is None else {"parse_mode": parse_mode})


def at_utc(*instant: int, hours: int = 0) -> datetime:
    return datetime(*instant, tzinfo=timezone(timedelta(hours=hours)))  # type: ignore[misc,arg-type]  # of integers


CHATS: list[Any] = [
    *(42, "42", -1001234567890, "-1001234567890", 2**52 - 1, -(2**52) + 1, "@Shop_News1", "@durov", "@abcd"),
    *(0, "0", True, 2**52, -(2**52), 2**70, "9999999999999999", 4.2, 42.0, "", "@", "@abc", "@" + "a" * 33, "@a-b-c"),
    *("042", "+42", " 42", "\uff14\uff12", "42\n", "@абвгд", [42], {}, "https://t.me/durov", "durov", "@durov\n"),
]
BLANK = ["", " \n\t", "\xa0", "<b> </b>", "*_ _*", "\u2003", "\u200b", "\x1c", "\x85x", "\u3000&nbsp;", "&#32;"]
# As long as Telegram takes, and longer.
LONG: list[Any] = [
    ("a" * 4096, None),
    ("a" * 4097, None),
    ("😀" * 2048, None),
    ("😀" * 2049, None),
    ("  " + "a" * 4096 + "\n", None),
    ("<b>" + "a" * 4093 + "</b>&lt;&#128512", "HTML"),
    ("<b>" + "a" * 4094 + "</b>&lt;&#128512", "HTML"),
    ("<b>" + "a" * 4095 + "</b>&lt;&amp;", "html"),
    ("<b>" + "a" * 4095 + "</b>&#x1F600;", "HTML"),
    ("[" + "a" * 4096 + "](https://example.org/" + "b" * 5000 + ")", "MarkdownV2"),
    ("[" + "a" * 4096 + "](https://example.org/", "MarkdownV2"),
    ("\\." * 4096, "MarkdownV2"),
    ("```" + "x" * 5000 + "\ncode\n```", "MarkdownV2"),
    ("*" + "a" * 4097 + "*", "Markdown"),
    ("a" * 9000, "a mode of tomorrow"),
    ("<" * 65536, "HTML"),
    ("<" * 65537, "HTML"),
    ("a" * 65537, False),
    ("a" * 65537, []),
]
MEDIA: list[Any] = [
    *([{"type": "photo", "media": "x"}] * 2, [{}] * 10, json.dumps([{"a": 1}] * 3), [], [{}], [{}] * 11, "x", "{}"),
    *({"a": 1}, 7, None, [{}, {"caption": "a" * 1025}], ["x", "y"], json.dumps([{}, {"caption": "a" * 1025}])),
    *([{"type": "audio"}, {"type": "video"}], [{"type": "document"}, {}], [{"type": "document"}] * 2),
    *([{"type": 7}, {"type": "document"}], [{"type": []}, {"type": {}}], [{"type": []}, {"type": "audio"}]),
]
VALUES: list[Any] = [
    *(2**64, 2**64 - 1, -(2**63), -(2**63) - 1, 10**400, 1.5, 1.7e-300, None, [None], {"y": None}, {}, "null", [[]]),
    *("attach://file12", "attach://file0", "attach://file12x", "attach://file1!/a\nb", " attach://file1", "attach://x"),
    *(["attach://file12"], {"attach://file12": 1}, [1, {"y": 2**64}], [1, {"y": "attach://file12"}], '"' * 100),
]
INSTANTS: list[Any] = [
    *(datetime(2026, 1, 5), 1767607200, "2026-01-05", "x", {}, "2026-13-01T00:00Z"),
    *(at_utc(9999, 1, 1), at_utc(1, 1, 1, hours=1), at_utc(9998, 12, 31, 23, hours=-1), at_utc(2000, 1, 1)),
    *(at_utc(1999, 12, 31, 23, 59, 59, 999999), at_utc(9998, 12, 31, 23, 59, 59, 999999)),
    at_utc(1999, 12, 31, 23, 59, 59, hours=-1),
]
NO_PARAMS: list[Any] = [[], "x", 7, {}]
LABELS: list[Any] = [
    *("promo", 7, {}, [""], ["a" * 65], ["a" * 64] * 16, ["a"] * 17, [7], [None], []),
    *(("a,b", 'c"d', "{}"), ["a", "a"], ["NULL"]),
]


def nested(depth: int) -> Any:
    value: Any = 1
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    return value


CASES: dict[str, list[Notification]] = {
    "chats": [
        *(message(chat_id=chat) for chat in CHATS),
        *(message(chat_id=None, params={"chat_id": chat}) for chat in CHATS),
        message(chat_id="@Durov", params={"chat_id": "@durov"}),
        message(params={"chat_id": 43}),
        message(params={"chat_id": None}),
        message(chat_id=None, method="answerCallbackQuery"),
    ],
    "methods without a chat": [
        Notification(bot="shop", method=method, params={"text": "x"} if "message" in method else {})
        for method in [*sorted(NEEDS_CHAT), "editMessageText", "setMyName", "SENDMESSAGE", "sendMessages"]
    ],
    "methods with a text": [
        Notification(bot="shop", chat_id=42, method=method, text="hello") for method in [*sorted(CAPTIONED), "pinX"]
    ],
    "texts": [
        *(marked(text, mode) for text in BLANK for mode in [None, "HTML", "MarkdownV2", "x", 7, ""]),
        *(marked(text, mode) for text, mode in LONG),
        *(message(text=text, params=params) for text in (None, 7) for params in ({}, {"text": 7}, {"text": "hello"})),
        *(message(params={"text": text}) for text in ("hello", "bye", 7)),
        message(text=None, method="editMessageText"),
        call("sendPhoto", text="hello"),
    ],
    "captions": [
        *(call("sendPhoto", photo="x", caption="a" * length) for length in (1024, 1025)),
        call("sendPhoto", photo="x", caption="<b>" + "a" * 1024 + "</b>", parse_mode="HTML"),
        call("sendPhoto", photo="x", caption=7),
        call("somethingNew", caption="a" * 1025),
    ],
    "albums": [call("sendMediaGroup"), *(call("sendMediaGroup", media=media) for media in MEDIA)],
    "params": [
        *(message(params=wrong) for wrong in NO_PARAMS),
        *(message(params={"x": value}) for value in VALUES),
        *(message(params={"x": nested(depth)}) for depth in (62, 63, 64, 65)),
        *(message(params={"allow_paid_broadcast": value}) for value in (True, False, None)),
        # Beside it stand 35 bytes, and 42.
        *(message(params={"reply_markup": "x" * (MEGABYTE - less)}) for less in (0, 34, 35, 36)),
        *(message(params={"a": [1, {}], "b": "x" * (MEGABYTE - less)}) for less in (34, 35, 36)),
    ],
    "times": [
        *(message(due_at=instant) for instant in INSTANTS),
        *(message(expires_at=instant) for instant in INSTANTS),
        message(due_at=datetime(2026, 7, 1, 9, tzinfo=BERLIN), expires_at=datetime(2026, 7, 1, 10, tzinfo=BERLIN)),
        *(message(due_at=NOON, expires_at=NOON + timedelta(microseconds=more)) for more in (-1, 0, 1)),
        message(due_at=NOON + timedelta(seconds=60, microseconds=1)),
    ],
    "the rest": [
        *(message(bot=bot) for bot in (None, "", 7, "shpo")),
        *(message(method=method) for method in ("", "ab", "a" * 64, "a" * 65, "send_message", "sendMessage/../x")),
        *(message(method=method) for method in ("sendMessage\n", 7, "\u017fend", "SENDMESSAGE", "\u0131nvite")),
        *(message(key=key) for key in ("", 7, "a" * 255, "a" * 256, "😀" * 255, "ключ \"1\" \\ :x '%(y)s' $1")),
        *(message(priority=priority) for priority in (*Priority, -1, 3, "1", "once")),
        *(message(delivery=delivery) for delivery in (*DeliveryPolicy, "once", "AT_MOST_ONCE", 1, ["at_most_once"])),
        *(message(labels=labels) for labels in LABELS),
    ],
    "files": [
        *(methods.photo("shop", 42, Attachment(file)) for file in (1, 2, 3, 4, 5, 6)),
        *(methods.document("shop", 42, Attachment(file)) for file in (1, 2, 3, 4, 5, 6)),
        call("sendDocument", document=Attachment(1), thumbnail=Attachment(1)),
        call("sendDocument", document=Attachment(1), thumbnail=Attachment(2)),
        call("sendDocument", document="x", thumbnail=Attachment(1)),
        call("sendDocument", picture=Attachment(1)),
        call("sendDocument", document=None, picture=Attachment(1)),
        call("sendPhoto", photo="x", thumbnail=Attachment(1)),
        call("somethingNew", anything=Attachment(1)),
        call("somethingNew", caption=Attachment(1)),
        call("sendMessage", text="x", picture=Attachment(1)),
        call("sendPhoto", photo="x", caption=Attachment(1)),
        *(
            call("sendMediaGroup", media=[{"type": kind, "media": Attachment(file)}] * 2)
            for kind in ("photo", "document", "sticker", 7)
            for file in (1, 2, 6)
        ),
        call("sendMediaGroup", media=[{"type": "photo", "media": "x"}, {"type": "photo", "media": Attachment(1)}]),
        call("sendMediaGroup", media=[{"type": "video", "media": "x", "thumbnail": Attachment(1)}] * 2),
        call("sendMediaGroup", media=[{"type": "photo", "media": "x", "thumbnail": Attachment(1)}] * 2),
    ],
}  # fmt: skip


# On 17 those in which the functions ask the server for what its versions may answer differently.
ON_17 = ("texts", "albums", "times", "files")


@pytest.mark.parametrize(
    ("both", "name"),
    [*(("postgres", name) for name in CASES), *(("postgres17", name) for name in ON_17)],
    indirect=["both"],
)
def test_each_case_is_judged_and_written_alike(both: BothWays, name: str) -> None:
    judged = [both.both(case) for case in CASES[name]]

    assert {type(python) for python, _ in judged} == {Written, Refused}
    for case, (python, sql) in zip(CASES[name], judged, strict=True):
        assert sql == python, case


def usually(usual: Any, odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Few faults in one notification, or all that is drawn is refused for the first field."""
    return st.integers(0, 9).flatmap(lambda drawn: odd if drawn == 0 else st.just(usual))


pieces = st.sampled_from(
    ["<", ">", "<b>", "&", "&lt;", "&#128512", "&#x1F600;", "&#65536", "&#655361", "&#x110000", "&#x10FFFF;", "](",
     ")", "(", "]", "\\", "`", "```", "\n", " ", "a", "😀", "\xa0", "*", "_", "attach://file1", '"', "ü" * 50]
)  # fmt: skip
markup = st.lists(pieces, max_size=30).map("".join)
# Around each limit of a text and of a caption.
texts = (
    markup
    | st.builds(lambda text, count: text + "a" * count, markup, st.integers(950, 1030) | st.integers(4000, 4100))
    | st.builds(lambda text, count: text * count, markup, st.integers(1, 300))
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | markup | st.floats(-1e15, 1e15, allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "y z"]), inner),
    max_leaves=8,
)
METHODS = ["sendMessage", "SENDMESSAGE", "editMessageText", "sendMediaGroup", "sendPhoto", "setMyName", "copyMessages"]
MODES = ["HTML", "html", "Markdown", "MarkdownV2", "tomorrow", "", None, 7, 0]
media = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["photo", "video", "audio", "document"]) | json_values,
            "caption": texts,
            "parse_mode": st.sampled_from(MODES),
        },
    ),
    max_size=11,
)
params = st.fixed_dictionaries(
    {},
    optional={
        "parse_mode": st.sampled_from(MODES),
        "caption": texts,
        "media": media | media.map(json.dumps),
        "chat_id": usually(42, st.sampled_from(["42", "@Shop", 43, None])),
        "text": usually("hello", st.none() | texts),
        "x": json_values | st.sampled_from([2**64, -(2**63) - 1, {"attach://file1": 1}, ["attach://file1/x"]]),
    },
)
instants = st.none() | st.datetimes(
    datetime(1999, 12, 30), datetime(9999, 1, 2), timezones=st.timezones()
) | st.datetimes(datetime(2026, 1, 5, 11), datetime(2026, 1, 5, 13), timezones=st.just(UTC))  # fmt: skip
chats = st.integers(-(2**53), 2**53) | st.from_regex(r"@?[a-zA-Z0-9_]{1,34}", fullmatch=True) | st.none()
# No text in PostgreSQL holds NUL.
keys = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


notifications = st.builds(
    Notification,
    bot=usually("shop", st.sampled_from(["support", "shpo", ""])),
    chat_id=usually(42, chats),
    text=st.just("hello") | texts | usually("hello", st.none()),
    method=st.sampled_from(METHODS) | usually("sendMessage", st.from_regex(r"[a-zA-Z]{1,66}", fullmatch=True)),
    params=params,
    key=st.none() | st.sampled_from(["a", "B", "ä", "_", "é😀"]) | keys,
    priority=st.sampled_from(Priority),
    due_at=instants,
    expires_at=usually(None, instants),
    delivery=st.sampled_from(DeliveryPolicy),
    labels=usually((), st.lists(markup, max_size=2) | st.lists(st.just("a"), max_size=18)),
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(notifications, min_size=1, max_size=3))
def test_whatever_is_given_both_judge_and_write_alike(both: BothWays, given_: list[Notification]) -> None:
    python, sql = both.both(*given_)

    if isinstance(python, Refused) and isinstance(sql, Refused) and python.field.startswith("params["):
        # Of several faults in the parameters each names the first: of a dict in its order, of a jsonb in its own.
        assert sql.field.startswith("params[")
    else:
        assert sql == python


@pytest.mark.parametrize("taken", [True, False])
def test_keys_and_files_of_one_call_are_written_alike(both: BothWays, taken: bool) -> None:  # noqa: FBT001 (a parameter)
    savepoint = both.connection.begin_nested()
    if taken:
        both.enqueuer.write(both.connection, [message(key="k"), methods.document("shop", 7, Attachment(5), key="a")])

    python, sql = both.both(
        methods.photo("shop", 42, Attachment(1), key="z"),
        message(),
        methods.document("shop", 42, Attachment(5), key="k"),
        methods.photo("shop", 42, Attachment(1), key="k"),
        methods.photo("shop", 42, Attachment(1)),
        methods.document("shop", 42, Attachment(1), key="a"),
        methods.photo("support", 42, Attachment(1), key="z"),
    )
    savepoint.rollback()

    assert isinstance(python, Written)
    assert sql == python
    assert python.ids == ([2, 3, 0, 0, 4, 1, 5] if taken else [0, 1, 2, 2, 3, 4, 5])
    assert [(row["notification_id"], row["file_id"]) for row in python.attachments] == (
        [(1, 5), (2, 1), (4, 1), (5, 1)] if taken else [(0, 1), (2, 5), (3, 1), (4, 1), (5, 1)]
    )

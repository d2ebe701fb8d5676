"""The functions for SQL: keys, order, races and waking are those of Python's enqueue, by the same statements."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pytest
from outboxes import START, at
from races import BOUND, blocked, listened, transactions
from sql_enqueue import one

from dovecote import Dovecote
from dovecote.config import Settings
from dovecote.model import Notification
from dovecote.stores.enqueue import Enqueuer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outboxes import Outbox

ENQUEUE_MANY = "SELECT * FROM dovecote.enqueue_many($1)"


@pytest.fixture
def enqueuer(outbox: Outbox) -> Enqueuer:
    return Enqueuer(outbox.database)


def many(connection: psycopg.Connection, notifications: object) -> list[int]:
    rows = connection.execute("SELECT * FROM dovecote.enqueue_many(%s)", [json.dumps(notifications)])
    return [id_ for (id_,) in rows]


def keyed(*keys: str | None) -> str:
    return json.dumps([{"bot": "shop", "chat_id": 7, "text": "hello", "key": key} for key in keys])


def ids(records: Sequence[Any]) -> list[int]:
    return [record[0] for record in records]


class TestCalls:
    async def test_the_chat_is_a_number_or_text(self, application: psycopg.Connection, outbox: Outbox) -> None:
        calls = [
            "dovecote.enqueue('shop', 42, 'hello')",
            "dovecote.enqueue('shop', '42', 'hello')",
            "dovecote.enqueue('shop', 42::smallint, 'hello')",
            "dovecote.enqueue('shop', chat_id => -1001234567890, text => 'hello')",
            "dovecote.enqueue('shop', '@Shop_News', 'hello')",
            "dovecote.enqueue(bot => 'shop', text => 'hello', chat_id => '@shop_news'::varchar)",
            "dovecote.enqueue('shop', method => 'setMyName', params => '{\"name\": \"Shop\"}')",
            "dovecote.enqueue('shop', NULL, method => 'logOut')",
        ]
        written = [one(application, f"SELECT {call}") for call in calls]

        rows = await outbox.rows("notification")
        assert [row.id for row in rows] == written
        assert [row.chat for row in rows] == ["42", "42", "42", "-1001234567890", *["@shop_news"] * 2, None, None]

    async def test_everything_that_can_be_said(self, application: psycopg.Connection, outbox: Outbox) -> None:
        id_ = one(
            application,
            """
            SELECT dovecote.enqueue('shop', 42, '<b>On its way</b>', params => '{"parse_mode": "HTML"}',
                key => 'order-17', priority => 'urgent',
                due_at => '2026-01-05 13:00+01', expires_at => '2026-01-06 12:00Z',
                delivery => 'at_most_once', labels => '["order", "a,b"]')
            """,
        )

        row = await outbox.waiting(id_)
        assert (row.chat, row.method, row.key, row.labels) == ("42", "sendMessage", "order-17", ["order", "a,b"])
        assert row.params == {"text": "<b>On its way</b>", "parse_mode": "HTML"}
        assert (row.priority, row.at_most_once, row.weight) == (0, True, 1)
        assert (row.enqueued_at, row.due_at, row.expires_at) == (START, START, at(86400))

    async def test_null_is_not_given(self, application: psycopg.Connection, outbox: Outbox) -> None:
        id_ = one(
            application,
            "SELECT dovecote.enqueue('shop', 42, 'hello', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        (same,) = many(application, [{"bot": "shop", "chat_id": 42, "text": "hello", "key": None, "priority": None}])

        first, second = await outbox.waiting(id_), await outbox.waiting(same)
        assert tuple(first)[1:] == tuple(second)[1:]
        assert (first.method, first.priority, first.at_most_once) == ("sendMessage", 1, False)

    async def test_times_are_judged_whatever_the_session_says_of_zones(self, application: psycopg.Connection) -> None:
        application.execute("SET TimeZone = 'Asia/Kolkata'")
        application.execute("SET DateStyle = 'SQL, DMY'")
        for instant in ("infinity", "-infinity", "1999-12-31 23:59+00", "9999-01-01 00:00Z", "0044-03-15 12:00+00 BC"):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"due_at: .* is beyond the years 2000"):
                one(application, "SELECT dovecote.enqueue('shop', 42, 'hello', due_at => %s)", instant)

    def test_what_is_no_array_is_refused_and_nothing_is_nothing(self, application: psycopg.Connection) -> None:
        for wrong in map(json.loads, ("null", "{}", "7", '"x"')):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"^notifications: .* is no array"):
                many(application, wrong)

        assert many(application, []) == []

    def test_what_is_no_notification_is_refused(self, application: psycopg.Connection) -> None:
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="notification 0: notification: 7 is no notif"):
            many(application, [7])
        with pytest.raises(psycopg.errors.InvalidParameterValue, match='1: notification: "txet" is no field') as caught:
            many(application, [{"bot": "shop", "chat_id": 1, "text": "x"}, {"bot": "shop", "chat_id": 1, "txet": "x"}])
        assert "There are bot, chat_id, text, method" in (caught.value.diag.message_hint or "")


ERRORS = [
    (
        "'shop', 0, 'hello'",
        ("22023", "chat_id", "chat_id: 0 is no chat"),
        "Give its number (not 0, at most 52 bits), or the @name of a public channel.",
    ),
    (
        "'shpo', 42, 'hello'",
        ("42704", "bot", 'bot: no bot is named "shpo" (there are: "shop")'),
        "Add one with `dovecote bot add shpo`.",
    ),
    (
        "'shop', 42, 'hello', params => '{\"x\": [18446744073709551616]}'",
        ("22023", 'params["x"][0]', 'params["x"][0]: the integer has more than 64 bits'),
        "Write it as text if the method takes text.",
    ),
    (
        "'shop', 42, method => 'sendPhoto', files => '{\"photo\": 7}'",
        ("42704", 'params["photo"]', 'params["photo"]: no file has the id 7'),
        "`dovecote file list` shows those that there are.",
    ),
]


class TestErrors:
    def test_an_error_says_what_where_and_the_remedy(self, application: psycopg.Connection) -> None:
        for call, told, hint in ERRORS:
            with pytest.raises(psycopg.Error) as caught:
                one(application, f"SELECT dovecote.enqueue({call})")

            error = caught.value.diag
            assert (error.sqlstate, error.column_name, error.message_primary) == told
            assert (error.schema_name, error.table_name, error.message_hint) == ("dovecote", "notification", hint)

    async def test_one_bad_notification_keeps_all_from_being_written(
        self, application: psycopg.Connection, outbox: Outbox
    ) -> None:
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"^notification 1: text: "):
            many(application, [{"bot": "shop", "chat_id": 1, "text": "x", "key": "a"}, {"bot": "shop", "chat_id": 1}])

        assert await outbox.rows("notification") == await outbox.rows("notification_key") == []

    def test_a_long_value_is_shortened_and_stays_in_its_line(self, application: psycopg.Connection) -> None:
        with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
            one(application, "SELECT dovecote.enqueue('shop', %s, 'hello')", "a\nb" * 10_000)

        assert len(caught.value.diag.message_primary or "") < 100
        assert "\n" not in (caught.value.diag.message_primary or "")

    def test_files_that_are_none(self, application: psycopg.Connection) -> None:
        call = """
            SELECT dovecote.enqueue('shop', 42, method => 'sendPhoto', params => '{"caption": "x"}', files => %s)
        """
        none = (
            "[]",
            '{"photo": "1"}',
            '{"photo": 0}',
            '{"media[7].media": 1}',
            '{"a.b": 1}',
            '{"": 1}',
            '{"caption": 1}',
        )
        for files in none:
            with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"^files: "):
                one(application, call, files)


class TestTransactions:
    async def test_what_is_rolled_back_never_was(self, application: psycopg.Connection, outbox: Outbox) -> None:
        with application.transaction():
            kept = one(application, "SELECT dovecote.enqueue('shop', 42, 'hello')")
            with application.transaction(force_rollback=True):
                one(application, "SELECT dovecote.enqueue('shop', 42, 'hello', key => 'a')")

        assert await outbox.places() == {kept: "waiting"}
        assert await outbox.rows("notification_key") == []

    async def test_a_claim_finds_it(self, application: psycopg.Connection, outbox: Outbox) -> None:
        id_ = one(application, "SELECT dovecote.enqueue('shop', 42, 'hello')")

        claimed = await outbox.claim_one()

        assert (claimed.id, claimed.bot, claimed.chat, json.loads(claimed.params)) == (
            id_,
            "shop",
            "42",
            {"text": "hello"},
        )


class TestKeys:
    CALL = "SELECT dovecote.enqueue('shop', 42, 'hello', key => %s)"

    async def test_they_are_python_s_own(
        self, application: psycopg.Connection, outbox: Outbox, enqueuer: Enqueuer
    ) -> None:
        async with outbox.database.transaction() as connection:
            first = await enqueuer.enqueue(connection, Notification(bot="shop", chat_id=42, text="hello", key="a"))
        second = one(application, self.CALL, "b")

        async with outbox.database.transaction() as connection:
            again = await enqueuer.enqueue(connection, Notification(bot="shop", chat_id=42, text="hello", key="b"))

        assert one(application, self.CALL, "a") == first
        assert again == second

    async def test_a_key_is_remembered_when_its_notification_was_delivered_long_ago(
        self, application: psycopg.Connection, outbox: Outbox
    ) -> None:
        first = one(application, self.CALL, "a")
        await outbox.deliver(await outbox.claim_one())
        await outbox.advance(30 * 86400 - 1)

        assert one(application, self.CALL, "a") == first
        assert await outbox.places() == {first: "delivered"}

        await outbox.advance(1)
        again = one(application, self.CALL, "a")
        assert again > first
        (key,) = await outbox.rows("notification_key")
        assert (key.notification_id, key.expires_at) == (again, START + timedelta(days=60))

    async def test_the_window_and_the_size_of_files_are_what_the_settings_said_when_it_was_migrated(
        self, application: psycopg.Connection, outbox: Outbox, migrated_postgres_url: str
    ) -> None:
        one(application, self.CALL, "before")
        settings = Settings(enqueue={"key_window": "1h"}, telegram={"largest_upload": 2000})  # type: ignore[arg-type]  # as read
        async with Dovecote(migrated_postgres_url, settings=settings) as dovecote:
            await asyncio.gather(*(dovecote.migrate() for _ in range(4)))
        one(application, self.CALL, "after")

        keys = {row.key: row.expires_at for row in await outbox.rows("notification_key")}
        assert keys == {"before": START + timedelta(days=30), "after": at(3600)}
        assert one(application, "SELECT dovecote.largest_upload()") == 2000 * 1024 * 1024

    async def test_a_key_twice_in_one_call_is_written_once(
        self, application: psycopg.Connection, outbox: Outbox
    ) -> None:
        await outbox.bot("support")
        old = one(application, self.CALL, "old")

        given = json.loads(keyed("b", None, "a", "b", "old", None, "ü"))
        written = many(application, [*given, {**given[0], "bot": "support"}, given[2]])

        assert (written[3], written[4], written[8]) == (written[0], old, written[2])
        assert len(set(written)) == 7
        assert sorted(set(written) - {old}) == [id_ for id_ in dict.fromkeys(written) if id_ != old]
        assert sorted(await outbox.places()) == sorted(set(written))

    async def test_ids_grow_with_the_input(self, application: psycopg.Connection, outbox: Outbox) -> None:
        given = [
            {"bot": "shop", "chat_id": n + 1, "text": "hello", "key": f"{9999 - n}" if n % 10 else None}
            for n in range(2000)
        ]
        written = many(application, given)

        rows = await outbox.rows("notification")
        assert [row.id for row in rows] == written == sorted(set(written))
        assert [(row.chat, row.key) for row in rows] == [(str(each["chat_id"]), each["key"]) for each in given]


class TestRaces:
    async def test_the_second_waits_and_answers_the_firsts_id(self, outbox: Outbox) -> None:
        async with transactions(outbox, "READ COMMITTED") as (first, second):
            written = ids(await first.fetch(ENQUEUE_MANY, keyed("a", "z")))
            waiting = asyncio.create_task(second.fetch(ENQUEUE_MANY, keyed("z", "b", "a", None)))
            await blocked(outbox)
            await first.execute("COMMIT")

            others = ids(await asyncio.wait_for(waiting, BOUND))
            await second.execute("COMMIT")

        assert (others[2], others[0]) == tuple(written)
        assert len(await outbox.rows("notification")) == 4

    async def test_one_alone_that_waits(self, outbox: Outbox) -> None:
        call = "SELECT dovecote.enqueue('shop', 42, 'hello', key => 'a')"
        async with transactions(outbox, "READ COMMITTED") as (first, second):
            written = await first.fetchval(call)
            waiting = asyncio.create_task(second.fetchval(call))
            await blocked(outbox)
            await first.execute("COMMIT")

            assert await asyncio.wait_for(waiting, BOUND) == written

    @pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
    async def test_a_snapshot_that_is_too_old_is_told_to_the_application(self, outbox: Outbox, isolation: str) -> None:
        async with transactions(outbox, isolation) as (first, second):
            await second.fetch("SELECT 1 FROM dovecote.bot")
            await first.fetch(ENQUEUE_MANY, keyed("a"))
            await first.execute("COMMIT")

            with pytest.raises(asyncpg.SerializationError):
                await second.fetch(ENQUEUE_MANY, keyed("a"))

        assert len(await outbox.rows("notification")) == 1

    async def test_the_same_keys_in_opposite_order_by_sql_and_by_python(
        self, outbox: Outbox, enqueuer: Enqueuer
    ) -> None:
        keys = [f"{prefix}{number}" for prefix in ("a", "B", "ä", "_", "é😀", "\ue000") for number in range(50)]
        async with transactions(outbox, "READ COMMITTED") as (first, second):

            async def by_sql() -> list[int]:
                written = ids(await first.fetch(ENQUEUE_MANY, keyed(*keys)))
                await first.execute("COMMIT")
                return written

            async def by_python() -> list[int]:
                given = [Notification(bot="shop", chat_id=7, text="hello", key=key) for key in keys[::-1]]
                written = await enqueuer.enqueue(second, given)
                await second.execute("COMMIT")
                return written

            one_, other = await asyncio.wait_for(asyncio.gather(by_sql(), by_python()), BOUND)

        assert one_ == other[::-1]
        assert len(await outbox.rows("notification")) == len(keys)

    async def test_an_idle_worker_is_woken_at_the_commit(self, outbox: Outbox) -> None:
        call = "SELECT dovecote.enqueue('shop', 42, 'hello')"
        assert await listened(outbox, lambda connection: connection.execute(call)) == []

        await outbox.sql("INSERT INTO dovecote.idle_worker VALUES ('w', dovecote.clock() + interval '1 minute')")
        later = "SELECT dovecote.enqueue('shop', 42, 'hello', due_at => '2026-01-05 12:01Z')"
        assert await listened(outbox, lambda connection: connection.execute(later)) == []
        assert await listened(outbox, lambda connection: connection.execute(call)) == ["dovecote"]

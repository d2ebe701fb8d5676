"""Two applications enqueue at the same time on PostgreSQL: neither waits in vain, and no key is written twice."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from outboxes import at
from races import BOUND, blocked, listened, transactions

from dovecote.model import Notification
from dovecote.stores import enqueue_batch, enqueue_statements

if TYPE_CHECKING:
    from outboxes import Outbox

    from dovecote.stores.enqueue import Enqueuer

pytestmark = pytest.mark.parametrize("kind", ["postgresql-asyncpg"], indirect=True)


def keyed(*keys: str) -> list[Notification]:
    return [Notification(bot="shop", chat_id=7, text="hello", key=key) for key in keys]


class TestSameKey:
    async def test_the_second_waits_and_answers_the_firsts_id(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        async with transactions(outbox, "READ COMMITTED") as (first, second):
            ids = await enqueuer.enqueue(first, keyed("a"))
            waiting = asyncio.create_task(enqueuer.enqueue(second, keyed("b", "a", "c")))
            await blocked(outbox)
            await first.execute("COMMIT")

            others = await asyncio.wait_for(waiting, BOUND)
            await second.execute("COMMIT")

        assert others[1] == ids[0]
        assert len(await outbox.rows("notification")) == 3

    async def test_the_second_writes_when_the_first_rolls_back(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        async with transactions(outbox, "READ COMMITTED") as (first, second):
            await enqueuer.enqueue(first, keyed("a"))
            waiting = asyncio.create_task(enqueuer.enqueue(second, keyed("a")))
            await blocked(outbox)
            await first.execute("ROLLBACK")

            ids = await asyncio.wait_for(waiting, BOUND)
            await second.execute("COMMIT")

        assert [row.id for row in await outbox.rows("notification")] == ids

    async def test_an_expired_key_that_another_renews_meanwhile(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        async with transactions(outbox, "READ COMMITTED") as (first, second):
            (expired,) = await enqueuer.enqueue(first, keyed("a"))
            await first.execute("COMMIT")
            await outbox.advance(30 * 86400)
            await first.execute("BEGIN")
            ids = await enqueuer.enqueue(first, keyed("a"))
            waiting = asyncio.create_task(enqueuer.enqueue(second, keyed("a")))
            await blocked(outbox)
            await first.execute("COMMIT")

            others = await asyncio.wait_for(waiting, BOUND)
            await second.execute("COMMIT")

        assert others == ids
        assert [row.id for row in await outbox.rows("notification")] == [expired, *ids]

    @pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
    async def test_a_snapshot_that_is_too_old_is_told_to_the_application(
        self, enqueuer: Enqueuer, outbox: Outbox, isolation: str
    ) -> None:
        async with transactions(outbox, isolation) as (first, second):
            await second.fetch("SELECT 1 FROM dovecote.bot")
            await enqueuer.enqueue(first, keyed("a"))
            await first.execute("COMMIT")

            with pytest.raises(asyncpg.SerializationError):
                await enqueuer.enqueue(second, keyed("a"))

        assert len(await outbox.rows("notification")) == 1


class TestOppositeOrder:
    @pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
    async def test_the_same_chats(self, enqueuer: Enqueuer, outbox: Outbox, isolation: str) -> None:
        chats = [Notification(bot="shop", chat_id=chat, text="hello") for chat in range(1, 101)]
        async with transactions(outbox, isolation) as (first, second):
            # Each writes while the other has written and not committed: neither ever waits.
            for half in (slice(0, 50), slice(50, 100)):
                await asyncio.wait_for(enqueuer.enqueue(first, chats[half]), BOUND)
                await asyncio.wait_for(enqueuer.enqueue(second, chats[::-1][half]), BOUND)
            await first.execute("COMMIT")
            await second.execute("COMMIT")

        assert len(await outbox.rows("notification")) == 200

    async def test_the_same_keys_in_many_chunks(
        self, enqueuer: Enqueuer, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enqueue_batch, "CHUNK", 10)
        monkeypatch.setattr(enqueue_statements, "CHUNK", 10)
        # Case, length and what is not ASCII: no two of Python, "C" and a language's collation must differ in effect.
        keys = [f"{prefix}{number}" for prefix in ("a", "B", "ä", "_", "é😀", "\ue000") for number in range(20)]
        async with transactions(outbox, "READ COMMITTED") as (first, second):

            async def enqueue(connection: Any, order: list[str]) -> list[int]:
                ids = await enqueuer.enqueue(connection, keyed(*order))
                await connection.execute("COMMIT")
                return ids

            one, other = await asyncio.wait_for(
                asyncio.gather(enqueue(first, keys), enqueue(second, keys[::-1])), BOUND
            )

        assert one == other[::-1]
        assert len(await outbox.rows("notification")) == 120


class TestWaking:
    async def test_a_notify_is_sent_at_the_commit_while_a_worker_is_idle(
        self, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        await outbox.sql("INSERT INTO dovecote.idle_worker VALUES ('w', dovecote.clock() + interval '1 minute')")
        heard = await listened(outbox, lambda connection: enqueuer.enqueue(connection, keyed("a", "b")))

        assert heard == ["dovecote"]

    @pytest.mark.parametrize("wishes", [0, 1], ids=["no-wish", "a-wish-that-has-ended"])
    async def test_no_notify_without_an_idle_worker(self, enqueuer: Enqueuer, outbox: Outbox, wishes: int) -> None:
        for _ in range(wishes):
            await outbox.sql("INSERT INTO dovecote.idle_worker VALUES ('w', dovecote.clock())")
        heard = await listened(outbox, lambda connection: enqueuer.enqueue(connection, keyed("a")))

        assert heard == []

    async def test_no_notify_for_what_is_due_later_or_not_written(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        await outbox.sql("INSERT INTO dovecote.idle_worker VALUES ('w', dovecote.clock() + interval '1 minute')")
        later = Notification(bot="shop", chat_id=7, text="hello", key="a", due_at=at(60))

        async def twice(connection: Any) -> None:
            await enqueuer.enqueue(connection, later)
            await enqueuer.enqueue(connection, keyed("a"))

        assert await listened(outbox, twice) == []


class TestPlan:
    async def test_keys_are_looked_up_by_their_index_even_when_planned_for_an_empty_table(self, outbox: Outbox) -> None:
        url = outbox.database.url.render_as_string(hide_password=False)
        connection = await asyncpg.connect(url)
        await connection.execute("ANALYZE dovecote.notification_key")
        await connection.execute(
            "INSERT INTO dovecote.notification_key"
            " SELECT 1, 'k' || n, n, dovecote.clock() + interval '1 day' FROM generate_series(1, 100000) n"
        )
        rows = [{"bot_id": 1, "chat": "7", "method": "sendMessage", "params": {}, "key": f"k{n}"} for n in range(500)]
        await connection.execute("SET plan_cache_mode = force_generic_plan")

        plan = await connection.fetch(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {enqueue_statements.POSTGRESQL_ENQUEUE.numbered}",
            *(
                {"rows": json.dumps(rows), "window": "1000000", "now": None}[name]
                for name in enqueue_statements.POSTGRESQL_ENQUEUE.names
            ),
        )
        await connection.close()

        lines = [line for (line,) in plan]
        assert not [line for line in lines if "Seq Scan on notification_key" in line]
        assert [line for line in lines if re.search(r"Scan (on|using) notification_key_pkey", line)]

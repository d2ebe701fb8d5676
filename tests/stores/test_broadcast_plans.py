"""What moves a broadcast on reads by an index, whatever its number of recipients, in a bounded number of statements."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from broadcasting import NEWS, Broadcasting
from outboxes import START
from sqlalchemy import event, insert, select

from dovecote.broadcast_form import written_form
from dovecote.model import BroadcastKind, BroadcastState, RecipientState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outboxes import Outbox
    from sqlalchemy import Connection

    from dovecote.model import BroadcastRecord

MANY = 30_000
ENQUEUED = 400
pytestmark = pytest.mark.parametrize("outbox_database", ["sqlite", "postgresql-18"], indirect=True)
# Tables that grow with the number of recipients, as they are named in a plan.
LARGE = ("broadcast_recipient", "history", "recipient")


@pytest_asyncio.fixture
async def broadcasts(outbox: Outbox) -> AsyncIterator[Broadcasting]:
    broadcasting = Broadcasting(outbox)
    yield broadcasting
    await broadcasting.close()


async def fill(broadcasts: Broadcasting, *, analyzed: bool = True) -> BroadcastRecord:
    """One in its middle: most are delivered, `ENQUEUED` are in the outbox, and the rest waits."""
    outbox = broadcasts.outbox
    record = await broadcasts.book.add("news", "shop", written_form(NEWS), kind=BroadcastKind.SEND)
    tables = outbox.database.tables
    settled = MANY // 2

    def chat(number: int) -> str:
        return str(1_000_000 + number)

    def bot_of(connection: Connection) -> int:
        found: int = connection.execute(select(tables.bot.c.id)).scalar_one()
        return found

    def write(connection: Connection) -> None:
        rows = [
            {
                "broadcast_id": record.id,
                "chat": chat(number),
                "state": "delivered" if number < settled else "enqueued" if number < settled + ENQUEUED else "waiting",
                "notification_id": number + 1 if number < settled + ENQUEUED else None,
            }
            for number in range(MANY)
        ]
        for start in range(0, MANY, 2000):
            connection.execute(insert(tables.broadcast_recipient), rows[start : start + 2000])
        known = [{"bot_id": bot_of(connection), "chat": chat(number)} for number in range(0, MANY, 3)]
        connection.execute(insert(tables.recipient), known)
        counts = {
            "recipients": MANY,
            "delivered": settled,
            "enqueued": ENQUEUED,
            "cursor": chat(settled + ENQUEUED - 1),
        }
        values = {**counts, "state": BroadcastState.RUNNING.value, "turn_at": START, "started_at": START}
        connection.execute(tables.broadcast.update().values(values))

    await outbox.database.run(write, write=True)
    await outbox.put_history(
        [{"id": number + 1, "chat": chat(number), "outcome": "delivered"} for number in range(settled + ENQUEUED // 2)]
    )
    waiting = range(settled + ENQUEUED // 2, settled + ENQUEUED)
    await outbox.put_rows([{"id": number + 1, "chat": chat(number)} for number in waiting])
    if outbox.database.is_postgresql and analyzed:
        await outbox.sql("ANALYZE")
    return await broadcasts.book.get("news")


def explained(sql: str, parameters: Any, connection: Connection) -> str:
    """How the database would run it, as text."""
    how = "(FORMAT JSON) " if connection.dialect.name == "postgresql" else "QUERY PLAN "
    rows = connection.exec_driver_sql(f"EXPLAIN {how}{sql}", parameters).all()
    return json.dumps([list(row) for row in rows])


async def test_no_step_reads_all_recipients_or_the_whole_history(broadcasts: Broadcasting) -> None:
    record = await fill(broadcasts)
    database = broadcasts.outbox.database
    engine: Any = database._engine or (database.async_engine and database.async_engine.sync_engine)
    seen: dict[str, Any] = {}

    def note(*given: Any) -> None:
        seen.setdefault(given[2], given[3])

    event.listen(engine, "before_cursor_execute", note)

    assert await broadcasts.turns.collect(record.id, after=0, limit=1000) is None
    assert (await broadcasts.turns.advance(record.id, limit=100)).moved == 100
    await broadcasts.book.get("news")
    await broadcasts.book.page()
    await broadcasts.contents.personal(record.id, [MANY // 2 + ENQUEUED])
    await broadcasts.recipients.page("news", limit=100)
    await broadcasts.change("paused")
    await broadcasts.turns.advance(record.id, limit=100)
    await broadcasts.change("running")
    await broadcasts.change("cancelled")
    await broadcasts.turns.advance(record.id, limit=100)
    event.remove(engine, "before_cursor_execute", note)

    read = {sql: values for sql, values in seen.items() if re.search(r"FROM|UPDATE", sql) and "pg_" not in sql}
    assert len(read) >= 15
    for sql, values in read.items():
        one = values[0] if isinstance(values, list) and sql.startswith("UPDATE") else values
        plan = await database.run(partial(explained, sql, one))
        if database.is_postgresql:
            scanned = re.findall(r'"Seq Scan".{0,200}?"Relation Name": "(\w+)"', plan)
        else:
            scanned = re.findall(r"SCAN dovecote_(\w+)(?! USING)", plan)
        assert not set(scanned) & set(LARGE), f"{sql}\n{plan}"


async def test_pages_are_read_along_their_index_before_there_are_statistics(broadcasts: Broadcasting) -> None:
    database = broadcasts.outbox.database
    if database.is_postgresql:
        for table in ("broadcast_recipient", "recipient"):
            await broadcasts.outbox.sql(f"ALTER TABLE dovecote.{table} SET (autovacuum_enabled = off)")
    record = await fill(broadcasts, analyzed=False)
    engine: Any = database._engine or (database.async_engine and database.async_engine.sync_engine)
    plans: dict[str, str] = {}

    def explain(connection: Connection, _cursor: Any, sql: str, values: Any, *_: Any) -> None:
        # In the very transaction, since its settings are what makes the plan.
        if "LIMIT" in sql and "broadcast_recipient" in sql and "EXPLAIN" not in sql:
            plans[sql] = explained(sql, values, connection)

    event.listen(engine, "before_cursor_execute", explain)
    assert (await broadcasts.turns.advance(record.id, limit=100)).moved == 100
    await broadcasts.recipients.page("news", limit=100)
    await broadcasts.recipients.page("news", limit=100, states=[RecipientState.DEAD])
    await broadcasts.recipients.suppressed("news", after=None, limit=1000)
    await broadcasts.change("cancelled")
    await database.run(partial(broadcasts.book._forget, record.id), write=True)  # type: ignore[attr-defined] # its page
    event.remove(engine, "before_cursor_execute", explain)

    assert len(plans) == 5
    for sql, plan in plans.items():
        assert not re.search(r'"Sort"|"Bitmap|TEMP B-TREE', plan), f"{sql}\n{plan}"


async def test_the_statements_of_a_step_do_not_grow_with_its_size(broadcasts: Broadcasting) -> None:
    record = await fill(broadcasts)
    database = broadcasts.outbox.database
    engine: Any = database._engine or (database.async_engine and database.async_engine.sync_engine)
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    await broadcasts.turns.collect(record.id, after=0, limit=1000)
    event.listen(engine, "before_cursor_execute", note)
    counts = []
    for limit in (10, 100):
        count = 0
        await broadcasts.turns.advance(record.id, limit=limit)
        counts.append(count)
    event.remove(engine, "before_cursor_execute", note)

    # The first one looks up the bot as well.
    assert counts[1] <= counts[0] <= 12

"""faststream-outbox doing the same job: its outbox table, HTTP, the row deleted. It keeps no history.

From its docs/concepts/performance.md and source: asyncpg under SQLAlchemy; `publish_batch` for bulk;
`outbox_autovacuum_ddl` on the table; many `max_workers`, each with a connection for its deletes, and a pool for them
all and one more; `terminal_flush_batch_size` of 100, so that deletes go together; a fetch that keeps them busy.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg
import orjson
from faststream_outbox import OutboxBroker, make_outbox_table, outbox_autovacuum_ddl
from sqlalchemy import MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bench.work import chat_of, http_client, measured_actions, method_url, result_of, send, stopwatch, text_of

QUEUE = "notifications"
TABLE = "outbox"
ANY_LEFT = "SELECT EXISTS (SELECT FROM outbox)"
PUBLISHED_AT_ONCE = 5_000
POLL_SECONDS = 0.005
LONGEST_SECONDS = 1500.0


def engine_at(url: str, connections: int) -> AsyncEngine:
    """An engine with a pool of so many connections."""
    return create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=connections)


def broker_on(engine: AsyncEngine) -> tuple[OutboxBroker, Table, MetaData]:
    """The broker, its table, and what creates that."""
    metadata = MetaData()
    table = make_outbox_table(metadata, table_name=TABLE)
    return OutboxBroker(engine, outbox_table=table, log_level=logging.DEBUG), table, metadata


async def fill(url: str, notifications: int) -> dict[str, Any]:
    """Make the table and publish `notifications` messages."""
    engine = engine_at(url, 2)
    broker, _, metadata = broker_on(engine)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(text(outbox_autovacuum_ddl(TABLE)))
    for start in range(0, notifications, PUBLISHED_AT_ONCE):
        numbers = range(start, min(start + PUBLISHED_AT_ONCE, notifications))
        messages = [{"chat_id": chat_of(n), "text": text_of(n)} for n in numbers]
        async with engine.begin() as connection:
            await broker.publish_batch(*messages, queue=QUEUE, session=connection)
    await engine.dispose()
    return {}


async def deliver(
    url: str, peer: str, notifications: int, *, max_workers: int, fetch_batch_size: int, terminal_flush_batch_size: int
) -> dict[str, Any]:
    """Work until the table is empty. `max_workers` bounds the requests at a time."""
    engine = engine_at(url, max_workers + 4)
    broker, _, _ = broker_on(engine)
    destination = method_url(peer)
    watching = await asyncpg.connect(url)
    done = 0
    async with http_client(max_workers) as client:

        @broker.subscriber(
            QUEUE,
            max_workers=max_workers,
            fetch_batch_size=fetch_batch_size,
            terminal_flush_batch_size=terminal_flush_batch_size,
        )
        async def send_one(body: dict[str, Any]) -> None:
            nonlocal done
            await send(client, destination, orjson.dumps(body))
            done += 1

        with stopwatch() as watch:
            async with asyncio.timeout(LONGEST_SECONDS):
                await broker.start()
                busy = True
                while busy:
                    await asyncio.sleep(POLL_SECONDS)
                    busy = done < notifications or await watching.fetchval(ANY_LEFT)
        await broker.stop()
    await watching.close()
    await engine.dispose()
    return result_of(watch, notifications)


if __name__ == "__main__":
    measured_actions(fill=fill, deliver=deliver)

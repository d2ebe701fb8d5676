"""Two transactions on PostgreSQL at the same time, and who waits for whom."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from outboxes import Outbox

BOUND = 20.0
"""Seconds; a deadlock is found by PostgreSQL after one."""


@asynccontextmanager
async def transactions(outbox: Outbox, isolation: str) -> AsyncIterator[tuple[Any, Any]]:
    """Two connections, each in a transaction."""
    url = outbox.database.url.render_as_string(hide_password=False)
    connections = [await asyncpg.connect(url) for _ in range(2)]
    for connection in connections:
        await connection.execute(f"BEGIN ISOLATION LEVEL {isolation}")
    yield connections[0], connections[1]
    for connection in connections:
        await connection.close()


async def blocked(outbox: Outbox) -> None:
    """Return when a transaction waits for another's."""
    query = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
    async with asyncio.timeout(BOUND):
        while not await outbox.database.run(lambda connection: connection.execute(query).scalar_one()):
            continue  # Each look is a round trip, so the loop goes on meanwhile.


async def listened(outbox: Outbox, act: Callable[[Any], Awaitable[Any]]) -> list[str]:
    """The channels that a listener hears of between `act` in a transaction and a mark that is sent after it."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    url = outbox.database.url.render_as_string(hide_password=False)
    connection, listener = await asyncpg.connect(url), await asyncpg.connect(url)
    for channel in ("dovecote", "mark"):
        await listener.add_listener(channel, lambda *event: heard.put_nowait(event[2]))
    async with connection.transaction():
        await act(connection)
    await connection.execute("NOTIFY mark")
    channels = []
    async with asyncio.timeout(BOUND):
        while (channel := await heard.get()) != "mark":
            channels.append(channel)
    await connection.close()
    await listener.close()
    return channels

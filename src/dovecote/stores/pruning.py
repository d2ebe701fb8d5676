"""Removing what is past its time: history with its attempts, and keys; the oldest first, a bounded piece at a time.

Whoever prunes at the same moment takes other rows; an operator who replays one at that moment wins or finds it gone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select, tuple_

from dovecote.model import Pruned, State
from dovecote.stores.clock import StoreClock, real_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sqlalchemy import Connection

    from dovecote.model import Retention
    from dovecote.stores.database import Database


class Pruning:
    """`ports.PruneStore` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def prune(self, retention: Retention, *, limit: int = 1000) -> Pruned:
        """See `ports.PruneStore.prune`."""
        return Pruned(
            delivered=await self._run(self._settled, State.DELIVERED, retention.delivered, limit),
            dead=await self._run(self._settled, State.DEAD, retention.dead, limit),
            unknown=await self._run(self._settled, State.UNKNOWN, retention.unknown, limit),
            keys=await self._database.run(partial(self._keys, limit), write=True),
        )

    async def _run(
        self,
        step: Callable[[State, timedelta, int, Connection], int],
        state: State,
        kept: timedelta,
        limit: int,
    ) -> int:
        return await self._database.run(partial(step, state, kept, limit), write=True)

    def _settled(self, state: State, kept: timedelta, limit: int, connection: Connection) -> int:
        history, attempt = self._tables.history, self._tables.attempt
        statement = (
            select(history.c.id)
            .where(history.c.outcome == state.value, history.c.settled_at < self._clock.now(connection) - kept)
            .order_by(history.c.settled_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        ids = list(connection.scalars(statement))
        if ids:
            connection.execute(attempt.delete().where(attempt.c.notification_id.in_(ids)))
            connection.execute(history.delete().where(history.c.id.in_(ids)))
        return len(ids)

    def _keys(self, limit: int, connection: Connection) -> int:
        key = self._tables.notification_key
        statement = (
            select(key.c.bot_id, key.c.key)
            .where(key.c.expires_at < self._clock.now(connection))
            .order_by(key.c.expires_at)
            .limit(limit)
            # An enqueue that takes an expired key anew holds its row until it commits.
            .with_for_update(skip_locked=True)
        )
        over = [(row.bot_id, row.key) for row in connection.execute(statement)]
        if over:
            connection.execute(key.delete().where(tuple_(key.c.bot_id, key.c.key).in_(over)))
        return len(over)

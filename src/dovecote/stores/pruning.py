"""Removing what is past its time: history with its attempts, and keys; the oldest first, a bounded piece at a time.

Whoever prunes at the same moment takes other rows; an operator who replays one at that moment wins or finds it gone.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, exists, func, not_, or_, select, tuple_

from dovecote.model import Pruned, State
from dovecote.stores.among import among
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.selections import forget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Table

    from dovecote.model import Retention
    from dovecote.stores.database import Database

WAITS_KEPT: Final = timedelta(days=1)
"""How long a chat's wait that is over stays, for whoever asks why a notification came late."""


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
            occurrences=await self._database.run(partial(self._occurrences, retention.occurrences, limit), write=True),
            keys=await self._database.run(partial(self._keys, limit), write=True),
            chat_waits=await self._database.run(partial(self._chat_waits, limit), write=True),
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
        history = self._tables.history
        statement = (
            select(history.c.id)
            .where(history.c.outcome == state.value, history.c.settled_at < self._clock.now(connection) - kept)
            .order_by(history.c.settled_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        ids = list(connection.scalars(statement))
        if ids:
            if state is State.DELIVERED:
                self._remember(connection, ids)
            forget(connection, self._tables, ids)
        return len(ids)

    def _remember(self, connection: Connection, ids: Sequence[int]) -> None:
        """Note with the recipients that are known when something arrived last, where the history is to forget it."""
        history, recipient = self._tables.history, self._tables.recipient
        newest = (
            select(history.c.bot_id, history.c.chat, func.max(history.c.settled_at).label("at"))
            .where(among(connection, history.c.id, ids), history.c.chat.is_not(None))
            .group_by(history.c.bot_id, history.c.chat)
            .subquery()
        )
        later = history.alias()
        is_told_still = exists(
            select(later.c.id).where(
                later.c.bot_id == newest.c.bot_id,
                later.c.chat == newest.c.chat,
                later.c.settled_at > newest.c.at,
                later.c.outcome == State.DELIVERED.value,
            )
        )
        same = and_(recipient.c.bot_id == newest.c.bot_id, recipient.c.chat == newest.c.chat)
        earlier = or_(recipient.c.delivered_at.is_(None), recipient.c.delivered_at < newest.c.at)
        found = select(newest).join(recipient, same).where(earlier, not_(is_told_still))
        # In the order in which a cycle writes recipients.
        rows = connection.execute(found.order_by(newest.c.bot_id, newest.c.chat)).all()
        if rows:
            here = (recipient.c.bot_id == bindparam("of_bot"), recipient.c.chat == bindparam("of_chat"))
            noted = (
                recipient.update()
                .where(*here)
                .values(delivered_at=bindparam("at", type_=recipient.c.delivered_at.type))
            )
            connection.execute(noted, [{"of_bot": row.bot_id, "of_chat": row.chat, "at": row.at} for row in rows])

    def _occurrences(self, kept: timedelta, limit: int, connection: Connection) -> int:
        """Those that are finished. Their schedules stand behind them, so none fires again by itself."""
        occurrence = self._tables.occurrence
        past = occurrence.c.fired_at < self._clock.now(connection) - kept
        return _remove(connection, occurrence, past & occurrence.c.turn_at.is_(None), occurrence.c.fired_at, limit)

    def _keys(self, limit: int, connection: Connection) -> int:
        """Keys whose window is over. An enqueue that takes one anew holds its row until it commits."""
        key = self._tables.notification_key
        past = key.c.expires_at < self._clock.now(connection)
        return _remove(connection, key, past, key.c.expires_at, limit)

    def _chat_waits(self, limit: int, connection: Connection) -> int:
        wait = self._tables.chat_wait
        return _remove(connection, wait, wait.c.until < self._clock.now(connection) - WAITS_KEPT, wait.c.until, limit)


def _remove(connection: Connection, table: Table, past: ColumnElement[bool], by: Column[Any], limit: int) -> int:
    """Remove up to `limit` rows that are `past` their time, the first by `by` first; what others hold is left."""
    key = list(table.primary_key)
    statement = select(*key).where(past).order_by(by).limit(limit).with_for_update(skip_locked=True)
    found = [tuple(row) for row in connection.execute(statement)]
    if found:
        connection.execute(table.delete().where(tuple_(*key).in_(found)))
    return len(found)

"""Removing what is past its time: history with its attempts, payloads earlier, keys; the oldest first, in pieces.

Whoever prunes at the same moment takes other rows; an operator who replays one at that moment wins or finds it gone.
Each piece goes on where the one before has stopped, since what a transaction has removed is still met in the index for
as long as somebody holds an old snapshot. What was left behind, because somebody held it, is met when all is done and
pruning begins at the oldest again.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, exists, func, not_, or_, select, tuple_

from dovecote.model import Pruned, PrunedOutcome, State
from dovecote.stores.among import among
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.column_types import EPOCH
from dovecote.stores.depths import SETTLED
from dovecote.stores.due_history import Span, due_counts, due_rows, keep_to_indexes
from dovecote.stores.emptying import EmptiedBroadcasts, empty, forget_variables
from dovecote.stores.late_indexes import check_built
from dovecote.stores.retentions import BotRule, rules
from dovecote.stores.selections import forget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, Row, Table

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
        # How far each bot's rows are done with, by what is done: see the head of this module.
        self._reached: dict[tuple[str, State, bool], dict[int, datetime]] = {}
        self._broadcasts = EmptiedBroadcasts(database.tables)

    async def prune(self, retention: Retention, *, limit: int = 1000) -> Pruned:
        """See `ports.PruneStore.prune`."""
        await self._check()
        total = Pruned()
        for outcome in SETTLED:
            for step in (self._remove, self._empty):
                piece: Pruned = await self._write(partial(step, retention, outcome, limit))
                total += piece
        total += Pruned(
            occurrences=await self._write(partial(self._occurrences, retention.occurrences, limit)),
            keys=await self._write(partial(self._keys, limit)),
            chat_waits=await self._write(partial(self._chat_waits, limit)),
        )
        of_broadcasts: Pruned = await self._write(partial(self._variables, retention))
        return total + of_broadcasts

    async def due(self, retention: Retention) -> Pruned:
        """See `ports.PruneStore.due`."""
        await self._check()
        total = Pruned()
        for outcome in SETTLED:
            total += await self._database.run(partial(self._due, retention, outcome))
        return total + await self._database.run(partial(self._due_besides, retention))

    async def _check(self) -> None:
        if self._database.is_postgresql:
            await self._database.run(check_built)

    async def _write(self, step: Callable[[Connection], Any]) -> Any:
        return await self._database.run(step, write=True)

    # The history.

    def _remove(self, retention: Retention, outcome: State, limit: int, connection: Connection) -> Pruned:
        """Remove notifications; those that have lost their payload already are the older ones, and go first."""
        now, own = self._clock.now(connection), rules(connection, self._tables, retention)
        ends = {rule.id: now - rule.retention.of(outcome).record for rule in own}
        first = dict.fromkeys(ends, EPOCH)
        rows = self._due_rows(connection, ("remove", outcome, True), first, ends, limit)
        whole = self._due_rows(connection, ("remove", outcome, False), first, ends, limit - len(rows))
        forget_variables(connection, self._tables, whole)
        rows += whole
        ids = [row.id for row in rows]
        if ids:
            if outcome is State.DELIVERED:
                self._remember(connection, ids)
            forget(connection, self._tables, ids)
        return Pruned(history=_counted(own, outcome, rows, "notifications"))

    def _empty(self, retention: Retention, outcome: State, limit: int, connection: Connection) -> Pruned:
        """Remove the payloads of those that stay."""
        now, own = self._clock.now(connection), rules(connection, self._tables, retention)
        first = {rule.id: now - rule.retention.of(outcome).record for rule in own}
        ends = {rule.id: now - rule.retention.of(outcome).payload for rule in own}
        rows = self._due_rows(connection, ("empty", outcome, False), first, ends, limit)
        empty(connection, self._tables, rows, now)
        return Pruned(history=_counted(own, outcome, rows, "payloads"))

    def _due_rows(
        self,
        connection: Connection,
        what: tuple[str, State, bool],
        first: Mapping[int, datetime],
        ends: Mapping[int, datetime],
        limit: int,
    ) -> list[Row[Any]]:
        reached = self._reached.setdefault(what, {})
        spans = [
            Span(bot_id, since, ends[bot_id])
            for bot_id, earliest in first.items()
            if (since := max(earliest, reached.get(bot_id, EPOCH))) < ends[bot_id]
        ]
        if not spans or limit <= 0:
            return []
        _, outcome, emptied = what
        keep_to_indexes(connection)
        statement = due_rows(self._tables, outcome, spans, emptied=emptied, limit=limit)
        rows = list(connection.execute(statement).all())
        if len(rows) < limit:
            reached.clear()
        else:
            for row in rows:
                reached[row.bot_id] = max(row.settled_at, reached.get(row.bot_id, EPOCH))
        return rows

    def _due(self, retention: Retention, outcome: State, connection: Connection) -> Pruned:
        now, own = self._clock.now(connection), rules(connection, self._tables, retention)
        removed = [Span(rule.id, EPOCH, now - rule.retention.of(outcome).record) for rule in own]
        kept = [rule.retention.of(outcome) for rule in own]
        emptied = [
            Span(rule.id, now - each.record, now - each.payload)
            for rule, each in zip(own, kept, strict=True)
            if each.payload < each.record
        ]

        keep_to_indexes(connection)

        def count(spans: Sequence[Span], what: str, *, of_emptied: bool) -> Pruned:
            if not spans:
                return Pruned()
            found = connection.execute(due_counts(self._tables, outcome, spans, emptied=of_emptied)).all()
            names = {rule.id: rule.name for rule in own}
            return Pruned(
                history=tuple(PrunedOutcome(bot=names[row[0]], outcome=outcome, **{what: row[1]}) for row in found)
            )

        return (
            count(removed, "notifications", of_emptied=True)
            + count(removed, "notifications", of_emptied=False)
            + count(emptied, "payloads", of_emptied=False)
        )

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

    # What stands beside it.

    def _variables(self, retention: Retention, connection: Connection) -> Pruned:
        """Of broadcasts that are over: what was never sent has no notification that its variables would go with."""
        own = rules(connection, self._tables, retention)
        done, unfinished = self._broadcasts.empty_some(connection, own, self._clock.now(connection))
        return Pruned(broadcasts=done, unfinished=unfinished)

    def _occurrences(self, kept: timedelta, limit: int, connection: Connection) -> int:
        """Those that are finished. Their schedules stand behind them, so none fires again by itself."""
        return _remove(connection, self._tables.occurrence, *self._old_occurrences(kept, connection), limit)

    def _keys(self, limit: int, connection: Connection) -> int:
        """Keys whose window is over. An enqueue that takes one anew holds its row until it commits."""
        return _remove(connection, self._tables.notification_key, *self._old_keys(connection), limit)

    def _chat_waits(self, limit: int, connection: Connection) -> int:
        return _remove(connection, self._tables.chat_wait, *self._old_waits(connection), limit)

    def _old_occurrences(self, kept: timedelta, connection: Connection) -> tuple[ColumnElement[bool], Column[Any]]:
        occurrence = self._tables.occurrence.c
        past = occurrence.fired_at < self._clock.now(connection) - kept
        return past & occurrence.turn_at.is_(None), occurrence.fired_at

    def _old_keys(self, connection: Connection) -> tuple[ColumnElement[bool], Column[Any]]:
        key = self._tables.notification_key.c
        return key.expires_at < self._clock.now(connection), key.expires_at

    def _old_waits(self, connection: Connection) -> tuple[ColumnElement[bool], Column[Any]]:
        wait = self._tables.chat_wait.c
        return wait.until < self._clock.now(connection) - WAITS_KEPT, wait.until

    def _due_besides(self, retention: Retention, connection: Connection) -> Pruned:
        def count(table: Table, past: ColumnElement[bool], _by: Column[Any]) -> int:
            counted: int = connection.execute(select(func.count()).select_from(table).where(past)).scalar_one()
            return counted

        tables, now = self._tables, self._clock.now(connection)
        own = rules(connection, tables, retention)
        return Pruned(
            broadcasts=len(self._broadcasts.due(connection, own, now)),
            occurrences=count(tables.occurrence, *self._old_occurrences(retention.occurrences, connection)),
            keys=count(tables.notification_key, *self._old_keys(connection)),
            chat_waits=count(tables.chat_wait, *self._old_waits(connection)),
        )


def _counted(own: Sequence[BotRule], outcome: State, rows: Iterable[Row[Any]], what: str) -> tuple[PrunedOutcome, ...]:
    counts: dict[int, int] = {}
    for row in rows:
        counts[row.bot_id] = counts.get(row.bot_id, 0) + 1
    return tuple(
        PrunedOutcome(bot=rule.name, outcome=outcome, **{what: counts[rule.id]}) for rule in own if rule.id in counts
    )


def _remove(connection: Connection, table: Table, past: ColumnElement[bool], by: Column[Any], limit: int) -> int:
    """Remove up to `limit` rows that are `past` their time, the first by `by` first; what others hold is left."""
    key = list(table.primary_key)
    statement = select(*key).where(past).order_by(by).limit(limit).with_for_update(skip_locked=True)
    found = [tuple(row) for row in connection.execute(statement)]
    if found:
        connection.execute(table.delete().where(tuple_(*key).in_(found)))
    return len(found)

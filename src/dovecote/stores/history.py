"""What an operator reads and mends: a notification's life, dead letters and their replay, numbers.

The attempt that decided stands in the history's own row, the earlier ones in `attempt`. Where both tell of the same
attempt the history is right: the owner of the lease wrote it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, and_, bindparam, exists, func, insert, literal, literal_column, select

from dovecote.errors import UnknownNotification
from dovecote.model import EVERYTHING, Attempt, DeliveryPolicy, NotificationRecord, Priority, Quiet, State, Stats
from dovecote.stores.attached import attached_files
from dovecote.stores.bots import TENTHS, bot_id_of, day_of
from dovecote.stores.broadcast_outcomes import sent_again
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.column_types import IDS, is_id
from dovecote.stores.depths import SETTLED, Depths, settled, total
from dovecote.stores.selections import forget, restrictions
from dovecote.stores.waiting import what_holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from dovecote.model import Selection, Waiting
    from dovecote.stores.database import Database

# Ids in one statement: well below what either database takes as parameters.
CHUNK = 1000
# What a replayed notification keeps. What it does not name begins anew.
KEPT = [
    *("id", "bot_id", "chat", "method", "params", "key", "labels", "priority", "at_most_once"),
    *("enqueued_at", "expires_at", "attempts", "category", "quiet"),
]


class History:
    """`ports.HistoryStore` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def notification(self, notification_id: int) -> NotificationRecord:
        """See `ports.HistoryStore.notification`."""
        bot, outbox, history = self._tables.bot, self._tables.notification, self._tables.history

        if not is_id(notification_id):
            raise UnknownNotification(notification_id)

        def read(connection: Connection) -> NotificationRecord:
            # The outbox twice: a replay may move the row back while this looks into the history.
            for table in (outbox, history, outbox):
                statement = select(table, bot.c.name.label("bot")).join(bot, bot.c.id == table.c.bot_id)
                row = connection.execute(statement.where(table.c.id == notification_id)).one_or_none()
                if row is not None:
                    attempts = self._attempts(connection, [notification_id])[notification_id]
                    found = _settled(row, attempts) if table is history else self._waiting(connection, row, attempts)
                    return replace(found, attachments=attached_files(connection, self._tables.files, notification_id))
            raise UnknownNotification(notification_id)

        return await self._database.run(read)

    async def id_of_key(self, bot: str, key: str) -> int | None:
        """See `ports.HistoryStore.id_of_key`."""
        known = self._tables.notification_key.c

        def read(connection: Connection) -> int | None:
            statement = select(known.notification_id).where(
                known.bot_id == bot_id_of(connection, self._tables, bot),
                known.key == key,
                known.expires_at > self._clock.now(connection),
            )
            found: int | None = connection.execute(statement).scalar()
            return found

        return await self._database.run(read)

    async def settled(
        self, state: State, selection: Selection = EVERYTHING, *, before_id: int | None = None, limit: int = 50
    ) -> Sequence[NotificationRecord]:
        """See `ports.HistoryStore.settled`. Raises ValueError for a state that is not in the history."""
        if state not in SETTLED:
            raise ValueError(f"{state.value!r} is no state of the history: ask for delivered, dead or unknown.")
        history = self._tables.history
        name = self._tables.bot.c.name
        statement = (
            select(history, name.label("bot"))
            .join(self._tables.bot, self._tables.bot.c.id == history.c.bot_id)
            .where(history.c.outcome == state.value)
            .order_by(history.c.id.desc())
            .limit(limit)
        )
        if state is not State.DELIVERED:
            statement = statement.where(_given_up(history.c.outcome))
        if before_id is not None:
            statement = statement.where(history.c.id < max(IDS[0], min(before_id, IDS[-1])))

        def read(connection: Connection) -> list[NotificationRecord]:
            bot = None if selection.bot is None else bot_id_of(connection, self._tables, selection.bot)
            wanted = statement.where(*restrictions(history, selection, bot, is_postgresql=self._database.is_postgresql))
            rows = connection.execute(wanted).all()
            attempts = self._attempts(connection, [row.id for row in rows])
            return [_settled(row, attempts[row.id]) for row in rows]

        return await self._database.run(read)

    async def replay(self, ids: Sequence[int], *, due_in: timedelta = timedelta(0)) -> Sequence[int]:
        """See `ports.HistoryStore.replay`. All of them in one transaction; an expiry stays as it was."""

        def later(connection: Connection, rows: Sequence[Any], now: datetime) -> None:
            self._send_again(connection, rows, now + due_in)

        return await self._change(State.DEAD, ids, later)

    async def purge(self, state: State, ids: Sequence[int]) -> Sequence[int]:
        """See `ports.HistoryStore.purge`. All of them in one transaction."""
        return await self._change(state, ids, self._forget)

    async def resolve_unknown(self, ids: Sequence[int], *, delivered: bool) -> Sequence[int]:
        """See `ports.HistoryStore.resolve_unknown`. All of them in one transaction; an expiry stays as it was."""
        return await self._change(State.UNKNOWN, ids, self._believe_delivered if delivered else self._send_again)

    async def _change(
        self, state: State, ids: Sequence[int], change: Callable[[Connection, Sequence[Any], datetime], None]
    ) -> list[int]:
        """Lock those of `ids` that are in `state`, `change` them, and answer which they were."""
        history = self._tables.history
        # Of what has lost its payload nothing is left that could be sent.
        sendable = [history.c.erased_at.is_(None)] if change not in {self._forget, self._believe_delivered} else []

        def work(connection: Connection) -> list[int]:
            now = self._clock.now(connection)
            changed: list[int] = []
            # In the order of the ids, so that two operators cannot wait for each other.
            for chunk in _chunks(sorted(id_ for id_ in set(ids) if is_id(id_))):
                found = (
                    select(history.c.id, history.c.chat, history.c.method, history.c.params)
                    .where(history.c.id.in_(chunk), history.c.outcome == state.value, *sendable)
                    .order_by(history.c.id)
                    .with_for_update()
                )
                rows = connection.execute(found).all()
                change(connection, rows, now)
                changed += [row.id for row in rows]
            return changed

        return await self._database.run(work, write=True)

    def _believe_delivered(self, connection: Connection, rows: Sequence[Any], now: datetime) -> None:
        """Let the attempt that was unknown say who says that it was delivered, and when, and what it said before."""
        history, attempt = self._tables.history, self._tables.attempt
        told = literal(f"at {now:%Y-%m-%d %H:%M:%S} UTC an operator said that it was delivered; before: ", Text())
        found = history.c.id.in_([row.id for row in rows])
        # Where a worker was lost, the attempt stands in the table of its own.
        lost = exists().where(
            found,
            history.c.took.is_(None),
            attempt.c.notification_id == history.c.id,
            attempt.c.number == history.c.attempts,
        )
        words = func.coalesce(attempt.c.error, attempt.c.outcome)
        connection.execute(attempt.update().where(lost).values(outcome=State.DELIVERED.value, error=told.concat(words)))
        words = func.coalesce(history.c.error, history.c.outcome)
        connection.execute(
            history.update().where(found).values(outcome=State.DELIVERED.value, error=told.concat(words))
        )

    def _send_again(self, connection: Connection, rows: Sequence[Any], due_at: datetime) -> None:
        """Move them back to the outbox, due then, with their ids and their attempts."""
        history, outbox, attempt = self._tables.history, self._tables.notification, self._tables.attempt
        found = history.c.id.in_([row.id for row in rows])
        decided = and_(found, history.c.took.is_not(None))
        same = and_(attempt.c.notification_id == history.c.id, attempt.c.number == history.c.attempts)
        connection.execute(attempt.delete().where(exists().where(same, decided)))
        columns = [history.c[name] for name in ("took", "error_code", "error", "message_ids")]
        deciding = select(history.c.id, history.c.attempts, history.c.outcome, history.c.settled_at, *columns)
        names = ["notification_id", "number", "outcome", "ended_at", "took", "error_code", "error", "message_ids"]
        connection.execute(insert(attempt).from_select(names, deciding.where(decided)))
        again = select(
            *(history.c[name] for name in KEPT),
            *(literal(due_at, history.c.planned_at.type) for _ in ("planned_at", "due_at")),
        )
        connection.execute(insert(outbox).from_select([*KEPT, "planned_at", "due_at"], again.where(found)))
        weights = [{"heavy": row.id, "items": items} for row in rows if (items := _weight(row.method, row.params)) > 1]
        if weights:
            heavier = outbox.update().where(outbox.c.id == bindparam("heavy")).values(weight=bindparam("items"))
            connection.execute(heavier, weights)
        connection.execute(history.delete().where(found))
        sent_again(connection, self._tables, rows, due_at)

    def _forget(self, connection: Connection, rows: Sequence[Any], _now: datetime) -> None:
        forget(connection, self._tables, [row.id for row in rows])

    async def stats(self, *, bot: str | None = None) -> Stats:
        """See `ports.HistoryStore.stats`. One statement, and so one moment; it counts over no whole table."""

        def count(connection: Connection) -> Stats:
            now = self._clock.now(connection)
            table = self._tables.bot.c
            depths = Depths(self._tables, now, is_postgresql=self._database.is_postgresql)
            bot_id = None if bot is None else bot_id_of(connection, self._tables, bot)
            ended = settled(self._tables, bot_id)
            bots = select(table.paid_day, table.paid_spent, *depths.due(), *depths.later(), *ended)
            rows = list(connection.execute(bots if bot_id is None else bots.where(table.id == bot_id)))
            oldest = [found for row in rows for each in Priority if (found := getattr(row, f"oldest_{each}"))]
            leased = total(rows, "leased")
            return Stats(
                due=total(rows, "due"),
                scheduled=total(rows, "later") - leased,
                leased=leased,
                oldest_due=(now - min(oldest)).total_seconds() if oldest else None,
                **{each.value: int(getattr(rows[0], each.value)) if rows else 0 for each in SETTLED},
                stars_spent=sum(int(row.paid_spent) for row in rows if row.paid_day == day_of(now)) / TENTHS,
            )

        return await self._database.run(count)

    async def clock(self) -> datetime:
        """See `ports.HistoryStore.clock`."""
        return await self._database.run(self._clock.now)

    def _waiting(self, connection: Connection, row: Row[Any], attempts: Sequence[Attempt]) -> NotificationRecord:
        now = self._clock.now(connection)
        later = row.due_at > now
        leased = row.lease_token is not None and later
        state = State.LEASED if leased else State.SCHEDULED if later else State.DUE
        held = what_holds(connection, self._tables, row, attempts, now)
        return _record(row, state, attempts, due_at=row.due_at, waits_for=held)

    def _attempts(self, connection: Connection, ids: Sequence[int]) -> Mapping[int, list[Attempt]]:
        """The rows of `attempt`, each notification's by number."""
        attempt = self._tables.attempt
        found: defaultdict[int, list[Attempt]] = defaultdict(list)
        for chunk in _chunks(ids):
            statement = select(attempt).where(attempt.c.notification_id.in_(chunk)).order_by(attempt.c.number)
            for row in connection.execute(statement):
                found[row.notification_id].append(_attempt(row, row.number, row.ended_at))
        return found


def _given_up(outcome: Any) -> Any:
    """The index's own condition, word for word: SQLite uses a partial index only where it reads it."""
    return outcome != literal_column("'delivered'")


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]


def _settled(row: Row[Any], attempts: Iterable[Attempt]) -> NotificationRecord:
    """A row of the history. Only a request has a duration: without one, it ended by itself."""
    if row.took is not None:
        deciding = _attempt(row, row.attempts, row.settled_at)
        attempts = [*(each for each in attempts if each.number != deciding.number), deciding]
    record = _record(
        row, State(row.outcome), [*attempts], settled_at=row.settled_at, error_code=row.error_code, error=row.error
    )
    return replace(record, payload_removed_at=row.erased_at)


def _attempt(row: Row[Any], number: int, ended_at: datetime) -> Attempt:
    return Attempt(
        number=number,
        outcome=row.outcome,
        ended_at=ended_at,
        took=row.took,
        error_code=row.error_code,
        error=row.error,
        message_ids=tuple(row.message_ids or ()),
    )


def _record(
    row: Row[Any],
    state: State,
    attempts: Sequence[Attempt],
    *,
    due_at: datetime | None = None,
    settled_at: datetime | None = None,
    error_code: int | None = None,
    error: str | None = None,
    waits_for: tuple[Waiting, ...] = (),
) -> NotificationRecord:
    return NotificationRecord(
        id=row.id,
        bot=row.bot,
        chat=row.chat,
        method=row.method,
        params=row.params,
        priority=Priority(row.priority),
        delivery=DeliveryPolicy.AT_MOST_ONCE if row.at_most_once else DeliveryPolicy.AT_LEAST_ONCE,
        key=row.key,
        labels=tuple(row.labels or ()),
        state=state,
        enqueued_at=row.enqueued_at,
        planned_at=row.planned_at,
        due_at=due_at,
        expires_at=row.expires_at,
        settled_at=settled_at,
        lost_leases=row.lost_leases,
        attempts=attempts,
        category=row.category,
        quiet=None if row.quiet is None else Quiet(row.quiet),
        error_code=error_code,
        error=error,
        waits_for=waits_for,
    )


def _weight(method: str, params: Mapping[str, Any]) -> int:
    """How many slots it takes again: an album of n items takes n. Its media may stand as a list or as JSON text."""
    # As Telegram does, and as it was weighed when it was enqueued.
    if method.lower() != "sendmediagroup":
        return 1
    media = params.get("media")
    if isinstance(media, str):
        media = json.loads(media)
    return max(1, len(media)) if isinstance(media, list) else 1

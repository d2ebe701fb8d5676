"""How a broadcast moves on, in the database: a bounded piece in each transaction, under the lock of its row.

The order of the locks is the broadcast, then its recipients, then notifications, of which those that a claim has in
hand are skipped; no claim ever waits for a broadcast.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import bindparam, func, literal, or_, select

from dovecote.broadcast_form import PUT_OFF, notification_of
from dovecote.errors import FileTooLarge, InvalidNotification, UnknownBot, UnknownFile
from dovecote.model import Advanced, BroadcastKind, BroadcastState, RecipientState
from dovecote.redaction import impersonal
from dovecote.stores.among import among, among_texts
from dovecote.stores.broadcast_outcomes import DISABLED, OPTED_OUT, Outcomes
from dovecote.stores.broadcast_rows import ENQUEUED
from dovecote.stores.by_index import by_index_settings
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.enqueue import Enqueuer, untraced
from dovecote.stores.held import HeldConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from dovecote.ports import BroadcastObserver, EnqueueSpan
    from dovecote.stores.database import Database
    from dovecote.stores.tables import Tables

T = TypeVar("T")
logger = logging.getLogger(__name__)

WINDOW: Final = timedelta(seconds=5)
"""The outbox holds so much of a broadcast as its bot sends in this time, within the next two bounds."""
SMALLEST_WINDOW: Final = 500
LARGEST_WINDOW: Final = 5_000
LOOK_AGAIN: Final = timedelta(milliseconds=200)
PATIENCE: Final = timedelta(seconds=5)
LONGEST_TRANSACTION: Final = timedelta(seconds=30)
AT_ONCE: Final = 2000
REFUSED: Final = (InvalidNotification, UnknownBot, UnknownFile, FileTooLarge)


class BroadcastTurns:
    """`ports.BroadcastStore` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own.

    A transaction whose process is frozen is ended by PostgreSQL after five seconds. With `hold` one connection stays
    open, for a loop that asks all the time and runs in one event loop.
    """

    def __init__(
        self,
        database: Database,
        *,
        largest_upload: int = 50 * 1024 * 1024,
        hold: bool = True,
        clock: Callable[[], int] = real_microseconds,
        observer: BroadcastObserver | None = None,
        span: EnqueueSpan = untraced,
    ) -> None:
        self._observer = observer
        self._held = HeldConnection(database, LONGEST_TRANSACTION) if hold else None
        self._run = database.run if self._held is None else self._held.run
        self._is_postgresql = database.is_postgresql
        self._tables = database.tables
        self._clock = StoreClock(database, clock)
        self._enqueuer = Enqueuer(database, largest_upload=largest_upload, clock=clock, span=span)
        self._outcomes = Outcomes(database.tables)

    async def close(self) -> None:
        """Give back the connection."""
        if self._held is not None:
            await self._held.close()

    async def due(self, *, overdue_by: timedelta) -> Sequence[int]:
        """See `ports.BroadcastStore.due`."""
        table = self._tables.broadcast.c

        def read(connection: Connection) -> list[int]:
            before = self._clock.now(connection) - overdue_by
            due = select(table.id).where(table.turn_at.is_not(None), table.turn_at <= before)
            return list(connection.execute(due.order_by(table.turn_at)).scalars())

        return await self._run(read)

    async def running(self) -> Sequence[int]:
        """See `ports.BroadcastStore.running`."""
        table = self._tables.broadcast.c
        # What runs has its turn some time.
        running = select(table.id).where(table.turn_at.is_not(None), table.state == BroadcastState.RUNNING.value)
        return await self._run(lambda connection: list(connection.execute(running.order_by(table.id)).scalars()))

    async def in_hand(self, broadcast_id: int) -> bool:
        """See `ports.BroadcastStore.in_hand`. All that is not put off has a turn of the broadcast's to come."""
        table = self._tables.broadcast.c
        statement = select(table.turn_at).where(table.id == broadcast_id)
        return await self._run(lambda connection: connection.execute(statement).scalar() is not None)

    async def collect(self, broadcast_id: int, *, after: int, limit: int) -> int | None:
        """See `ports.BroadcastStore.collect`."""

        def write(connection: Connection) -> tuple[int | None, bool]:
            row = self._lock(connection, broadcast_id)
            if row is None or not row.enqueued:
                return None, False
            return self._outcomes.collect(connection, row, self._clock.now(connection), after=after, limit=limit)

        last, braked = await self._write(write)
        if braked and self._observer is not None:
            self._observer.braked()
        return last

    async def advance(self, broadcast_id: int, *, limit: int, wait: bool = False) -> Advanced:
        """See `ports.BroadcastStore.advance`."""

        def write(connection: Connection) -> Advanced:
            row = self._lock(connection, broadcast_id, wait=wait)
            if row is None:
                return Advanced(0, more=False)
            match BroadcastState(row.state):
                case BroadcastState.RUNNING:
                    return self._fan_out(connection, row, limit)
                case BroadcastState.PAUSED:
                    return self._put_off(connection, row)
                case BroadcastState.CANCELLED:
                    return self._take_out(connection, row, limit)
                case BroadcastState.DRAFT | BroadcastState.FINISHED:
                    self._update(connection, row, {"turn_at": self._again(connection) if row.enqueued else None})
            return Advanced(0, more=False)

        return await self._write(write)

    async def _write(self, function: Callable[[Connection], T]) -> T:
        def write(connection: Connection) -> T:
            if self._is_postgresql:
                limit = f"{PATIENCE // timedelta(milliseconds=1)}ms"
                ends = func.set_config("idle_in_transaction_session_timeout", limit, literal(value=True))
                connection.execute(select(ends, *by_index_settings()))
            return function(connection)

        return await self._run(write, write=True)

    def _lock(self, connection: Connection, broadcast_id: int, *, wait: bool = False) -> Row[Any] | None:
        table = self._tables.broadcast
        return connection.execute(
            select(table).where(table.c.id == broadcast_id).with_for_update(skip_locked=not wait)
        ).first()

    def _update(self, connection: Connection, row: Row[Any], values: dict[str, Any]) -> None:
        table = self._tables.broadcast
        connection.execute(table.update().where(table.c.id == row.id).values(**values))

    def _again(self, connection: Connection) -> datetime:
        return self._clock.now(connection) + LOOK_AGAIN

    # Running.

    def _fan_out(self, connection: Connection, row: Row[Any], limit: int) -> Advanced:
        """Enqueue for the next recipients, or finish when there is none and all are settled."""
        now = self._clock.now(connection)
        if row.cursor is None:
            if row.enqueued:
                self._update(connection, row, {"turn_at": now + LOOK_AGAIN})
            else:
                ended = {"state": BroadcastState.FINISHED.value, "finished_at": now, "changed_at": now, "turn_at": None}
                self._update(connection, row, ended)
            return Advanced(0, more=False)
        count = min(limit, self._window(connection, row) - row.enqueued)
        if count <= 0:
            self._update(connection, row, {"turn_at": now + LOOK_AGAIN})
            return Advanced(0, more=False)
        table = self._tables.broadcast_recipient.c
        page = (
            select(table.chat, table.targets, table.expires_at)
            .where(table.broadcast_id == row.id, table.chat > row.cursor)
            .where(table.state == RecipientState.WAITING.value)
            .order_by(table.chat)
            .limit(count)
        )
        found = connection.execute(page).all()
        try:
            enqueued = self._enqueue(connection, row, found, now)
        except REFUSED as error:
            # Nothing is written by then. Tried again it would fail again: somebody has to look at it.
            logger.error('the broadcast "%s" cannot go on: %s', row.name, impersonal(str(error)))  # noqa: TRY400
            paused = {"state": BroadcastState.PAUSED.value, "reason": str(error), "changed_at": now, "turn_at": now}
            self._update(connection, row, paused)
            return Advanced(0, more=True)
        last = len(found) < count
        values = {
            "cursor": None if last else found[-1].chat,
            "enqueued": row.enqueued + enqueued,
            "suppressed": row.suppressed + len(found) - enqueued,
            "turn_at": now,
        }
        self._update(connection, row, values)
        return Advanced(len(found), more=True)

    def _window(self, connection: Connection, row: Row[Any]) -> int:
        bot = self._tables.bot.c
        pace = connection.execute(select(bot.pace, bot.paid_pace).where(bot.id == row.bot_id)).one()
        if pace.pace is None:
            return LARGEST_WINDOW
        wanted = int(max(pace.pace, pace.paid_pace or 0) * WINDOW.total_seconds())
        return max(SMALLEST_WINDOW, min(LARGEST_WINDOW, wanted))

    def _enqueue(self, connection: Connection, row: Row[Any], found: Sequence[Any], now: datetime) -> int:
        """Enqueue for those that take it, and note for all of them what was done; answers for how many."""
        table = self._tables.broadcast_recipient
        form, kind = json.loads(row.form), BroadcastKind(row.kind)
        category = form.get("category") if kind is BroadcastKind.SEND else None
        refusals = refusing(connection, self._tables, row.bot_id, [each.chat for each in found], category)
        wanted = [each for each in found if each.chat not in refusals]
        ids = self._enqueuer.write(
            connection,
            [
                notification_of(form, row.id, kind, each.chat, targets=each.targets or (), expires_at=each.expires_at)
                for each in wanted
            ],
        )
        here = table.update().where(table.c.broadcast_id == row.id, table.c.chat == bindparam("of"))
        if wanted:
            noted = {"state": RecipientState.ENQUEUED.value, "notification_id": bindparam("its"), "enqueued_at": now}
            connection.execute(
                here.values(**noted), [{"of": each.chat, "its": id_} for each, id_ in zip(wanted, ids, strict=True)]
            )
        if refusals:
            noted = {"state": RecipientState.SUPPRESSED.value, "settled_at": now, "error": bindparam("why")}
            rows = [{"of": chat, "why": why} for chat, why in refusals.items()]
            connection.execute(here.values(**noted), rows)
        return len(wanted)

    # Paused and cancelled.

    def _put_off(self, connection: Connection, row: Row[Any]) -> Advanced:
        """Let what waits in the outbox, a window at most, be due in another age, all of it at once.

        A claim that meets it meanwhile waits for the commit and leaves it. What a worker has in hand comes later.
        """
        notification = self._tables.notification
        now = self._clock.now(connection)
        pages = outstanding(connection, self._tables, row.id)
        moved = 0
        for ids in pages:
            free = self._free(connection, ids, notification.c.planned_at < PUT_OFF)
            put_off = notification.update().where(among(connection, notification.c.id, free))
            connection.execute(put_off.values(due_at=PUT_OFF, planned_at=PUT_OFF))
            moved += len(free)
        every = among(connection, notification.c.id, [id_ for ids in pages for id_ in ids])
        held = connection.execute(select(func.count()).where(every, notification.c.planned_at >= PUT_OFF)).scalar_one()
        self._update(connection, row, {"turn_at": now + LOOK_AGAIN if held < row.enqueued else None})
        return Advanced(moved, more=False)

    def _free(self, connection: Connection, ids: Sequence[int], *conditions: Any) -> list[int]:
        """Those of the notifications that are in nobody's hands, locked."""
        table = self._tables.notification.c
        statement = (
            select(table.id)
            .where(among(connection, table.id, ids), table.lease_token.is_(None), *conditions)
            .order_by(table.id)
            .with_for_update(skip_locked=True)
        )
        return list(connection.execute(statement).scalars())

    def _take_out(self, connection: Connection, row: Row[Any], limit: int) -> Advanced:
        """Take what waits out of the outbox. What was tried before may have arrived: that is unknown."""
        tables = self._tables
        notification, recipient, attempt = tables.notification, tables.broadcast_recipient, tables.attempt
        now = self._clock.now(connection)
        counts = {RecipientState.CANCELLED: 0, RecipientState.UNKNOWN: 0}
        for ids in outstanding(connection, tables, row.id):
            free = self._free(connection, ids)
            unknown = attempt.c.outcome.in_(["unknown", "lost"])
            tried = select(attempt.c.notification_id).where(among(connection, attempt.c.notification_id, free), unknown)
            doubtful = set(connection.execute(tried).scalars())
            for table in (attempt, tables.trace_context):
                connection.execute(table.delete().where(among(connection, table.c.notification_id, free)))
            connection.execute(notification.delete().where(among(connection, notification.c.id, free)))
            for state, these, error in (
                (RecipientState.CANCELLED, [id_ for id_ in free if id_ not in doubtful], None),
                (RecipientState.UNKNOWN, sorted(doubtful), "an attempt may have arrived; then it was cancelled"),
            ):
                # Through the index of those that are enqueued.
                ours = recipient.update().where(recipient.c.broadcast_id == row.id, ENQUEUED)
                these_ones = ours.where(among(connection, recipient.c.notification_id, these))
                connection.execute(these_ones.values(state=state.value, settled_at=now, error=error))
                counts[state] += len(these)
            if sum(counts.values()) >= limit:
                break
        moved = sum(counts.values())
        values: dict[str, Any] = {
            "enqueued": row.enqueued - moved,
            "cancelled": row.cancelled + counts[RecipientState.CANCELLED],
            "unknown": row.unknown + counts[RecipientState.UNKNOWN],
            "turn_at": now + LOOK_AGAIN if row.enqueued > moved else None,
        }
        self._update(connection, row, values)
        return Advanced(moved, more=moved >= limit)


def refusing(
    connection: Connection, tables: Tables, bot_id: int, chats: Sequence[str], category: str | None
) -> dict[str, str]:
    """Those of `chats` that take nothing, or nothing of the category, and why: in the words of a claim."""
    recipient = tables.recipient.c
    statement = select(recipient.chat, recipient.disabled_at, recipient.disabled_reason, recipient.opted_out).where(
        recipient.bot_id == bot_id,
        among_texts(connection, recipient.chat, chats),
        or_(recipient.disabled_at.is_not(None), recipient.opted_out.is_not(None)),
    )
    found: dict[str, str] = {}
    for each in connection.execute(statement):
        if each.disabled_at is not None:
            found[each.chat] = f"{DISABLED}{each.disabled_reason or ''}"
        elif category in (each.opted_out or ()):
            found[each.chat] = f"{OPTED_OUT}{category}"
    return found


def outstanding(connection: Connection, tables: Tables, broadcast_id: int) -> list[list[int]]:
    """The ids of a broadcast's notifications whose outcome is not read yet: a window of them, in pages, in order."""
    table = tables.broadcast_recipient.c
    statement = select(table.notification_id).where(table.broadcast_id == broadcast_id, ENQUEUED)
    ids = list(connection.execute(statement.order_by(table.notification_id)).scalars())
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]


def let_go(connection: Connection, tables: Tables, row: Row[Any], now: datetime) -> None:
    """Let what was put off be due now, in the order in which it was enqueued."""
    notification = tables.notification
    for ids in outstanding(connection, tables, row.id):
        held = or_(notification.c.planned_at >= PUT_OFF, notification.c.due_at >= PUT_OFF)
        these = notification.update().where(among(connection, notification.c.id, ids), held)
        connection.execute(these.values(due_at=now, planned_at=now))

"""Where the state machine runs: one database, two workers' stores, two applications' connections, and a judge's.

Applications and the judge speak plain SQL through connections of their own; time is moved by hand. Everything blocks:
the stores run in one event loop that is driven from outside.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from outbox_draws import WORKERS
from outbox_picture import Committed, Picture, Settled, Timeline, Tried, Waiting
from sqlalchemy import NullPool, create_engine, delete, insert, select, text, update

from dovecote.stores.database import outbox_url
from dovecote.stores.postgresql import PostgreSQLOutbox
from dovecote.stores.sqlite import SQLiteOutbox
from dovecote.stores.tables import EPOCH, MICROSECOND, POSTGRESQL, SQLITE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from outbox_picture import Sender
    from sqlalchemy import Connection

    from dovecote.model import Cycle
    from dovecote.ports import OutboxStore

T = TypeVar("T")

START = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
APPLICATIONS = 2
PATIENCE = timedelta(seconds=30)
"""How long anything may wait for a lock of the database before the test fails."""
CLOCK = """
CREATE OR REPLACE FUNCTION dovecote.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT now FROM dovecote.hands'
"""


class Arena:
    """One migrated database with everybody who works on it. To be closed."""

    def __init__(self, url: str) -> None:
        self.now = START
        self.is_postgresql = url.startswith("postgresql")
        self.tables = POSTGRESQL if self.is_postgresql else SQLITE
        self._runner = asyncio.Runner()
        self.stores: list[OutboxStore] = [self._store(url) for _ in range(WORKERS)]
        self._engine = (
            create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
            if self.is_postgresql
            # Transactions begin where they are begun below, and are committed from other threads.
            else create_engine(
                url, poolclass=NullPool, connect_args={"isolation_level": None, "check_same_thread": False}
            )
        )
        self._judge = self._engine.connect().execution_options(
            **({"isolation_level": "AUTOCOMMIT"} if self.is_postgresql else {})
        )
        self._applications = [self._engine.connect() for _ in range(APPLICATIONS)]
        self.uncommitted: list[list[Waiting]] = [[] for _ in range(APPLICATIONS)]
        self._next_id = 0
        if self.is_postgresql:
            self._let_the_clock_stand()

    def _store(self, url: str) -> OutboxStore:
        if self.is_postgresql:
            return PostgreSQLOutbox(outbox_url(url), listen=False)
        return SQLiteOutbox(outbox_url(url), clock=lambda: (self.now - EPOCH) // MICROSECOND, patience=PATIENCE)

    def _let_the_clock_stand(self) -> None:
        self._judge.execute(text("CREATE TABLE dovecote.hands (now timestamptz)"))
        self._judge.execute(text("INSERT INTO dovecote.hands DEFAULT VALUES"))
        self._judge.execute(text(CLOCK))

    def begin(self, bots: Mapping[int, Sender]) -> None:
        """Forget everything, set the clock to START, and add `bots`."""
        known = self.tables
        tables = (known.notification, known.history, known.attempt, known.chat_wait, known.recipient, known.bot)
        if self.is_postgresql:
            self._judge.execute(text(f"TRUNCATE {', '.join(table.fullname for table in tables)}"))
        else:
            for table in tables:
                self._judge.execute(delete(table))
        self.move_to(START)
        self._next_id = 0
        rows = [
            {
                "id": id_,
                "name": f"bot-{id_}",
                "token_variable": "TOKEN",
                "created_at": START,
                "next_slot_at": START,
                "pace": bot.pace,
                "private_count": bot.private_limit and bot.private_limit[0],
                "private_window": bot.private_limit and bot.private_limit[1],
                "group_count": bot.group_limit and bot.group_limit[0],
                "group_window": bot.group_limit and bot.group_limit[1],
                "paid_pace": bot.paid_pace,
                "paid_budget": bot.budget,
            }
            for id_, bot in bots.items()
        ]
        self._judge.execute(insert(self.tables.bot), rows)

    def move_to(self, now: datetime) -> None:
        """Set the store's clock."""
        self.now = now
        if self.is_postgresql:
            self._judge.execute(text("UPDATE dovecote.hands SET now = :now"), {"now": now})

    def close(self) -> None:
        """Give back every connection."""
        for connection in (*self._applications, self._judge):
            connection.close()
        self._engine.dispose()
        for store in self.stores:
            self._runner.run(_awaited(store.close()))
        self._runner.close()

    # An application.

    def may_write(self, application: int) -> bool:
        """Whether its statement would not wait: SQLite has one writer at a time."""
        others = self.uncommitted[:application] + self.uncommitted[application + 1 :]
        return self.is_postgresql or not any(others)

    def is_locked(self) -> bool:
        """Whether a worker's cycle would wait for an application's transaction."""
        return not self.is_postgresql and any(self.uncommitted)

    def enqueue(self, application: int, rows: Sequence[Waiting]) -> None:
        """Write `rows` in the application's transaction, which is begun if there is none. Their ids are given here."""
        connection = self._applications[application]
        if not self.is_postgresql and not self.uncommitted[application]:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        for row in rows:
            self._next_id += 1
            row.id = self._next_id
        values = [
            {
                "id": row.id,
                "bot_id": row.bot,
                "chat": row.chat,
                "method": row.method,
                "params": {"text": str(row.id)},
                "priority": row.priority,
                "at_most_once": row.at_most_once,
                "enqueued_at": self.now,
                "planned_at": row.planned_at,
                "due_at": row.due_at,
                "expires_at": row.expires_at,
                "weight": row.weight,
            }
            for row in rows
        ]
        connection.execute(insert(self.tables.notification), values)
        self.uncommitted[application] += rows

    def commit(self, application: int) -> Committed:
        """Commit the application's transaction."""
        self._applications[application].commit()
        rows, self.uncommitted[application] = self.uncommitted[application], []
        return Committed(rows)

    def roll_back(self, application: int) -> None:
        """Roll the application's transaction back."""
        self._applications[application].rollback()
        self.uncommitted[application] = []

    # The workers.

    def run(self, cycles: Sequence[Callable[[], Awaitable[Cycle]]], commit: int | None = None) -> list[Any]:
        """Run these at the same time, and the commit of that application with them; answers their answers."""

        async def together() -> list[Any]:
            running: list[Awaitable[Any]] = [cycle() for cycle in cycles]
            if commit is not None:
                running.append(asyncio.to_thread(self.commit, commit))
            return await asyncio.gather(*running)

        return self._runner.run(together())

    def run_slowly(self, slow: Callable[[], Awaitable[Cycle]], bot: int, meanwhile: Callable[[], None]) -> Cycle:
        """Run a cycle that has to wait for a bot's row, and `meanwhile` between its snapshot and its end.

        Only on PostgreSQL. `meanwhile` may run other cycles, which must not wait for that bot.
        """
        operator = self._engine.connect()
        table = self.tables.bot
        operator.execute(select(table.c.id).where(table.c.id == bot).with_for_update())
        running = self._runner.get_loop().create_task(_awaited(slow()))
        try:
            self._runner.run(self._until_waiting(running))
            meanwhile()
        finally:
            operator.close()
        return self._runner.run(_awaited(running))

    async def _until_waiting(self, running: asyncio.Task[Cycle]) -> None:
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(PATIENCE.total_seconds()):
            # Only the server knows who waits for a lock.
            while not running.done() and not self._judge.execute(waiting).scalar_one():  # noqa: ASYNC110 (no event)
                await asyncio.sleep(0)

    # An operator, and the judge.

    def repair(self, bot: int) -> None:
        """Let a stopped bot send again."""
        table = self.tables.bot
        self._judge.execute(update(table).where(table.c.id == bot).values(stopped_reason=None))

    def picture(self) -> Picture:
        """What stands in the database."""
        return Picture(
            outbox={row.id: row for row in _waiting(self._judge, self.tables.notification)},
            history={
                row.id: Settled(
                    row.outcome,
                    row.settled_at,
                    row.attempts,
                    row.lost_leases,
                    None if row.message_ids is None else tuple(row.message_ids),
                    asked=row.took is not None,
                )
                for row in self._judge.execute(select(self.tables.history))
            },
            attempts={
                (row.notification_id, row.number): Tried(
                    row.outcome, None if row.message_ids is None else tuple(row.message_ids)
                )
                for row in self._judge.execute(select(self.tables.attempt))
            },
            timelines={
                row.id: Timeline(
                    row.slots_given, row.halted_until, row.stopped_reason is not None, row.paid_spent, row.paid_day
                )
                for row in self._judge.execute(select(self.tables.bot))
            },
        )


def _waiting(connection: Connection, table: Any) -> list[Waiting]:
    return [
        Waiting(
            id=row.id,
            bot=row.bot_id,
            chat=row.chat,
            priority=row.priority,
            at_most_once=row.at_most_once,
            planned_at=row.planned_at,
            expires_at=row.expires_at,
            weight=row.weight,
            due_at=row.due_at,
            method=row.method,
            token=row.lease_token,
            attempts=row.attempts,
            failures=row.failures,
            lost=row.lost_leases,
        )
        for row in connection.execute(select(table))
    ]


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable

"""Slots for what a bot's own code sends past the outbox: one short statement on the bot's timeline for each.

A claim reserves at most `HORIZON_SECONDS` of the timeline ahead. A direct message is sent at once all the same: it
takes its slot behind what is reserved, so the next claims begin later by as much. Only when the timeline is ahead by
more than claims alone can make it, which is when direct messages by themselves exceed the pace, does one wait.

The version of the bot's row, by which claims know each other, is left alone: a claim that meets the row after this
statement reads the timeline as it is then.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

from dovecote.errors import NotMigrated, StoreUnavailable
from dovecote.model import DirectTurn
from dovecote.stores.addresses import place_of
from dovecote.stores.clock import real_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.ports import DirectSlots
    from dovecote.stores.database import Database

HORIZON_SECONDS: Final = 0.5
# A claim takes at least one slot inside of its horizon, and an album takes up to ten of them.
LARGEST_TAKE: Final = 10
SECOND: Final = 1_000_000
# A transaction of the caller's own may hold the file, and it is the caller that waits for this.
LITE_PATIENCE_SECONDS: Final = 0.25

# $1 the bot's name, $2 how many slots, $3 the longest wait, $4 the horizon, $5 the largest take of a claim
TAKE_DIRECT_SLOTS = """
WITH held AS MATERIALIZED (
    SELECT b.* FROM dovecote.bot b WHERE b.name = $1 FOR UPDATE -- waits for a claim, which holds it for milliseconds
),
clock AS MATERIALIZED (
    SELECT dovecote.clock() AS now
),
timeline AS MATERIALIZED (
    SELECT h.id, h.stopped_reason, paced.pace, greatest(h.next_slot_at, h.halted_until, clock.now) AS first_slot_at,
        greatest(
            0, extract(epoch FROM h.halted_until - clock.now),
            extract(epoch FROM greatest(h.next_slot_at, h.halted_until) - clock.now) - $4 - $5 / paced.pace
        )::float8 AS send_in
    FROM held h, clock,
        LATERAL (SELECT dovecote.kept_pace(h.pace, h.pace_held, h.pace_held_at, clock.now) AS pace) AS paced
),
advanced AS (
    UPDATE dovecote.bot b SET next_slot_at = t.first_slot_at + make_interval(secs => $2 / t.pace)
    FROM timeline t
    WHERE b.id = t.id AND $2 > 0 AND t.pace IS NOT NULL AND t.send_in <= $3 AND t.stopped_reason IS NULL
)
SELECT id, send_in FROM timeline
"""

# :name
LITE_TIMELINE = """
SELECT id, next_slot_at, coalesce(halted_until, 0) AS halted_until, stopped_reason,
    CASE WHEN pace_held IS NULL THEN pace
        ELSE min(pace, pace_held + pace * 0.001 * max(0, :now - pace_held_at) / 1000000) END AS pace
FROM dovecote_bot WHERE name = :name
"""
LITE_ADVANCE = "UPDATE dovecote_bot SET next_slot_at = :next WHERE id = :id"


def direct_slots(database: Database) -> DirectSlots:
    """The slots of the database."""
    return PostgreSQLDirectSlots(database) if database.is_postgresql else SQLiteDirectSlots(database)


class PostgreSQLDirectSlots:
    """`ports.DirectSlots` on PostgreSQL, over one connection."""

    def __init__(self, database: Database) -> None:
        self._url = database.url
        self._connection: Any = None
        self._lock = asyncio.Lock()

    async def take(self, bot: str, slots: int, *, longest_wait: float) -> DirectTurn | None:
        """See `ports.DirectSlots.take`."""
        import asyncpg  # noqa: PLC0415 (an extra)

        arguments = bot, float(slots), longest_wait, HORIZON_SECONDS, float(LARGEST_TAKE)
        async with self._lock:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connected()
                row = await self._connection.fetchrow(TAKE_DIRECT_SLOTS, *arguments)
            except (
                asyncpg.UndefinedTableError,
                asyncpg.InvalidSchemaNameError,
                asyncpg.UndefinedFunctionError,
            ) as error:
                raise NotMigrated(f"the database has no Dovecote schema ({error}): run `dovecote migrate`.") from error
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                self._drop()
                problem = str(error) or type(error).__name__
                raise StoreUnavailable(f"{place_of(self._url)} cannot be used just now: {problem}") from error
            except asyncio.CancelledError:
                # Nobody knows what the connection is in the middle of.
                self._drop()
                raise
        return None if row is None else DirectTurn(row["id"], row["send_in"])

    async def _connected(self) -> Any:
        import asyncpg  # noqa: PLC0415 (an extra)

        # A slot that a crash of the server forgets costs nothing, and no claim is to wait for the disk.
        session = {"application_name": "dovecote", "synchronous_commit": "off"}
        dsn = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        return await asyncpg.connect(dsn, server_settings=session)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """See `ports.DirectSlots.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(TimeoutError, OSError):
                await connection.close(timeout=2)


class SQLiteDirectSlots:
    """`ports.DirectSlots` on SQLite: a short transaction in a thread. `clock` answers microseconds since the epoch."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._path = str(database.url.database)
        self._place = place_of(database.url)
        self._clock = clock

    async def take(self, bot: str, slots: int, *, longest_wait: float) -> DirectTurn | None:
        """See `ports.DirectSlots.take`."""
        try:
            return await asyncio.to_thread(self._take, bot, slots, longest_wait)
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                raise NotMigrated("the database has no Dovecote schema: run `dovecote migrate`.") from error
            raise StoreUnavailable(f"{self._place} cannot be used just now: {error}") from error

    def _take(self, bot: str, slots: int, longest_wait: float) -> DirectTurn | None:
        with closing(sqlite3.connect(self._path, timeout=LITE_PATIENCE_SECONDS, isolation_level=None)) as connection:
            # A slot that a power cut forgets costs nothing, and no claim is to wait for the disk.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN IMMEDIATE")
            now = self._clock()
            found = connection.execute(LITE_TIMELINE, {"name": bot, "now": now}).fetchone()
            if found is None:
                return None
            id_, next_slot_at, halted_until, stopped, pace = found
            first_slot_at = max(next_slot_at, halted_until, now)
            send_in = max(0.0, (halted_until - now) / SECOND)
            if pace is not None:
                ahead = (max(next_slot_at, halted_until) - now) / SECOND
                send_in = max(send_in, ahead - HORIZON_SECONDS - LARGEST_TAKE / pace)
                if slots and send_in <= longest_wait and stopped is None:
                    following = first_slot_at + int(slots / pace * SECOND)
                    connection.execute(LITE_ADVANCE, {"id": id_, "next": following})
            connection.execute("COMMIT")
            return DirectTurn(id_, send_in)

    async def close(self) -> None:
        """See `ports.DirectSlots.close`."""

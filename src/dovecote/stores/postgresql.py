"""The outbox on PostgreSQL: the cycle in one statement, and workers that wake by LISTEN/NOTIFY and poll as well."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dovecote.errors import MissingExtra, NotMigrated, StoreUnavailable
from dovecote.model import eventful
from dovecote.stores.addresses import place_of
from dovecote.stores.postgresql_answer import TURNED_AWAY
from dovecote.stores.postgresql_cycle import CYCLE, CYCLE_ALONE, CYCLE_ALONE_RARE, CYCLE_RARE
from dovecote.stores.rows import (
    ChatWait,
    GivenBack,
    Move,
    ResultRow,
    Strike,
    bot_effects,
    chat_waits,
    given_back,
    moves,
    read_cycle,
    result_row,
    strikes,
)

try:
    import asyncpg
except ModuleNotFoundError as _error:
    raise MissingExtra("postgres", "An outbox on PostgreSQL") from _error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from sqlalchemy import URL

    from dovecote.model import ClaimedNotification, Cycle, Settlement

logger = logging.getLogger(__name__)

CHANNEL = "dovecote"
# Slots are reserved at most so far ahead, so that an urgent notification waits behind no more than that.
HORIZON_SECONDS = 0.5
# A wish to be woken lasts so long without being renewed: a worker that died costs the application no more than that.
WISH_SECONDS = 60
# Deadlock, serialisation failure, and the index that allows one leased notification per chat.
RETRIED = ("40P01", "40001", "23505")
TRIES = 5
# SQLSTATE classes of a server that cannot serve now: connection, read-only, resources, intervention, system.
OUTAGES = ("08", "25", "53", "57", "58")
# The same of a database that was dropped, a role that is gone or may not enter, and rights that were taken away.
SHUT_OUT = ("3D000", "28000", "28P01", "42501")
# A connection that is of no use any more. The driver loses its own count of states when the server ends it while idle.
BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
# So many full claims in a row mean a backlog: a worker that has one needs nobody to wake it.
BUSY_CLAIMS = 20
# At last a worker whose bot is in the claims of others asks again so seldom. A claim of a whole batch takes some 50 ms.
LONGEST_TURN = 0.08

# From so many outcomes on a cycle is another statement to the database, which so has a plan of its own, made when the
# table has rows: made for an empty one it would compare each outcome with each row.
LARGE_BATCH = 32
OF_ITS_OWN_PLAN = "-- of a large batch"

# Planned once: to plan a cycle takes three times as long as a small one itself. The tests of plans hold it to reading
# by index, for whatever table it was planned. A compiled plan takes longer than the statement.
# To remember what was looked up, and to sort by parts, cost a batch of chats that all differ a twentieth, for nothing.
SESSION = {
    "application_name": "dovecote",
    "plan_cache_mode": "force_generic_plan",
    "enable_memoize": "off",
    "enable_incremental_sort": "off",
    "enable_seqscan": "off",
    "jit": "off",
    "default_transaction_isolation": "read committed",
}
# By default the driver parses anew, at each execution, whatever is as long as the cycle.
PREPARED = {"max_cacheable_statement_size": 0}
# A transaction pooler takes neither settings of a session nor statements that are kept in one.
POOLED_SESSION = {"application_name": "dovecote"}
UNPREPARED = {"statement_cache_size": 0}

WISH = """
INSERT INTO dovecote.idle_worker (id, until) VALUES ($1, dovecote.clock() + make_interval(secs => $2))
ON CONFLICT (id) DO UPDATE SET until = excluded.until
"""
# Leased ones are left alone: whoever holds them hears the same of Telegram.
MOVE = """
UPDATE dovecote.notification n SET chat = $3
WHERE n.id IN (
    SELECT q.id FROM dovecote.notification q
    WHERE q.bot_id = $1 AND q.chat = $2 AND q.lease_token IS NULL
    ORDER BY q.id LIMIT $4
)
  AND n.chat = $2 AND n.lease_token IS NULL
RETURNING n.id
"""
MOVED_AT_ONCE = 500
WITHDRAW = "DELETE FROM dovecote.idle_worker WHERE id = $1"


class PostgreSQLOutbox:
    """`ports.OutboxStore` on PostgreSQL 14 and later.

    Holds one connection for cycles and one that listens. A cycle meets a deadlock or a serialisation failure by
    running again. With `listen` off (behind a transaction pooler) workers only poll.
    """

    def __init__(self, url: URL, *, listen: bool = True) -> None:
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._place = place_of(url)
        self._listen = listen
        self._id = secrets.token_hex(8)
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._listener: asyncpg.Connection[asyncpg.Record] | None = None
        self._lock = asyncio.Lock()
        self._woken = asyncio.Event()
        self._wish_ends_at = 0.0
        self._full_claims = 0
        # Seconds until it asks again when it is turned away next.
        self._turn = TURNED_AWAY
        self.statements = 0

    async def cycle(
        self,
        settlements: Sequence[Settlement],
        *,
        claim: int,
        lease: timedelta,
        renew: Sequence[ClaimedNotification] = (),
        alone: bool = False,
    ) -> Cycle:
        """See `ports.OutboxStore.cycle`."""
        token = secrets.randbits(63)
        events = eventful(settlements)
        arguments = [
            *_settlement_columns(settlements),
            *_bot_columns(events),
            [c.id for c in renew],
            [c.lease_token for c in renew],
            min(claim, 1) if alone else claim,
            lease.total_seconds(),
            token,
            alone,
            HORIZON_SECONDS,
            *_columns(strikes(events), Strike),
        ]
        rare = [*_given_back_columns(events), *_columns(chat_waits(events), ChatWait)]
        statement = CYCLE_ALONE if alone else CYCLE
        if any(rare):
            statement = CYCLE_ALONE_RARE if alone else CYCLE_RARE
            arguments += rare
        if len(settlements) >= LARGE_BATCH:
            statement += OF_ITS_OWN_PLAN
        is_busy = False
        async with self._lock:
            cycle = read_cycle(await self._fetch(statement, arguments), token)
            for move in moves(events, cycle.lost):
                await self._move(move)
            if claim and not cycle.claimed and cycle.next_due_in == TURNED_AWAY:
                # It says nothing of the backlog: another worker had the bot. Who asks again at once asks for nothing.
                cycle = replace(cycle, next_due_in=self._turn)
                self._turn = min(LONGEST_TURN, 2 * self._turn)
            elif claim:
                self._turn = TURNED_AWAY
                self._full_claims = self._full_claims + 1 if len(cycle.claimed) == claim else 0
                is_busy = self._full_claims == BUSY_CLAIMS
        if is_busy:
            await self._withdraw_wish()
        return cycle

    async def _fetch(self, statement: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        for last in (False,) * (TRIES - 1) + (True,):
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connected()
                self.statements += 1
                rows: list[asyncpg.Record] = await self._connection.fetch(statement, *arguments)
                return rows  # noqa: TRY300 (an else would stand far from its try)
            except asyncpg.PostgresError as error:
                if error.sqlstate not in RETRIED or last:
                    raise _translated(error, self._place) from error
            except BROKEN as error:
                await _discard(self._connection)
                raise _translated(error, self._place) from error
        raise AssertionError  # pragma: no cover (the last try answers or raises)

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        session, statements = (SESSION, PREPARED) if self._listen else (POOLED_SESSION, UNPREPARED)
        return await asyncpg.connect(self._dsn, server_settings=session, command_timeout=60, **statements)

    async def _move(self, move: Move) -> None:
        """Move what waits for a group to the supergroup that it has become, in bounded batches.

        What is left behind by an outage meets the same answer of Telegram's, and moves then.
        """
        try:
            while await self._fetch(MOVE, [*move, MOVED_AT_ONCE]):
                continue
        except StoreUnavailable:
            logger.warning("what waits for a group that became a supergroup could not be moved yet", exc_info=True)

    async def wait(self, timeout: timedelta) -> None:
        """See `ports.OutboxStore.wait`. Returns at once after a new wish, so that the caller looks once more."""
        seconds = timeout.total_seconds()
        if self._listen and await self._wish():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        self._woken.clear()

    async def _wish(self) -> bool:
        """Ask to be woken; true when the wish is new and something may have been enqueued before it was seen."""
        loop = asyncio.get_running_loop()
        listening = self._listener is not None and not self._listener.is_closed()
        if listening and loop.time() < self._wish_ends_at - WISH_SECONDS / 2:
            return False
        fresh = not listening or loop.time() >= self._wish_ends_at
        try:
            if not listening:
                self._listener = await self._connected()
                await self._listener.add_listener(CHANNEL, lambda *_: self._woken.set())
            assert self._listener is not None  # noqa: S101 (connected above)
            self.statements += 1
            await self._listener.execute(WISH, self._id, float(WISH_SECONDS))
        except (asyncpg.PostgresError, *BROKEN):
            # Waking is a convenience and the poll goes on; an outage is reported by the cycle, which needs it.
            await _discard(self._listener)
            self._listener = None
            return False
        self._wish_ends_at = loop.time() + WISH_SECONDS
        return fresh

    async def _withdraw_wish(self) -> None:
        """Stop being woken: a NOTIFY costs the application's commits something, and a busy worker needs none."""
        if self._listener is None or not self._wish_ends_at:
            return
        self._wish_ends_at = 0.0
        with suppress(asyncpg.PostgresError, *BROKEN):
            await self._listener.execute(WITHDRAW, self._id)

    async def close(self) -> None:
        """See `ports.OutboxStore.close`."""
        await self._withdraw_wish()
        await _discard(self._listener)
        await _discard(self._connection)
        self._listener = self._connection = None


async def _discard(connection: asyncpg.Connection[asyncpg.Record] | None) -> None:
    if connection is None:
        return
    try:
        await connection.close(timeout=2)
    except (asyncpg.PostgresError, *BROKEN):
        connection.terminate()


# The columns of a settlement whose values are numbers, names or lists of numbers: as text they need no quoting.
_AS_LITERALS = frozenset({"lease_token", "attempt", "outcome", "retry_in", "took", "error_code", "message_ids"})


def _settlement_columns(settlements: Sequence[Settlement]) -> list[Sequence[Any]]:
    # A part of the statement may not touch a row twice, so a settlement that comes twice is sent once.
    once = {(row.id, row.lease_token): row for row in map(result_row, settlements)}
    columns: Sequence[Sequence[Any]] = list(zip(*once.values(), strict=True)) or [()] * len(ResultRow._fields)
    return [
        _array_literal(column) if name in _AS_LITERALS else () if _is_empty(column) else column
        for name, column in zip(ResultRow._fields, columns, strict=True)
    ]


def _is_empty(column: Sequence[Any]) -> bool:
    """Whether it says nothing: the statement fills a column that is shorter than the others with NULL."""
    return column.count(None) == len(column)


def _array_literal(column: Sequence[Any]) -> str:
    """A column as PostgreSQL writes an array: the driver looks at each value of a sequence, and long."""
    if _is_empty(column):
        return "{}"
    return f"{{{','.join(['NULL' if value is None else _written(value) for value in column])}}}"


def _written(value: float | str | tuple[int, ...]) -> str:
    # An array of arrays must be rectangular, so a list of numbers goes as the text of one.
    return f'"{{{",".join(map(str, value))}}}"' if isinstance(value, tuple) else str(value)


def _bot_columns(settlements: Sequence[Settlement]) -> list[Sequence[Any]]:
    halts, stops = bot_effects(settlements)
    return [list(halts), list(halts.values()), list(stops), list(stops.values())]


def _columns(rows: Sequence[tuple[Any, ...]], of: type[Strike | ChatWait | GivenBack]) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * len(of._fields)


def _given_back_columns(settlements: Sequence[Settlement]) -> list[Sequence[Any]]:
    *claims, bots = _columns(given_back(settlements), GivenBack)
    return [*claims, sorted(set(bots))]


def _translated(error: Exception, place: str) -> Exception:
    state = getattr(error, "sqlstate", None)
    if isinstance(error, (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedFunctionError)):
        return NotMigrated(f"the database has no Dovecote schema of this version ({error}): run `dovecote migrate`.")
    if state is not None and state[:2] not in OUTAGES and state not in SHUT_OUT:
        return error
    return StoreUnavailable(f"{place} cannot be used just now: {str(error) or type(error).__name__}")

"""Delivering by hand: the cycles of a worker without its loop, for a clock that stands still.

A cycle settles and claims in one statement, as a worker's does. What it has claimed is sent one after the other in the
order of the slots, so that what arrives arrives in the same order every time. What only waits for its turn in a chat
is due some milliseconds later, which do not pass here: it is made due when the one before it has been sent.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from dovecote.model import BotStopped, Released, Scope, Snoozed
from dovecote.stores.clock import StoreClock, real_microseconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from sqlalchemy import Connection

    from dovecote.app import Dovecote
    from dovecote.sender import Sender
    from dovecote.unit_of_work import ClaimedOutbox

BATCH: Final = 500
LIMITS: Final = ("pace", "private_count", "private_window", "group_count", "group_window", "paid_pace")
"""The columns of a bot's row that make a notification wait though it is due."""


class Courier:
    """Delivers what is due in the outbox of `dovecote`, in one event loop."""

    def __init__(self, dovecote: Dovecote) -> None:
        self._dovecote = dovecote
        self._database = dovecote.database
        self._clock = StoreClock(self._database, real_microseconds)
        self._lease: timedelta = dovecote.settings.worker.lease

    async def deliver(self) -> float | None:
        """Fire and deliver until nothing is due; answer the seconds until there is something, None for never."""
        scheduler = self._dovecote.scheduler()
        try:
            async with self._without_limits():
                while True:
                    fires_in = await scheduler.fire_due()
                    due_in, tried = await self._empty()
                    # What was delivered may have let a schedule go on that had waited for it.
                    if not tried:
                        return min((each for each in (fires_in, due_in) if each is not None), default=None)
        finally:
            await scheduler.close()

    async def _empty(self) -> tuple[float | None, int]:
        """Run cycles until one claims nothing; answer when the next may claim, and how many were tried."""
        outbox: ClaimedOutbox = self._dovecote.unit_of_work().outbox
        sender: Sender = self._dovecote.sender
        tried: set[int] = set()
        alone = False
        while True:
            settling = outbox.marked
            lease_ends_at = sender.monotonic() + self._lease.total_seconds()
            cycle = await outbox.cycle(claim=1 if alone else BATCH, alone=alone)
            halted: set[int] = set()
            for claimed in sorted(cycle.claimed, key=lambda each: (each.send_in, each.slot or 0, each.id)):
                # As a worker does: what a bot was to send after a 429 is given back.
                outcome, took = (
                    (Released(), 0.0) if claimed.bot_id in halted else await sender.send(claimed, lease_ends_at)
                )
                outbox.note(claimed, outcome, took)
                if isinstance(outcome, BotStopped) or (isinstance(outcome, Snoozed) and outcome.scope is Scope.BOT):
                    halted.add(claimed.bot_id)
            tried.update(claimed.id for claimed in cycle.claimed)
            if cycle.claimed:
                alone = False
            elif settling:
                # A claim counts what is settled in the same statement as still waiting, so one more is made after it.
                await self._database.run(lambda connection: self._give_turns(connection, tried), write=True)
            elif cycle.suspects and not alone:
                alone = True
            else:
                return cycle.next_due_in, len(tried)

    def _give_turns(self, connection: Connection, tried: set[int]) -> None:
        """Make due what was never sent and should have been by now: it waits behind others of its chat."""
        table = self._database.tables.notification
        now = self._clock.now(connection)
        waits = (table.c.attempts == 0, table.c.lease_token.is_(None), table.c.planned_at <= now, table.c.due_at > now)
        # What was tried and is still here was told to wait, and is not to be tried again and again.
        turns = [id_ for id_ in connection.execute(select(table.c.id).where(*waits)).scalars() if id_ not in tried]
        if turns:
            statement = table.update().where(table.c.id == bindparam("turn")).values(due_at=now)
            connection.execute(statement, [{"turn": id_} for id_ in turns])

    @asynccontextmanager
    async def _without_limits(self) -> AsyncIterator[None]:
        """Let no bot have a pace or a limit meanwhile."""
        database = self._database
        bot = database.tables.bot
        columns = [bot.c[name] for name in LIMITS]
        kept = await database.run(lambda connection: connection.execute(select(bot.c.id, *columns)).mappings().all())
        limited = [dict(row) for row in kept if any(row[name] is not None for name in LIMITS)]
        if not limited:
            yield
            return
        lifted = bot.update().values(dict.fromkeys(LIMITS))
        put_back = (
            bot.update()
            .where(bot.c.id == bindparam("bot_id"))
            .values({name: bindparam(f"kept_{name}") for name in LIMITS})
        )
        rows = [{"bot_id": row["id"], **{f"kept_{name}": row[name] for name in LIMITS}} for row in limited]
        await database.run(lambda connection: connection.execute(lifted), write=True)
        try:
            yield
        finally:
            await database.run(lambda connection: connection.execute(put_back, rows), write=True)

"""How the outbox stands at one moment: four statements and one for the oldest snapshot, however large its tables are.

Nothing is counted over a whole table. What is due is counted in the index of due times, up to a bound for each bot and
priority; what has come of notifications is counted over the last few seconds of the history.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, literal, select

from dovecote.model import BotActivity, Depth, OldSnapshot, Overview, Priority
from dovecote.stores.bots import raise_unknown_bot
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.depths import SETTLED, Depths
from dovecote.stores.health import SNAPSHOTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row, Select

    from dovecote.stores.database import Database

WINDOW: Final = timedelta(seconds=5)
CLIMB: Final = 0.001
"""Of the whole pace, so much comes back in a second after a 429; the claim's own number."""


class Overviews:
    """`ports.OverviewStore` on either database. `clock` answers microseconds since the epoch and is SQLite's."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def overview(self, *, bot: str | None = None) -> Overview:
        """See `ports.OverviewStore.overview`."""

        def read(connection: Connection) -> Overview:
            now = self._clock.now(connection)
            rows = connection.execute(self._bots(now, bot)).all()
            if bot is not None and not rows:
                raise_unknown_bot(connection, self._tables, bot)
            settled = self._outcomes(connection, now)
            waiting = self._waiting_chats(connection, now)
            bots = [_activity(row, now, settled[row.id], waiting.get(row.id, 0)) for row in rows]
            # Sorted here, by code point: the databases' collations differ.
            bots.sort(key=lambda each: each.name)
            return Overview(
                at=now,
                window=WINDOW.total_seconds(),
                due={
                    priority.name.lower(): _sum(each.due[priority.name.lower()] for each in bots)
                    for priority in Priority
                },
                outcomes={state.value: sum(each.outcomes[state.value] for each in bots) for state in SETTLED},
                bots=tuple(bots),
                oldest_snapshot=self._snapshot(connection),
            )

        return await self._database.run(read)

    def _bots(self, now: datetime, name: str | None) -> Select[Any]:
        """The bots, with what is due of each: its count up to the bound, and the earliest, by priority."""
        bot = self._tables.bot
        depths = Depths(self._tables, now, is_postgresql=self._database.is_postgresql)
        statement = select(
            bot.c.id,
            bot.c.name,
            bot.c.pace,
            bot.c.pace_held,
            bot.c.pace_held_at,
            bot.c.halted_until,
            bot.c.stopped_reason,
            bot.c.waits,
            *depths.due(),
        )
        return statement if name is None else statement.where(bot.c.name == name)

    def _outcomes(self, connection: Connection, now: datetime) -> Mapping[int, Mapping[str, int]]:
        history = self._tables.history
        statement = (
            select(history.c.bot_id, history.c.outcome, func.count())
            .where(
                history.c.outcome.in_([state.value for state in SETTLED]),
                history.c.settled_at > literal(now - WINDOW, history.c.settled_at.type),
            )
            .group_by(history.c.bot_id, history.c.outcome)
        )
        found: defaultdict[int, dict[str, int]] = defaultdict(dict)
        for bot_id, outcome, count in connection.execute(statement):
            found[bot_id][outcome] = count
        return found

    def _waiting_chats(self, connection: Connection, now: datetime) -> Mapping[int, int]:
        wait = self._tables.chat_wait
        running = wait.c.until > literal(now, wait.c.until.type)
        statement = select(wait.c.bot_id, func.count()).where(running).group_by(wait.c.bot_id)
        return {row[0]: row[1] for row in connection.execute(statement)}

    async def oldest_snapshot(self) -> OldSnapshot | None:
        """See `ports.OverviewStore.oldest_snapshot`."""
        return await self._database.run(self._snapshot)

    def _snapshot(self, connection: Connection) -> OldSnapshot | None:
        if not self._database.is_postgresql:
            return None
        oldest = connection.execute(SNAPSHOTS).first()
        return None if oldest is None else OldSnapshot(holder=oldest.holder, seconds=oldest.seconds)


def _activity(row: Row[Any], now: datetime, settled: Mapping[str, int], waiting_chats: int) -> BotActivity:
    halted_for = 0.0 if row.halted_until is None else max(0.0, (row.halted_until - now).total_seconds())
    due = {}
    for priority in Priority:
        count, oldest = getattr(row, f"due_{priority}"), getattr(row, f"oldest_{priority}")
        due[priority.name.lower()] = Depth(count, None if oldest is None else (now - oldest).total_seconds())
    return BotActivity(
        name=row.name,
        pace=row.pace,
        pace_now=_pace_now(row, now),
        halted_for=halted_for,
        waits=row.waits,
        waiting_chats=waiting_chats,
        stopped_reason=row.stopped_reason,
        due=due,
        outcomes={state.value: settled.get(state.value, 0) / WINDOW.total_seconds() for state in SETTLED},
    )


def _pace_now(row: Row[Any], now: datetime) -> float | None:
    """As the claim reckons it: what a 429 has left, climbing back."""
    if row.pace is None or row.pace_held is None:
        return float(row.pace) if row.pace is not None else None
    since = max(0.0, (now - row.pace_held_at).total_seconds())
    return float(min(row.pace, row.pace_held + row.pace * CLIMB * since))


def _sum(depths: Iterable[Depth]) -> Depth:
    all_ = list(depths)
    return Depth(
        sum(each.due for each in all_), max((each.oldest for each in all_ if each.oldest is not None), default=None)
    )

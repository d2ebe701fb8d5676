"""The bots: their tokens (sealed or named), their limits."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, literal, null, select
from sqlalchemy.exc import IntegrityError

from dovecote.errors import BotExists, UnknownBot
from dovecote.model import Bot
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.tables import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from typing import NoReturn

    from sqlalchemy import Connection, Row

    from dovecote.stores.database import Database
    from dovecote.stores.tables import Tables

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A claim reserves slots no further ahead than this, so every slot that was given is earlier.
HORIZON = timedelta(seconds=0.5)

Limit = tuple[int, float] | None


# What Telegram could ever allow, and a slot that is never so far ahead that a date could not hold it.
SLOWEST_PACE = 0.001
FASTEST_PACE = 100_000.0
MOST_IN_A_WINDOW = 10_000
SHORTEST_WINDOW = 0.001
LONGEST_WINDOW = 86_400.0
FASTEST_PAID_PACE = 1000.0
MOST_STARS = 10_000_000
# Stars are kept in tenths: one is what a paid message costs.
TENTHS = 10


class Bots:
    """`ports.BotStore` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def add_bot(
        self,
        name: str,
        *,
        token_sealed: str | None = None,
        token_variable: str | None = None,
        pace: float | None = 30.0,
        private_limit: Limit = (3, 3.0),
        group_limit: Limit = (20, 60.0),
    ) -> Bot:
        """See `ports.BotStore.add_bot`. Raises ValueError for a name, token or limit that cannot be."""
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be a bot's name: use 1 to 64 letters, digits, hyphens and underscores.")
        values = {
            "name": name,
            **_token(name, token_sealed, token_variable),
            **_limits(pace, private_limit, group_limit),
        }
        bot = self._tables.bot

        def insert(connection: Connection) -> Bot:
            now = self._clock.now(connection)
            statement = bot.insert().values(**values, created_at=now, next_slot_at=now).returning(*bot.c)
            try:
                return _bot(connection.execute(statement).one(), 0)
            except IntegrityError:
                # Without its cause, which holds the sealed token among the statement's values.
                raise BotExists(name) from None

        return await self._database.run(insert, write=True)

    async def bots(self) -> Sequence[Bot]:
        """See `ports.BotStore.bots`."""
        statement = select(self._tables.bot)

        def read(connection: Connection) -> list[Bot]:
            rows = connection.execute(statement).all()
            # What was spent is of a day, and which day it is matters for these alone.
            today = day_of(self._clock.now(connection)) if any(row.paid_spent for row in rows) else 0
            return [_bot(row, today) for row in rows]

        # Sorted here, by code point: the databases' collations differ.
        return sorted(await self._database.run(read), key=lambda bot: bot.name)

    async def set_token(self, name: str, *, token_sealed: str | None, token_variable: str | None) -> None:
        """See `ports.BotStore.set_token`. Raises ValueError unless exactly one of the two is given."""
        values = _token(name, token_sealed, token_variable)
        bot = self._tables.bot

        def update(connection: Connection) -> None:
            statement = bot.update().where(bot.c.name == name).values(**values, stopped_reason=None)
            if not connection.execute(statement).rowcount:
                raise_unknown_bot(connection, self._tables, name)

        await self._database.run(update, write=True)

    async def reseal(self, name: str, token_sealed: str) -> None:
        """See `ports.BotStore.reseal`."""
        bot = self._tables.bot

        def update(connection: Connection) -> None:
            statement = bot.update().where(bot.c.name == name).values(token_sealed=token_sealed)
            if not connection.execute(statement).rowcount:
                raise_unknown_bot(connection, self._tables, name)

        await self._database.run(update, write=True)

    async def set_zone(self, name: str, zone: str | None) -> None:
        """See `ports.BotStore.set_zone`."""
        bot, schedule = self._tables.bot, self._tables.schedule

        def update(connection: Connection) -> None:
            bot_id = bot_id_of(connection, self._tables, name)
            connection.execute(bot.update().where(bot.c.id == bot_id).values(zone=zone))
            now = self._clock.now(connection)
            waits = and_(schedule.c.bot_id == bot_id, schedule.c.local_time, schedule.c.due_at > now)
            connection.execute(schedule.update().where(waits).values(due_at=now))

        await self._database.run(update, write=True)

    async def set_limits(self, name: str, *, pace: float | None, private_limit: Limit, group_limit: Limit) -> None:
        """See `ports.BotStore.set_limits`. Raises ValueError for a limit that cannot be."""
        values = _limits(pace, private_limit, group_limit)
        bot = self._tables.bot

        def update(connection: Connection) -> None:
            paid = select(bot.c.paid_pace).where(bot.c.name == name)
            _check_paid(name, pace, connection.execute(paid).scalar())
            # A slow pace may have put the next slot far ahead, and a faster one must not wait for it.
            latest = literal(self._clock.now(connection) + HORIZON, bot.c.next_slot_at.type)
            next_slot_at = case((bot.c.next_slot_at > latest, latest), else_=bot.c.next_slot_at)
            # What a 429 has taught was of the old pace; a higher one would be reached only after a quarter of an hour.
            pace_held = case((bot.c.pace.is_distinct_from(pace), null()), else_=bot.c.pace_held)
            statement = (
                bot.update().where(bot.c.name == name).values(**values, next_slot_at=next_slot_at, pace_held=pace_held)
            )
            if not connection.execute(statement).rowcount:
                raise_unknown_bot(connection, self._tables, name)

        await self._database.run(update, write=True)

    async def set_paid_broadcasts(self, name: str, *, pace: float | None, stars_per_day: int | None) -> None:
        """See `ports.BotStore.set_paid_broadcasts`. Raises ValueError for a pace or a budget that cannot be."""
        if (pace is None) != (stars_per_day is None):
            raise ValueError(f'the bot "{name}" needs a paid pace and a budget of Stars, or neither of the two.')
        if stars_per_day is not None and not 1 <= stars_per_day <= MOST_STARS:
            raise ValueError(f"{stars_per_day} Stars a day cannot be: give a whole number from 1 to {MOST_STARS}.")
        if pace is not None and pace > FASTEST_PAID_PACE:
            raise ValueError(f"a paid pace of {pace} cannot be: Telegram takes at most {FASTEST_PAID_PACE:.0f}/s.")
        bot = self._tables.bot
        values = {"paid_pace": pace, "paid_budget": None if stars_per_day is None else stars_per_day * TENTHS}

        def update(connection: Connection) -> None:
            row = connection.execute(select(bot.c.pace).where(bot.c.name == name).with_for_update()).one_or_none()
            if row is None:
                raise_unknown_bot(connection, self._tables, name)
            _check_paid(name, row.pace, pace)
            connection.execute(bot.update().where(bot.c.name == name).values(**values))

        await self._database.run(update, write=True)


def day_of(now: datetime) -> int:
    """The day, counted from 1970 in UTC."""
    return (now - EPOCH).days


def bot_id_of(connection: Connection, tables: Tables, name: str) -> int:
    """The id of the bot of that name. Raises UnknownBot."""
    found: int | None = connection.execute(select(tables.bot.c.id).where(tables.bot.c.name == name)).scalar()
    if found is None:
        raise_unknown_bot(connection, tables, name)
    return found


def raise_unknown_bot(connection: Connection, tables: Tables, name: str) -> NoReturn:
    """Raise UnknownBot, which names the bots that there are."""
    raise UnknownBot(name, sorted(connection.execute(select(tables.bot.c.name)).scalars()))


def _check_paid(name: str, pace: float | None, paid_pace: float | None) -> None:
    if paid_pace is not None and (pace is None or paid_pace <= pace):
        free = "it has none" if pace is None else f"{pace:g}/s"
        raise ValueError(
            f'the paid pace of the bot "{name}", {paid_pace:g}/s, has to be above its pace, which is free of charge'
            f" ({free}): give a faster one, or switch paid broadcasts off."
        )


def _token(name: str, sealed: str | None, variable: str | None) -> dict[str, str | None]:
    if (sealed is None) == (variable is None):
        raise ValueError(f'the bot "{name}" needs a sealed token or the name of a variable, exactly one of the two.')
    return {"token_sealed": sealed, "token_variable": variable}


def _limits(pace: float | None, private: Limit, group: Limit) -> dict[str, float | None]:
    if pace is not None and not SLOWEST_PACE <= pace <= FASTEST_PACE:
        raise ValueError(
            f"a pace of {pace} cannot be: give messages per second from {SLOWEST_PACE} to {FASTEST_PACE:.0f}, or no"
            " pace for no limit."
        )
    for limit in filter(None, (private, group)):
        if not (1 <= limit[0] <= MOST_IN_A_WINDOW and SHORTEST_WINDOW <= limit[1] <= LONGEST_WINDOW):
            raise ValueError(
                f"a limit of {limit[0]} messages in {limit[1]} s cannot be: give 1 to {MOST_IN_A_WINDOW} messages in"
                f" {SHORTEST_WINDOW} to {LONGEST_WINDOW:.0f} s."
            )
    private_count, private_window = private or (None, None)
    group_count, group_window = group or (None, None)
    return {
        "pace": pace,
        "private_count": private_count,
        "private_window": private_window,
        "group_count": group_count,
        "group_window": group_window,
    }


def _bot(row: Row[Any], today: int) -> Bot:
    return Bot(
        id=row.id,
        name=row.name,
        token_sealed=row.token_sealed,
        token_variable=row.token_variable,
        pace=row.pace,
        private_limit=None if row.private_count is None else (row.private_count, row.private_window),
        group_limit=None if row.group_count is None else (row.group_count, row.group_window),
        paid_pace=row.paid_pace,
        stars_per_day=None if row.paid_budget is None else row.paid_budget // TENTHS,
        stars_spent=row.paid_spent / TENTHS if row.paid_day == today else 0.0,
        created_at=row.created_at,
        halted_until=row.halted_until,
        stopped_reason=row.stopped_reason,
        slots_given=row.slots_given,
        zone=row.zone,
    )

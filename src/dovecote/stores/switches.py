"""The shares of bots' chats that have moved from another way of sending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from dovecote.stores.bots import bot_id_of
from dovecote.stores.clock import StoreClock, real_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from dovecote.stores.database import Database


class Switches:
    """Shares by bot, on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def shares(self) -> Mapping[str, float]:
        """The share of every bot that has one, by its name."""
        bot, switch = self._tables.bot, self._tables.switch
        statement = select(bot.c.name, switch.c.share).join_from(switch, bot, bot.c.id == switch.c.bot_id)

        def read(connection: Connection) -> dict[str, float]:
            return {row.name: row.share for row in connection.execute(statement.order_by(bot.c.name))}

        return await self._database.run(read)

    async def set_share(self, bot: str, share: float) -> None:
        """Keep a bot's share. Raises UnknownBot."""
        switch = self._tables.switch

        def write(connection: Connection) -> None:
            values = {"share": share, "changed_at": self._clock.now(connection)}
            id_ = bot_id_of(connection, self._tables, bot)
            changed = connection.execute(switch.update().where(switch.c.bot_id == id_).values(**values))
            if not changed.rowcount:
                connection.execute(switch.insert().values(bot_id=id_, **values))

        await self._database.run(write, write=True)

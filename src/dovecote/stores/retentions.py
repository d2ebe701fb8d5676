"""What each bot keeps for how long: the settings, and what it has of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from dovecote.model import BotRetention, Retention
from dovecote.stores.among import among
from dovecote.stores.bots import bot_id_of
from dovecote.stores.column_types import MICROSECOND, is_id
from dovecote.stores.retention_table import TIMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from sqlalchemy import Connection, Row

    from dovecote.stores.database import Database
    from dovecote.stores.tables import Tables

AT_ONCE = 1000


class BotRule(NamedTuple):
    """A bot, and what counts for it."""

    id: int
    name: str
    retention: Retention


class Retentions:
    """`ports.RetentionStore` on either database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = database.tables

    async def retentions(self) -> Mapping[str, BotRetention]:
        """See `ports.RetentionStore.retentions`."""
        bot, own = self._tables.bot, self._tables.bot_retention
        statement = select(bot.c.name, *(own.c[name] for name in TIMES)).join(own, own.c.bot_id == bot.c.id)

        def read(connection: Connection) -> dict[str, BotRetention]:
            return {row.name: _own(row) for row in connection.execute(statement.order_by(bot.c.name))}

        return await self._database.run(read)

    async def set_retention(self, bot: str, own: BotRetention) -> None:
        """See `ports.RetentionStore.set_retention`."""
        faults = own.faults()
        if faults:
            raise ValueError("\n".join(faults))
        table = self._tables.bot_retention
        times: dict[str, timedelta | None] = {name: getattr(own, name) for name in TIMES}
        values = {name: None if time is None else time // MICROSECOND for name, time in times.items()}

        def write(connection: Connection) -> None:
            here = table.c.bot_id == bot_id_of(connection, self._tables, bot)
            if own == BotRetention():
                connection.execute(table.delete().where(here))
            elif not connection.execute(table.update().where(here).values(**values)).rowcount:
                connection.execute(table.insert().values(bot_id=here.right, **values))

        await self._database.run(write, write=True)

    async def emptied(self, ids: Sequence[int]) -> Sequence[int]:
        """See `ports.RetentionStore.emptied`."""
        history = self._tables.history.c
        wanted = sorted({id_ for id_ in ids if is_id(id_)})

        def read(connection: Connection) -> list[int]:
            found: list[int] = []
            for start in range(0, len(wanted), AT_ONCE):
                these = among(connection, history.id, wanted[start : start + AT_ONCE])
                statement = select(history.id).where(these, history.erased_at.is_not(None))
                found += connection.execute(statement.order_by(history.id)).scalars()
            return found

        return await self._database.run(read)


def rules(connection: Connection, tables: Tables, retention: Retention) -> Sequence[BotRule]:
    """Every bot with what counts for it, `retention` being that of the settings."""
    bot, own = tables.bot, tables.bot_retention
    statement = select(bot.c.id, bot.c.name, *(own.c[name] for name in TIMES)).join(
        own, own.c.bot_id == bot.c.id, isouter=True
    )
    rows = connection.execute(statement.order_by(bot.c.id))
    return [BotRule(row.id, row.name, retention.for_bot(_own(row))) for row in rows]


def _own(row: Row[tuple[object, ...]]) -> BotRetention:
    times = {name: getattr(row, name) for name in TIMES}
    return BotRetention(**{name: None if time is None else time * MICROSECOND for name, time in times.items()})

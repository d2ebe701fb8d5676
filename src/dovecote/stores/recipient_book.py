"""What is known of recipients: written in batches, read one by one or a page at a time."""

from __future__ import annotations

from datetime import time
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, exists, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.errors import UnknownRecipient
from dovecote.model import QuietHours, Recipient, State, Unchanged
from dovecote.stores.among import among_texts
from dovecote.stores.bots import bot_id_of
from dovecote.stores.by_index import read_by_index
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.rows import DISABLING_STRIKES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from dovecote.model import RecipientChange
    from dovecote.stores.database import Database
    from dovecote.stores.tables import Tables

NO_HOURS: Final = dict.fromkeys(("quiet_from", "quiet_until", "quiet_silent", "quiet_urgent"))

ENABLED: Final = {"disabled_at": None, "disabled_reason": None, "strikes": 0}


class RecipientBook:
    """`ports.RecipientBook` on either database. `clock` answers microseconds; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def tell(self, bot: str, changes: Sequence[RecipientChange]) -> None:
        """See `ports.RecipientBook.tell`."""

        def write(connection: Connection) -> None:
            bot_id = bot_id_of(connection, self._tables, bot)
            told(connection, self._tables, bot_id, changes, self._clock.now(connection))

        await self._database.run(write, write=True)

    async def get(self, bot: str, chat: str) -> Recipient:
        """See `ports.RecipientBook.get`."""

        def read(connection: Connection) -> Recipient:
            bot_id = bot_id_of(connection, self._tables, bot)
            statement = profiles(self._tables, bot_id).where(self._tables.recipient.c.chat == chat)
            row = connection.execute(statement).one_or_none()
            if row is not None:
                return profile(bot, row)
            # What has arrived there is known, whether or not anybody has told of it.
            newest = _newest_delivery(self._tables, bot_id, chat).scalar_subquery()
            history = self._tables.history.c
            known, delivered_at = connection.execute(
                select(exists(select(history.id).where(history.bot_id == bot_id, history.chat == chat)), newest)
            ).one()
            if not known:
                raise UnknownRecipient(bot, chat)
            return Recipient(bot=bot, chat=chat, delivered_at=delivered_at)

        return await self._database.run(read)

    async def page(self, bot: str, *, before_chat: str | None = None, limit: int = 50) -> Sequence[Recipient]:
        """See `ports.RecipientBook.page`."""
        recipient = self._tables.recipient.c

        def read(connection: Connection) -> list[Recipient]:
            read_by_index(connection)
            statement = profiles(self._tables, bot_id_of(connection, self._tables, bot)).order_by(recipient.chat.desc())
            if before_chat is not None:
                statement = statement.where(recipient.chat < before_chat)
            return [profile(bot, row) for row in connection.execute(statement.limit(limit))]

        return await self._database.run(read)


def profiles(tables: Tables, bot_id: int) -> Any:
    """A query for the recipients of a bot, each with its newest delivery, as `profile` reads them."""
    recipient = tables.recipient
    newest = _newest_delivery(tables, bot_id, recipient.c.chat).correlate(recipient).scalar_subquery()
    return select(recipient, newest.label("newest_delivery")).where(recipient.c.bot_id == bot_id)


def _newest_delivery(tables: Tables, bot_id: int, chat: Any) -> Any:
    """The last delivery to a chat that the history has: the end of one part of an index."""
    history = tables.history.c
    return (
        select(history.settled_at)
        .where(history.bot_id == bot_id, history.chat == chat, history.outcome == State.DELIVERED.value)
        .order_by(history.settled_at.desc())
        .limit(1)
    )


def profile(bot: str, row: Row[Any]) -> Recipient:
    """A row as `profiles` reads it."""
    instants = [instant for instant in (row.delivered_at, row.newest_delivery) if instant is not None]
    return Recipient(
        bot=bot,
        chat=row.chat,
        disabled_at=row.disabled_at,
        reason=row.disabled_reason if row.disabled_at is not None else None,
        zone=row.zone,
        language=row.language,
        labels=tuple(row.labels or ()),
        opted_out=tuple(row.opted_out or ()),
        quiet_hours=None if row.quiet_from is None else _hours(row),
        told_at=row.zone_since,
        seen_at=row.seen_at,
        delivered_at=max(instants, default=None),
        blocked_at=row.blocked_at,
    )


def _hours(row: Row[Any]) -> QuietHours:
    begins, ends = (time(*divmod(minutes, 60)) for minutes in (row.quiet_from, row.quiet_until))
    return QuietHours(begins, ends, silent=bool(row.quiet_silent), urgent=bool(row.quiet_urgent))


def told(
    connection: Connection, tables: Tables, bot_id: int, changes: Sequence[RecipientChange], now: datetime
) -> None:
    """Write what is told of recipients, of each once, in the order of their chats. They are told of from now on.

    Those of a zone in which nobody was known may come earlier than what a schedule by local time waits for.
    """
    rows = {change.chat: _columns(change, now) for change in changes}
    new_zones = [
        zone for zone in _zones_of(connection, tables, bot_id, rows) if not _is_home(connection, tables, bot_id, zone)
    ]
    # Several that write at a time wait for each other in the same order.
    for names, group in groupby(sorted(rows.items()), key=lambda item: tuple(item[1])):
        values = [{"bot_id": bot_id, "chat": chat, "zone_since": now, **columns} for chat, columns in group]
        connection.execute(_upsert(connection, tables, names), values)
    if new_zones:
        schedule = tables.schedule
        waits = and_(schedule.c.bot_id == bot_id, schedule.c.local_time, schedule.c.due_at > now)
        connection.execute(schedule.update().where(waits).values(due_at=now))


def _columns(change: RecipientChange, now: datetime) -> dict[str, Any]:
    """What changes in a row."""
    columns: dict[str, Any] = {}
    for name in ("zone", "language"):
        value = getattr(change, name)
        if not isinstance(value, Unchanged):
            columns[name] = value
    for name in ("labels", "opted_out"):
        value = getattr(change, name)
        if not isinstance(value, Unchanged):
            columns[name] = list(value) or None
    hours = change.quiet_hours
    if isinstance(hours, QuietHours):
        columns |= {
            "quiet_from": hours.begins.hour * 60 + hours.begins.minute,
            "quiet_until": hours.ends.hour * 60 + hours.ends.minute,
            "quiet_silent": hours.silent,
            "quiet_urgent": hours.urgent,
        }
    elif hours is None:
        columns |= NO_HOURS
    if change.disabled is None:
        columns |= ENABLED
    elif not isinstance(change.disabled, Unchanged):
        columns |= {
            "disabled_at": change.disabled[0],
            "disabled_reason": change.disabled[1],
            "strikes": DISABLING_STRIKES,
        }
    if change.seen is not False:
        columns["seen_at"] = now if change.seen is True else change.seen
    return columns


def _zones_of(
    connection: Connection, tables: Tables, bot_id: int, rows: Mapping[str, Mapping[str, Any]]
) -> set[str | None]:
    """The zones in which somebody may be new: those that are given, and None for a stranger without one."""
    zones = {values["zone"] for values in rows.values() if "zone" in values}
    rest = [chat for chat, values in rows.items() if "zone" not in values]
    if rest:
        recipient = tables.recipient.c
        here = (recipient.bot_id == bot_id, among_texts(connection, recipient.chat, rest))
        known = select(recipient.chat).where(*here, recipient.zone_since.is_not(None))
        if len(connection.execute(known).all()) < len(rest):
            zones.add(None)
    return zones


def _is_home(connection: Connection, tables: Tables, bot_id: int, zone: str | None) -> bool:
    """Whether anybody is told of who lives there, None being where nobody knows."""
    recipient = tables.recipient.c
    same = recipient.zone.is_(None) if zone is None else recipient.zone == zone
    known = select(recipient.chat).where(recipient.bot_id == bot_id, same, recipient.zone_since.is_not(None))
    return connection.execute(known.limit(1)).first() is not None


def _upsert(connection: Connection, tables: Tables, names: Sequence[str]) -> Any:
    table = tables.recipient
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement: Any = dialect.insert(table)
    given, known = statement.excluded, table.c
    changed: dict[str, Any] = {name: given[name] for name in names}
    changed["zone_since"] = func.coalesce(known.zone_since, given.zone_since)
    if "zone" in names:
        moves = and_(known.zone_since.is_not(None), known.zone.is_distinct_from(given.zone))
        since = case((or_(moves, known.zone_since.is_(None)), given.zone_since), else_=known.zone_since)
        former = case((moves, func.coalesce(known.zone, "")), else_=known.former_zone)
        changed |= {"zone_since": since, "former_zone": former}
    if "seen_at" in names:
        later = or_(known.seen_at.is_(None), known.seen_at < given.seen_at)
        changed["seen_at"] = case((later, given.seen_at), else_=known.seen_at)
    return statement.on_conflict_do_update(index_elements=["bot_id", "chat"], set_=changed)

"""Where recipients live: the zones of an audience, and pages of those who live in one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, func, select

from dovecote.stores.bots import bot_id_of
from dovecote.zones import is_zone, zone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from dovecote.model import FireTime
    from dovecote.stores.tables import Tables

LATELY = timedelta(days=2)
"""Zones lie up to 26 hours apart: who left one longer ago is owed nothing there."""
NOWHERE = ""
"""The home of those whose zone nobody knows."""


def homes_of(
    connection: Connection, tables: Tables, bot: str, to: Sequence[int | str] | None, now: datetime
) -> tuple[list[str], str | None]:
    """The zones that recipients live in or have left lately, `NOWHERE` among them, and the bot's own zone.

    Raises UnknownBot.
    """
    recipient = tables.recipient.c
    bot_id = bot_id_of(connection, tables, bot)
    bot_zone = connection.execute(select(tables.bot.c.zone).where(tables.bot.c.id == bot_id)).scalar()
    told = and_(recipient.bot_id == bot_id, recipient.zone_since.is_not(None))
    moved = select(recipient.former_zone).where(
        recipient.bot_id == bot_id, recipient.former_zone.is_not(None), recipient.zone_since > now - LATELY
    )
    if to is not None:
        listed = recipient.chat.in_([str(chat) for chat in to])
        counted = select(recipient.zone, func.count()).where(told, listed, recipient.zone.is_not(None))
        counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(counted.group_by(recipient.zone)).all()}
        homes = {*counts, *connection.execute(moved.where(listed)).scalars()}
        nowhere = sum(counts.values()) < len(to)
    else:
        # From each zone to the next by the index: there are a few hundred zones and perhaps millions of recipients.
        first = select(func.min(recipient.zone).label("zone")).where(told).cte("home", recursive=True)
        following = select(func.min(recipient.zone)).where(told, recipient.zone > first.c.zone).scalar_subquery()
        chain = first.union_all(select(following).where(first.c.zone.is_not(None)))
        resident = select(chain.c.zone).where(chain.c.zone.is_not(None))
        homes = {*connection.execute(resident).scalars(), *connection.execute(moved).scalars()}
        unknown = select(recipient.chat).where(told, recipient.zone.is_(None)).limit(1)
        nowhere = connection.execute(unknown).first() is not None
    return sorted(homes | ({NOWHERE} if nowhere else set())), bot_zone


def count_of(connection: Connection, tables: Tables, bot: str) -> int:
    """How many recipients of a bot have been told of and are not disabled. Raises UnknownBot."""
    recipient = tables.recipient.c
    told = and_(recipient.bot_id == bot_id_of(connection, tables, bot), recipient.zone_since.is_not(None))
    count: int = connection.execute(
        select(func.count()).select_from(tables.recipient).where(told, recipient.disabled_at.is_(None))
    ).scalar_one()
    return count


class Page(NamedTuple):
    """Recipients of an occurrence, and the cursor behind them; None when they are the last."""

    chats: Sequence[str]
    cursor: str | None


class Audience:
    """The recipients of one occurrence: `to`, or with None all that were told of, of the `part` that is its own.

    `part` is None where the occurrence is for all zones.
    """

    def __init__(
        self,
        connection: Connection,
        tables: Tables,
        bot: str,
        *,
        to: Sequence[str] | None,
        part: str | None,
        fire: FireTime,
    ) -> None:
        self._connection = connection
        self._recipient = tables.recipient.c
        self._bot_id = bot_id_of(connection, tables, bot)
        self._to = to
        self._part = part
        self._fire = fire
        own = select(tables.bot.c.zone).where(tables.bot.c.id == self._bot_id)
        self._bot_zone = connection.execute(own).scalar() or "UTC" if part is not None else "UTC"

    def page(self, cursor: str, limit: int) -> Page:
        """Up to `limit` of those behind a cursor, which is empty at first. A page may be empty and not the last."""
        if self._to is not None:
            begun = int(cursor or 0)
            listed = self._to[begun : begun + limit]
            ahead = str(begun + limit) if begun + limit < len(self._to) else None
            return Page(listed if self._part is None else self._of_part(listed), ahead)
        if self._part is None:
            return self._all(cursor, limit)
        stage, chat = cursor[:1] or "h", cursor[1:]
        return self._residents(chat, limit) if stage == "h" else self._movers(chat, limit)

    def _all(self, cursor: str, limit: int) -> Page:
        recipient = self._recipient
        statement = (
            select(recipient.chat)
            .where(
                recipient.bot_id == self._bot_id,
                recipient.chat > cursor,
                recipient.zone_since.is_not(None),
                recipient.disabled_at.is_(None),
            )
            .order_by(recipient.chat)
            .limit(limit)
        )
        chats = list(self._connection.execute(statement).scalars())
        return Page(chats, chats[-1] if len(chats) == limit else None)

    def _residents(self, cursor: str, limit: int) -> Page:
        """Those who live in the zone now; who moved here has perhaps had this local time already, and the key knows."""
        recipient = self._recipient
        here = recipient.zone.is_(None) if self._part == NOWHERE else recipient.zone == self._part
        statement = (
            select(recipient.chat)
            .where(
                recipient.bot_id == self._bot_id,
                here,
                recipient.zone_since.is_not(None),
                recipient.chat > cursor,
                recipient.disabled_at.is_(None),
            )
            .order_by(recipient.chat)
            .limit(limit)
        )
        chats = list(self._connection.execute(statement).scalars())
        return Page(chats, f"h{chats[-1]}" if len(chats) == limit else "m")

    def _movers(self, cursor: str, limit: int) -> Page:
        """Those who moved away, to where this local time had passed already: elsewhere they would get none."""
        recipient = self._recipient
        statement = (
            select(recipient.chat, recipient.zone, recipient.zone_since)
            .where(
                recipient.bot_id == self._bot_id,
                recipient.former_zone == self._part,
                recipient.former_zone.is_not(None),
                recipient.zone_since > self._fire.at - LATELY,
                recipient.chat > cursor,
                recipient.disabled_at.is_(None),
            )
            .order_by(recipient.chat)
            .limit(limit)
        )
        rows = self._connection.execute(statement).all()
        chats = [row.chat for row in rows if self._has_missed(row.zone, row.zone_since)]
        return Page(chats, f"m{rows[-1].chat}" if len(rows) == limit else None)

    def _of_part(self, chats: Sequence[str]) -> list[str]:
        """Those of `chats` who belong to the part."""
        recipient = self._recipient
        statement = select(recipient.chat, recipient.zone, recipient.zone_since, recipient.former_zone).where(
            recipient.bot_id == self._bot_id, recipient.chat.in_(chats)
        )
        known = {row.chat: row for row in self._connection.execute(statement)}
        return [chat for chat in chats if self._belongs(known.get(chat))]

    def _belongs(self, row: Any) -> bool:
        if row is None:
            return self._part == NOWHERE
        if (row.zone or NOWHERE) == self._part:
            return True
        return row.former_zone == self._part and self._has_missed(row.zone, row.zone_since)

    def _has_missed(self, home: str | None, since: datetime | None) -> bool:
        """Whether the local time had passed in the new home when its recipient came there."""
        there = home if home is not None and is_zone(home) else self._bot_zone
        if since is None or not is_zone(there):
            return False
        return zone(there).instant(self._fire.wall) < since.replace(tzinfo=None)

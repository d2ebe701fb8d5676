"""The recipients of the bots: which take nothing more, and letting what waits for one go on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.model import Priority, RecipientChange, Refusal
from dovecote.stores.bots import bot_id_of
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.recipient_book import profile, profiles, told
from dovecote.stores.rows import DISABLING_STRIKES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from dovecote.model import Recipient
    from dovecote.stores.database import Database

# What one transaction makes due.
UNBLOCKED_AT_ONCE = 500


class Recipients:
    """`ports.RecipientStore` on either database. `clock` answers microseconds since the epoch; PostgreSQL has its own.

    All that waits for a disabled recipient ends at its next claim, and nothing of it before that.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def disabled(self, bot: str, *, before_chat: str | None = None, limit: int = 50) -> Sequence[Recipient]:
        """See `ports.RecipientStore.disabled`."""
        recipient = self._tables.recipient.c

        def read(connection: Connection) -> list[Recipient]:
            statement = (
                profiles(self._tables, bot_id_of(connection, self._tables, bot))
                .where(recipient.disabled_at.is_not(None))
                .order_by(recipient.chat.desc())
                .limit(limit)
            )
            if before_chat is not None:
                statement = statement.where(recipient.chat < before_chat)
            return [profile(bot, row) for row in connection.execute(statement)]

        return await self._database.run(read)

    async def enable(self, bot: str, chat: str) -> bool:
        """See `ports.RecipientStore.enable`."""
        return await self._database.run(partial(self._enable, bot, chat), write=True)

    def _enable(self, bot: str, chat: str, connection: Connection) -> bool:
        recipient = self._tables.recipient
        here = (recipient.c.bot_id == bot_id_of(connection, self._tables, bot), recipient.c.chat == chat)
        found = connection.execute(select(recipient).where(*here).with_for_update()).one_or_none()
        if found is None:
            return False
        # A row that says nothing else is none.
        if found.zone_since is None and found.blocked_at is None and found.delivered_at is None:
            connection.execute(recipient.delete().where(*here))
        else:
            enabled = {"disabled_at": None, "disabled_reason": None, "strikes": 0}
            connection.execute(recipient.update().where(*here).values(**enabled))
        return found.disabled_at is not None

    async def welcome(self, bot: str, chat: str) -> bool:
        """See `ports.RecipientStore.welcome`."""

        def take_in(connection: Connection) -> bool:
            was_disabled = self._enable(bot, chat, connection)
            bot_id = bot_id_of(connection, self._tables, bot)
            heard = [RecipientChange(chat=chat, seen=True)]
            told(connection, self._tables, bot_id, heard, self._clock.now(connection))
            return was_disabled

        return await self._database.run(take_in, write=True)

    async def move(self, bot: str, old: str, new: str) -> int:
        """See `ports.RecipientStore.move`."""
        if old == new:
            return 0
        await self._database.run(partial(self._rename, bot, old, new), write=True)
        count = 0
        while moved := await self._database.run(partial(self._readdress, bot, old, new), write=True):
            count += moved
        return count

    def _rename(self, bot: str, old: str, new: str, connection: Connection) -> None:
        recipient = self._tables.recipient
        here = (recipient.c.bot_id == bot_id_of(connection, self._tables, bot), recipient.c.chat == old)
        row = connection.execute(recipient.delete().where(*here).returning(*recipient.c)).mappings().one_or_none()
        if row is not None:
            insert = (postgresql if self._database.is_postgresql else sqlite).insert(recipient)
            connection.execute(insert.values({**row, "chat": new}).on_conflict_do_nothing())

    def _readdress(self, bot: str, old: str, new: str, connection: Connection) -> int:
        waiting = self._tables.notification
        here = (
            waiting.c.bot_id == bot_id_of(connection, self._tables, bot),
            waiting.c.chat == old,
            waiting.c.lease_token.is_(None),
        )
        # In the order of ids, as the cycle locks; leased ones are left alone, for their holder hears the same.
        some = select(waiting.c.id).where(*here).order_by(waiting.c.id).limit(UNBLOCKED_AT_ONCE)
        ids = connection.execute(some.with_for_update(skip_locked=True)).scalars().all()
        if ids:
            connection.execute(waiting.update().where(waiting.c.id.in_(ids)).values(chat=new))
        return len(ids)

    async def disable(self, bot: str, chat: str, reason: str) -> bool:
        """See `ports.RecipientStore.disable`. Raises ValueError for a reason that says nothing."""
        if not reason.strip():
            raise ValueError(f"{reason!r} is no reason: say why nothing more is to be sent, as opted_out.")
        recipient = self._tables.recipient

        def write(connection: Connection) -> bool:
            place = {"bot_id": bot_id_of(connection, self._tables, bot), "chat": chat}
            # As a worker may write the same row at the same moment, it is made before it is read.
            insert = (postgresql if self._database.is_postgresql else sqlite).insert(recipient)
            connection.execute(insert.values(place).on_conflict_do_nothing())
            here = (recipient.c.bot_id == place["bot_id"], recipient.c.chat == chat)
            before = connection.execute(select(recipient.c.disabled_at).where(*here).with_for_update()).scalar_one()
            now = self._clock.now(connection)
            values = {"disabled_at": before or now, "disabled_reason": reason, "strikes": DISABLING_STRIKES}
            if reason == Refusal.BLOCKED.value:
                values["blocked_at"] = now
            connection.execute(recipient.update().where(*here).values(values))
            return before is None

        return await self._database.run(write, write=True)

    async def unblock(self, bot: str, chat: str) -> int:
        """See `ports.RecipientStore.unblock`."""
        await self._database.run(partial(self._lift, bot, chat), write=True)
        count = 0
        for priority in Priority:
            last: tuple[datetime, int] | None = None
            while rows := await self._database.run(partial(self._make_due, bot, chat, priority, last), write=True):
                count += len(rows)
                last = rows[-1]
        return count

    def _lift(self, bot: str, chat: str, connection: Connection) -> None:
        """Forget the wait that Telegram gave to the chat."""
        wait = self._tables.chat_wait
        here = (wait.c.bot_id == bot_id_of(connection, self._tables, bot), wait.c.chat == chat)
        connection.execute(wait.delete().where(*here))

    def _make_due(
        self, bot: str, chat: str, priority: Priority, last: tuple[datetime, int] | None, connection: Connection
    ) -> list[tuple[datetime, int]]:
        """Make the next of a chat and priority due, in its order, behind `last`: a claim may put them back again."""
        now = self._clock.now(connection)
        waiting = self._tables.notification
        place = waiting.c.planned_at, waiting.c.id
        statement = (
            select(waiting.c.id, waiting.c.planned_at)
            .where(waiting.c.bot_id == bot_id_of(connection, self._tables, bot))
            .where(waiting.c.chat == chat, waiting.c.priority == priority.value, waiting.c.lease_token.is_(None))
            .where(waiting.c.planned_at <= now, waiting.c.due_at > now)
            .order_by(*place)
            .limit(UNBLOCKED_AT_ONCE)
            # A worker that has one in hand is about to say when it is due; waiting for it could be a deadlock.
            .with_for_update(skip_locked=True)
        )
        if last is not None:
            behind = tuple_(literal(last[0], place[0].type), literal(last[1], place[1].type))
            statement = statement.where(tuple_(*place) > behind)
        rows = connection.execute(statement).all()
        found = waiting.c.id.in_([row.id for row in rows])
        connection.execute(waiting.update().where(found).values(due_at=now))
        return [(row.planned_at, row.id) for row in rows]

"""The recipients of broadcasts: how they are added and read, a page at a time."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.model import BroadcastKind, RecipientState
from dovecote.stores.broadcast_rows import draft_of, recipient_of, row_of
from dovecote.stores.by_index import read_by_index
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.segments import belongs, opted_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from dovecote.model import Addressee, RecipientRecord, Segment
    from dovecote.stores.database import Database

DELETABLE: Final = timedelta(hours=48)
"""How long Telegram lets a bot delete what it has sent."""


class RecipientsOfBroadcasts:
    """`ports.BroadcastRecipients` on either database. `clock` answers microseconds; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def add(self, name: str, recipients: Sequence[Addressee]) -> int:
        """See `ports.BroadcastRecipients.add`."""
        # Of two of one chat the first stands, as if they had come one after the other.
        by_chat = {str(each.chat_id): each for each in reversed(recipients)}
        rows = [
            {
                "chat": chat,
                "locale": each.locale,
                "variables": json.dumps(dict(each.variables), ensure_ascii=False) if each.variables else None,
            }
            for chat, each in sorted(by_chat.items())
        ]

        def write(connection: Connection) -> int:
            return self._insert(connection, draft_of(connection, self._tables, name), rows)

        return await self._database.run(write, write=True)

    def _insert(self, connection: Connection, draft: Row[Any], rows: Sequence[dict[str, Any]]) -> int:
        """Insert those that are not there, and count them."""
        if not rows:
            return 0
        table, broadcast = self._tables.broadcast_recipient, self._tables.broadcast
        dialect = postgresql if self._database.is_postgresql else sqlite
        statement: Any = dialect.insert(table).on_conflict_do_nothing().returning(table.c.chat)
        fixed = {"broadcast_id": draft.id, "state": RecipientState.WAITING.value}
        new = len(connection.execute(statement, [{**fixed, **row} for row in rows]).all())
        counted = {"recipients": broadcast.c.recipients + new}
        connection.execute(broadcast.update().where(broadcast.c.id == draft.id).values(counted))
        return new

    async def add_segment(
        self, name: str, segment: Segment, *, after: str | None, limit: int
    ) -> tuple[int, str | None]:
        """See `ports.BroadcastRecipients.add_segment`."""
        recipient = self._tables.recipient.c

        def write(connection: Connection) -> tuple[int, str | None]:
            draft = draft_of(connection, self._tables, name)
            read_by_index(connection)
            # Bounded by what is looked at and not by what is found: a segment of few may be spread over many.
            statement = (
                select(recipient.chat, recipient.language, belongs(self._tables, segment).label("belongs"))
                .where(recipient.bot_id == draft.bot_id, recipient.chat > (after or ""))
                .order_by(recipient.chat)
                .limit(limit)
            )
            found = connection.execute(statement).all()
            rows = [{"chat": row.chat, "locale": row.language} for row in found if row.belongs]
            return self._insert(connection, draft, rows), found[-1].chat if len(found) == limit else None

        return await self._database.run(write, write=True)

    async def add_reached(self, name: str, *, after: str | None, limit: int) -> tuple[int, str | None]:
        """See `ports.BroadcastRecipients.add_reached`."""
        table = self._tables.broadcast_recipient.c

        def write(connection: Connection) -> tuple[int, str | None]:
            draft = draft_of(connection, self._tables, name)
            read_by_index(connection)
            now = self._clock.now(connection)
            statement = (
                select(table.chat, table.state, table.locale, table.variables, table.message_ids, table.settled_at)
                .where(table.broadcast_id == draft.of_id, table.chat > (after or ""))
                .order_by(table.chat)
                .limit(limit)
            )
            found = connection.execute(statement).all()
            recalls = draft.kind == BroadcastKind.RECALL.value
            rows = [
                {
                    "chat": row.chat,
                    "locale": row.locale,
                    "variables": row.variables,
                    "targets": row.message_ids,
                    "expires_at": row.settled_at + DELETABLE if recalls else None,
                }
                for row in found
                if row.state == RecipientState.DELIVERED.value
                and row.message_ids
                and not (recalls and row.settled_at + DELETABLE <= now)
            ]
            return self._insert(connection, draft, rows), found[-1].chat if len(found) == limit else None

        return await self._database.run(write, write=True)

    async def page(
        self, name: str, *, after: str | None = None, limit: int = 500, states: Sequence[RecipientState] = ()
    ) -> Sequence[RecipientRecord]:
        """See `ports.BroadcastRecipients.page`."""
        table = self._tables.broadcast_recipient

        def read(connection: Connection) -> list[RecipientRecord]:
            row = row_of(connection, self._tables, name)
            read_by_index(connection)
            statement = (
                select(table)
                .where(table.c.broadcast_id == row.id, table.c.chat > (after or ""))
                .order_by(table.c.chat)
                .limit(limit)
            )
            if states:
                wanted = {state.value for state in states}
                if RecipientState.CANCELLED in states and row.state == "cancelled":
                    wanted.add(RecipientState.WAITING.value)
                statement = statement.where(table.c.state.in_(sorted(wanted)))
            return [recipient_of(each, row.state) for each in connection.execute(statement)]

        return await self._database.run(read)

    async def named(self, name: str, chats: Sequence[str]) -> Sequence[RecipientRecord]:
        """See `ports.BroadcastRecipients.named`."""
        table = self._tables.broadcast_recipient

        def read(connection: Connection) -> list[RecipientRecord]:
            row = row_of(connection, self._tables, name)
            statement = select(table).where(table.c.broadcast_id == row.id, table.c.chat.in_(list(chats)))
            return [recipient_of(each, row.state) for each in connection.execute(statement)]

        return await self._database.run(read)

    async def suppressed(self, name: str, *, after: str | None, limit: int) -> tuple[int, str | None]:
        """See `ports.BroadcastRecipients.suppressed`."""
        table, recipient = self._tables.broadcast_recipient.c, self._tables.recipient.c

        def read(connection: Connection) -> tuple[int, str | None]:
            row = row_of(connection, self._tables, name)
            read_by_index(connection)
            some = (
                select(table.chat)
                .where(table.broadcast_id == row.id, table.chat > (after or ""))
                .order_by(table.chat)
                .limit(limit)
                .subquery()
            )
            off: ColumnElement[bool] = recipient.disabled_at.is_not(None)
            category = json.loads(row.form).get("category")
            if category is not None and row.kind == BroadcastKind.SEND.value:
                off = or_(off, opted_out(self._tables, category))
            off = exists().where(recipient.bot_id == row.bot_id, recipient.chat == some.c.chat, off)
            counted = select(func.count(), func.max(some.c.chat), func.count().filter(off)).select_from(some)
            count, last, suppressed = connection.execute(counted).one()
            return suppressed, last if count == limit else None

        return await self._database.run(read)

"""The book of broadcasts: what whoever makes and steers them asks for, and what a claim needs of them."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from dovecote.errors import InvalidBroadcast, UnknownFile
from dovecote.model import BroadcastKind, BroadcastState, StoredContent
from dovecote.references import slots
from dovecote.stores.among import among
from dovecote.stores.bots import bot_id_of
from dovecote.stores.broadcast_rows import ENQUEUED, UNDER_WAY, names_of, record_of, row_of
from dovecote.stores.broadcast_turns import let_go
from dovecote.stores.by_index import read_by_index
from dovecote.stores.clock import StoreClock, real_microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

    from dovecote.model import BroadcastRecord
    from dovecote.stores.database import Database

FORGOTTEN_AT_ONCE = 2000
ENDED = (BroadcastState.DRAFT.value, BroadcastState.FINISHED.value, BroadcastState.CANCELLED.value)


class BroadcastsBook:
    """`ports.BroadcastBook` on either database. `clock` answers microseconds; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def add(
        self, name: str, bot: str, form: str, *, kind: BroadcastKind = BroadcastKind.SEND, of: str | None = None
    ) -> BroadcastRecord:
        """See `ports.BroadcastBook.add`."""
        table = self._tables.broadcast

        def insert(connection: Connection) -> BroadcastRecord:
            now = self._clock.now(connection)
            self._check_files(connection, json.loads(form))
            values = {
                "name": name,
                "bot_id": bot_id_of(connection, self._tables, bot),
                "kind": kind.value,
                "of_id": None if of is None else row_of(connection, self._tables, of).id,
                "form": form,
                "state": BroadcastState.DRAFT.value,
                "created_at": now,
                "changed_at": now,
                "cursor": "",
            }
            try:
                return record_of(connection.execute(table.insert().values(**values).returning(*table.c)).one(), of)
            except IntegrityError as error:
                raise InvalidBroadcast(
                    "name",
                    f'there is a broadcast named "{name}" already: choose another name; to a draft recipients can be'
                    " added again, whoever is in it is not added twice.",
                ) from error

        return await self._database.run(insert, write=True)

    def _check_files(self, connection: Connection, form: Mapping[str, Any]) -> None:
        """Raise UnknownFile, and InvalidBroadcast for a file that could be collected while the broadcast waits."""
        file = self._tables.files.file.c
        variants = [form["params"], *form["locales"].values()]
        ids = {slot.file_id for params in variants for slot in slots(form["method"], params)}
        if not ids:
            return
        kept = {row.id: row.kept for row in connection.execute(select(file.id, file.kept).where(file.id.in_(ids)))}
        for file_id in sorted(ids):
            if file_id not in kept:
                raise UnknownFile(file_id)
            if not kept[file_id]:
                raise InvalidBroadcast(
                    "params",
                    f"file {file_id} is not kept, so it could be collected before all have it: put it with keep=True.",
                )

    async def get(self, name: str) -> BroadcastRecord:
        """See `ports.BroadcastBook.get`."""
        return await self._database.run(
            lambda connection: self._record(connection, row_of(connection, self._tables, name))
        )

    def _record(self, connection: Connection, row: Row[Any]) -> BroadcastRecord:
        return record_of(row, names_of(connection, self._tables, [row]).get(row.of_id))

    async def page(self, *, before_id: int | None = None, limit: int = 50) -> Sequence[BroadcastRecord]:
        """See `ports.BroadcastBook.page`."""
        table = self._tables.broadcast
        statement = select(table).order_by(table.c.id.desc()).limit(limit)
        if before_id is not None:
            statement = statement.where(table.c.id < before_id)
        return await self._records(statement)

    async def under_way(self, *, limit: int = 50) -> Sequence[BroadcastRecord]:
        """See `ports.BroadcastBook.under_way`."""
        table = self._tables.broadcast
        return await self._records(select(table).where(UNDER_WAY).order_by(table.c.id.desc()).limit(limit))

    async def _records(self, statement: Select[Any]) -> list[BroadcastRecord]:
        def read(connection: Connection) -> list[BroadcastRecord]:
            rows = connection.execute(statement).all()
            names = names_of(connection, self._tables, rows)
            return [record_of(row, names.get(row.of_id)) for row in rows]

        return await self._database.run(read)

    async def change(
        self, name: str, state: BroadcastState, *, allowed: Sequence[BroadcastState], reason: str | None = None
    ) -> BroadcastRecord:
        """See `ports.BroadcastBook.change`."""
        table = self._tables.broadcast

        def update(connection: Connection) -> BroadcastRecord:
            row = row_of(connection, self._tables, name, locked=True)
            if row.state == state.value:
                return self._record(connection, row)
            if BroadcastState(row.state) not in allowed:
                raise InvalidBroadcast(
                    "state",
                    f'"{name}" is {row.state}, and only one that is {" or ".join(allowed)} can become {state.value}.',
                )
            if state is BroadcastState.RUNNING and not row.recipients:
                raise InvalidBroadcast("recipients", f'"{name}" has none: add some first.')
            now = self._clock.now(connection)
            values: dict[str, Any] = {"state": state.value, "changed_at": now, "reason": reason, "turn_at": now}
            if state is BroadcastState.RUNNING:
                settled = row.delivered + row.dead + row.unknown + row.suppressed + row.cancelled
                # What the brake has seen before is what somebody has looked at by now.
                values |= {"measured_at": now, "measured": settled, "rate": None, "recent": "{}"}
                values["started_at"] = row.started_at or now
                let_go(connection, self._tables, row, now)
            if state is BroadcastState.CANCELLED:
                values |= {"finished_at": now, "cursor": None}
            changed = table.update().where(table.c.id == row.id).values(**values).returning(*table.c)
            return self._record(connection, connection.execute(changed).one())

        return await self._database.run(update, write=True)

    async def delete(self, name: str) -> None:
        """See `ports.BroadcastBook.delete`."""
        table = self._tables.broadcast

        def check(connection: Connection) -> int:
            row = row_of(connection, self._tables, name, locked=True)
            if row.state not in ENDED or row.enqueued:
                raise InvalidBroadcast(
                    "state", f'"{name}" is {row.state}, or not all of it is settled: cancel it and wait for the rest.'
                )
            # Nothing begins it any more, and whoever looks meanwhile finds one that is cancelled.
            values = {"state": BroadcastState.CANCELLED.value, "turn_at": None}
            connection.execute(table.update().where(table.c.id == row.id).values(**values))
            found: int = row.id
            return found

        broadcast_id = await self._database.run(check, write=True)
        while await self._database.run(partial(self._forget, broadcast_id), write=True):
            continue
        await self._database.run(lambda c: c.execute(table.delete().where(table.c.id == broadcast_id)), write=True)

    def _forget(self, broadcast_id: int, connection: Connection) -> bool:
        table = self._tables.broadcast_recipient
        read_by_index(connection)
        some = select(table.c.chat).where(table.c.broadcast_id == broadcast_id).order_by(table.c.chat)
        chats = connection.execute(some.limit(FORGOTTEN_AT_ONCE)).scalars().all()
        if chats:
            upto = table.delete().where(table.c.broadcast_id == broadcast_id, table.c.chat <= chats[-1])
            connection.execute(upto)
        return len(chats) == FORGOTTEN_AT_ONCE


class BroadcastContents:
    """`ports.ContentStore` on either database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = database.tables

    async def contents(self, ids: Sequence[int]) -> Sequence[StoredContent]:
        """See `ports.ContentStore.contents`."""
        table = self._tables.broadcast.c
        statement = select(table.id, table.form, table.kind).where(table.id.in_(ids))

        def read(connection: Connection) -> list[StoredContent]:
            return [StoredContent(row.id, row.form, BroadcastKind(row.kind)) for row in connection.execute(statement)]

        return await self._database.run(read)

    async def halted(self, ids: Sequence[int]) -> Sequence[int]:
        """See `ports.ContentStore.halted`."""
        table = self._tables.broadcast.c
        states = (BroadcastState.PAUSED.value, BroadcastState.CANCELLED.value)
        statement = select(table.id).where(table.id.in_(ids), table.state.in_(states))
        return await self._database.run(lambda connection: list(connection.execute(statement).scalars()))

    async def personal(
        self, broadcast_id: int, notification_ids: Sequence[int]
    ) -> Mapping[int, tuple[str | None, dict[str, Any]]]:
        """See `ports.ContentStore.personal`."""
        table = self._tables.broadcast_recipient.c

        def read(connection: Connection) -> dict[int, tuple[str | None, dict[str, Any]]]:
            rows = connection.execute(
                select(table.notification_id, table.locale, table.variables).where(
                    table.broadcast_id == broadcast_id,
                    ENQUEUED,
                    among(connection, table.notification_id, notification_ids),
                )
            )
            return {
                row.notification_id: (row.locale, json.loads(row.variables) if row.variables else {}) for row in rows
            }

        return await self._database.run(read)

"""The files in the database: contents by their hash, names, copies. The protocol they serve: `dovecote.files`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import false, literal, or_, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.errors import FileInUse, UnknownFile
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.column_types import IDS, is_id
from dovecote.stores.file_rows import (
    add_name,
    file_stores,
    hold,
    insert_or_ignore,
    lock_roles,
    remove_files,
    stored_files,
)
from dovecote.stores.schedule_files import schedule_sending

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection, Row

    from dovecote.model import FileStore, NewFile, ObjectPlace, StoredFile
    from dovecote.stores.database import Database


class Files:
    """`ports.files.FileCatalogue` on either database. `clock` answers microseconds; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables.files
        self._clock = StoreClock(database, clock)

    async def file(self, file_id: int) -> StoredFile:
        """See `ports.files.FileCatalogue.file`."""
        return await self._database.run(lambda connection: self._read(connection, file_id))

    async def page(
        self, *, name: str | None = None, before_id: int | None = None, limit: int = 50
    ) -> Sequence[StoredFile]:
        """See `ports.files.FileCatalogue.page`."""
        file, named = self._tables.file, self._tables.file_name
        statement = select(file).order_by(file.c.id.desc()).limit(limit)
        if name is not None:
            # EXISTS would let SQLite read all files until a page of this name is found.
            statement = statement.where(file.c.id.in_(select(named.c.file_id).where(named.c.name == name)))
        if before_id is not None:
            statement = statement.where(file.c.id < max(IDS[0], min(before_id, IDS[-1])))

        def read(connection: Connection) -> list[StoredFile]:
            return stored_files(connection, self._tables, connection.execute(statement).all())

        return await self._database.run(read)

    async def needed_again(self, sha256: str, *, name: str | None, keep: bool) -> StoredFile | None:
        """See `ports.files.FileCatalogue.needed_again`."""

        def touch(connection: Connection) -> StoredFile | None:
            return self._touch(connection, sha256, name, self._clock.now(connection), keep=keep)

        return await self._database.run(touch, write=True)

    async def announce(self, key: str, *, window: timedelta, stores: Sequence[FileStore] = ()) -> Sequence[FileStore]:
        """See `ports.files.FileCatalogue.announce`."""

        def write(connection: Connection) -> Sequence[FileStore]:
            until = self._clock.now(connection) + window
            chosen = stores or [store for store in file_stores(connection, self._tables) if store.role != "retired"]
            rows = [{"store_id": store.id, "key": key, "until": until, "doomed": False} for store in chosen]
            insert_or_ignore(connection, self._tables.loose_object, rows)
            return chosen

        return await self._database.run(write, write=True)

    async def record(self, new: NewFile, stores: Sequence[FileStore]) -> StoredFile | None:
        """See `ports.files.FileCatalogue.record`."""
        loose = self._tables.loose_object
        announced = (loose.c.key == new.key, loose.c.store_id.in_([store.id for store in stores]))

        def write(connection: Connection) -> StoredFile | None:
            now = self._clock.now(connection)
            lock_roles(connection, shared=True)
            roles = {store.id: store.role for store in file_stores(connection, self._tables)}
            held = hold(connection, self._tables, new.key, [store.id for store in stores])
            copies = [store_id for store_id in held if roles[store_id] != "retired"]
            file = None
            # A content that the primary has not got is no file: a switch has seen that it lacks nothing.
            if any(roles[store_id] == "primary" for store_id in copies):
                file = self._make(connection, new, copies, now)
                ours = (loose.c.store_id == copy.store_id for copy in file.copies if copy.key == new.key)
                connection.execute(loose.delete().where(*announced, or_(false(), *ours)))
            connection.execute(loose.update().where(*announced).values(doomed=True, until=now))
            return file

        return await self._database.run(write, write=True)

    def _make(self, connection: Connection, new: NewFile, store_ids: Sequence[int], now: datetime) -> StoredFile:
        """The new file, or the one that has this content already, now needed again."""
        while True:
            made = self._insert(connection, new, now)
            if made is not None:
                rows = [{"file_id": made, "store_id": store_id, "key": new.key} for store_id in store_ids]
                insert_or_ignore(connection, self._tables.file_copy, rows)
                add_name(connection, self._tables, made, new.name, now)
                return self._read(connection, made)
            # Removed between the two statements, it can be inserted after all.
            found = self._touch(connection, new.sha256, new.name, now, keep=new.keep)
            if found is not None:
                return found

    async def forget(self, file_id: int, *, name: str | None = None) -> Sequence[ObjectPlace]:
        """See `ports.files.FileCatalogue.forget`."""

        def write(connection: Connection) -> list[ObjectPlace]:
            # Whoever attaches the file holds a share lock on it until the end of the transaction: this waits for it.
            row = self._locked(connection, file_id)
            if name is not None and self._takes_a_name_of_several(connection, file_id, name):
                return []
            notification_id = self._needed_by(connection, file_id)
            if notification_id is not None:
                raise FileInUse(file_id, notification_id)
            schedule = connection.execute(schedule_sending(self._database.tables, file_id)).scalar()
            if schedule is not None:
                raise FileInUse(file_id, schedule=schedule)
            return remove_files(connection, self._tables, [row], self._clock.now(connection))

        return await self._database.run(write, write=True)

    async def keep(self, file_id: int, *, keep: bool) -> StoredFile:
        """See `ports.files.FileCatalogue.keep`."""
        file = self._tables.file

        def write(connection: Connection) -> StoredFile:
            values = {"kept": keep, "needed_at": self._clock.now(connection)}
            if (
                not is_id(file_id)
                or not connection.execute(file.update().where(file.c.id == file_id).values(values)).rowcount
            ):
                raise UnknownFile(file_id)
            return self._read(connection, file_id)

        return await self._database.run(write, write=True)

    async def owned(self, store_id: int, keys: Sequence[str]) -> set[str]:
        """See `ports.files.FileCatalogue.owned`."""
        copy, loose = self._tables.file_copy, self._tables.loose_object
        statement = union_all(
            select(copy.c.key).where(copy.c.store_id == store_id, copy.c.key.in_(keys)),
            select(loose.c.key).where(loose.c.store_id == store_id, loose.c.key.in_(keys)),
        )
        return await self._database.run(lambda connection: set(connection.execute(statement).scalars()))

    def _read(self, connection: Connection, file_id: int) -> StoredFile:
        file = self._tables.file
        rows = connection.execute(select(file).where(file.c.id == file_id)).all() if is_id(file_id) else []
        if not rows:
            raise UnknownFile(file_id)
        return stored_files(connection, self._tables, rows)[0]

    def _locked(self, connection: Connection, file_id: int) -> Row[Any]:
        file = self._tables.file
        statement = select(file).where(file.c.id == file_id).with_for_update()
        row = connection.execute(statement).one_or_none() if is_id(file_id) else None
        if row is None:
            raise UnknownFile(file_id)
        return row

    def _insert(self, connection: Connection, new: NewFile, now: datetime) -> int | None:
        """Insert the file; None where there is one of this content: whoever inserts at the same time is waited for."""
        insert = (postgresql if self._database.is_postgresql else sqlite).insert(self._tables.file)
        statement = insert.values(
            sha256=new.sha256,
            size=new.size,
            content_type=new.content_type,
            created_at=now,
            needed_at=now,
            kept=new.keep,
        )
        made: int | None = connection.execute(
            statement.on_conflict_do_nothing(index_elements=["sha256"]).returning(self._tables.file.c.id)
        ).scalar()
        return made

    def _touch(
        self, connection: Connection, sha256: str, name: str | None, now: datetime, *, keep: bool
    ) -> StoredFile | None:
        file = self._tables.file
        statement = (
            file.update()
            .where(file.c.sha256 == sha256)
            .values(needed_at=now, kept=or_(file.c.kept, literal(keep)))
            .returning(file.c.id)
        )
        file_id: int | None = connection.execute(statement).scalar()
        if file_id is None:
            return None
        add_name(connection, self._tables, file_id, name, now)
        return self._read(connection, file_id)

    def _takes_a_name_of_several(self, connection: Connection, file_id: int, name: str) -> bool:
        named = self._tables.file_name
        of_file = named.c.file_id == file_id
        if not connection.execute(named.delete().where(of_file, named.c.name == name)).rowcount:
            raise UnknownFile(file_id, name=name)
        return connection.execute(select(named.c.name).where(of_file).limit(1)).first() is not None

    def _needed_by(self, connection: Connection, file_id: int) -> int | None:
        """A notification of the outbox that needs it. With the file locked, no other can come to need it."""
        attachment, notification = self._tables.attachment, self._database.tables.notification
        statement = (
            select(attachment.c.notification_id)
            .join(notification, notification.c.id == attachment.c.notification_id)
            .where(attachment.c.file_id == file_id)
            .limit(1)
        )
        found: int | None = connection.execute(statement).scalar()
        return found

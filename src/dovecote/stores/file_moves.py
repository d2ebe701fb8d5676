"""Which stores the files are in, and a move from one to another, in the database: every process follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, select

from dovecote.errors import StoresDiffer
from dovecote.model import FileStore
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.file_rows import file_stores, hold, lock_roles, stored_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from dovecote.model import ObjectPlace, StoredFile
    from dovecote.stores.database import Database


class FileMoves:
    """`ports.files.FileStores` on either database. `clock` answers microseconds; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables.files
        self._clock = StoreClock(database, clock)

    async def stores(self) -> Sequence[FileStore]:
        """See `ports.files.FileStores.stores`."""
        return await self._database.run(lambda connection: file_stores(connection, self._tables))

    async def adopt(self, url: str) -> FileStore:
        """See `ports.files.FileStores.adopt`."""
        file = self._tables.file

        def write(connection: Connection) -> FileStore:
            stores = self._alone(connection)
            if stores and stores[0].role == "primary":
                primary = stores[0]
                used = connection.execute(select(file.c.id).limit(1)).first() is not None
                if primary.url == url or used or len(stores) > 1:
                    return primary
                self._set_role(connection, primary, "retired")
            return self._enter(connection, url, "primary")

        return await self._database.run(write, write=True)

    async def mirror(self, url: str) -> FileStore:
        """See `ports.files.FileStores.mirror`."""

        def write(connection: Connection) -> FileStore:
            for store in self._alone(connection):
                if store.role == "mirror" and store.url == url:
                    return store
                if store.role == "mirror":
                    raise StoresDiffer(
                        f"the files are being moved to {store.url} already: go on with that move, or give it up with"
                        " `dovecote file move --abandon`."
                    )
                if store.role == "primary" and store.url == url:
                    raise StoresDiffer(f"the files are in {url} already: name the store that they are to move to.")
            return self._enter(connection, url, "mirror")

        return await self._database.run(write, write=True)

    async def lacking(self, store_id: int, *, after_id: int, limit: int) -> Sequence[StoredFile]:
        """See `ports.files.FileStores.lacking`."""
        file = self._tables.file
        statement = select(file).where(file.c.id > after_id, ~self._has_copy(store_id)).order_by(file.c.id).limit(limit)

        def read(connection: Connection) -> list[StoredFile]:
            return stored_files(connection, self._tables, connection.execute(statement).all())

        return await self._database.run(read)

    async def count(self, store_id: int) -> tuple[int, int]:
        """See `ports.files.FileStores.count`."""
        file = self._tables.file
        files, lacking = select(func.count()).select_from(file), select(func.count()).select_from(file)
        lacking = lacking.where(~self._has_copy(store_id))

        def read(connection: Connection) -> tuple[int, int]:
            return connection.execute(files).scalar_one(), connection.execute(lacking).scalar_one()

        return await self._database.run(read)

    async def copied(self, file_id: int, copy: ObjectPlace) -> bool:
        """See `ports.files.FileStores.copied`."""
        table, loose = self._tables.file, self._tables.loose_object

        def write(connection: Connection) -> bool:
            # The file's row first, as whoever removes it does, and so that it stays.
            lock = select(table.c.id).where(table.c.id == file_id).with_for_update(key_share=True)
            there = connection.execute(lock).first() is not None
            held = hold(connection, self._tables, copy.key, [copy.store_id])
            if there and held and not connection.execute(self._copy_of(file_id, copy.store_id)).first():
                place = {"file_id": file_id, "store_id": copy.store_id, "key": copy.key}
                connection.execute(self._tables.file_copy.insert().values(place))
                connection.execute(loose.delete().where(loose.c.key == copy.key, loose.c.store_id == copy.store_id))
                return True
            now = self._clock.now(connection)
            announced = (loose.c.key == copy.key, loose.c.store_id == copy.store_id)
            connection.execute(loose.update().where(*announced).values(doomed=True, until=now))
            return False

        return await self._database.run(write, write=True)

    async def switch(self, store_id: int) -> bool:
        """See `ports.files.FileStores.switch`."""
        file = self._tables.file

        def write(connection: Connection) -> bool:
            stores = {store.role: store for store in self._alone(connection) if store.role != "retired"}
            if stores["primary"].id == store_id:
                return True
            if "mirror" not in stores or stores["mirror"].id != store_id:
                return False
            if connection.execute(select(file.c.id).where(~self._has_copy(store_id)).limit(1)).first() is not None:
                return False
            self._set_role(connection, stores["primary"], "retired")
            self._set_role(connection, stores["mirror"], "primary")
            return True

        return await self._database.run(write, write=True)

    async def leave(self, store_id: int, *, after_id: int, limit: int) -> int | None:
        """See `ports.files.FileStores.leave`."""
        copy = self._tables.file_copy
        page = (
            select(copy.c.file_id)
            .where(copy.c.file_id > after_id, copy.c.store_id == store_id)
            .order_by(copy.c.file_id)
            .limit(limit)
        )

        def write(connection: Connection) -> int | None:
            primary, *others = self._alone(connection)
            for store in others:
                if store.id == store_id and store.role != "retired":
                    self._set_role(connection, store, "retired")
            ids = connection.execute(page).scalars().all()
            if primary.id == store_id or not ids:
                return None
            held = select(copy.c.file_id).where(copy.c.file_id.in_(ids), copy.c.store_id == primary.id)
            found = list(connection.execute(held).scalars())
            connection.execute(copy.delete().where(copy.c.store_id == store_id, copy.c.file_id.in_(found)))
            return int(ids[-1])

        return await self._database.run(write, write=True)

    def _copy_of(self, file_id: int, store_id: int) -> Select[Any]:
        copy = self._tables.file_copy
        return select(copy.c.key).where(copy.c.file_id == file_id, copy.c.store_id == store_id)

    def _has_copy(self, store_id: int) -> ColumnElement[bool]:
        file, copy = self._tables.file, self._tables.file_copy
        return exists().where(copy.c.file_id == file.c.id, copy.c.store_id == store_id)

    def _alone(self, connection: Connection) -> list[FileStore]:
        """All stores, while nobody else changes their roles."""
        lock_roles(connection)
        return file_stores(connection, self._tables)

    def _set_role(self, connection: Connection, store: FileStore, role: str) -> None:
        table = self._tables.file_store
        values = {"role": role, "since": self._clock.now(connection)}
        connection.execute(table.update().where(table.c.id == store.id).values(values))

    def _enter(self, connection: Connection, url: str, role: str) -> FileStore:
        """Give the store of that URL a role, as a new one or one that was left before."""
        table = self._tables.file_store
        known = connection.execute(select(table.c.id).where(table.c.url == url)).scalar()
        if known is None:
            values = {"url": url, "role": role, "since": self._clock.now(connection)}
            known = connection.execute(table.insert().values(values).returning(table.c.id)).scalar_one()
        else:
            self._set_role(connection, FileStore(known, url, role), role)
        return FileStore(known, url, role)

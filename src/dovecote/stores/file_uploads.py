"""What clients may put into a store by themselves, in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from dovecote.errors import UnknownUpload
from dovecote.model import DirectUpload
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.file_rows import insert_or_ignore

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sqlalchemy import Connection

    from dovecote.stores.database import Database


class FileUploads:
    """`ports.files.DirectUploads` on either database. `clock` answers microseconds; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables.files
        self._clock = StoreClock(database, clock)

    async def allow(self, upload: DirectUpload, *, expires_in: timedelta, window: timedelta) -> DirectUpload:
        """See `ports.files.DirectUploads.allow`."""
        table = self._tables.direct_upload

        def write(connection: Connection) -> DirectUpload:
            now = self._clock.now(connection)
            connection.execute(
                table.insert().values(
                    key=upload.key,
                    store_id=upload.store_id,
                    name=upload.name,
                    content_type=upload.content_type,
                    max_size=upload.max_size,
                    kept=upload.keep,
                    expires_at=now + expires_in,
                )
            )
            row = {"store_id": upload.store_id, "key": upload.key, "until": now + window, "doomed": False}
            insert_or_ignore(connection, self._tables.loose_object, [row])
            return self._read(connection, upload.key)

        return await self._database.run(write, write=True)

    async def upload(self, key: str) -> DirectUpload:
        """See `ports.files.DirectUploads.upload`."""
        return await self._database.run(lambda connection: self._read(connection, key))

    async def completed(self, key: str, file_id: int) -> None:
        """See `ports.files.DirectUploads.completed`."""
        table = self._tables.direct_upload
        statement = table.update().where(table.c.key == key).values(file_id=file_id)
        await self._database.run(lambda connection: connection.execute(statement), write=True)

    def _read(self, connection: Connection, key: str) -> DirectUpload:
        table, loose = self._tables.direct_upload, self._tables.loose_object
        statement = (
            select(table)
            .join(loose, (loose.c.store_id == table.c.store_id) & (loose.c.key == table.c.key))
            .where(table.c.key == key, ~loose.c.doomed)
        )
        row = connection.execute(statement).one_or_none()
        if row is None:
            raise UnknownUpload(
                f'there is no upload "{key}" to complete: its time is over, or it never began. Ask for another one with'
                " `files.upload_url`."
            )
        return DirectUpload(
            key=row.key,
            store_id=row.store_id,
            name=row.name,
            content_type=row.content_type,
            max_size=row.max_size,
            keep=row.kept,
            expires_at=row.expires_at,
            file_id=row.file_id,
        )

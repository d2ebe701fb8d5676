"""The files that nobody needs, found and removed in the database. The protocol: `dovecote.files`.

Locks are taken first and use is looked for in the next statement: what an application attached in a transaction that
ended meanwhile is not in the picture that the locking statement has, and is in that of the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, exists, select, tuple_

from dovecote.model import Collection, ObjectPlace
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.file_rows import remove_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from sqlalchemy import Connection, Select
    from sqlalchemy.sql.dml import ReturningDelete

    from dovecote.stores.database import Database
    from dovecote.stores.tables import Tables


class FileSweep:
    """`file_ports.FileSweeper` on either database. `clock` answers microseconds; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def release(self, *, after: tuple[int, int], limit: int) -> tuple[int, int] | None:
        """See `file_ports.FileSweeper.release`."""
        file = self._tables.files.file

        def write(connection: Connection) -> tuple[int, int] | None:
            page = connection.execute(attachments_behind(self._tables, after, limit)).all()
            if not page:
                return None
            # Whether they are needed is judged and acted upon in one statement: a replay moves them from one table to
            # the other, and is seen before or after, never between.
            span = range(page[0].notification_id, page[-1].notification_id + 1)
            files = connection.execute(release_settled(self._tables, span)).scalars().all()
            if files:
                locked = select(file.c.id).where(file.c.id.in_(set(files))).order_by(file.c.id)
                connection.execute(locked.with_for_update(key_share=True))
                now = self._clock.now(connection)
                connection.execute(file.update().where(file.c.id.in_(set(files))).values(needed_at=now))
            return page[-1].notification_id, page[-1].position

        return await self._database.run(write, write=True)

    async def collect(self, *, grace: timedelta, limit: int) -> tuple[Collection, bool]:
        """See `file_ports.FileSweeper.collect`."""
        tables = self._tables.files
        file, attachment = tables.file, tables.attachment

        def write(connection: Connection) -> tuple[Collection, bool]:
            now = self._clock.now(connection)
            rows = connection.execute(collectable(self._tables, limit).params(before=now - grace)).all()
            attached = select(file.c.id).where(
                file.c.id.in_([row.id for row in rows]), exists().where(attachment.c.file_id == file.c.id)
            )
            used = set(connection.execute(attached).scalars())
            # What is used is not looked at again for another grace period.
            connection.execute(file.update().where(file.c.id.in_(used)).values(needed_at=now))
            unused = [row for row in rows if row.id not in used]
            remove_files(connection, tables, unused, now)
            return Collection(files=len(unused), size=sum(row.size for row in unused)), len(rows) == limit

        return await self._database.run(write, write=True)

    async def doomed(self, *, limit: int) -> Sequence[ObjectPlace]:
        """See `file_ports.FileSweeper.doomed`."""
        loose, upload = self._tables.files.loose_object, self._tables.files.direct_upload
        store = self._tables.files.file_store
        retired = select(store.c.id).where(store.c.role == "retired")

        def write(connection: Connection) -> list[ObjectPlace]:
            now = self._clock.now(connection)
            connection.execute(loose.delete().where(loose.c.until <= now, loose.c.store_id.in_(retired)))
            overdue = (
                select(loose.c.store_id, loose.c.key, loose.c.doomed)
                .where(loose.c.until <= now)
                .order_by(loose.c.until)
                .limit(limit)
                # Another that removes has the same ones in hand.
                .with_for_update(skip_locked=True)
            )
            rows = connection.execute(overdue).all()
            found = tuple_(loose.c.store_id, loose.c.key).in_([(row.store_id, row.key) for row in rows])
            connection.execute(loose.update().where(found).values(doomed=True))
            connection.execute(upload.delete().where(upload.c.key.in_([row.key for row in rows])))
            return [ObjectPlace(row.store_id, row.key) for row in rows]

        return await self._database.run(write, write=True)

    async def removed(self, objects: Sequence[ObjectPlace]) -> None:
        """See `file_ports.FileSweeper.removed`."""
        loose = self._tables.files.loose_object
        these = tuple_(loose.c.store_id, loose.c.key).in_([(each.store_id, each.key) for each in objects])
        statement = loose.delete().where(these, loose.c.doomed)
        await self._database.run(lambda connection: connection.execute(statement), write=True)

    async def put_off(self, objects: Sequence[ObjectPlace], *, by: timedelta) -> None:
        """See `file_ports.FileSweeper.put_off`."""
        loose = self._tables.files.loose_object
        these = tuple_(loose.c.store_id, loose.c.key).in_([(each.store_id, each.key) for each in objects])

        def write(connection: Connection) -> None:
            until = self._clock.now(connection) + by
            connection.execute(loose.update().where(these, loose.c.doomed).values(until=until))

        await self._database.run(write, write=True)


def attachments_behind(tables: Tables, after: tuple[int, int], limit: int) -> Select[Any]:
    """A page of attachments, in the order of their notifications."""
    attachment = tables.files.attachment.c
    place = tuple_(attachment.notification_id, attachment.position)
    return (
        select(attachment.notification_id, attachment.position)
        .where(place > tuple_(*after))
        .order_by(attachment.notification_id, attachment.position)
        .limit(limit)
    )


def release_settled(tables: Tables, span: range) -> ReturningDelete[Any]:
    """Forget the attachments of these notifications, but not of those that wait or could be replayed."""
    attachment, notification, history = tables.files.attachment, tables.notification, tables.history
    waits = exists().where(notification.c.id == attachment.c.notification_id)
    replayable = exists().where(history.c.id == attachment.c.notification_id, history.c.outcome != "delivered")
    return (
        delete(attachment)
        .where(attachment.c.notification_id.between(span[0], span[-1]), ~waits, ~replayable)
        .returning(attachment.c.file_id)
    )


def collectable(tables: Tables, limit: int) -> Select[Any]:
    """Files that were not needed since `before`, the longest unneeded first, locked."""
    file = tables.files.file
    return (
        select(file.c.id, file.c.size)
        .where(~file.c.kept, file.c.needed_at <= bindparam("before", type_=file.c.needed_at.type))
        .order_by(file.c.needed_at, file.c.id)
        .limit(limit)
        # One that is being attached, put again or deleted is somebody's: it is not the time to wait for it.
        .with_for_update(skip_locked=True)
    )

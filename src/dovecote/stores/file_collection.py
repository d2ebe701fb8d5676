"""The files that nobody needs, found and removed in the database. The protocol: `dovecote.files`.

Locks are taken first and use is looked for in the next statement: what an application attached in a transaction that
ended meanwhile is not in the picture that the locking statement has, and is in that of the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, or_, select, text, tuple_

from dovecote.model import Collection, ObjectPlace
from dovecote.stores.clock import StoreClock, real_microseconds
from dovecote.stores.file_rows import remove_files
from dovecote.stores.schedule_files import schedule_sending

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from sqlalchemy import Column, ColumnElement, Connection, ScalarSelect, Select
    from sqlalchemy.sql.dml import ReturningDelete

    from dovecote.stores.database import Database
    from dovecote.stores.tables import Tables


class FileSweep:
    """`ports.files.FileSweeper` on either database. `clock` answers microseconds; PostgreSQL has its own."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = real_microseconds) -> None:
        self._database = database
        self._tables = database.tables
        self._clock = StoreClock(database, clock)

    async def release(self, *, after: tuple[int, int], limit: int) -> tuple[int, int] | None:
        """See `ports.files.FileSweeper.release`."""
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
        """See `ports.files.FileSweeper.collect`."""
        tables = self._tables.files
        file, attachment = tables.file, tables.attachment

        def write(connection: Connection) -> tuple[Collection, bool]:
            now = self._clock.now(connection)
            rows = connection.execute(collectable(self._tables, limit).params(before=now - grace)).all()
            any_attachment = looked_up(attachment.c.file_id, attachment.c.file_id == file.c.id)
            sending = schedule_sending(self._tables, file.c.id).scalar_subquery()
            needed = or_(any_attachment.is_not(None), sending.is_not(None))
            attached = select(file.c.id).where(file.c.id.in_([row.id for row in rows]), needed)
            used = set(connection.execute(attached).scalars())
            # What is used is not looked at again for another grace period.
            connection.execute(file.update().where(file.c.id.in_(used)).values(needed_at=now))
            unused = [row for row in rows if row.id not in used]
            remove_files(connection, tables, unused, now)
            return Collection(files=len(unused), size=sum(row.size for row in unused)), len(rows) == limit

        return await self._database.run(write, write=True)

    async def doomed(self, *, limit: int) -> Sequence[ObjectPlace]:
        """See `ports.files.FileSweeper.doomed`."""

        def write(connection: Connection) -> list[ObjectPlace]:
            now = self._clock.now(connection)
            while rows := connection.execute(overdue(self._tables, limit).params(before=now)).all():
                self._end_uploads(connection, [row.upload for row in rows if row.upload is not None])
                left = [ObjectPlace(row.store_id, row.key) for row in rows if row.role == "retired"]
                objects = [ObjectPlace(row.store_id, row.key) for row in rows if row.role != "retired"]
                self._forget(connection, left)
                loose = self._tables.files.loose_object
                connection.execute(loose.update().where(self._these(objects)).values(doomed=True))
                if objects:
                    return objects
            return []

        return await self._database.run(write, write=True)

    def _end_uploads(self, connection: Connection, keys: Sequence[str]) -> None:
        upload = self._tables.files.direct_upload
        if keys:
            connection.execute(upload.delete().where(upload.c.key.in_(keys)))

    def _forget(self, connection: Connection, objects: Sequence[ObjectPlace]) -> None:
        if objects:
            connection.execute(self._tables.files.loose_object.delete().where(self._these(objects)))

    def _these(self, objects: Sequence[ObjectPlace]) -> ColumnElement[bool]:
        """Found by their keys, and then told apart by their stores: SQLite finds no pairs by an index."""
        loose = self._tables.files.loose_object.c
        pairs = tuple_(loose.store_id, loose.key).in_([(each.store_id, each.key) for each in objects])
        return and_(loose.key.in_([each.key for each in objects]), pairs)

    async def removed(self, objects: Sequence[ObjectPlace]) -> None:
        """See `ports.files.FileSweeper.removed`."""
        await self._database.run(lambda connection: self._forget(connection, objects), write=True)

    async def put_off(self, objects: Sequence[ObjectPlace], *, by: timedelta) -> None:
        """See `ports.files.FileSweeper.put_off`."""
        loose = self._tables.files.loose_object

        def write(connection: Connection) -> None:
            until = self._clock.now(connection) + by
            connection.execute(loose.update().where(self._these(objects)).values(until=until))

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
    waits = looked_up(notification.c.id, notification.c.id == attachment.c.notification_id)
    kept = (history.c.outcome != "delivered", history.c.erased_at.is_(None))
    replayable = looked_up(history.c.id, history.c.id == attachment.c.notification_id, *kept)
    return (
        delete(attachment)
        .where(attachment.c.notification_id.between(span[0], span[-1]), waits.is_(None), replayable.is_(None))
        .returning(attachment.c.file_id)
    )


def looked_up(column: Column[Any], *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
    """A row that meets the conditions, found by its index for each row outside; null where there is none.

    EXISTS would say the same, and be made into a join that reads the whole outbox where the planner knows too little.
    """
    return select(column).where(*conditions).limit(1).scalar_subquery()


def overdue(tables: Tables, limit: int) -> Select[Any]:
    """Loose objects whose time was over `before`, the first first, locked; with their store's role and their upload."""
    loose, store, upload = tables.files.loose_object, tables.files.file_store, tables.files.direct_upload
    return (
        select(
            loose.c.store_id,
            loose.c.key,
            looked_up(store.c.role, store.c.id == loose.c.store_id).label("role"),
            looked_up(upload.c.key, upload.c.key == loose.c.key).label("upload"),
        )
        .where(loose.c.until <= bindparam("before", type_=loose.c.until.type))
        .order_by(loose.c.until)
        .limit(limit)
        # Another that removes has the same ones in hand.
        .with_for_update(skip_locked=True)
    )


def collectable(tables: Tables, limit: int) -> Select[Any]:
    """Files that were not needed since `before`, the longest unneeded first, locked."""
    file = tables.files.file
    return (
        select(file.c.id, file.c.size)
        # In the very words of the index's condition.
        .where(text("NOT kept"), file.c.needed_at <= bindparam("before", type_=file.c.needed_at.type))
        .order_by(file.c.needed_at, file.c.id)
        .limit(limit)
        # One that is being attached, put again or deleted is somebody's: it is not the time to wait for it.
        .with_for_update(skip_locked=True)
    )

"""Which stored files the schedules send: what keeps them, until nothing does.

A file is needed by the newest version of a schedule, and by an older one while an occurrence of it is open: that goes
on with what it began with. Rows are written when a version is made, under a share lock on the files, and those of older
versions are removed by the next change, under the lock of the schedule's row. Whether a row counts is asked each time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, false, or_, select

from dovecote.stores.callers import run_within
from dovecote.stores.enqueue_batch import Batch
from dovecote.stores.enqueue_statements import check_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select

    from dovecote.model import Notification
    from dovecote.stores.tables import Tables


def files_of(notification: Notification) -> Sequence[int]:
    """The ids of the stored files that a schedule's notification sends, in their order."""
    return _batch(notification).files


def check_sendable(connection: Connection, tables: Tables, notification: Notification, *, largest_upload: int) -> None:
    """See that its stored files can be sent, and that nobody removes them before the transaction ends.

    Raises UnknownFile, FileTooLarge, InvalidNotification.
    """
    batch = _batch(notification)
    if not batch.files:
        return
    postgresql = tables.metadata.schema is not None
    if not postgresql:
        # It changes nothing and takes the lock of all writers, also where a driver begins only with a change.
        connection.execute(tables.schedule.update().where(false()).values(version=0))
    run_within(connection, check_files(batch, largest_upload=largest_upload, postgresql=postgresql))


def _batch(notification: Notification) -> Batch:
    return Batch([replace(notification, chat_id=1)], alone=True)


def need(connection: Connection, tables: Tables, schedule_id: int, version: int, files: Sequence[int]) -> None:
    """Write down what this version of a schedule sends."""
    if files:
        rows = [{"schedule_id": schedule_id, "version": version, "file_id": file_id} for file_id in files]
        connection.execute(tables.schedule_file.insert(), rows)


def need_no_more(
    connection: Connection, tables: Tables, schedule_id: int, now: datetime, *, newest: int | None
) -> None:
    """Forget what versions before the `newest` send, unless they are being sent; without one, all of the schedule.

    The grace period of the files begins anew.
    """
    table, file = tables.schedule_file, tables.files.file
    statement = table.delete().where(table.c.schedule_id == schedule_id)
    if newest is not None:
        statement = statement.where(table.c.version < newest, ~exists(_open_occurrence(tables)))
    freed = set(connection.execute(statement.returning(table.c.file_id)).scalars())
    if freed:
        these = file.c.id.in_(freed)
        connection.execute(select(file.c.id).where(these).order_by(file.c.id).with_for_update(key_share=True))
        connection.execute(file.update().where(these).values(needed_at=now))


def schedule_sending(tables: Tables, file_id: ColumnElement[int] | int) -> Select[Any]:
    """The name of a schedule that sends the file. With the file locked, no other can come to send it."""
    table, schedule = tables.schedule_file, tables.schedule
    newest = schedule.c.version == table.c.version
    return (
        select(schedule.c.name)
        .join(table, table.c.schedule_id == schedule.c.id)
        .where(table.c.file_id == file_id, or_(newest, exists(_open_occurrence(tables))))
        .limit(1)
    )


def _open_occurrence(tables: Tables) -> Select[Any]:
    table, occurrence = tables.schedule_file, tables.occurrence
    same = and_(occurrence.c.schedule_id == table.c.schedule_id, occurrence.c.version == table.c.version)
    return select(occurrence.c.part).where(same, occurrence.c.turn_at.is_not(None)).correlate(table)

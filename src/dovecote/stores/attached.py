"""Which stored files a notification sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from dovecote.model import AttachedFile

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dovecote.stores.file_tables import FileTables


def attached_files(connection: Connection, tables: FileTables, notification_id: int) -> tuple[AttachedFile, ...]:
    """The files of a notification in the order of its parameters, with the newest name of each."""
    attachment, file, named = tables.attachment, tables.file, tables.file_name
    name = (
        select(named.c.name)
        .where(named.c.file_id == attachment.c.file_id)
        .order_by(named.c.named_at.desc(), named.c.name)
        .limit(1)
        .scalar_subquery()
    )
    columns = (attachment.c.field, attachment.c.file_id, name.label("name"), file.c.size, file.c.content_type)
    statement = (
        select(*columns)
        .select_from(attachment.outerjoin(file, file.c.id == attachment.c.file_id))
        .where(attachment.c.notification_id == notification_id)
        .order_by(attachment.c.position)
    )
    return tuple(AttachedFile(*row) for row in connection.execute(statement))

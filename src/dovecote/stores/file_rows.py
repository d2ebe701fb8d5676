"""What the stores of files share: rows as files, names, and objects that belong to no file."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from dovecote.model import FileStore, ObjectPlace, StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row, Table

    from dovecote.stores.file_tables import FileTables

ROLES_LOCK = 0x646F7666


def insert_or_ignore(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows that are not there yet."""
    if rows:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(insert(table).on_conflict_do_nothing(), rows)


def stored_files(connection: Connection, tables: FileTables, rows: Sequence[Row[Any]]) -> list[StoredFile]:
    """Rows of `file` as files, with their names and copies."""
    ids = [row.id for row in rows]
    name, copy = tables.file_name, tables.file_copy
    names: defaultdict[int, list[str]] = defaultdict(list)
    named = connection.execute(select(name).where(name.c.file_id.in_(ids))).all()
    for row in sorted(named, key=lambda row: (-row.named_at.timestamp(), row.name)):
        names[row.file_id].append(row.name)
    copies: defaultdict[int, list[ObjectPlace]] = defaultdict(list)
    copied = connection.execute(select(copy).where(copy.c.file_id.in_(ids))).all()
    for row in sorted(copied, key=lambda row: int(row.store_id)):
        copies[row.file_id].append(ObjectPlace(row.store_id, row.key))
    return [
        StoredFile(
            id=row.id,
            size=row.size,
            sha256=row.sha256,
            content_type=row.content_type,
            names=tuple(names[row.id]),
            created_at=row.created_at,
            needed_at=row.needed_at,
            kept=row.kept,
            copies=tuple(copies[row.id]),
        )
        for row in rows
    ]


def file_stores(connection: Connection, tables: FileTables) -> list[FileStore]:
    """All stores, the primary first and the mirror next."""
    table = tables.file_store
    order = ("primary", "mirror", "retired")
    rows = connection.execute(select(table).order_by(table.c.id)).all()
    return [FileStore(row.id, row.url, row.role) for row in sorted(rows, key=lambda row: order.index(row.role))]


def add_name(connection: Connection, tables: FileTables, file_id: int, name: str | None, now: datetime) -> None:
    """Give the file a name, or make it the newest of its names. The file's row is locked by the caller."""
    if name is None:
        return
    table = tables.file_name
    here = (table.c.file_id == file_id, table.c.name == name)
    if not connection.execute(table.update().where(*here).values(named_at=now)).rowcount:
        connection.execute(table.insert().values(file_id=file_id, name=name, named_at=now))


def remove_files(
    connection: Connection, tables: FileTables, rows: Iterable[Row[Any]], now: datetime
) -> list[ObjectPlace]:
    """Remove files whose rows the caller has locked, and doom their objects, which are answered."""
    ids = [row.id for row in rows]
    copy = tables.file_copy
    held = connection.execute(select(copy).where(copy.c.file_id.in_(ids))).all()
    objects = [ObjectPlace(row.store_id, row.key) for row in held]
    doom(connection, tables, objects, now)
    # What Telegram calls a content goes with it: nothing could be sent by that name any more.
    contents = select(tables.file.c.sha256).where(tables.file.c.id.in_(ids))
    connection.execute(tables.file_id.delete().where(tables.file_id.c.sha256.in_(contents)))
    for table, column in ((copy, copy.c.file_id), (tables.file_name, tables.file_name.c.file_id)):
        connection.execute(table.delete().where(column.in_(ids)))
    connection.execute(tables.file.delete().where(tables.file.c.id.in_(ids)))
    return objects


def doom(connection: Connection, tables: FileTables, objects: Sequence[ObjectPlace], now: datetime) -> None:
    """Let these objects be removed from their stores: nobody may make a file of them any more."""
    insert_or_ignore(
        connection,
        tables.loose_object,
        [{"store_id": each.store_id, "key": each.key, "until": now, "doomed": True} for each in objects],
    )


def lock_roles(connection: Connection, *, shared: bool = False) -> None:
    """Keep the roles of the stores as they are until the end of the transaction; on SQLite one writer does so anyway.

    Shared by those who put files, it is held alone by whoever changes the roles.
    """
    if connection.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        connection.execute(select(lock(ROLES_LOCK)))


def hold(connection: Connection, tables: FileTables, key: str, store_ids: Sequence[int]) -> list[int]:
    """Lock the announcements of an upload; answers the stores in which it is not being removed."""
    loose = tables.loose_object
    statement = (
        select(loose.c.store_id, loose.c.doomed)
        .where(loose.c.key == key, loose.c.store_id.in_(store_ids))
        .order_by(loose.c.store_id)
        .with_for_update()
    )
    return [row.store_id for row in connection.execute(statement) if not row.doomed]

"""The tables of the files: contents, their names, where they are kept, and which notifications need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from dovecote.stores.column_types import BigId, Instant
from dovecote.stores.file_id_tables import Bytewise, file_id_table

if TYPE_CHECKING:
    from sqlalchemy import MetaData


@dataclass(frozen=True, slots=True)
class FileTables:
    """The tables of the files in one dialect."""

    file: Table
    file_name: Table
    file_store: Table
    file_copy: Table
    loose_object: Table
    direct_upload: Table
    attachment: Table
    file_id: Table


def file_tables(metadata: MetaData, prefix: str) -> FileTables:
    """Define the tables in `metadata`, each name after `prefix`."""
    return FileTables(
        file=_file(metadata, prefix),
        file_name=_file_name(metadata, prefix),
        file_store=_file_store(metadata, prefix),
        file_copy=Table(
            f"{prefix}file_copy",
            metadata,
            Column("file_id", BigId, primary_key=True, autoincrement=False),
            Column("store_id", Integer, primary_key=True, autoincrement=False),
            # No two copies of a store ever have the same, not even one after another: see `dovecote.files`.
            Column("key", Bytewise, nullable=False),
            UniqueConstraint("store_id", "key", name=f"{prefix}file_copy_key"),
        ),
        loose_object=_loose_object(metadata, prefix),
        direct_upload=_direct_upload(metadata, prefix),
        attachment=_attachment(metadata, prefix),
        file_id=file_id_table(metadata, prefix),
    )


def _file(metadata: MetaData, prefix: str) -> Table:
    table = Table(
        f"{prefix}file",
        metadata,
        Column("id", BigId, Identity(), primary_key=True),
        # In hexadecimal. That it is unique decides who stores a content that two put at the same time.
        Column("sha256", Bytewise, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("content_type", Text, nullable=False),
        Column("created_at", Instant(), nullable=False),
        # When it was last put, or found in use: the grace period begins then.
        Column("needed_at", Instant(), nullable=False),
        # Kept until it is deleted by hand, in use or not.
        Column("kept", Boolean, nullable=False, server_default=text("false")),
        UniqueConstraint("sha256"),
        CheckConstraint("size >= 0", name="size"),
        sqlite_autoincrement=True,
    )
    collectable = text("NOT kept")
    Index(
        f"{prefix}file_needed",
        table.c.needed_at,
        table.c.id,
        postgresql_where=collectable,
        sqlite_where=collectable,
    )
    return table


def _file_name(metadata: MetaData, prefix: str) -> Table:
    table = Table(
        f"{prefix}file_name",
        metadata,
        Column("file_id", BigId, primary_key=True, autoincrement=False),
        Column("name", Bytewise, primary_key=True),
        Column("named_at", Instant(), nullable=False),
    )
    Index(f"{prefix}file_name_name", table.c.name, table.c.file_id)
    return table


def _file_store(metadata: MetaData, prefix: str) -> Table:
    table = Table(
        f"{prefix}file_store",
        metadata,
        Column("id", Integer, Identity(), primary_key=True),
        Column("url", Bytewise, nullable=False),
        # What is put goes to the primary and to the mirror; what is read comes from the primary first.
        Column("role", Text, nullable=False),
        Column("since", Instant(), nullable=False),
        UniqueConstraint("url"),
        CheckConstraint("role IN ('primary', 'mirror', 'retired')", name="role"),
        sqlite_autoincrement=True,
    )
    written = text("role <> 'retired'")
    Index(f"{prefix}file_store_role", table.c.role, unique=True, postgresql_where=written, sqlite_where=written)
    return table


def _loose_object(metadata: MetaData, prefix: str) -> Table:
    table = Table(
        f"{prefix}loose_object",
        metadata,
        # What may lie in a store and belongs to no file: not yet, or no more.
        Column("key", Bytewise, primary_key=True),
        Column("store_id", Integer, primary_key=True, autoincrement=False),
        # An upload must have become a file by then; what has not is removed.
        Column("until", Instant(), nullable=False),
        # It is being removed: an upload that ends now must not make a file of it.
        Column("doomed", Boolean, nullable=False, server_default=text("false")),
    )
    Index(f"{prefix}loose_object_until", table.c.until)
    return table


def _direct_upload(metadata: MetaData, prefix: str) -> Table:
    table = Table(
        f"{prefix}direct_upload",
        metadata,
        # Where a client was told to put a content; the object is a loose one until `complete` has copied it.
        Column("key", Bytewise, primary_key=True),
        Column("store_id", Integer, nullable=False),
        Column("name", Text),
        Column("content_type", Text, nullable=False),
        Column("max_size", BigInteger, nullable=False),
        Column("kept", Boolean, nullable=False, server_default=text("false")),
        Column("expires_at", Instant(), nullable=False),
        # What `complete` has made of it, so that completing again answers the same.
        Column("file_id", BigId),
    )
    Index(f"{prefix}direct_upload_expiry", table.c.expires_at)
    return table


def _attachment(metadata: MetaData, prefix: str) -> Table:
    table = Table(
        f"{prefix}attachment",
        metadata,
        # Written with the notification, in the application's transaction, which holds a share lock on the file.
        Column("notification_id", BigId, primary_key=True, autoincrement=False),
        Column("position", SmallInteger, primary_key=True, autoincrement=False),
        Column("file_id", BigId, nullable=False),
        # The parameter that the file stands in, such as photo.
        Column("field", Text, nullable=False),
    )
    Index(f"{prefix}attachment_file", table.c.file_id, table.c.notification_id)
    return table

"""The table of what Telegram calls the contents, which is also where uploads take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Index, Integer, Table, Text

from dovecote.stores.column_types import Instant

if TYPE_CHECKING:
    from sqlalchemy import MetaData

Bytewise = Text(collation="C").with_variant(Text(), "sqlite")


def file_id_table(metadata: MetaData, prefix: str) -> Table:
    """Define the table in `metadata`, its name after `prefix`."""
    table = Table(
        f"{prefix}file_id",
        metadata,
        Column("bot_id", Integer, primary_key=True, autoincrement=False),
        # Of the content, in hexadecimal; and what it was sent as, see `dovecote.attachments`.
        Column("sha256", Bytewise, primary_key=True),
        Column("kind", Bytewise, primary_key=True),
        Column("options", Bytewise, primary_key=True),
        # Telegram's name for it; null while it is uploaded for the first time.
        Column("file_id", Text),
        Column("known_at", Instant()),
        # Who uploads it, and until when the others leave it to them.
        Column("uploader", Text),
        Column("upload_until", Instant()),
    )
    # Whatever a bot calls a content goes with it.
    Index(f"{prefix}file_id_sha256", table.c.sha256)
    return table

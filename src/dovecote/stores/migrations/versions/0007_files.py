"""Files: contents, their names, where they are kept, uploads under way, and which notifications need them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0007"
down_revision = "0006"

TABLES = ("file", "file_name", "file_store", "file_copy", "loose_object", "direct_upload", "attachment")
INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BYTEWISE = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def _is_postgresql() -> bool:
    return bool(op.get_bind().dialect.name == "postgresql")


def _table(name: str) -> str:
    return name if _is_postgresql() else f"dovecote_{name}"


def _create(name: str, *items: Any, **options: Any) -> None:
    op.create_table(_table(name), *items, schema="dovecote" if _is_postgresql() else None, **options)


def _index(name: str, table: str, columns: list[str], where: str | None = None, **options: Any) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        _table(name),
        _table(table),
        columns,
        schema="dovecote" if _is_postgresql() else None,
        postgresql_where=condition,
        sqlite_where=condition,
        **options,
    )


def _constraint(table: str, name: str) -> str:
    return op.f(f"{_table(table)}_{name}")


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text("false"))


def upgrade() -> None:
    """Make the tables."""
    _create(
        "file",
        sa.Column("id", BIG_ID, sa.Identity(), nullable=False),
        sa.Column("sha256", BYTEWISE, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("needed_at", INSTANT, nullable=False),
        _flag("kept"),
        sa.PrimaryKeyConstraint("id", name=_constraint("file", "pkey")),
        sa.UniqueConstraint("sha256", name=_constraint("file", "sha256_key")),
        sa.CheckConstraint("size >= 0", name=_constraint("file", "size_check")),
        sqlite_autoincrement=True,
    )
    _index("file_needed", "file", ["needed_at", "id"], "NOT kept")
    _create(
        "file_name",
        sa.Column("file_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("named_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("file_id", "name", name=_constraint("file_name", "pkey")),
    )
    _index("file_name_name", "file_name", ["name", "file_id"])
    _create_stores()
    _create(
        "attachment",
        sa.Column("notification_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("position", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("file_id", BIG_ID, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("notification_id", "position", name=_constraint("attachment", "pkey")),
    )
    _index("attachment_file", "attachment", ["file_id", "notification_id"])


def _create_stores() -> None:
    _create(
        "file_store",
        sa.Column("id", sa.Integer, sa.Identity(), nullable=False),
        sa.Column("url", BYTEWISE, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=_constraint("file_store", "pkey")),
        sa.UniqueConstraint("url", name=_constraint("file_store", "url_key")),
        sa.CheckConstraint("role IN ('primary', 'mirror', 'retired')", name=_constraint("file_store", "role_check")),
        sqlite_autoincrement=True,
    )
    _index("file_store_role", "file_store", ["role"], "role <> 'retired'", unique=True)
    _create(
        "file_copy",
        sa.Column("file_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("store_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.PrimaryKeyConstraint("file_id", "store_id", name=_constraint("file_copy", "pkey")),
        sa.UniqueConstraint("store_id", "key", name=_constraint("file_copy", "key")),
    )
    _create(
        "loose_object",
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("store_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        _flag("doomed"),
        sa.PrimaryKeyConstraint("key", "store_id", name=_constraint("loose_object", "pkey")),
    )
    _index("loose_object_until", "loose_object", ["until"])
    _create(
        "direct_upload",
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("store_id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("max_size", sa.BigInteger, nullable=False),
        _flag("kept"),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("file_id", BIG_ID),
        sa.PrimaryKeyConstraint("key", name=_constraint("direct_upload", "pkey")),
    )
    _index("direct_upload_expiry", "direct_upload", ["expires_at"])


def downgrade() -> None:
    """Take them back. The contents stay in their stores."""
    for name in reversed(TABLES):
        op.drop_table(_table(name), schema="dovecote" if _is_postgresql() else None)

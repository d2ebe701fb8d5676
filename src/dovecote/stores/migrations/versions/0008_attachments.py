"""What Telegram calls a content for each bot, and whose turn it is to upload it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0008"
down_revision = "0007"

INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
BYTEWISE = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Make the table."""
    prefix, schema = _place()
    op.create_table(
        f"{prefix}file_id",
        sa.Column("bot_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("sha256", BYTEWISE, nullable=False),
        sa.Column("kind", BYTEWISE, nullable=False),
        sa.Column("options", BYTEWISE, nullable=False),
        sa.Column("file_id", sa.Text),
        sa.Column("known_at", INSTANT),
        sa.Column("uploader", sa.Text),
        sa.Column("upload_until", INSTANT),
        sa.PrimaryKeyConstraint("bot_id", "sha256", "kind", "options", name=op.f(f"{prefix}file_id_pkey")),
        schema=schema,
    )
    op.create_index(f"{prefix}file_id_sha256", f"{prefix}file_id", ["sha256"], schema=schema)


def downgrade() -> None:
    """Take it back: what was uploaded is uploaded once more."""
    prefix, schema = _place()
    op.drop_table(f"{prefix}file_id", schema=schema)

"""Which share of a bot's chats has moved from another way of sending."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0012"
down_revision = "0011"

INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Make the table."""
    prefix, schema = _place()
    op.create_table(
        f"{prefix}switch",
        sa.Column("bot_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("share", sa.Double, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("bot_id", name=op.f(f"{prefix}switch_pkey")),
        sa.CheckConstraint("share BETWEEN 0 AND 1", name=op.f(f"{prefix}switch_share_check")),
        schema=schema,
    )


def downgrade() -> None:
    """Take it back: no chat has moved."""
    prefix, schema = _place()
    op.drop_table(f"{prefix}switch", schema=schema)

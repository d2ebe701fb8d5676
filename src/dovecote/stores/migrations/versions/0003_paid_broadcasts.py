"""Paid broadcasts, and the waits that Telegram gives to single chats."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0003"
down_revision = "0002"

INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
CHAT = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
PAID = ("paid_pace", "paid_budget", "paid_spent", "paid_day", "paid_until")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Add the columns and the table."""
    prefix, schema = _place()
    for column in (
        sa.Column("paid_pace", sa.Double),
        sa.Column("paid_budget", sa.Integer),
        sa.Column("paid_spent", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("paid_day", sa.Integer),
        sa.Column("paid_until", INSTANT),
    ):
        op.add_column(f"{prefix}bot", column, schema=schema)
    op.create_table(
        f"{prefix}chat_wait",
        sa.Column("bot_id", sa.Integer, autoincrement=False),
        sa.Column("chat", CHAT),
        sa.Column("until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("bot_id", "chat", name=op.f(f"{prefix}chat_wait_pkey")),
        schema=schema,
    )
    op.create_index(f"{prefix}chat_wait_running", f"{prefix}chat_wait", ["bot_id", "until"], schema=schema)


def downgrade() -> None:
    """Take them back."""
    prefix, schema = _place()
    op.drop_table(f"{prefix}chat_wait", schema=schema)
    for column in reversed(PAID):
        op.drop_column(f"{prefix}bot", column, schema=schema)

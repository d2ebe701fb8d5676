"""Broadcasts and their recipients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0013"
down_revision = "0012"

INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
MESSAGE_IDS = sa.ARRAY(sa.BigInteger).with_variant(sa.JSON(), "sqlite")
COUNTS = ("recipients", "enqueued", "delivered", "dead", "blocked", "unknown", "suppressed", "cancelled")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Add the tables."""
    prefix, schema = _place()
    op.create_table(
        f"{prefix}broadcast",
        sa.Column("id", BIG_ID, sa.Identity(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("bot_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("of_id", BIG_ID),
        sa.Column("form", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.Column("cursor", NAME),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0")) for name in COUNTS),
        sa.Column("measured_at", INSTANT),
        sa.Column("measured", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("rate", sa.Double),
        sa.Column("recent", sa.Text, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("errors", sa.Text, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("turn_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{prefix}broadcast_pkey")),
        sa.UniqueConstraint("name", name=op.f(f"{prefix}broadcast_name_key")),
        sa.CheckConstraint(
            "state IN ('draft', 'running', 'paused', 'finished', 'cancelled')",
            name=op.f(f"{prefix}broadcast_state_check"),
        ),
        sa.CheckConstraint("kind IN ('send', 'recall', 'edit')", name=op.f(f"{prefix}broadcast_kind_check")),
        schema=schema,
        sqlite_autoincrement=True,
    )
    turn = sa.text("turn_at IS NOT NULL")
    op.create_index(
        f"{prefix}broadcast_turn",
        f"{prefix}broadcast",
        ["turn_at"],
        schema=schema,
        postgresql_where=turn,
        sqlite_where=turn,
    )
    _add_recipients(prefix, schema)


def _add_recipients(prefix: str, schema: str | None) -> None:
    op.create_table(
        f"{prefix}broadcast_recipient",
        sa.Column("broadcast_id", BIG_ID, nullable=False),
        sa.Column("chat", NAME, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("locale", sa.Text),
        sa.Column("variables", sa.Text),
        sa.Column("targets", MESSAGE_IDS),
        sa.Column("expires_at", INSTANT),
        sa.Column("notification_id", BIG_ID),
        sa.Column("enqueued_at", INSTANT),
        sa.Column("settled_at", INSTANT),
        sa.Column("error_code", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("message_ids", MESSAGE_IDS),
        sa.PrimaryKeyConstraint("broadcast_id", "chat", name=op.f(f"{prefix}broadcast_recipient_pkey")),
        schema=schema,
    )
    enqueued = sa.text("state = 'enqueued'")
    op.create_index(
        f"{prefix}broadcast_recipient_enqueued",
        f"{prefix}broadcast_recipient",
        ["broadcast_id", "notification_id"],
        schema=schema,
        postgresql_where=enqueued,
        sqlite_where=enqueued,
    )


def downgrade() -> None:
    """Take the tables away. What broadcasts have enqueued cannot be sent then: let them finish, or cancel them."""
    prefix, schema = _place()
    op.drop_table(f"{prefix}broadcast_recipient", schema=schema)
    op.drop_table(f"{prefix}broadcast", schema=schema)

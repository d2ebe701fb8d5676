"""Schedules and their occurrences; where recipients live."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0005"
down_revision = "0004"

INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def _index(name: str, table: str, columns: list[str], condition: str) -> None:
    prefix, schema = _place()
    op.create_index(
        f"{prefix}{name}",
        f"{prefix}{table}",
        columns,
        schema=schema,
        postgresql_where=sa.text(condition),
        sqlite_where=sa.text(condition),
    )


def upgrade() -> None:
    """Add the tables and the columns."""
    prefix, schema = _place()
    op.create_table(
        f"{prefix}schedule",
        sa.Column("id", BIG_ID, sa.Identity(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("recurrence", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("bot_id", sa.Integer, nullable=False),
        sa.Column("sends", sa.Text, nullable=False),
        sa.Column("local_time", sa.Boolean, nullable=False),
        sa.Column("policies", sa.Text, nullable=False),
        sa.Column("cursor_at", INSTANT, nullable=False),
        sa.Column("cursor_wall", sa.Text, nullable=False),
        sa.Column("next_fire_at", INSTANT),
        sa.Column("due_at", INSTANT),
        sa.Column("paused_at", INSTANT),
        sa.Column("last_fired_at", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{prefix}schedule_pkey")),
        sa.UniqueConstraint("name", name=op.f(f"{prefix}schedule_name_key")),
        sa.CheckConstraint("origin IN ('api', 'file')", name=op.f(f"{prefix}schedule_origin_check")),
        schema=schema,
        sqlite_autoincrement=True,
    )
    _index("schedule_due", "schedule", ["due_at"], "due_at IS NOT NULL")
    _index("schedule_local_time", "schedule", ["bot_id"], "local_time")
    op.create_table(
        f"{prefix}occurrence",
        sa.Column("schedule_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("fire_at", INSTANT, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("wall", sa.Text, nullable=False),
        sa.Column("happened", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("until", INSTANT),
        sa.Column("fired_at", INSTANT, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("notifications", sa.Integer, nullable=False),
        sa.Column("first_id", BIG_ID),
        sa.Column("last_id", BIG_ID),
        sa.Column("expires_at", INSTANT),
        sa.Column("cursor", sa.Text),
        sa.Column("sends", sa.Text),
        sa.Column("turn_at", INSTANT),
        sa.CheckConstraint(
            "happened IN ('fired', 'skipped', 'missed', 'failed')", name=op.f(f"{prefix}occurrence_happened_check")
        ),
        sa.PrimaryKeyConstraint("schedule_id", "fire_at", "part", name=op.f(f"{prefix}occurrence_pkey")),
        schema=schema,
    )
    _index("occurrence_open", "occurrence", ["turn_at"], "turn_at IS NOT NULL")
    op.add_column(f"{prefix}bot", sa.Column("zone", sa.Text), schema=schema)
    for name, kind in (("zone", sa.Text), ("zone_since", INSTANT), ("former_zone", sa.Text)):
        op.add_column(f"{prefix}recipient", sa.Column(name, kind), schema=schema)
    _index("recipient_zone", "recipient", ["bot_id", "zone", "chat"], "zone_since IS NOT NULL")
    _index("recipient_moved", "recipient", ["bot_id", "zone_since"], "former_zone IS NOT NULL")


def downgrade() -> None:
    """Take them back."""
    prefix, schema = _place()
    for name in ("recipient_moved", "recipient_zone"):
        op.drop_index(f"{prefix}{name}", table_name=f"{prefix}recipient", schema=schema)
    for name in ("former_zone", "zone_since", "zone"):
        op.drop_column(f"{prefix}recipient", name, schema=schema)
    op.drop_column(f"{prefix}bot", "zone", schema=schema)
    op.drop_table(f"{prefix}occurrence", schema=schema)
    op.drop_table(f"{prefix}schedule", schema=schema)

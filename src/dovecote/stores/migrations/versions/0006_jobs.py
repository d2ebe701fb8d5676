"""APScheduler's jobs: definitions, runs, and what Redis holds that nobody knows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0006"
down_revision = "0005"

INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Add the tables."""
    prefix, schema = _place()
    op.create_table(
        f"{prefix}job",
        sa.Column("store", sa.Text),
        sa.Column("id", sa.Text),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("next_run_at", INSTANT),
        sa.Column("finished", sa.Boolean, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("problem", sa.Text),
        sa.PrimaryKeyConstraint("store", "id", name=op.f(f"{prefix}job_pkey")),
        schema=schema,
    )
    op.create_table(
        f"{prefix}job_run",
        sa.Column("store", sa.Text),
        sa.Column("job_id", sa.Text),
        sa.Column("fire_at", INSTANT),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("attempts", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("due_at", INSTANT),
        sa.Column("coalesced", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("coalesced_from", INSTANT),
        sa.Column("lease_token", sa.BigInteger),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("instance", sa.Text),
        sa.Column("planned_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT),
        sa.Column("ended_at", INSTANT),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("store", "job_id", "fire_at", name=op.f(f"{prefix}job_run_pkey")),
        sa.CheckConstraint(
            "(due_at IS NULL) = (ended_at IS NOT NULL)", name=op.f(f"{prefix}job_run_due_until_ended_check")
        ),
        schema=schema,
    )
    for name, column in (("due", "due_at"), ("ended", "ended_at")):
        condition = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"{prefix}job_run_{name}",
            f"{prefix}job_run",
            ["store", column],
            schema=schema,
            postgresql_where=condition,
            sqlite_where=condition,
        )
    op.create_table(
        f"{prefix}job_stranger",
        sa.Column("store", sa.Text),
        sa.Column("id", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("store", "id", name=op.f(f"{prefix}job_stranger_pkey")),
        schema=schema,
    )


def downgrade() -> None:
    """Take them back."""
    prefix, schema = _place()
    for table in ("job_stranger", "job_run", "job"):
        op.drop_table(f"{prefix}{table}", schema=schema)

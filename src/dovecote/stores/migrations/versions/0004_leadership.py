"""Leadership: the lease as a row, the numbered terms, the instances that are running."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0004"
down_revision = "0003"

INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Add the tables."""
    prefix, schema = _place()
    op.create_table(
        f"{prefix}leadership_lease",
        sa.Column("name", sa.Text),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        sa.Column("lease", sa.Double, nullable=False),
        sa.Column("locked", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.PrimaryKeyConstraint("name", name=op.f(f"{prefix}leadership_lease_pkey")),
        schema=schema,
    )
    op.create_table(
        f"{prefix}leadership_term",
        sa.Column("number", BIG_ID, autoincrement=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("begun_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.PrimaryKeyConstraint("number", name=op.f(f"{prefix}leadership_term_pkey")),
        schema=schema,
    )
    op.create_table(
        f"{prefix}instance",
        sa.Column("id", sa.Text),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{prefix}instance_pkey")),
        schema=schema,
    )
    op.create_index(f"{prefix}instance_seen", f"{prefix}instance", ["seen_at"], schema=schema)


def downgrade() -> None:
    """Take them back."""
    prefix, schema = _place()
    for table in ("instance", "leadership_term", "leadership_lease"):
        op.drop_table(f"{prefix}{table}", schema=schema)

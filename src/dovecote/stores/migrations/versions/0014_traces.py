"""Where what is sent comes from, for whoever traces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Make the table. What waits already is sent untraced."""
    prefix, schema = _place()
    op.create_table(
        f"{prefix}trace_context",
        sa.Column("notification_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("tracestate", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("notification_id", name=op.f(f"{prefix}trace_context_pkey")),
        schema=schema,
    )


def downgrade() -> None:
    """Take it back: what waits is sent untraced."""
    prefix, schema = _place()
    op.drop_table(f"{prefix}trace_context", schema=schema)

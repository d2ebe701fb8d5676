"""A term says of which election it is: who runs APScheduler's jobs is elected apart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Add the column. Programs of the version before know of one election alone."""
    prefix, schema = _place()
    column = sa.Column("election", sa.Text, nullable=False, server_default=sa.text("'leader'"))
    op.add_column(f"{prefix}leadership_term", column, schema=schema)


def downgrade() -> None:
    """Take it back, and the terms of the other election with it."""
    prefix, schema = _place()
    table = f"{schema}.{prefix}leadership_term" if schema else f"{prefix}leadership_term"
    op.execute(f"DELETE FROM {table} WHERE election <> 'leader'")  # noqa: S608 (a name of ours)
    op.drop_column(f"{prefix}leadership_term", "election", schema=schema)

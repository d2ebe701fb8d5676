"""Which stored files schedules send, so that these are kept until then."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def upgrade() -> None:
    """Make the table. No schedule sends a file yet: they were refused."""
    prefix, schema = _place()
    op.create_table(
        f"{prefix}schedule_file",
        sa.Column("schedule_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("file_id", BIG_ID, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("schedule_id", "version", "file_id", name=op.f(f"{prefix}schedule_file_pkey")),
        schema=schema,
    )
    op.create_index(f"{prefix}schedule_file_file", f"{prefix}schedule_file", ["file_id"], schema=schema)


def downgrade() -> None:
    """Take it back: what schedules send is kept no more."""
    prefix, schema = _place()
    op.drop_table(f"{prefix}schedule_file", schema=schema)

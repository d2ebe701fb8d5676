"""Retention for each bot and outcome, and payloads that go earlier than what is known of their delivery."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0018"
down_revision = "0017"

TIMES = ("delivered", "delivered_payload", "dead", "dead_payload", "unknown", "unknown_payload")
CONDITIONS = {"history_whole": sa.text("erased_at IS NULL"), "history_emptied": sa.text("erased_at IS NOT NULL")}


def _place() -> tuple[str, str | None]:
    """The prefix of names, and the schema."""
    return ("", "dovecote") if op.get_bind().dialect.name == "postgresql" else ("dovecote_", None)


def _is_large() -> bool:
    """Whether indexing the history would let writers wait for long."""
    size: int = op.get_bind().execute(sa.text("SELECT pg_relation_size('dovecote.history')")).scalar_one()
    large: int = context.config.attributes["large_table"]
    return size > large


def upgrade() -> None:
    """Add a table, a column that is null in every row, and two indexes.

    On PostgreSQL the indexes of a large history are left to whoever migrates, who builds them behind this transaction
    while everybody writes on.
    """
    prefix, schema = _place()
    op.create_table(
        f"{prefix}bot_retention",
        sa.Column("bot_id", sa.Integer, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.BigInteger) for name in TIMES),
        sa.PrimaryKeyConstraint("bot_id", name=op.f(f"{prefix}bot_retention_pkey")),
        schema=schema,
    )
    instant = sa.TIMESTAMP(timezone=True) if schema else sa.BigInteger()
    op.add_column(f"{prefix}broadcast", sa.Column("emptied_at", instant), schema=schema)
    if schema and _is_large():
        return
    for name, condition in CONDITIONS.items():
        op.create_index(
            f"{prefix}{name}",
            f"{prefix}history",
            ["bot_id", "outcome", "settled_at"],
            schema=schema,
            postgresql_where=condition,
            sqlite_where=condition,
        )


def downgrade() -> None:
    """Take them back: every bot is pruned by the settings again."""
    prefix, schema = _place()
    for name in CONDITIONS:
        op.drop_index(f"{prefix}{name}", f"{prefix}history", schema=schema, if_exists=True)
    op.drop_column(f"{prefix}broadcast", "emptied_at", schema=schema)
    op.drop_table(f"{prefix}bot_retention", schema=schema)

"""The outbox, its history, keys, attempts and bots.

A migration is a frozen picture: it does not import the tables of today.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0001"
down_revision = None

TABLES = ("bot", "notification", "history", "attempt", "notification_key", "idle_worker", "installation")
INSTANT = TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CHAT = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
MESSAGE_IDS = sa.ARRAY(sa.BigInteger).with_variant(sa.JSON(), "sqlite")
LABELS = sa.ARRAY(sa.Text).with_variant(sa.JSON(), "sqlite")

CLOCK = """
CREATE FUNCTION dovecote.clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()'
"""
# Rows live for seconds: dead ones at the front of the due index slow every claim, so vacuum early and at full speed.
STORAGE = (
    "ALTER TABLE dovecote.notification SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,"
    " autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.1)",
    "ALTER TABLE dovecote.bot SET (fillfactor = 20)",
)


def _is_postgresql() -> bool:
    return bool(op.get_bind().dialect.name == "postgresql")


def _table(name: str) -> str:
    return name if _is_postgresql() else f"dovecote_{name}"


def _create(name: str, *items: Any, **options: Any) -> None:
    op.create_table(_table(name), *items, schema="dovecote" if _is_postgresql() else None, **options)


def _index(name: str, table: str, columns: list[str], where: str | None = None, **options: Any) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        _table(name),
        _table(table),
        columns,
        schema="dovecote" if _is_postgresql() else None,
        postgresql_where=condition,
        sqlite_where=condition,
        **options,
    )


def _constraint(table: str, name: str) -> str:
    return op.f(f"{_table(table)}_{name}")


def _count(name: str, type_: Any = sa.SmallInteger, default: str = "0") -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False, server_default=sa.text(default))


def _request() -> list[sa.Column[Any]]:
    return [
        sa.Column("bot_id", sa.Integer, nullable=False),
        sa.Column("chat", CHAT),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("labels", LABELS),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("at_most_once", sa.Boolean, nullable=False),
        sa.Column("enqueued_at", INSTANT, nullable=False),
        sa.Column("planned_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT),
        _count("attempts", sa.Integer),
        _count("failures"),
        _count("lost_leases"),
    ]


def _answer() -> list[sa.Column[Any]]:
    return [
        sa.Column("took", sa.Double),
        sa.Column("error_code", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("message_ids", MESSAGE_IDS),
    ]


def _create_bot() -> None:
    _create(
        "bot",
        sa.Column("id", sa.Integer, sa.Identity()),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("token_sealed", sa.Text),
        sa.Column("token_variable", sa.Text),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("pace", sa.Double),
        sa.Column("private_count", sa.SmallInteger),
        sa.Column("private_window", sa.Double),
        sa.Column("group_count", sa.SmallInteger),
        sa.Column("group_window", sa.Double),
        sa.Column("next_slot_at", INSTANT, nullable=False),
        _count("slots_given", sa.BigInteger),
        _count("version", sa.BigInteger),
        sa.Column("halted_until", INSTANT),
        sa.Column("stopped_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name=_constraint("bot", "pkey")),
        sa.UniqueConstraint("name", name=_constraint("bot", "name_key")),
        sa.CheckConstraint(
            "(token_sealed IS NULL) <> (token_variable IS NULL)", name=_constraint("bot", "one_token_check")
        ),
        sa.CheckConstraint("pace > 0", name=_constraint("bot", "pace_check")),
        sqlite_autoincrement=True,
    )


def _create_outbox() -> None:
    _create(
        "notification",
        sa.Column("id", BIG_ID, sa.Identity()),
        *_request(),
        _count("weight", default="1"),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("lease_token", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name=_constraint("notification", "pkey")),
        sa.CheckConstraint("priority BETWEEN 0 AND 2", name=_constraint("notification", "priority_check")),
        sqlite_autoincrement=True,
    )
    always = "due_at > '-infinity'" if _is_postgresql() else "due_at IS NOT NULL"
    _index("notification_due", "notification", ["bot_id", "priority", "due_at"], always)
    order = ["bot_id", "chat", "priority", "planned_at", "id"]
    _index("notification_chat_order", "notification", order, "chat IS NOT NULL")
    leased = "lease_token IS NOT NULL AND chat IS NOT NULL"
    _index("notification_leased_chat", "notification", ["bot_id", "chat"], leased, unique=True)
    _index("notification_suspect", "notification", ["due_at"], "lost_leases >= 1")


def _create_history() -> None:
    _create(
        "history",
        sa.Column("id", BIG_ID, autoincrement=False),
        *_request(),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("settled_at", INSTANT, nullable=False),
        *_answer(),
        sa.PrimaryKeyConstraint("id", name=_constraint("history", "pkey")),
        sa.CheckConstraint(
            "outcome IN ('delivered', 'dead', 'unknown')", name=_constraint("history", "outcome_check")
        ),
    )
    _index("history_chat", "history", ["bot_id", "chat", "settled_at"])
    _index("history_given_up", "history", ["outcome", "id"], "outcome <> 'delivered'")
    _create(
        "attempt",
        sa.Column("notification_id", BIG_ID, autoincrement=False),
        sa.Column("number", sa.Integer, autoincrement=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        *_answer(),
        sa.PrimaryKeyConstraint("notification_id", "number", name=_constraint("attempt", "pkey")),
    )


def _create_keys() -> None:
    _create(
        "notification_key",
        sa.Column("bot_id", sa.Integer, autoincrement=False),
        sa.Column("key", sa.Text),
        sa.Column("notification_id", BIG_ID, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("bot_id", "key", name=_constraint("notification_key", "pkey")),
    )
    _index("notification_key_expiry", "notification_key", ["expires_at"], postgresql_using="brin")


def upgrade() -> None:
    """Create everything, and give this outbox its identity."""
    _create_bot()
    _create_outbox()
    _create_history()
    _create_keys()
    _create(
        "idle_worker",
        sa.Column("id", sa.Text),
        sa.Column("until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=_constraint("idle_worker", "pkey")),
    )
    _create(
        "installation",
        sa.Column("id", sa.Text),
        sa.PrimaryKeyConstraint("id", name=_constraint("installation", "pkey")),
    )
    installation = sa.table(
        _table("installation"), sa.column("id"), schema="dovecote" if _is_postgresql() else None
    )
    op.execute(sa.insert(installation).values(id=str(uuid.uuid4())))
    if _is_postgresql():
        op.execute(CLOCK)
        for statement in STORAGE:
            op.execute(statement)
    else:
        # So that the first enqueue finds a counter to take its ids from.
        op.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('dovecote_notification', 0)")


def downgrade() -> None:
    """Drop everything. The schema itself stays, since the record of migrations stands in it."""
    for name in reversed(TABLES):
        op.drop_table(_table(name), schema="dovecote" if _is_postgresql() else None)
    if _is_postgresql():
        op.execute("DROP FUNCTION dovecote.clock()")

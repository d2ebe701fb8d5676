"""The tables, once for both dialects: what Alembic migrates to and what the statements are written against.

On PostgreSQL they stand in a schema of their own, `dovecote`; SQLite has no schemas, so there each name carries the
prefix `dovecote_`. Instants are `timestamptz` there and microseconds since the epoch here.

Nothing refers to anything by a foreign key: an enqueue would share-lock the bot's row in the application's own
transaction and so serialise the application with the workers. Ids are never reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from dovecote.stores.broadcast_tables import broadcast_recipient_table, broadcast_table
from dovecote.stores.column_types import EPOCH, MICROSECOND, BigId, Chat, Instant, Labels, MessageIds
from dovecote.stores.count_table import count_table
from dovecote.stores.file_tables import FileTables, file_tables
from dovecote.stores.job_tables import JobTables, job_tables
from dovecote.stores.leadership_tables import LeadershipTables, leadership_tables
from dovecote.stores.limits_tables import chat_wait, paid_columns
from dovecote.stores.recipient_table import recipient_table
from dovecote.stores.retention_table import bot_retention_table, history_indexes
from dovecote.stores.schedule_tables import occurrence_table, schedule_file_table, schedule_table
from dovecote.stores.trace_table import trace_table

# The types are looked for here as well, beside the tables that are made of them.
__all__ = [
    "EPOCH",
    "MICROSECOND",
    "POSTGRESQL",
    "SQLITE",
    "BigId",
    "Chat",
    "Instant",
    "Labels",
    "MessageIds",
    "Tables",
    "outbox_tables",
]

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_index",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "pk": "%(table_name)s_pkey",
}


def _request() -> list[Column[Any]]:
    """What was asked for: the same columns in the outbox and in the history."""
    return [
        Column("bot_id", Integer, nullable=False),
        Column("chat", Chat),
        Column("method", Text, nullable=False),
        Column("params", JSON, nullable=False),
        Column("key", Text),
        Column("labels", Labels),
        Column("priority", SmallInteger, nullable=False),
        Column("at_most_once", Boolean, nullable=False),
        Column("enqueued_at", Instant(), nullable=False),
        # When it became the turn of this notification by the application's wish; with the id, the order of a chat.
        Column("planned_at", Instant(), nullable=False),
        Column("expires_at", Instant()),
        Column("attempts", Integer, nullable=False, server_default=text("0")),
        Column("failures", SmallInteger, nullable=False, server_default=text("0")),
        Column("lost_leases", SmallInteger, nullable=False, server_default=text("0")),
    ]


def _choices() -> list[Column[Any]]:
    """What recipients opt out of, and what their quiet hours mean for it (null: what they say)."""
    return [Column("category", Text), Column("quiet", Text)]


def _bot(metadata: MetaData, prefix: str) -> Table:
    return Table(
        f"{prefix}bot",
        metadata,
        Column("id", Integer, Identity(), primary_key=True),
        Column("name", Text, nullable=False),
        Column("token_sealed", Text),
        Column("token_variable", Text),
        Column("created_at", Instant(), nullable=False),
        # Messages per second; null is no limit.
        Column("pace", Double),
        # At most so many messages to one chat in so many seconds; null is no limit.
        Column("private_count", SmallInteger),
        Column("private_window", Double),
        Column("group_count", SmallInteger),
        Column("group_window", Double),
        # The timeline: the first slot that is free, how many were ever given, and how often a claim has read it.
        Column("next_slot_at", Instant(), nullable=False),
        Column("slots_given", BigInteger, nullable=False, server_default=text("0")),
        Column("version", BigInteger, nullable=False, server_default=text("0")),
        Column("halted_until", Instant()),
        Column("stopped_reason", Text),
        # What a 429 has taught: the pace that was kept from that instant on, climbing back to `pace` since.
        Column("pace_held", Double),
        Column("pace_held_at", Instant()),
        *paid_columns(Instant()),
        # Of recipients whose own zone nobody knows.
        Column("zone", Text),
        # How often a 429 has made the whole bot wait; a trigger counts.
        Column("waits", BigInteger, nullable=False, server_default=text("0")),
        UniqueConstraint("name"),
        CheckConstraint("(token_sealed IS NULL) <> (token_variable IS NULL)", name="one_token"),
        CheckConstraint("pace > 0", name="pace"),
        sqlite_autoincrement=True,
    )


def _notification(metadata: MetaData, prefix: str) -> Table:
    table = Table(
        f"{prefix}notification",
        metadata,
        Column("id", BigId, Identity(), primary_key=True),
        *_request(),
        # How many slots it takes: an album of n items takes n.
        Column("weight", SmallInteger, nullable=False, server_default=text("1")),
        # The next instant at which something may happen to it: due, retried, no longer blocked, or its lease lost.
        Column("due_at", Instant(), nullable=False),
        Column("lease_token", BigInteger),
        *_choices(),
        CheckConstraint("priority BETWEEN 0 AND 2", name="priority"),
        sqlite_autoincrement=True,
    )
    # The condition always holds: it keeps the index for the statements that name it (see `postgresql_cycle`).
    Index(
        f"{prefix}notification_due",
        table.c.bot_id,
        table.c.priority,
        table.c.due_at,
        postgresql_where=text("due_at > '-infinity'"),
        sqlite_where=text("due_at IS NOT NULL"),
    )
    chat_known = text("chat IS NOT NULL")
    Index(
        f"{prefix}notification_chat_order",
        table.c.bot_id,
        table.c.chat,
        table.c.priority,
        table.c.planned_at,
        table.c.id,
        postgresql_where=chat_known,
        sqlite_where=chat_known,
    )
    # The database itself refuses a second notification of a chat in flight.
    leased_chat = text("lease_token IS NOT NULL AND chat IS NOT NULL")
    Index(
        f"{prefix}notification_leased_chat",
        table.c.bot_id,
        table.c.chat,
        unique=True,
        postgresql_where=leased_chat,
        sqlite_where=leased_chat,
    )
    suspect = text("lost_leases >= 1")
    Index(f"{prefix}notification_suspect", table.c.due_at, postgresql_where=suspect, sqlite_where=suspect)
    return table


def _history(metadata: MetaData, prefix: str) -> Table:
    table = Table(
        f"{prefix}history",
        metadata,
        Column("id", BigId, primary_key=True, autoincrement=False),
        *_request(),
        Column("outcome", Text, nullable=False),
        Column("settled_at", Instant(), nullable=False),
        # The attempt that decided; the earlier ones stand in `attempt`.
        Column("took", Double),
        Column("error_code", Integer),
        Column("error", Text),
        Column("message_ids", MessageIds),
        *_choices(),
        # Since when its payload is gone: for retention, or with all else that was a person's who was erased.
        Column("erased_at", Instant()),
        CheckConstraint("outcome IN ('delivered', 'dead', 'unknown')", name="outcome"),
    )
    Index(f"{prefix}history_chat", table.c.bot_id, table.c.chat, table.c.settled_at)
    Index(f"{prefix}history_outcome", table.c.outcome, table.c.settled_at)
    history_indexes(table, prefix)
    given_up = text("outcome <> 'delivered'")
    Index(
        f"{prefix}history_given_up",
        table.c.outcome,
        table.c.id,
        postgresql_where=given_up,
        sqlite_where=given_up,
    )
    return table


def _attempt(metadata: MetaData, prefix: str) -> Table:
    return Table(
        f"{prefix}attempt",
        metadata,
        Column("notification_id", BigId, primary_key=True, autoincrement=False),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("outcome", Text, nullable=False),
        Column("ended_at", Instant(), nullable=False),
        Column("took", Double),
        Column("error_code", Integer),
        Column("error", Text),
        Column("message_ids", MessageIds),
    )


def _notification_key(metadata: MetaData, prefix: str) -> Table:
    # Apart from the outbox, because a key must outlive the row that it was written with.
    table = Table(
        f"{prefix}notification_key",
        metadata,
        Column("bot_id", Integer, primary_key=True, autoincrement=False),
        Column("key", Text, primary_key=True),
        Column("notification_id", BigId, nullable=False),
        Column("expires_at", Instant(), nullable=False),
    )
    Index(f"{prefix}notification_key_expiry", table.c.expires_at)
    return table


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables of one dialect."""

    metadata: MetaData
    bot: Table
    notification: Table
    history: Table
    history_count: Table
    attempt: Table
    notification_key: Table
    recipient: Table
    chat_wait: Table
    bot_retention: Table
    trace_context: Table
    switch: Table
    schedule: Table
    schedule_file: Table
    occurrence: Table
    broadcast: Table
    broadcast_recipient: Table
    idle_worker: Table
    installation: Table
    files: FileTables
    jobs: JobTables
    leadership: LeadershipTables


def outbox_tables(metadata: MetaData, prefix: str = "") -> Tables:
    """Define all tables in `metadata`, each name after `prefix`."""
    return Tables(
        metadata,
        bot=_bot(metadata, prefix),
        notification=_notification(metadata, prefix),
        history=_history(metadata, prefix),
        history_count=count_table(metadata, prefix),
        attempt=_attempt(metadata, prefix),
        notification_key=_notification_key(metadata, prefix),
        recipient=recipient_table(metadata, prefix),
        chat_wait=chat_wait(metadata, prefix, Instant(), Chat),
        bot_retention=bot_retention_table(metadata, prefix),
        trace_context=trace_table(metadata, prefix),
        # Of whoever moves to Dovecote step by step: which share of a bot's chats has moved.
        switch=Table(
            f"{prefix}switch",
            metadata,
            Column("bot_id", Integer, primary_key=True, autoincrement=False),
            Column("share", Double, nullable=False),
            Column("changed_at", Instant(), nullable=False),
            CheckConstraint("share BETWEEN 0 AND 1", name="share"),
        ),
        schedule=schedule_table(metadata, prefix),
        schedule_file=schedule_file_table(metadata, prefix),
        occurrence=occurrence_table(metadata, prefix),
        broadcast=broadcast_table(metadata, prefix),
        broadcast_recipient=broadcast_recipient_table(metadata, prefix),
        # Workers that have said that they are idle and want to be woken.
        idle_worker=Table(
            f"{prefix}idle_worker",
            metadata,
            Column("id", Text, primary_key=True),
            Column("until", Instant(), nullable=False),
        ),
        # One row: which outbox this is, so that a connection to another database is noticed.
        installation=Table(f"{prefix}installation", metadata, Column("id", Text, primary_key=True)),
        files=file_tables(metadata, prefix),
        jobs=job_tables(metadata, prefix),
        leadership=leadership_tables(metadata, prefix),
    )


POSTGRESQL = outbox_tables(MetaData(schema="dovecote", naming_convention=NAMING))
SQLITE = outbox_tables(MetaData(naming_convention=NAMING), "dovecote_")

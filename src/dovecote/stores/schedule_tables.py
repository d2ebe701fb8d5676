"""The tables of schedules, hooked into those of `tables`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from dovecote.stores.column_types import BigId, Chat, Instant

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def schedule_table(metadata: MetaData, prefix: str) -> Table:
    """The schedules: a definition, where it stands, when it is to be looked at."""
    table = Table(
        f"{prefix}schedule",
        metadata,
        Column("id", BigId, Identity(), primary_key=True),
        # In byte order, in which pages go.
        Column("name", Chat, nullable=False),
        Column("origin", Text, nullable=False),
        # Raised by every change of the definition or the state; a firing is made for one version.
        Column("version", BigInteger, nullable=False, server_default=text("1")),
        # JSON, as `schedule_form` writes it: local times and a zone, never instants alone.
        Column("recurrence", Text, nullable=False),
        Column("zone", Text, nullable=False),
        Column("bot_id", Integer, nullable=False),
        Column("sends", Text, nullable=False),
        Column("local_time", Boolean, nullable=False),
        Column("policies", Text, nullable=False),
        # Up to this fire time everything is decided.
        Column("cursor_at", Instant(), nullable=False),
        Column("cursor_wall", Text, nullable=False),
        Column("next_fire_at", Instant()),
        # The next fire time with its jitter; null while paused, and when there is none.
        Column("due_at", Instant()),
        Column("paused_at", Instant()),
        # The last fire time that fired, for the question whether its notifications are finished.
        Column("last_fired_at", Instant()),
        Column("created_at", Instant(), nullable=False),
        Column("changed_at", Instant(), nullable=False),
        UniqueConstraint("name"),
        CheckConstraint("origin IN ('api', 'file')", name="origin"),
        sqlite_autoincrement=True,
    )
    due = text("due_at IS NOT NULL")
    Index(f"{prefix}schedule_due", table.c.due_at, postgresql_where=due, sqlite_where=due)
    local = text("local_time")
    Index(f"{prefix}schedule_local_time", table.c.bot_id, postgresql_where=local, sqlite_where=local)
    return table


def schedule_file_table(metadata: MetaData, prefix: str) -> Table:
    """The stored files that a version of a schedule sends: kept while it is the newest or an occurrence of it is open.

    Written under a share lock on the files, as an attachment; removed by the change that no more needs them.
    """
    table = Table(
        f"{prefix}schedule_file",
        metadata,
        Column("schedule_id", BigId, primary_key=True, autoincrement=False),
        Column("version", BigInteger, primary_key=True, autoincrement=False),
        Column("file_id", BigId, primary_key=True, autoincrement=False),
    )
    Index(f"{prefix}schedule_file_file", table.c.file_id)
    return table


def occurrence_table(metadata: MetaData, prefix: str) -> Table:
    """The occurrences: the primary key is the promise that none fires twice."""
    table = Table(
        f"{prefix}occurrence",
        metadata,
        Column("schedule_id", BigId, primary_key=True, autoincrement=False),
        Column("fire_at", Instant(), primary_key=True),
        # The zone of a schedule by local time, `trigger` for one by hand, else empty.
        Column("part", Text, primary_key=True),
        Column("wall", Text, nullable=False),
        Column("happened", Text, nullable=False),
        Column("reason", Text),
        # The last fire time of a missed span that begins with this one.
        Column("until", Instant()),
        Column("fired_at", Instant(), nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("notifications", Integer, nullable=False),
        Column("first_id", BigId),
        Column("last_id", BigId),
        Column("expires_at", Instant()),
        # While it is open: where its fan-out stands, what it sends, and when its turn is.
        Column("cursor", Text),
        Column("sends", Text),
        Column("turn_at", Instant()),
        CheckConstraint("happened IN ('fired', 'skipped', 'missed', 'failed')", name="happened"),
    )
    Index(f"{prefix}occurrence_fired", table.c.fired_at)
    is_open = text("turn_at IS NOT NULL")
    Index(f"{prefix}occurrence_open", table.c.turn_at, postgresql_where=is_open, sqlite_where=is_open)
    return table

"""The tables of APScheduler's jobs: definitions, runs, and what Redis holds that nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, SmallInteger, Table, Text, text

from dovecote.stores.column_types import Instant

if TYPE_CHECKING:
    from sqlalchemy import MetaData


@dataclass(frozen=True, slots=True)
class JobTables:
    """The tables of one dialect."""

    job: Table
    run: Table
    stranger: Table


def job_tables(metadata: MetaData, prefix: str) -> JobTables:
    """Define them, each name after `prefix`."""
    return JobTables(
        job=Table(
            f"{prefix}job",
            metadata,
            # The job store's key in Redis: applications that share an outbox keep their jobs apart by it.
            Column("store", Text, primary_key=True),
            Column("id", Text, primary_key=True),
            # The very text that was written: a node with older code must not lose what it does not understand.
            Column("definition", Text, nullable=False),
            # Grows with each change of the definition, and with each next run that somebody chose.
            Column("revision", BigInteger, nullable=False),
            Column("next_run_at", Instant()),
            Column("finished", Boolean, nullable=False),
            Column("created_at", Instant(), nullable=False),
            Column("changed_at", Instant(), nullable=False),
            Column("problem", Text),
        ),
        run=_run(metadata, prefix),
        stranger=Table(
            f"{prefix}job_stranger",
            metadata,
            Column("store", Text, primary_key=True),
            Column("id", Text, primary_key=True),
            Column("reason", Text, nullable=False),
            Column("seen_at", Instant(), nullable=False),
        ),
    )


def _run(metadata: MetaData, prefix: str) -> Table:
    table = Table(
        f"{prefix}job_run",
        metadata,
        Column("store", Text, primary_key=True),
        Column("job_id", Text, primary_key=True),
        Column("fire_at", Instant(), primary_key=True),
        Column("state", Text, nullable=False),
        Column("policy", Text, nullable=False),
        Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
        # When something may happen to it: due, or its lease lost. Null once it has ended.
        Column("due_at", Instant()),
        Column("coalesced", Integer, nullable=False, server_default=text("0")),
        Column("coalesced_from", Instant()),
        Column("lease_token", BigInteger),
        Column("term", BigInteger, nullable=False),
        Column("instance", Text),
        Column("planned_at", Instant(), nullable=False),
        Column("started_at", Instant()),
        Column("ended_at", Instant()),
        Column("error", Text),
        CheckConstraint("(due_at IS NULL) = (ended_at IS NOT NULL)", name="due_until_ended"),
    )
    unfinished = text("due_at IS NOT NULL")
    Index(f"{prefix}job_run_due", table.c.store, table.c.due_at, postgresql_where=unfinished, sqlite_where=unfinished)
    ended = text("ended_at IS NOT NULL")
    Index(f"{prefix}job_run_ended", table.c.store, table.c.ended_at, postgresql_where=ended, sqlite_where=ended)
    return table

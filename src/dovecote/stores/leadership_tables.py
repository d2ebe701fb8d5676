"""The tables of leadership: the lease, the terms, the instances. Each has a handful of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, Table, Text, text

from dovecote.stores.column_types import BigId, Instant

if TYPE_CHECKING:
    from sqlalchemy import MetaData


@dataclass(frozen=True, slots=True)
class LeadershipTables:
    """The tables of leadership in one dialect."""

    lease: Table
    term: Table
    instance: Table


def leadership_tables(metadata: MetaData, prefix: str) -> LeadershipTables:
    """Define them in `metadata`, each name after `prefix`."""
    # A row for each election, where no Redis holds the leases.
    lease = Table(
        f"{prefix}leadership_lease",
        metadata,
        Column("name", Text, primary_key=True),
        Column("instance", Text, nullable=False),
        Column("token", BigInteger, nullable=False),
        # On SQLite by the machine's monotonic clock: it is compared, and never shown.
        Column("until", Instant(), nullable=False),
        # Seconds that it was taken for.
        Column("lease", Double, nullable=False),
        # Of SQLite: its holder has the file's lock for as long as it lives.
        Column("locked", Boolean, nullable=False, server_default=text("false")),
    )
    term = Table(
        f"{prefix}leadership_term",
        metadata,
        Column("number", BigId, primary_key=True, autoincrement=False),
        Column("instance", Text, nullable=False),
        Column("begun_at", Instant(), nullable=False),
        Column("ended_at", Instant()),
        # Numbers are those of all elections together.
        Column("election", Text, nullable=False, server_default=text("'leader'")),
    )
    instance = Table(
        f"{prefix}instance",
        metadata,
        Column("id", Text, primary_key=True),
        Column("host", Text, nullable=False),
        Column("pid", Integer, nullable=False),
        Column("version", Text, nullable=False),
        Column("role", Text, nullable=False),
        Column("started_at", Instant(), nullable=False),
        Column("seen_at", Instant(), nullable=False),
    )
    Index(f"{prefix}instance_seen", instance.c.seen_at)
    return LeadershipTables(lease, term, instance)

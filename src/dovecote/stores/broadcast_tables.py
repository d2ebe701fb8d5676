"""The tables of broadcasts, hooked into those of `tables`.

Counts stand in the broadcast's row and are raised in the transactions that move recipients, so that nothing is ever
counted over the table of recipients. Whoever changes a recipient of a broadcast holds the broadcast's row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from dovecote.stores.column_types import BigId, Chat, Instant, MessageIds

if TYPE_CHECKING:
    from sqlalchemy import MetaData

COUNTS: Final = ("recipients", "enqueued", "delivered", "dead", "blocked", "unknown", "suppressed", "cancelled")
"""The counts in a broadcast's row. `enqueued` are those that are in the outbox, or whose outcome is not read yet."""


def broadcast_table(metadata: MetaData, prefix: str) -> Table:
    """The broadcasts: the content once, where each stands, its counts."""
    table = Table(
        f"{prefix}broadcast",
        metadata,
        Column("id", BigId, Identity(), primary_key=True),
        # In byte order, in which pages go.
        Column("name", Chat, nullable=False),
        Column("bot_id", Integer, nullable=False),
        Column("kind", Text, nullable=False),
        # The broadcast that a recall or an edit is about.
        Column("of_id", BigId),
        # JSON, as `broadcast_form` writes it.
        Column("form", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("reason", Text),
        Column("created_at", Instant(), nullable=False),
        Column("changed_at", Instant(), nullable=False),
        Column("started_at", Instant()),
        Column("finished_at", Instant()),
        # The last chat that the fan-out has passed; null when it has passed them all.
        Column("cursor", Chat),
        *(Column(name, BigInteger, nullable=False, server_default=text("0")) for name in COUNTS),
        # What was settled when the rate was measured last, and the rate per second.
        Column("measured_at", Instant()),
        Column("measured", BigInteger, nullable=False, server_default=text("0")),
        Column("rate", Double),
        # JSON: what the brake looks at, and how many ended with each error.
        Column("recent", Text, nullable=False, server_default=text("'{}'")),
        Column("errors", Text, nullable=False, server_default=text("'{}'")),
        # When it is to be looked at; null while there is nothing to do.
        Column("turn_at", Instant()),
        # Since when its recipients have no variables any more.
        Column("emptied_at", Instant()),
        UniqueConstraint("name"),
        CheckConstraint("state IN ('draft', 'running', 'paused', 'finished', 'cancelled')", name="state"),
        CheckConstraint("kind IN ('send', 'recall', 'edit')", name="kind"),
        sqlite_autoincrement=True,
    )
    turn = text("turn_at IS NOT NULL")
    Index(f"{prefix}broadcast_turn", table.c.turn_at, postgresql_where=turn, sqlite_where=turn)
    under_way = text("state IN ('running', 'paused')")
    Index(f"{prefix}broadcast_under_way", table.c.id, postgresql_where=under_way, sqlite_where=under_way)
    return table


def broadcast_recipient_table(metadata: MetaData, prefix: str) -> Table:
    """The recipients: the primary key is the promise that nobody gets a broadcast twice."""
    table = Table(
        f"{prefix}broadcast_recipient",
        metadata,
        Column("broadcast_id", BigId, primary_key=True, autoincrement=False),
        Column("chat", Chat, primary_key=True),
        Column("state", Text, nullable=False),
        Column("locale", Text),
        # JSON.
        Column("variables", Text),
        # The messages that a recall or an edit is about.
        Column("targets", MessageIds),
        Column("expires_at", Instant()),
        Column("notification_id", BigId),
        Column("enqueued_at", Instant()),
        Column("settled_at", Instant()),
        Column("error_code", Integer),
        Column("error", Text),
        Column("message_ids", MessageIds),
    )
    enqueued = text("state = 'enqueued'")
    Index(
        f"{prefix}broadcast_recipient_enqueued",
        table.c.broadcast_id,
        table.c.notification_id,
        postgresql_where=enqueued,
        sqlite_where=enqueued,
    )
    return table

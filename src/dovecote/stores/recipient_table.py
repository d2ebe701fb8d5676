"""The table of recipients, hooked into those of `tables`: who takes nothing more, and what is known of whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Boolean, Column, Index, Integer, SmallInteger, Table, Text, text

from dovecote.stores.column_types import Chat, Instant, Labels

if TYPE_CHECKING:
    from sqlalchemy import MetaData

HEEDED: Final = "disabled_at IS NOT NULL OR opted_out IS NOT NULL OR quiet_from IS NOT NULL"
"""Whom a claim must look at. It names the condition, and so it finds nobody else."""


def recipient_table(metadata: MetaData, prefix: str) -> Table:
    """The recipients, one row for each chat of a bot of which anything is known."""
    table = Table(
        f"{prefix}recipient",
        metadata,
        Column("bot_id", Integer, primary_key=True, autoincrement=False),
        # A chat, or a topic of one as chat/thread.
        Column("chat", Chat, primary_key=True),
        Column("disabled_at", Instant()),
        Column("disabled_reason", Text),
        # Refusals in a row that are known to be false at times, so that only the third disables.
        Column("strikes", SmallInteger, nullable=False, server_default=text("0")),
        # Where it lives, since when that is told (null: never, so that it is no recipient of schedules for all), and
        # where it lived before, "" for nobody knows.
        Column("zone", Text),
        Column("zone_since", Instant()),
        Column("former_zone", Text),
        Column("language", Text),
        Column("labels", Labels),
        # Categories that it gets nothing of. Null rather than an empty list, for the sake of the index below.
        Column("opted_out", Labels),
        # Minutes since midnight where it lives; all four are null where there are no quiet hours.
        Column("quiet_from", SmallInteger),
        Column("quiet_until", SmallInteger),
        Column("quiet_silent", Boolean),
        Column("quiet_urgent", Boolean),
        # When it was heard of last, by the application's word.
        Column("seen_at", Instant()),
        # What the history does not say any more: the newest delivery that was pruned.
        Column("delivered_at", Instant()),
        Column("blocked_at", Instant()),
    )
    told, moved = text("zone_since IS NOT NULL"), text("former_zone IS NOT NULL")
    for name, columns, condition in (("zone", ("zone", "chat"), told), ("moved", ("zone_since",), moved)):
        Index(
            f"{prefix}recipient_{name}",
            table.c.bot_id,
            *(table.c[column] for column in columns),
            postgresql_where=condition,
            sqlite_where=condition,
        )
    disabled, struck = text("disabled_at IS NOT NULL"), text("strikes > 0 AND disabled_at IS NULL")
    for name, condition in (("disabled", disabled), ("struck", struck), ("heeded", text(HEEDED))):
        Index(
            f"{prefix}recipient_{name}",
            table.c.bot_id,
            table.c.chat,
            postgresql_where=condition,
            sqlite_where=condition,
        )
    return table

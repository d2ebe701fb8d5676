"""What bots have of their own of the settings of retention, and how the history is found by it.

A row of the history stands in one of two indexes: in the first until its payload is removed, in the second from then
on. So whoever prunes finds what is past its time of each bot and outcome, and nothing else.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from sqlalchemy import BigInteger, Column, Index, Integer, Table, text

from dovecote.model import BotRetention

if TYPE_CHECKING:
    from sqlalchemy import MetaData

TIMES: Final = tuple(field.name for field in fields(BotRetention))
"""The columns, each in microseconds; null where the settings count."""


def bot_retention_table(metadata: MetaData, prefix: str) -> Table:
    """A row for each bot that has times of its own."""
    return Table(
        f"{prefix}bot_retention",
        metadata,
        Column("bot_id", Integer, primary_key=True, autoincrement=False),
        *(Column(name, BigInteger) for name in TIMES),
    )


def history_indexes(history: Table, prefix: str) -> tuple[Index, Index]:
    """By bot, outcome and time: what has its payload still, and what has lost it."""
    columns = (history.c.bot_id, history.c.outcome, history.c.settled_at)
    whole, emptied = text("erased_at IS NULL"), text("erased_at IS NOT NULL")
    return (
        Index(f"{prefix}history_whole", *columns, postgresql_where=whole, sqlite_where=whole),
        Index(f"{prefix}history_emptied", *columns, postgresql_where=emptied, sqlite_where=emptied),
    )

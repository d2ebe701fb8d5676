"""How many notifications of each bot have ended in which way: kept by the database, so that nobody counts the history.

Triggers of the history add a row of what a statement changed, in its transaction. So the sum of the rows is exact at
every moment, whoever writes: a worker of an older version, an operator, a person with a prompt. On PostgreSQL nothing
is updated, since one row that all workers raise would let them wait for each other; the leader folds the rows of a bot
and an outcome into one now and then. On SQLite, where one writes at a time, that one row is raised at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, Table, Text

from dovecote.stores.column_types import BigId

if TYPE_CHECKING:
    from sqlalchemy import MetaData


def count_table(metadata: MetaData, prefix: str) -> Table:
    """The counts, to be added up over their rows."""
    table = Table(
        f"{prefix}history_count",
        metadata,
        Column("id", BigId, Identity(), primary_key=True),
        Column("bot_id", Integer, nullable=False),
        Column("outcome", Text, nullable=False),
        # What is to be added: less than zero where some were removed.
        Column("count", BigInteger, nullable=False),
    )
    Index(f"{prefix}history_count_bot", table.c.bot_id, table.c.outcome)
    return table

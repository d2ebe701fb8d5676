"""Pages by a key, read along its index whatever PostgreSQL believes of the table.

A table that was filled just now has no statistics yet, and for long where autovacuum has no turn. The planner then
takes a list of a million for a thousand, reads all of it and sorts, for each page anew: 1.8 s a page where 1 ms is
enough. What is read in pages has an index in its order, so sorting is never the better way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, literal, select

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

PLANS: Final = ("enable_sort", "enable_bitmapscan")


def by_index_settings() -> list[ColumnElement[Any]]:
    """What a SELECT has to call, on PostgreSQL, so that its transaction reads pages along their index."""
    return [func.set_config(name, "off", literal(value=True)) for name in PLANS]


def read_by_index(connection: Connection) -> None:
    """Let the pages of this transaction be read along their index."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(*by_index_settings()))

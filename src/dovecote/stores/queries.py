"""A query on an application's database, read in pages by a key: no transaction is open while a page is worked on."""

from __future__ import annotations

import re
import sqlite3
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dovecote.errors import InvalidBroadcast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from sqlalchemy import Connection

    from dovecote.stores.database import Database

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
PAGE = 1000
CHAT: Final = "chat_id"
REFUSED: Final = ("0A", "21", "22", "25006", "42")
"""How the SQLSTATE begins of what is wrong with a query, and not with the database."""
NO_RIGHTS: Final = "42501"


async def rows_of(database: Database, query: str, *, key: str, page: int = PAGE) -> AsyncIterator[Mapping[str, Any]]:
    """The rows of `query` in the order of its column `key`, which must be unique and had better be indexed.

    Each page is a transaction of its own. Raises InvalidBroadcast for a query that is none or has no such column, and
    where rows of different chats have one key: at the end of a page some of them would be passed over.
    """
    if not _COLUMN.fullmatch(key):
        raise InvalidBroadcast("key", f'"{key}" is no name of a column: name the one that the query is read by.')
    inner = query.strip().rstrip(";").replace(":", r"\:")
    # The query is the caller's own words, on a database that is the caller's own. It may end with a comment.
    rows_of_query = f"SELECT * FROM ({inner}\n) AS rows_of_query"  # noqa: S608
    first = text(f'{rows_of_query} ORDER BY "{key}" LIMIT :page')
    following = text(f'{rows_of_query} WHERE "{key}" > :after ORDER BY "{key}" LIMIT :page')
    after: Any = None
    while True:
        statement = first if after is None else following
        # One more than the page, to see whether the next one begins with the same key.
        values = {"page": page + 1} if after is None else {"page": page + 1, "after": after}

        def read(
            connection: Connection, statement: Any = statement, values: Mapping[str, Any] = values
        ) -> list[dict[str, Any]]:
            try:
                return [dict(row) for row in connection.execute(statement, values).mappings()]
            except DBAPIError as error:
                problem = _problem(error)
                if problem is None:
                    raise
                raise InvalidBroadcast("query", f"the database does not take it: {problem}.") from None

        rows = await database.run(read)
        _check_columns(rows, key)
        _check_unique(rows, key)
        for row in rows[:page]:
            yield row
        if len(rows) <= page:
            return
        last = rows[page - 1][key]
        if last is None:
            raise InvalidBroadcast("key", f'the query answers no "{key}": name a column that it has, without NULLs.')
        after = last


def _check_columns(rows: Sequence[Mapping[str, Any]], key: str) -> None:
    """Refuse a query without recipients once, and not with each of its rows.

    SQLite takes a quoted name that is no column for a text, and would read the rows in no order.
    """
    if not rows:
        return
    answered = ", ".join(rows[0])
    if CHAT not in rows[0]:
        raise InvalidBroadcast("query", f"it answers no {CHAT}, only {answered}: write SELECT ... AS {CHAT}.")
    if key not in rows[0]:
        raise InvalidBroadcast("key", f'the query answers no "{key}", only {answered}: name one of these.')


def _check_unique(rows: Sequence[Mapping[str, Any]], key: str) -> None:
    for one, other in pairwise(rows):
        if one.get(key) is not None and one[key] == other[key] and one.get(CHAT) != other.get(CHAT):
            raise InvalidBroadcast(
                "key", f'several chats of the query have the "{key}" {one[key]!r}: name a column that is unique.'
            )


def _problem(error: DBAPIError) -> str | None:
    """What is wrong with a query in the database's first words; None where it is the database that fails."""
    original: Any = error.orig
    state = getattr(original, "sqlstate", None)
    if state is None:
        wrong = getattr(original, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    else:
        wrong = state.startswith(REFUSED) and state != NO_RIGHTS
    if not wrong:
        return None
    words = str(original.__cause__ or original).splitlines() or [type(original).__name__]
    return words[0].rstrip(".")

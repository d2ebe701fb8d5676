"""A query on an application's database, read in pages by a key: no transaction is open while a page is worked on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from dovecote.errors import InvalidBroadcast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy import Connection

    from dovecote.stores.database import Database

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
PAGE = 1000


async def rows_of(database: Database, query: str, *, key: str, page: int = PAGE) -> AsyncIterator[Mapping[str, Any]]:
    """The rows of `query` in the order of its column `key`, which must be unique and had better be indexed.

    Each page is a transaction of its own. Raises InvalidBroadcast for a query that has no such column or is none.
    """
    if not _COLUMN.fullmatch(key):
        raise InvalidBroadcast("key", f'"{key}" is no name of a column: name the one that the query is read by.')
    inner = query.strip().rstrip(";").replace(":", r"\:")
    # The query is the caller's own words, on a database that is the caller's own.
    first = text(f'SELECT * FROM ({inner}) AS rows_of_query ORDER BY "{key}" LIMIT :page')  # noqa: S608
    following = text(
        f'SELECT * FROM ({inner}) AS rows_of_query WHERE "{key}" > :after ORDER BY "{key}" LIMIT :page'  # noqa: S608
    )
    after: Any = None
    while True:
        statement = first if after is None else following
        values = {"page": page} if after is None else {"page": page, "after": after}

        def read(
            connection: Connection, statement: Any = statement, values: Mapping[str, Any] = values
        ) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(statement, values).mappings()]

        rows = await database.run(read)
        for row in rows:
            yield row
        if len(rows) < page:
            return
        if key not in rows[-1] or rows[-1][key] is None:
            raise InvalidBroadcast("key", f'the query answers no "{key}": name a column that it has, without NULLs.')
        after = rows[-1][key]

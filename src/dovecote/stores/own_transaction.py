"""A transaction of Dovecote's own, for whoever has none that `enqueue` could write in."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from dovecote.errors import StoreUnavailable
from dovecote.stores.database import to_the_end, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dovecote.stores.database import Database


@asynccontextmanager
async def own_transaction(database: Database) -> AsyncIterator[Any]:
    """A connection in a transaction that is committed at the end. Raises StoreUnavailable."""
    engine = database.async_engine
    if engine is not None:
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(engine.begin())
            except (DBAPIError, OSError, TimeoutError) as error:
                raise translated(error, database.url) from error
            yield connection
        return
    # Another writer may hold the file for a while, which must not hold the loop. Who is cut off meanwhile leaves no
    # transaction behind that keeps all other writers out.
    path = str(database.url.database)
    lite = await to_the_end(lambda: _begun(path), undo=lambda begun: begun.close())
    try:
        yield lite
        lite.execute("COMMIT")
    finally:
        lite.close()


def _begun(path: str) -> sqlite3.Connection:
    """A connection in a transaction that writes. Raises StoreUnavailable."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the database {path} cannot be used just now: {error}") from error
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        connection.close()
        raise StoreUnavailable(f"the database {path} cannot be used just now: {error}") from error
    return connection

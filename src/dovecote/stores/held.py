"""A connection that stays open, for what is asked every second, and an answer within a time or none.

`Database.run` connects anew each time, which is right for what is asked now and then. On SQLite that costs next to
nothing, so there it is used as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dovecote.errors import StoreUnavailable
from dovecote.stores.database import translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from dovecote.stores.database import Database

T = TypeVar("T")


class HeldConnection:
    """Like `Database.run`, one transaction after the other; each is given up after `timeout`."""

    def __init__(self, database: Database, timeout: timedelta) -> None:
        self._database = database
        self._timeout = timeout.total_seconds()
        self._lock = asyncio.Lock()
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        # Whether the last transaction ended with its connection.
        self._broke_off = False

    async def run(self, function: Callable[[Connection], T], *, write: bool = False) -> T:
        """Run `function` in a transaction of its own and commit it; say `write` when it changes anything.

        Raises StoreUnavailable when the database cannot be reached or does not answer in time (what was asked may
        still happen then), NotMigrated when tables are missing.
        """
        try:
            async with asyncio.timeout(self._timeout):
                engine = self._database.async_engine
                if engine is None:
                    return await self._database.run(function, write=write)
                async with self._lock:
                    return await self._run(engine, function)
        except TimeoutError as error:
            raise StoreUnavailable(f"the database has not answered within {self._timeout:g} s") from error
        except StoreUnavailable:
            raise  # in its own words, and an OSError as well
        except (DBAPIError, OSError, RuntimeError) as error:
            # The loop's own word for a network that has closed meanwhile is a RuntimeError.
            known = translated(error, self._database.url)
            if known is error and self._broke_off:
                raise StoreUnavailable(f"the database cannot be used just now: {_words(error)}") from error
            raise known from error

    async def _run(self, engine: AsyncEngine, function: Callable[[Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = await engine.connect()
                self._driver = (await self._connection.get_raw_connection()).driver_connection
            await self._connection.begin()
            answer = await self._connection.run_sync(function)
            await self._connection.commit()
        except BaseException:
            self._broke_off = self._driver is None or self._driver.is_closed()
            # Not rolled back, which would have to wait for the server as well: it ends with the connection.
            await self._discard()
            raise
        return answer

    async def _discard(self) -> None:
        """Give up the connection without a word to the server, which may not listen."""
        connection, self._connection = self._connection, None
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.terminate()
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.invalidate()

    async def close(self) -> None:
        """Give the connection back. May be called again, and used again."""
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            try:
                async with asyncio.timeout(self._timeout):
                    await connection.close()
            except (TimeoutError, SQLAlchemyError, OSError):
                # One that broke as it was given back is closed by now.
                with contextlib.suppress(SQLAlchemyError, OSError):
                    await connection.invalidate()


def _words(error: Exception) -> str:
    """The driver's first line: no statement and no value."""
    original = getattr(error, "orig", None) or error
    return (str(original.__cause__ or original).splitlines() or [type(original).__name__])[0]

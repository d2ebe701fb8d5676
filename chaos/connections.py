"""The application's own connection, on either database: begin, note the transaction's number, commit, roll back."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg

if TYPE_CHECKING:
    from asyncpg.transaction import Transaction

CREATE = "CREATE TABLE IF NOT EXISTS chaos_batch (number bigint PRIMARY KEY)"
LOCK_SECONDS = 2.0


class Commit(Enum):
    """How far a transaction has come: whoever has asked for the commit cannot know what became of it."""

    NOT_ASKED = auto()
    ASKED = auto()


class ApplicationConnection(Protocol):
    """A connection of one's own; `raw` is what `enqueue` takes."""

    raw: Any

    async def begin(self) -> None:
        """Begin a transaction."""

    async def note(self, batch: int) -> None:
        """Write the transaction's own row."""

    async def commit(self) -> None:
        """End it for good."""

    async def roll_back(self) -> None:
        """End it for nothing."""

    async def close(self) -> None:
        """End the connection."""


async def connection_of(url: str, *, pooled: bool = False) -> ApplicationConnection:
    """Connect. Behind a transaction pooler nothing may stay prepared."""
    if url.startswith("postgresql"):
        kept = {"statement_cache_size": 0} if pooled else {}
        return PostgresConnection(await asyncpg.connect(url, timeout=3, **kept))
    return SqliteConnection(url.removeprefix("sqlite:///"))


class PostgresConnection:
    """asyncpg's."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._transaction: Transaction = raw.transaction()

    async def begin(self) -> None:
        """See `ApplicationConnection`."""
        self._transaction = self.raw.transaction()
        await self._transaction.start()

    async def note(self, batch: int) -> None:
        """See `ApplicationConnection`."""
        await self.raw.execute("INSERT INTO chaos_batch VALUES ($1)", batch)

    async def commit(self) -> None:
        """See `ApplicationConnection`."""
        await self._transaction.commit()

    async def roll_back(self) -> None:
        """See `ApplicationConnection`."""
        await self._transaction.rollback()

    async def close(self) -> None:
        """See `ApplicationConnection`: at once, since the other end may hang."""
        self.raw.terminate()


class SqliteConnection:
    """The standard library's. It blocks, as applications on SQLite do."""

    def __init__(self, path: str) -> None:
        self.raw = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)

    async def begin(self) -> None:
        """See `ApplicationConnection`."""
        self.raw.execute("BEGIN IMMEDIATE")

    async def note(self, batch: int) -> None:
        """See `ApplicationConnection`."""
        self.raw.execute("INSERT INTO chaos_batch VALUES (?)", [batch])

    async def commit(self) -> None:
        """See `ApplicationConnection`."""
        self.raw.execute("COMMIT")

    async def roll_back(self) -> None:
        """See `ApplicationConnection`."""
        self.raw.execute("ROLLBACK")

    async def close(self) -> None:
        """See `ApplicationConnection`."""
        self.raw.close()

"""The connections that enqueue writes through: what the application has already, whichever it is.

Each becomes a `Caller`, or a `BlockingCaller` for `enqueue_sync`. No driver is imported here; an object of one is met
only after the application has imported it.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from dovecote.errors import UnsupportedConnection
from dovecote.stores.callers import AwaitedSQLAlchemyCaller, Directly, SQLAlchemyCaller, SQLiteCaller
from dovecote.stores.django_callers import AwaitedDjangoCaller, DjangoCaller, is_djangos
from dovecote.stores.driver_callers import AiosqliteCaller, AsyncpgCaller, AwaitedPsycopgCaller, PsycopgCaller

if TYPE_CHECKING:
    from dovecote.stores.callers import BlockingCaller, Caller

TAKEN_BLOCKING: Final = (
    "a Session or Connection of SQLAlchemy, a psycopg.Connection, a sqlite3.Connection or a database connection of"
    " Django's"
)
TAKEN: Final = (
    "enqueue takes an AsyncSession, AsyncConnection, Session or Connection of SQLAlchemy, a connection of asyncpg,"
    " psycopg 3 or aiosqlite, a database connection of Django's, or a sqlite3.Connection"
)
# SQLAlchemy's words for what stands in a session that has not been told where to.
NO_BIND = "pass `await session.connection(bind_arguments=...)` for the outbox's engine, so that it is known which"


async def caller_of(connection: object) -> Caller:
    """Take the application's connection. Raises UnsupportedConnection for all others, and outside a transaction."""
    if is_djangos(connection):
        return await AwaitedDjangoCaller.of(connection)
    if _is_awaited(connection):
        return await _awaited(connection)
    blocking = _blocking(connection)
    if blocking is not None:
        return Directly(blocking)
    raise UnsupportedConnection(
        f"a {_kind(connection)} is no connection in a transaction that is known: {TAKEN}{_hint(connection)}."
    )


def blocking_caller_of(connection: object) -> BlockingCaller:
    """The same for `enqueue_sync`. Raises UnsupportedConnection for what is awaited, too."""
    caller = _blocking(connection)
    if caller is not None:
        return caller
    if _is_awaited(connection):
        raise UnsupportedConnection(
            f"a {_kind(connection)} is awaited, which enqueue_sync does not do: write `await dovecote.enqueue(...)`, or"
            f" pass {TAKEN_BLOCKING}."
        )
    raise UnsupportedConnection(
        f"a {_kind(connection)} is no connection in a transaction that is known: enqueue_sync takes"
        f" {TAKEN_BLOCKING}{_hint(connection)}."
    )


def _is_awaited(connection: object) -> bool:
    return (
        isinstance(connection, (AsyncSession, AsyncConnection))
        or _is_asyncpgs(connection)
        or _is_of(connection, "psycopg", "AsyncConnection")
        or _is_of(connection, "aiosqlite", "Connection")
    )


async def _awaited(connection: object) -> Caller:
    match connection:
        case AsyncConnection():
            return AwaitedSQLAlchemyCaller(connection)
        case AsyncSession():
            try:
                return AwaitedSQLAlchemyCaller(await connection.connection())
            except UnboundExecutionError as error:
                raise UnsupportedConnection(f"the session has no single bind: {NO_BIND}.") from error
    if _is_asyncpgs(connection):
        return AsyncpgCaller(connection)
    return (
        AiosqliteCaller(connection)
        if _is_of(connection, "aiosqlite", "Connection")
        else AwaitedPsycopgCaller(connection)
    )


def _blocking(connection: object) -> BlockingCaller | None:
    if is_djangos(connection):
        return DjangoCaller(connection)
    try:
        match connection:
            case Session():
                return SQLAlchemyCaller(connection.connection())
            case Connection():
                return SQLAlchemyCaller(connection)
            case sqlite3.Connection():
                return SQLiteCaller(connection)
    except UnboundExecutionError as error:
        raise UnsupportedConnection(f"the session has no single bind: {NO_BIND.replace('await ', '')}.") from error
    return PsycopgCaller(connection) if _is_of(connection, "psycopg", "Connection") else None


def _is_of(connection: object, module: str, name: str) -> bool:
    imported = sys.modules.get(module)
    return imported is not None and isinstance(connection, getattr(imported, name))


def _is_asyncpgs(connection: object) -> bool:
    asyncpg = sys.modules.get("asyncpg")
    return asyncpg is not None and isinstance(connection, (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy))


def _kind(connection: object) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"


def _hint(connection: object) -> str:
    if hasattr(connection, "acquire") or hasattr(connection, "connect") or hasattr(connection, "getconn"):
        return "; take a connection of this one and begin a transaction on it"
    if callable(connection):
        return "; call this one and pass what it answers"
    return ""

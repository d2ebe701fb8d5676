"""Applications that enqueue: one for each kind of connection that they may have, with a transaction open on it."""

from __future__ import annotations

import contextlib
import inspect
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import aiosqlite
import asyncpg
import psycopg
from asgiref.sync import sync_to_async
from django_world import database_of
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from dovecote.stores.django_callers import is_djangos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from dovecote.stores.enqueue import Enqueuer


@dataclass(frozen=True)
class Application:
    """`connection` goes to enqueue; it is in a transaction, or begins one by itself where its kind does so."""

    connection: Any
    _begin: Callable[[], Any]
    _commit: Callable[[], Any]
    _rollback: Callable[[], Any]
    _savepoint: Callable[[], Any]
    _go_back: Callable[[], Any]

    async def again(self) -> Any:
        """Begin the next transaction; answers the connection."""
        await _done(self._begin())
        return self.connection

    async def commit(self) -> None:
        await _done(self._commit())

    async def rollback(self) -> None:
        await _done(self._rollback())

    async def savepoint(self) -> None:
        await _done(self._savepoint())

    async def go_back(self) -> None:
        """Roll back to the savepoint."""
        await _done(self._go_back())


async def _done(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


def of_sqlalchemy(connection: Any) -> Application:
    """A session or a connection of SQLAlchemy, blocking or awaited."""
    savepoints: list[Any] = []

    async def savepoint() -> None:
        savepoints.append(await _done(connection.begin_nested()))

    return Application(
        connection,
        lambda: None,
        connection.commit,
        connection.rollback,
        savepoint,
        lambda: savepoints.pop().rollback(),
    )


def awaited(driver: str, kind: type[AsyncSession | AsyncConnection], **options: Any) -> Opener:
    """Through an AsyncEngine."""

    @asynccontextmanager
    async def open_(url: str) -> AsyncIterator[Application]:
        engine = create_async_engine(make_url(url).set(drivername=driver), poolclass=NullPool, **options)
        opened: Any = AsyncSession(engine) if kind is AsyncSession else engine.connect()
        async with opened as connection:
            yield of_sqlalchemy(connection)
        await engine.dispose()

    return open_


def blocking(driver: str, kind: type[Session | Connection], **options: Any) -> Opener:
    """Through an Engine."""

    @asynccontextmanager
    async def open_(url: str) -> AsyncIterator[Application]:
        engine = create_engine(make_url(url).set(drivername=driver), poolclass=NullPool, **options)
        with Session(engine) if kind is Session else engine.connect() as connection:
            yield of_sqlalchemy(connection)
        engine.dispose()

    return open_


@asynccontextmanager
async def asyncpg_connection(url: str) -> AsyncIterator[Application]:
    connection = await asyncpg.connect(url)
    yield await of_asyncpg(connection)
    await connection.close()


@asynccontextmanager
async def asyncpg_from_a_pool(url: str) -> AsyncIterator[Application]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        yield await of_asyncpg(connection)


@asynccontextmanager
async def psycopg_connection(url: str) -> AsyncIterator[Application]:
    with psycopg.connect(url) as connection:
        yield await of_asyncpg(connection, "SELECT 1")


@asynccontextmanager
async def awaited_psycopg_connection(url: str) -> AsyncIterator[Application]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield await of_asyncpg(connection)


@asynccontextmanager
async def aiosqlite_connection(url: str) -> AsyncIterator[Application]:
    async with aiosqlite.connect(str(make_url(url).database)) as connection:
        yield Application(
            connection,
            lambda: None,
            connection.commit,
            connection.rollback,
            partial(connection.execute, "SAVEPOINT here"),
            partial(connection.execute, "ROLLBACK TO here"),
        )


@asynccontextmanager
async def djangos_connection(url: str) -> AsyncIterator[Application]:
    """In the thread that `sync_to_async` uses, as all of Django's are under an event loop."""
    from django.db import transaction  # noqa: PLC0415 (once it has been set up)

    with database_of(url) as (alias, connection):
        atomics: list[Any] = []
        savepoints: list[Any] = []

        def begin() -> None:
            atomics.append(transaction.atomic(using=alias))
            atomics[-1].__enter__()

        def end(*, rollback: bool) -> None:
            transaction.set_rollback(rollback, using=alias)
            atomics.pop().__exit__(None, None, None)

        def close() -> None:
            connection.close()  # Which one it is, is a matter of the thread.

        application = Application(
            connection,
            sync_to_async(begin),
            partial(sync_to_async(end), rollback=False),
            partial(sync_to_async(end), rollback=True),
            sync_to_async(lambda: savepoints.append(transaction.savepoint(using=alias))),
            sync_to_async(lambda: transaction.savepoint_rollback(savepoints.pop(), using=alias)),
        )
        await application.again()
        yield application
        while atomics:
            await application.rollback()
        await sync_to_async(close)()


async def of_asyncpg(connection: Any, begin: str = "BEGIN") -> Application:
    statements = (begin, "COMMIT", "ROLLBACK", "SAVEPOINT here", "ROLLBACK TO here")
    application = Application(connection, *(partial(connection.execute, statement) for statement in statements))
    await application.again()
    return application


def of_sqlite3(**options: Any) -> Opener:
    """A connection of the standard library, on which BEGIN was executed if it would not begin by itself."""

    @asynccontextmanager
    async def open_(url: str) -> AsyncIterator[Application]:
        with contextlib.closing(sqlite3.connect(str(make_url(url).database), **options)) as connection:
            begins = connection.isolation_level is not None
            application = Application(
                connection,
                partial(connection.execute, "SELECT 1" if begins else "BEGIN"),
                connection.commit,
                connection.rollback,
                partial(connection.execute, "SAVEPOINT here"),
                partial(connection.execute, "ROLLBACK TO here"),
            )
            await application.again()
            yield application

    return open_


if TYPE_CHECKING:
    Opener = Callable[[str], AbstractAsyncContextManager[Application]]

KINDS: dict[str, Opener] = {
    "postgresql-AsyncSession-asyncpg": awaited("postgresql+asyncpg", AsyncSession),
    "postgresql-AsyncSession-psycopg": awaited("postgresql+psycopg", AsyncSession),
    "postgresql-AsyncConnection-asyncpg": awaited("postgresql+asyncpg", AsyncConnection),
    "postgresql-AsyncConnection-psycopg": awaited("postgresql+psycopg", AsyncConnection),
    "postgresql-Session-psycopg": blocking("postgresql+psycopg", Session),
    "postgresql-Connection-psycopg": blocking("postgresql+psycopg", Connection),
    "postgresql-asyncpg": asyncpg_connection,
    "postgresql-asyncpg-pool": asyncpg_from_a_pool,
    "postgresql-psycopg": psycopg_connection,
    "postgresql-AsyncConnection-of-psycopg": awaited_psycopg_connection,
    "postgresql-Django": djangos_connection,
    "sqlite-AsyncSession-aiosqlite": awaited("sqlite+aiosqlite", AsyncSession),
    "sqlite-AsyncConnection-aiosqlite": awaited("sqlite+aiosqlite", AsyncConnection),
    "sqlite-Session-pysqlite": blocking("sqlite+pysqlite", Session),
    "sqlite-Connection-pysqlite": blocking("sqlite+pysqlite", Connection),
    "sqlite-sqlite3": of_sqlite3(),
    "sqlite-sqlite3-after-BEGIN": of_sqlite3(isolation_level=None),
    "sqlite-aiosqlite": aiosqlite_connection,
    "sqlite-Django": djangos_connection,
}
"""Every kind of connection that enqueue takes, by database, kind and driver."""

LIKE_OTHERS = frozenset(
    {
        *("postgresql-AsyncConnection-asyncpg", "postgresql-Connection-psycopg", "postgresql-asyncpg-pool"),
        *("sqlite-AsyncConnection-aiosqlite", "sqlite-Connection-pysqlite", "sqlite-sqlite3-after-BEGIN"),
        *("postgresql-Django-sync", "sqlite-Connection-pysqlite-sync", "sqlite-Session-pysqlite-sync"),
    }
)
"""Kinds that go the way of another one to its last step: the whole suite runs over them in `make chaos`."""

SYNC = "-sync"
"""Behind a kind: through `enqueue_sync`."""
SYNC_KINDS = tuple(
    f"{kind}{SYNC}"
    for kind in (
        *("postgresql-psycopg", "postgresql-Django"),
        *("sqlite-Session-pysqlite", "sqlite-Connection-pysqlite", "sqlite-sqlite3", "sqlite-Django"),
    )
)


class SyncEnqueuer:
    """`enqueue_sync`, as the suite asks for `enqueue`."""

    def __init__(self, enqueuer: Enqueuer) -> None:
        self._enqueuer = enqueuer

    async def enqueue(self, connection: Any, notifications: Any) -> Any:
        # Of Django's, in the thread where its transaction is, as in any view that is not async.
        write = self._enqueuer.enqueue_sync
        return (
            await sync_to_async(write)(connection, notifications)
            if is_djangos(connection)
            else write(connection, notifications)
        )


def through(kind: str, enqueuer: Enqueuer) -> Enqueuer:
    """The enqueuer as tests of that kind use it."""
    return cast("Enqueuer", SyncEnqueuer(enqueuer)) if kind.endswith(SYNC) else enqueuer

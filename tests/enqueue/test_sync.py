"""`enqueue_sync`: what it takes, where it may be called, and what it says of what is awaited."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import aiosqlite
import asyncpg
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from dovecote import Dovecote
from dovecote.errors import StoreUnavailable, UnsupportedConnection, WrongDatabase
from dovecote.model import Notification
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.enqueue import Enqueuer

if TYPE_CHECKING:
    from pathlib import Path

    from outboxes import Outbox

HELLO = Notification(bot="shop", chat_id=7, text="hello")


@pytest.fixture
def dovecote(migrated_sqlite_url: str) -> Dovecote:
    dovecote = Dovecote(migrated_sqlite_url)
    asyncio.run(dovecote.add_bot("shop", token_variable="TOKEN"))
    return dovecote


def written(dovecote: Dovecote) -> int:
    return asyncio.run(dovecote.stats()).due


def test_without_an_event_loop(dovecote: Dovecote) -> None:
    with contextlib.closing(sqlite3.connect(str(dovecote.database.url.database))) as connection, connection:
        first = dovecote.enqueue_sync(connection, HELLO)
        others = dovecote.enqueue_sync(connection, [HELLO, HELLO])

    assert [first, *others] == [1, 2, 3]
    assert written(dovecote) == 3


async def test_under_an_event_loop(dovecote: Dovecote) -> None:
    with contextlib.closing(sqlite3.connect(str(dovecote.database.url.database))) as connection, connection:
        assert dovecote.enqueue_sync(connection, HELLO) == 1

    assert (await dovecote.stats()).due == 1


def test_from_many_threads_at_once(dovecote: Dovecote) -> None:
    faults: list[BaseException] = []
    begin = threading.Barrier(8)

    def enqueue() -> None:
        try:
            path = str(dovecote.database.url.database)
            with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
                begin.wait(30)
                with connection:
                    dovecote.enqueue_sync(connection, [HELLO] * 5)
        except BaseException as error:  # noqa: BLE001 (told below)
            faults.append(error)

    threads = [threading.Thread(target=enqueue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert written(dovecote) == 40


def test_an_outbox_that_cannot_be_reached() -> None:
    enqueuer = Enqueuer(Database(outbox_url("postgresql://shop:hidden@127.0.0.1:1/shop")))

    # The outbox is asked before the connection is.
    connection = object.__new__(psycopg.Connection)

    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as caught:
        enqueuer.enqueue_sync(connection, HELLO)

    assert "hidden" not in str(caught.value)


def test_the_other_kind_of_database(tmp_path: Path) -> None:
    enqueuer = Enqueuer(Database(outbox_url("postgresql://shop:hidden@127.0.0.1:1/shop")))

    with (
        contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as connection,
        pytest.raises(WrongDatabase, match="to sqlite, and the outbox is postgresql://"),
    ):
        enqueuer.enqueue_sync(connection, HELLO)


async def test_what_is_awaited_is_told_to_be_awaited(dovecote: Dovecote) -> None:
    path = str(dovecote.database.url.database)
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    words = r"is awaited, which enqueue_sync does not do: write `await dovecote\.enqueue\(\.\.\.\)`, or pass a Session"
    async with AsyncSession(engine) as session, engine.connect() as connection, aiosqlite.connect(path) as lite:
        for awaited in (session, connection, lite):
            with pytest.raises(UnsupportedConnection, match=words):
                dovecote.enqueue_sync(awaited, HELLO)
    await engine.dispose()


@pytest.mark.parametrize("kind", ["postgresql-asyncpg"], indirect=True)
async def test_drivers_that_are_awaited_are_told_the_same(outbox: Outbox) -> None:
    url = outbox.database.url.render_as_string(hide_password=False)
    first, second = await asyncpg.connect(url), await psycopg.AsyncConnection.connect(url)
    for awaited in (first, second):
        with pytest.raises(UnsupportedConnection, match=r"is awaited, which enqueue_sync does not do"):
            Enqueuer(outbox.database).enqueue_sync(awaited, HELLO)
    await first.close()
    await second.close()


@pytest.mark.parametrize("wrong", ["sqlite:///x.db", None, 7, sqlite3], ids=["text", "None", "number", "a module"])
def test_what_is_no_connection_is_told_what_is_taken(dovecote: Dovecote, wrong: Any) -> None:
    with pytest.raises(UnsupportedConnection, match=r"enqueue_sync takes a Session or Connection .* of Django's"):
        dovecote.enqueue_sync(wrong, HELLO)

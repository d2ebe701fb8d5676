"""What enqueue refuses to write through, and why; and what it needs of the application's environment."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiosqlite
import asyncpg
import psycopg
import pytest
from applications import through
from asgiref.sync import sync_to_async
from django_world import database_of
from psycopg.types.string import StrDumper, TextLoader
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from dovecote.errors import NotMigrated, UnsupportedConnection, WrongDatabase
from dovecote.model import Notification
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.enqueue import Enqueuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from applications import Application, Opener
    from databases import PostgresDatabases
    from outboxes import Outbox

HELLO = Notification(bot="shop", chat_id=7, text="hello")
POSTGRESQL = ["postgresql-asyncpg"]
SQLITE = ["sqlite-sqlite3"]
BOTH = POSTGRESQL + SQLITE


def url_with(outbox: Outbox, driver: str) -> Any:
    return outbox.database.url.set(drivername=driver)


@pytest.fixture
def elsewhere(outbox: Outbox, tmp_path: Path, postgres: PostgresDatabases) -> Iterator[str]:
    """An empty database of the same kind that is not the outbox's."""
    if outbox.database.is_postgresql:
        url = postgres.create_database()
        yield url
        postgres.drop_database(url)
    else:
        yield f"sqlite:///{tmp_path}/elsewhere.db"


class TestWrongDatabase:
    async def test_a_database_without_an_outbox(
        self, enqueuer: Enqueuer, opener: Opener, elsewhere: str, outbox: Outbox
    ) -> None:
        async with opener(elsewhere) as application:
            with pytest.raises(WrongDatabase, match="leads to another database than the outbox's"):
                await enqueuer.enqueue(application.connection, HELLO)
            await application.commit()

        assert await outbox.rows("notification") == []

    async def test_a_database_with_another_outbox(
        self, enqueuer: Enqueuer, opener: Opener, elsewhere: str, outbox: Outbox
    ) -> None:
        database = Database(outbox_url(elsewhere))
        await database.migrate()
        async with opener(elsewhere) as application:
            for _ in range(2):
                with pytest.raises(WrongDatabase, match="leads to another database than the outbox's"):
                    await enqueuer.enqueue(application.connection, HELLO)
            await application.rollback()
        await database.close()

        assert await outbox.rows("notification") == []

    async def test_an_outbox_that_is_not_migrated(self, kind: str, opener: Opener, elsewhere: str) -> None:
        database = Database(outbox_url(elsewhere))
        async with opener(elsewhere) as application:
            with pytest.raises(NotMigrated, match="dovecote migrate"):
                await through(kind, Enqueuer(database)).enqueue(application.connection, HELLO)
            await application.rollback()
        await database.close()

    @pytest.mark.parametrize("kind", SQLITE, indirect=True)
    async def test_the_other_kind_of_database(self, application: Application) -> None:
        database = Database(outbox_url("postgresql://shop:hidden@127.0.0.1:1/shop"))

        with pytest.raises(WrongDatabase, match="to sqlite, and the outbox is postgresql://") as caught:
            await Enqueuer(database).enqueue(application.connection, HELLO)

        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_a_known_engine_is_not_asked_again(
        self, enqueuer: Enqueuer, outbox: Outbox, postgres: PostgresDatabases
    ) -> None:
        url = outbox.database.url.render_as_string(hide_password=False)
        engine = create_async_engine(url_with(outbox, "postgresql+asyncpg"))
        async with AsyncSession(engine) as session, session.begin():
            await enqueuer.enqueue(session, HELLO)
        postgres.forget_statements(url)

        async with AsyncSession(engine) as session, session.begin():
            await enqueuer.enqueue(session, HELLO)
        statements = postgres.statements(url)
        await engine.dispose()

        # BEGIN, COMMIT, and the one statement of enqueue.
        enqueues = [count for statement, count in statements.items() if "notification_key" in statement]
        assert enqueues == [1]
        assert not [statement for statement in statements if "installation" in statement or "dovecote.bot" in statement]

    @pytest.mark.parametrize(
        "kind", ["postgresql-psycopg", "postgresql-AsyncConnection-of-psycopg", "postgresql-Django-sync"], indirect=True
    )
    async def test_a_known_connection_is_not_asked_again(
        self, enqueuer: Enqueuer, application: Application, outbox: Outbox, postgres: PostgresDatabases
    ) -> None:
        url = outbox.database.url.render_as_string(hide_password=False)
        await enqueuer.enqueue(application.connection, HELLO)
        await application.commit()
        postgres.forget_statements(url)

        await enqueuer.enqueue(await application.again(), HELLO)
        await application.commit()
        statements = postgres.statements(url)

        assert sum(count for statement, count in statements.items() if "notification_key" in statement) == 1
        assert not [statement for statement in statements if "installation" in statement or "dovecote.bot" in statement]


class TestUnsupported:
    @pytest.mark.parametrize("kind", SQLITE, indirect=True)
    @pytest.mark.parametrize("wrong", ["sqlite:///x.db", None, object(), 7], ids=["text", "None", "object", "number"])
    async def test_what_is_no_connection_is_told_what_is_taken(self, enqueuer: Enqueuer, wrong: object) -> None:
        with pytest.raises(UnsupportedConnection, match=r"AsyncSession, AsyncConnection, .* or a sqlite3\.Connection"):
            await enqueuer.enqueue(wrong, HELLO)

    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_an_engine_and_a_pool_are_told_to_begin(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        engine = create_async_engine(url_with(outbox, "postgresql+asyncpg"), poolclass=NullPool)
        pool = asyncpg.create_pool(outbox.database.url.render_as_string(hide_password=False), min_size=0)

        for wrong in (engine, pool):
            with pytest.raises(UnsupportedConnection, match="take a connection of this one and begin a transaction"):
                await enqueuer.enqueue(wrong, HELLO)
        with pytest.raises(UnsupportedConnection, match="call this one and pass what it answers"):
            await enqueuer.enqueue(async_sessionmaker(engine), HELLO)

    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_an_asyncpg_connection_outside_a_transaction(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        connection = await asyncpg.connect(outbox.database.url.render_as_string(hide_password=False))
        with pytest.raises(UnsupportedConnection, match=r"not in a transaction.*connection\.transaction\(\)"):
            await enqueuer.enqueue(connection, HELLO)
        await connection.close()

        assert await outbox.rows("notification") == []

    @pytest.mark.parametrize("kind", SQLITE, indirect=True)
    async def test_a_sqlite3_connection_that_commits_by_itself(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        path = str(outbox.database.url.database)
        settings: list[dict[str, Any]] = [{"isolation_level": None}]
        if sys.version_info >= (3, 12):
            settings.append({"autocommit": True})
        for setting in settings:
            with (
                contextlib.closing(sqlite3.connect(path, **setting)) as connection,
                pytest.raises(UnsupportedConnection, match="execute BEGIN first"),
            ):
                await enqueuer.enqueue(connection, HELLO)

        assert await outbox.rows("notification") == []

    @pytest.mark.parametrize("kind", ["postgresql-psycopg", "postgresql-psycopg-sync"], indirect=True)
    async def test_a_psycopg_connection_that_commits_by_itself(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        url = outbox.database.url.render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            with pytest.raises(UnsupportedConnection, match=r"autocommit.*`with connection\.transaction\(\):`"):
                await enqueuer.enqueue(connection, HELLO)
            assert await outbox.rows("notification") == []

            with connection.transaction():
                notification_id = await enqueuer.enqueue(connection, HELLO)

        assert await outbox.places() == {notification_id: "waiting"}

    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_an_awaited_psycopg_connection_that_commits_by_itself(
        self, enqueuer: Enqueuer, outbox: Outbox
    ) -> None:
        url = outbox.database.url.render_as_string(hide_password=False)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            with pytest.raises(UnsupportedConnection, match=r"autocommit.*`async with connection\.transaction\(\):`"):
                await enqueuer.enqueue(connection, HELLO)
            assert await outbox.rows("notification") == []

            # In a pipeline the answer of BEGIN has not come yet.
            async with connection.pipeline():
                with pytest.raises(UnsupportedConnection, match="autocommit"):
                    await enqueuer.enqueue(connection, HELLO)
                async with connection.transaction():
                    notification_id = await enqueuer.enqueue(connection, HELLO)

        assert await outbox.places() == {notification_id: "waiting"}

    @pytest.mark.parametrize("kind", SQLITE, indirect=True)
    async def test_an_aiosqlite_connection_that_commits_by_itself(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        path = str(outbox.database.url.database)
        settings: list[dict[str, Any]] = [{"isolation_level": None}]
        if sys.version_info >= (3, 12):
            settings.append({"autocommit": True})
        for setting in settings:
            async with aiosqlite.connect(path, **setting) as connection:
                with pytest.raises(UnsupportedConnection, match=r"aiosqlite.*execute BEGIN first"):
                    await enqueuer.enqueue(connection, HELLO)
        assert await outbox.rows("notification") == []

        async with aiosqlite.connect(path, isolation_level=None) as connection:
            await connection.execute("BEGIN")
            notification_id = await enqueuer.enqueue(connection, HELLO)
            await connection.commit()

        assert await outbox.places() == {notification_id: "waiting"}

    @pytest.mark.parametrize(
        "kind", ["postgresql-Django", "postgresql-Django-sync", "sqlite-Django", "sqlite-Django-sync"], indirect=True
    )
    async def test_a_django_connection_outside_of_atomic(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        with database_of(outbox.database.url.render_as_string(hide_password=False)) as (_, connection):
            with pytest.raises(UnsupportedConnection, match=r"not in a transaction.*`with transaction\.atomic\(\):`"):
                await enqueuer.enqueue(connection, HELLO)
            await sync_to_async(lambda: connection.close())()  # noqa: PLW0108 (which one, is a matter of the thread)

        assert await outbox.rows("notification") == []

    @pytest.mark.parametrize("kind", SQLITE, indirect=True)
    async def test_a_session_of_sqlalchemy_without_a_bind(self, enqueuer: Enqueuer) -> None:
        with Session() as session, pytest.raises(UnsupportedConnection, match="no single bind"):
            await enqueuer.enqueue(session, HELLO)

    @pytest.mark.parametrize(
        ("kind", "driver"),
        [
            (BOTH[0], "postgresql+asyncpg"),
            (BOTH[0], "postgresql+psycopg"),
            (BOTH[1], "sqlite+aiosqlite"),
        ],
        indirect=["kind"],
    )
    @pytest.mark.parametrize("where", ["engine", "connection"])
    async def test_an_awaited_connection_in_autocommit(
        self, enqueuer: Enqueuer, outbox: Outbox, driver: str, where: str
    ) -> None:
        level = {"isolation_level": "AUTOCOMMIT"}
        engine = create_async_engine(
            url_with(outbox, driver), poolclass=NullPool, **(level if where == "engine" else {})
        )
        async with engine.connect() as connection:
            if where == "connection":
                await connection.execution_options(isolation_level="AUTOCOMMIT")
            with pytest.raises(UnsupportedConnection, match="AUTOCOMMIT"):
                await enqueuer.enqueue(connection, HELLO)
        await engine.dispose()

        assert await outbox.rows("notification") == []

    @pytest.mark.parametrize(
        ("kind", "driver"),
        [(BOTH[0], "postgresql+psycopg"), (BOTH[1], "sqlite+pysqlite")],
        indirect=["kind"],
    )
    async def test_a_blocking_connection_in_autocommit(self, enqueuer: Enqueuer, outbox: Outbox, driver: str) -> None:
        engine = create_engine(url_with(outbox, driver), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection, pytest.raises(UnsupportedConnection, match="AUTOCOMMIT"):
            await enqueuer.enqueue(connection, HELLO)
        engine.dispose()

        assert await outbox.rows("notification") == []


class TestApplicationsOwnSettings:
    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_codecs_and_records_of_an_asyncpg_application(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        connection = await asyncpg.connect(outbox.database.url.render_as_string(hide_password=False))
        for name in ("json", "timestamptz", "interval"):
            await connection.set_type_codec(
                name, schema="pg_catalog", encoder=lambda _: "spoilt", decoder=lambda _: None
            )
        async with connection.transaction():
            notification_id = await enqueuer.enqueue(connection, HELLO)
        await connection.close()

        assert await outbox.places() == {notification_id: "waiting"}

    @pytest.mark.parametrize("kind", ["postgresql-psycopg", "postgresql-psycopg-sync"], indirect=True)
    async def test_cursors_rows_and_types_of_a_psycopg_application(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        class Spoilt(StrDumper):
            def dump(self, obj: str) -> Any:
                return super().dump(f"spoilt {obj}")

        class Loader(TextLoader):
            def load(self, data: Any) -> str:
                return f"spoilt {bytes(data)!r}"

        url = outbox.database.url.render_as_string(hide_password=False)
        with psycopg.connect(url, row_factory=lambda _: lambda _: (), cursor_factory=psycopg.RawCursor) as connection:
            connection.adapters.register_dumper(str, Spoilt)
            for name in ("text", "int4", "int8"):
                connection.adapters.register_loader(name, Loader)
            notification_id = await enqueuer.enqueue(connection, HELLO)

        assert await outbox.places() == {notification_id: "waiting"}

    @pytest.mark.parametrize("kind", SQLITE, indirect=True)
    async def test_factories_of_an_aiosqlite_application(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        async with aiosqlite.connect(str(outbox.database.url.database)) as connection:
            connection.row_factory = lambda *_: None  # type: ignore[assignment]
            connection.text_factory = bytes
            notification_id = await enqueuer.enqueue(connection, HELLO)
            with pytest.raises(LookupError, match='there are: "shop"'):
                await enqueuer.enqueue(connection, Notification(bot="shpo", chat_id=7, text="hello"))
            await connection.commit()

        assert await outbox.places() == {notification_id: "waiting"}

    @pytest.mark.parametrize("kind", SQLITE, indirect=True)
    async def test_factories_of_a_sqlite3_application(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        with contextlib.closing(sqlite3.connect(str(outbox.database.url.database))) as connection:
            connection.row_factory = lambda *_: None
            connection.text_factory = bytes
            notification_id = await enqueuer.enqueue(connection, HELLO)
            with pytest.raises(LookupError, match='there are: "shop"'):
                await enqueuer.enqueue(connection, Notification(bot="shpo", chat_id=7, text="hello"))
            connection.commit()

        assert await outbox.places() == {notification_id: "waiting"}

    @pytest.mark.parametrize("kind", POSTGRESQL, indirect=True)
    async def test_a_connection_that_streams_its_results(self, enqueuer: Enqueuer, outbox: Outbox) -> None:
        engine = create_engine(url_with(outbox, "postgresql+psycopg"), poolclass=NullPool)
        with engine.connect().execution_options(stream_results=True) as connection:
            notification_id = await enqueuer.enqueue(connection, HELLO)
            connection.commit()
        engine.dispose()

        assert await outbox.places() == {notification_id: "waiting"}

    def test_no_driver_is_imported(self) -> None:
        program = (
            "import sys, dovecote.stores.connections, dovecote.stores.enqueue\n"
            "print([name for name in ('asyncpg', 'psycopg', 'aiosqlite', 'django', 'asgiref') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

        assert done.stdout == "[]\n"

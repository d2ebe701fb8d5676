"""Whose database it is: a test takes one that is its own, marks it, and leaves no notification in it.

The mark is a table. A database that holds bots and lacks it is somebody's outbox: nothing of it is touched.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, MetaData, Table, func, inspect, null, select

from dovecote.errors import DovecoteError
from dovecote.stores.database import Database, outbox_url
from dovecote.testing.background import Background

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

MARK: Final = "testing"
KEPT: Final = frozenset({"bot", "installation"})
# What a test before may have left in the row of a bot that is kept.
AS_NEW: Final = ("halted_until", "stopped_reason", "pace_held", "pace_held_at")


class DatabaseInUse(DovecoteError):
    """The database that a test was given holds somebody's outbox."""


async def take(database: Database) -> None:
    """Migrate it, mark it and empty the outbox. Raises DatabaseInUse."""
    found, wanted = await database.revision()
    if found is not None:
        await database.run(lambda connection: _refuse_strangers(connection, database))
    if found != wanted:
        await database.migrate()
    await database.run(lambda connection: _mark_and_empty(connection, database), write=True)


async def give_back(database: Database) -> None:
    """Empty the outbox, and let the time be the database's own again."""
    await database.run(lambda connection: _mark_and_empty(connection, database), write=True)
    if database.is_postgresql:
        await _set_clock(database, "clock_timestamp()")


async def stop_clock(database: Database, now: datetime) -> None:
    """Let it be `now` in the database, for whoever asks. On SQLite it is the process that has the time."""
    if database.is_postgresql:
        await _set_clock(database, f"'{now.isoformat()}'::timestamptz")


async def _set_clock(database: Database, expression: str) -> None:
    statement = (
        "CREATE OR REPLACE FUNCTION dovecote.clock() RETURNS timestamptz LANGUAGE sql VOLATILE"
        f" AS $$ SELECT {expression} $$"
    )
    await database.run(lambda connection: connection.exec_driver_sql(statement), write=True)


def _mark(database: Database) -> tuple[str, str | None]:
    """The table's name and schema."""
    return (MARK, "dovecote") if database.is_postgresql else (f"dovecote_{MARK}", None)


def _refuse_strangers(connection: Connection, database: Database) -> None:
    name, schema = _mark(database)
    if inspect(connection).has_table(name, schema=schema):
        return
    bot = database.tables.bot
    if connection.execute(select(func.count()).select_from(bot)).scalar_one():
        raise DatabaseInUse(
            f"{database.url.render_as_string(hide_password=True)} holds an outbox in use: a test would empty it and"
            " stop its clock. Let the fixture `dovecote_database_url` name a database that is for tests alone."
        )


def _mark_and_empty(connection: Connection, database: Database) -> None:
    name, schema = _mark(database)
    if not inspect(connection).has_table(name, schema=schema):
        Table(name, MetaData(), Column("id", Integer, primary_key=True), schema=schema).create(connection)
    tables = database.tables
    prefix = "" if database.is_postgresql else "dovecote_"
    for table in reversed(tables.metadata.sorted_tables):
        if table.name.removeprefix(prefix) not in KEPT:
            connection.execute(table.delete())
    # Bots stay: a Dovecote of the application's, older than this test, remembers them by their ids.
    connection.execute(tables.bot.update().values(dict.fromkeys(AS_NEW, null())))


@functools.cache
def migrated_file() -> bytes:
    """A SQLite database with the newest schema, made once in a process."""
    with tempfile.TemporaryDirectory(prefix="dovecote-testing-") as folder, Background() as background:
        path = Path(folder) / "outbox.db"
        background.wait_for(_migrated(f"sqlite:///{path}"))
        return path.read_bytes()


async def _migrated(url: str) -> None:
    database = Database(outbox_url(url))
    try:
        await database.migrate()
    finally:
        await database.close()

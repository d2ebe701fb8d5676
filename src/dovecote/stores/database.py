"""One way to run ordinary statements on either database: a function over a SQLAlchemy `Connection`.

The hot statements have paths of their own; what an operator or a start-up asks for goes through here, written once
as SQLAlchemy Core for both dialects. SQLite runs in a thread, so that the loop is never blocked by the disk.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sqlite3
import threading
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, create_engine, event, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool, QueuePool

from dovecote.errors import InvalidConfiguration, MissingExtra, NotMigrated, StoreUnavailable
from dovecote.stores import late_indexes
from dovecote.stores.addresses import AMBIGUOUS, is_ambiguous, parameter_faults, place_of
from dovecote.stores.loop_engines import LoopEngines
from dovecote.stores.tables import POSTGRESQL, SQLITE, Tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import URL, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")

PATIENCE_SECONDS = 10
"""How long a statement waits for another writer of the file."""

# Held while migrating, so that instances which start together migrate once.
MIGRATION_LOCK = 0x646F7665
# A change of a table waits for whoever reads it, such as a dump, and all workers wait behind the change. So it is given
# up after a while, or where a worker and it wait for each other, and tried again.
TABLE_PATIENCE_SECONDS = 2.0
MIGRATION_TRIES = 30
MIGRATION_PAUSE_SECONDS = 1.0
HELD_UP = {"55P03", "40P01"}


def outbox_url(url: str) -> URL:
    """Read a database URL; raises InvalidConfiguration for one that is neither SQLite's nor PostgreSQL's."""
    remedy = "write sqlite:///dovecote.db or postgresql://user:password@host:5432/name"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidConfiguration([f"database.url: that is no database URL: {remedy}."]) from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql", "postgres"}:
        raise InvalidConfiguration([f"database.url: {parsed.drivername!r} is not supported: {remedy}."])
    faults = parameter_faults(parsed.query, is_postgresql=parsed.get_backend_name() != "sqlite")
    if is_ambiguous(url):
        faults.append(AMBIGUOUS)
    if faults:
        raise InvalidConfiguration([f"database.url: {fault}: {remedy}." for fault in faults])
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in {None, "", ":memory:"}:
            raise InvalidConfiguration(["database.url: a SQLite outbox needs a file: write sqlite:///dovecote.db."])
        return parsed.set(drivername="sqlite")
    return parsed.set(drivername="postgresql")


class Run(Protocol):
    """Runs functions in transactions: `Database.run`, and others in its place."""

    async def __call__(self, function: Callable[[Connection], T], *, write: bool = False) -> T:
        """See `Database.run`."""


class _Begun(NamedTuple):
    """A transaction on SQLite, and what ends it."""

    connection: Connection
    close: Callable[[], None]


class Database:
    """An outbox's database: its tables, and `run` for a function over a connection in a transaction."""

    def __init__(self, url: URL, *, pool_size: int = 0, keeps_statements: bool = True) -> None:
        """Take its URL. With `pool_size` each event loop keeps so many connections; it has to `release` them.

        `keeps_statements`: see `LoopEngines`.
        """
        self.url = url
        self._pool_size = pool_size
        self.keeps_statements = keeps_statements
        self.is_postgresql = url.get_backend_name() == "postgresql"
        self.tables: Tables = POSTGRESQL if self.is_postgresql else SQLITE
        self._engines = LoopEngines(url, pool_size=pool_size, keeps_statements=keeps_statements)
        self._engine: Engine | None = None
        # SQLite lets whoever waits for the file starve, so writers of this object wait for each other outside.
        self._writing = threading.Lock() if pool_size else None
        if self.is_postgresql:
            if importlib.util.find_spec("asyncpg") is None:
                raise MissingExtra("postgres", "An outbox on PostgreSQL")
        else:
            # The last connection that is closed writes the whole log back into the file, which is not for each call.
            pool: dict[str, Any] = (
                {"poolclass": QueuePool, "pool_size": pool_size, "max_overflow": 0}
                if pool_size
                else {"poolclass": NullPool}
            )
            # What one thread of asyncio's begins, another goes on with; never two at a time.
            self._engine = create_engine(url, hide_parameters=True, connect_args={"check_same_thread": False}, **pool)
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)

    @property
    def async_engine(self) -> AsyncEngine | None:
        """The engine for the running event loop; None on SQLite, which runs in threads instead."""
        return self._engines.engine() if self.is_postgresql else None

    async def run(self, function: Callable[[Connection], T], *, write: bool = False) -> T:
        """Run `function` in a transaction of its own and commit it; say `write` when it changes anything.

        Raises StoreUnavailable when the database cannot be reached, NotMigrated when tables are missing.
        """
        try:
            engine = self.async_engine
            if engine is not None:
                async with engine.begin() as connection:
                    return await connection.run_sync(function)
            return await asyncio.to_thread(self._run_in_thread, function, write=write)
        except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
            raise translated(error, self.url) from error

    def _run_in_thread(self, function: Callable[[Connection], T], *, write: bool) -> T:
        assert self._engine is not None  # noqa: S101 (one of the two engines exists)
        with (
            self._turn() if write else nullcontext(),
            self._engine.execution_options(write=write).begin() as connection,
        ):
            return function(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection | Connection]:
        """A transaction that writes, committed at the end: an AsyncConnection, or on SQLite a Connection.

        Raises StoreUnavailable when it cannot begin or commit; what is raised inside comes out as it is.
        """
        async with AsyncExitStack() as stack:
            try:
                opened = await self._opened(stack)
            except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
                raise translated(error, self.url) from error
            yield opened
            try:
                await (opened.commit() if isinstance(opened, AsyncConnection) else to_the_end(opened.commit))
            except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
                raise translated(error, self.url) from error

    async def _opened(self, stack: AsyncExitStack) -> AsyncConnection | Connection:
        engine = self.async_engine
        if engine is not None:
            opened = await stack.enter_async_context(engine.connect())
            await opened.begin()
            return opened
        # Another writer may hold the file for a while, which must not hold the loop.
        begun = await to_the_end(self._begun, undo=lambda begun: begun.close())
        stack.callback(begun.close)
        return begun.connection

    def _begun(self) -> _Begun:
        assert self._engine is not None  # noqa: S101 (there is one on SQLite)
        with ExitStack() as stack:
            stack.enter_context(self._turn())
            connection = stack.enter_context(self._engine.execution_options(write=True).connect())
            connection.begin()
            return _Begun(connection, stack.pop_all().close)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._writing is None:
            yield
            return
        if not self._writing.acquire(timeout=PATIENCE_SECONDS):
            raise TimeoutError(f"another transaction of this process holds the file for {PATIENCE_SECONDS} s")
        try:
            yield
        finally:
            self._writing.release()

    async def release(self) -> None:
        """Give back the pooled connections of this event loop."""
        await self._engines.release()
        if self._engine is not None:
            self._engine.dispose()

    async def migrate(self, revision: str = "head") -> None:
        """Bring the schema to `revision` (of Alembic; `base` takes everything away)."""
        from alembic import command  # noqa: PLC0415 (slow to import, and seldom needed)

        def upgrade(connection: Connection) -> None:
            if self.is_postgresql:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
                connection.execute(text(f"SET LOCAL lock_timeout = {round(TABLE_PATIENCE_SECONDS * 1000)}"))
                connection.execute(text("CREATE SCHEMA IF NOT EXISTS dovecote"))
            self._check_known(_current(connection))
            config = migration_config(connection)
            (command.downgrade if revision == "base" else command.upgrade)(config, revision)

        for _ in range(MIGRATION_TRIES):
            try:
                await self.run(upgrade, write=True)
                return await late_indexes.build_missing(self.async_engine if revision == "head" else None)
            except (DBAPIError, StoreUnavailable) as error:
                reason = error if isinstance(error, DBAPIError) else error.__cause__
                if getattr(getattr(reason, "orig", None), "sqlstate", None) not in HELD_UP:
                    raise translated(error, self.url) from error
            await asyncio.sleep(MIGRATION_PAUSE_SECONDS)
        raise StoreUnavailable(
            "a table cannot be changed, since another transaction holds it all the time: end that one, such as a dump"
            " (`dovecote doctor` names the oldest), then migrate again. Nothing was changed."
        )

    async def revision(self) -> tuple[str | None, str | None]:
        """The schema's revision, and the one that this version of Dovecote works with."""
        return await self.run(_current), _script().get_current_head()

    async def check_migrated(self) -> None:
        """Raise NotMigrated unless the schema is this version's."""
        found, wanted = await self.revision()
        if found != wanted:
            self._check_known(found)
            at = "no revision" if found is None else f"revision {found}"
            raise NotMigrated(
                f"the schema of {self.url.render_as_string(hide_password=True)} is at {at}, and this"
                f" version of Dovecote needs {wanted}: run `dovecote migrate`."
            )

    def _check_known(self, found: str | None) -> None:
        if found is not None and found not in {script.revision for script in _script().walk_revisions()}:
            raise NotMigrated(
                f"the schema of {self.url.render_as_string(hide_password=True)} is at revision {found}, which this"
                f" version of Dovecote does not know (it needs {_script().get_current_head()}): the program is older"
                " than the schema, upgrade the program."
            )

    async def installation(self) -> str:
        """The identity of this outbox."""
        return await self.run(lambda connection: connection.execute(select(self.tables.installation.c.id)).scalar_one())

    async def close(self) -> None:
        """Give back every connection."""
        await self._engines.close()
        if self._engine is not None:
            self._engine.dispose()


MIGRATIONS = Path(__file__).parent / "migrations"


def _script() -> ScriptDirectory:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 (slow to import, and seldom needed)

    return ScriptDirectory(str(MIGRATIONS))


def _current(connection: Connection) -> str | None:
    """The schema's revision; None where there is no schema."""
    from alembic.migration import MigrationContext  # noqa: PLC0415 (slow to import, and seldom needed)

    options: dict[str, Any] = (
        {"version_table": "migration", "version_table_schema": "dovecote"}
        if connection.dialect.name == "postgresql"
        else {"version_table": "dovecote_migration"}
    )
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for this connection."""
    from alembic.config import Config  # noqa: PLC0415 (slow to import, and seldom needed)

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["large_table"] = late_indexes.LARGE_TABLE
    return config


async def to_the_end(function: Callable[[], T], *, undo: Callable[[T], object] | None = None) -> T:
    """Run it in a thread. Where the wait for it is cut off, it is waited for all the same, and undone."""
    # No task: those are cancelled when a loop ends, and what the thread answers would be lost.
    work = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):  # one that is told again
                await asyncio.wait([work])
        if work.exception() is None and undo is not None:
            undo(work.result())
        raise


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own idea of when a transaction begins leaves DDL outside of it.
    connection.isolation_level = None
    prepare_sqlite(connection)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins as a reader cannot always become a writer.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")


def prepare_sqlite(connection: Any) -> None:
    """Set what the outbox needs on a connection of its own: write-ahead log, and patience with other writers."""
    connection.execute(f"PRAGMA busy_timeout = {PATIENCE_SECONDS * 1000}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            # The first use of a file changes its mode, and two that do so at a time do not wait for each other.
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous = FULL")


def translated(error: Exception, url: URL) -> Exception:
    """The error of ours that an error of the driver for `url` means, or itself where it means a fault of ours.

    No statement is in a message of ours, and no value: the driver's first line alone.
    """
    original = getattr(error, "orig", None) or error
    while isinstance(original.__cause__, Exception) and getattr(original, "sqlstate", None):
        # SQLAlchemy writes the driver's class before its words.
        original = original.__cause__
    message = (str(original).splitlines() or [repr(original)])[0].strip("'")
    if _names_a_missing_table(original, message):
        return NotMigrated("the database has no Dovecote schema: run `dovecote migrate`.")
    refusal = _shut_out(original, message)
    if refusal is not None:
        return StoreUnavailable(refusal)
    if isinstance(error, ProgrammingError):
        return error
    if str(getattr(original, "sqlstate", None) or "").startswith(OUTAGES) or isinstance(
        error, (OperationalError, InterfaceError, PoolTimeout, OSError, TimeoutError)
    ):
        return StoreUnavailable(f"{place_of(url)} cannot be used just now: {message}")
    return error


# How the SQLSTATE of a server begins that cannot serve now: the connection, read-only (a standby), a transaction that
# it has ended for being idle or for another one's sake (deadlocks), what it has no more of (connections, memory, disk),
# an operator's intervention, its own system.
OUTAGES = ("08", "25006", "25P03", "40", "53", "57", "58")
# A database or a role that does not exist, a wrong password, a host that is not let in.
NO_ENTRY = {"3D000", "28000", "28P01"}
NO_RIGHTS = "42501"

PRIMARY_CODE = 0xFF
BROKEN_FILE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


def no_database(message: str) -> str:
    """The sentence for a SQLite file that is none, or broken."""
    return (
        f"the file that database.url names is no SQLite database, or a broken one ({message}): name another file, or"
        " put a backup in its place."
    )


def _shut_out(original: BaseException, message: str) -> str | None:
    """What to tell the operator where it is the database's state or rights that forbid it; None for anything else."""
    sqlstate = getattr(original, "sqlstate", None)
    if sqlstate in NO_ENTRY:
        return f"the database cannot be entered ({message}): make it, or mend database.url."
    if sqlstate == NO_RIGHTS:
        return (
            f"the database does not let this user do that ({message}): grant the rights, or name another user in"
            " database.url."
        )
    if getattr(original, "sqlite_errorcode", 0) & PRIMARY_CODE in BROKEN_FILE:
        return no_database(message)
    return None


def _names_a_missing_table(original: BaseException, message: str) -> bool:
    """Whether it is a table or a schema of ours that is missing; a missing database is another matter."""
    sqlstate = getattr(original, "sqlstate", None)
    missing = sqlstate in {"42P01", "3F000"} if sqlstate else "no such table" in message
    return missing and "dovecote" in message

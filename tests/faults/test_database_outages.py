"""PostgreSQL that is killed and that stops for a while under a worker: the worker goes on by itself."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from databases import connect, database_of
from deliveries import Delivery, delivery, until
from migrated import migrate
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from worker_processes import short_leased

from dovecote.emulator import Answer, Emulator, Rule
from dovecote.errors import StoreUnavailable
from dovecote.model import Instance
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.firing import FiringStore
from dovecote.stores.held import HeldConnection
from dovecote.stores.postgresql import PostgreSQLOutbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from databases import PostgresDatabases
    from servers import PostgresServer
    from sqlalchemy import Connection

COUNT = 1500
BOTH_HELD = text("""
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (
        SELECT oid FROM pg_database WHERE datname = current_database())
""")
LEASE = timedelta(seconds=60)


async def test_all_is_delivered_and_each_double_is_explained(own_postgres: PostgresServer, tmp_path: Path) -> None:
    url = own_postgres.create_database()
    migrate(url)
    async with Emulator() as emulator, delivery(url, emulator.url) as parts:
        emulator.script(Rule(Answer(delay=0.05)))
        ids = await parts.backlog(COUNT)
        with short_leased(tmp_path / "log", url, emulator.url, parts.keys, lease=7.0, timeout=6.0) as worker:
            await until(lambda: len(emulator.requests) >= 200)
            own_postgres.kill()
            await until(lambda: told(worker.log) == 1)
            own_postgres.start()
            await until(lambda: len(emulator.requests) >= 600)
            own_postgres.stop()
            await until(lambda: told(worker.log) == 2)
            # What was claimed goes on being sent, then there is nothing left to do.
            await until(lambda: all(record.status == 200 for record in emulator.requests))
            own_postgres.start()
            await until(lambda: settled(parts), bound=60)
            assert worker.runs
            worker.tell_to_stop()
            code, _ = worker.end()

        assert code == 0, worker.log
        assert told(worker.log) == 2
        stats = await parts.dovecote.stats()
        assert (stats.delivered, stats.dead, stats.unknown) == (COUNT, 0, 0)
        copies = Counter(record.chat_id for record in emulator.accepted)
        assert set(copies) == set(range(1, COUNT + 1))
        earlier = await parts.all_outcomes()
        for number, id_ in enumerate(ids, start=1):
            assert copies[number] - 1 <= len(earlier.get(id_, []))


async def test_a_database_that_is_dropped_is_an_outage(postgres: PostgresDatabases) -> None:
    url = postgres.create_database()
    migrate(url)
    store = PostgreSQLOutbox(outbox_url(url))
    await store.cycle([], claim=1, lease=LEASE)

    postgres.drop_database(url)

    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="cannot be used just now"):
            await store.cycle([], claim=1, lease=LEASE)
    await store.close()


async def test_rights_that_are_taken_away_are_an_outage_until_they_are_given_back(postgres: PostgresDatabases) -> None:
    url = postgres.create_database()
    migrate(url)
    role = f"worker_{uuid.uuid4().hex}"
    with connect(url) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        connection.execute(f"GRANT USAGE ON SCHEMA dovecote TO {role}".encode())
    store = PostgreSQLOutbox(outbox_url(url).set(username=role))
    try:
        with pytest.raises(StoreUnavailable, match="permission denied for table"):
            await store.cycle([], claim=1, lease=LEASE)
        with connect(url) as connection:
            connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA dovecote TO {role}".encode())
        assert (await store.cycle([], claim=1, lease=LEASE)).claimed == []
    finally:
        await store.close()
        postgres.drop_database(url)
        with connect(postgres.url) as connection:
            connection.execute(f"DROP ROLE {role}".encode())


async def test_a_database_that_takes_no_writes_is_an_outage_for_all_that_writes(postgres: PostgresDatabases) -> None:
    url = postgres.create_database()
    migrate(url)
    with connect(url) as connection:
        connection.execute(f"ALTER DATABASE {database_of(url)} SET default_transaction_read_only = on".encode())
    async with Delivery(url).dovecote as dovecote:
        firing = FiringStore(dovecote.database)
        instance = Instance("i", host="h", pid=1, version="1", role="worker")
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: dovecote.store.cycle([], claim=1, lease=LEASE),
            lambda: dovecote._leading.terms().beat(instance),
            lambda: firing.fan_out(limit=1),
            lambda: dovecote.add_bot("shop", token_variable="TOKEN"),
        ]
        for write in writes:
            with pytest.raises(StoreUnavailable, match="read-only transaction"):
                await write()
        await firing.close()
    postgres.drop_database(url)


async def test_an_outage_is_told_in_one_sentence_whatever_asks(tmp_path: Path) -> None:
    database = Database(outbox_url(f"sqlite:///{tmp_path}/nowhere/x.db"))
    held = HeldConnection(database, timedelta(seconds=5))
    for run in (database.run, held.run):
        with pytest.raises(StoreUnavailable) as told:
            await run(lambda connection: connection.exec_driver_sql("SELECT 1"))
        assert str(told.value).count("cannot be used just now") == 1
    await database.close()


async def test_a_held_connection_that_breaks_as_it_is_given_back_is_given_up(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(outbox_url(postgres_url))
    held = HeldConnection(database, timedelta(seconds=5))
    await held.run(lambda connection: connection.exec_driver_sql("SELECT 1"))
    given_back = AsyncConnection.close

    async def breaking(self: AsyncConnection) -> None:
        await given_back(self)
        raise OperationalError("ROLLBACK", None, ConnectionError("server conn crashed?"))

    monkeypatch.setattr(AsyncConnection, "close", breaking)
    await held.close()
    monkeypatch.undo()

    await held.run(lambda connection: connection.exec_driver_sql("SELECT 1"))
    await held.close()
    await database.close()


async def test_a_network_that_has_closed_is_an_outage_by_the_loops_own_word_as_well(postgres_url: str) -> None:
    database = Database(outbox_url(postgres_url))
    held = HeldConnection(database, timedelta(seconds=5))

    def fail(*, cut: bool) -> Callable[[Connection], None]:
        def failing(_connection: Connection) -> None:
            if cut:
                held._driver.terminate()
            raise RuntimeError("unable to perform operation; the handler is closed")

        return failing

    with pytest.raises(StoreUnavailable, match="the handler is closed"):
        await held.run(fail(cut=True))
    with pytest.raises(RuntimeError):
        await held.run(fail(cut=False))
    await held.close()
    await database.close()


async def test_a_transaction_that_ended_for_a_deadlock_is_an_outage(postgres_url: str) -> None:
    database = Database(outbox_url(postgres_url))

    def in_order(first: int, then: int) -> Callable[[Connection], None]:
        def hold(connection: Connection) -> None:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({first})"))
            while connection.execute(BOTH_HELD).scalar_one() < 2:
                connection.execute(text("SELECT pg_sleep(0.005)"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({then})"))

        return hold

    ended = await asyncio.gather(database.run(in_order(1, 2)), database.run(in_order(2, 1)), return_exceptions=True)

    # One went on. The other may be tried again, which is what a loop does after an outage.
    (error,) = [each for each in ended if each is not None]
    assert isinstance(error, StoreUnavailable)
    assert "deadlock detected" in str(error)
    await database.close()


async def settled(parts: Delivery) -> bool:
    """Whether all have left the outbox; false where the connection that is asked has not survived."""
    try:
        return await parts.settled(COUNT)
    except StoreUnavailable:
        return False


def told(log: str) -> int:
    """How often the log says that the database is away."""
    return log.count("deliveries wait and outcomes are kept")

"""Terms and instances in the database: numbers that only grow, heartbeats, and tables that do not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from outboxes import Outbox, at

from dovecote.errors import NotMigrated, StoreUnavailable
from dovecote.model import JOBS, Instance, InstanceRecord, Term
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.leadership import REMOVED_AT_ONCE, TERMS_KEPT, Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from servers import PostgresServer
    from sqlalchemy import Connection

TIMEOUT = timedelta(seconds=10)
ONE = Instance(id="one", host="a-host", pid=17, version="1.2.3", role="worker")
DAY = 86_400


@pytest_asyncio.fixture
async def outbox(database_url: str) -> AsyncIterator[Outbox]:
    outbox = Outbox(database_url)
    await outbox.stop_clock()
    yield outbox
    await outbox.close()


@pytest_asyncio.fixture
async def terms(outbox: Outbox) -> AsyncIterator[Terms]:
    terms = made(outbox)
    yield terms
    await terms.close()


def made(outbox: Outbox) -> Terms:
    return Terms(outbox.database, timeout=TIMEOUT, clock=outbox._microseconds)


class TestTerms:
    async def test_there_is_none_at_first(self, terms: Terms) -> None:
        assert await terms.newest() is None
        assert await terms.beat(ONE) == 0

    async def test_each_is_one_more_than_the_last(self, outbox: Outbox, terms: Terms) -> None:
        assert await terms.begin("one") == 1
        await outbox.advance(60)
        assert await terms.begin("two") == 2

        assert await terms.newest() == Term(2, "two", at(60))
        assert await terms.beat(ONE) == 2

    async def test_the_end_is_noted(self, outbox: Outbox, terms: Terms) -> None:
        number = await terms.begin("one")
        await outbox.advance(5)

        await terms.end(number)

        assert await terms.newest() == Term(1, "one", at(0), at(5))

    async def test_of_many_who_begin_at_once_each_has_a_number_of_its_own(self, outbox: Outbox) -> None:
        stores = [made(outbox) for _ in range(6)]

        numbers = await asyncio.gather(*(store.begin(str(n)) for n, store in enumerate(stores) for _ in range(3)))

        assert sorted(numbers) == list(range(1, 19))
        for store in stores:
            await store.close()

    async def test_old_ones_go_and_the_newest_stays(self, outbox: Outbox, terms: Terms) -> None:
        term = outbox.database.tables.leadership.term
        rows = [{"number": n, "instance": "x", "begun_at": at(0)} for n in range(1, 3 * TERMS_KEPT + 1)]
        await outbox.database.run(lambda connection: connection.execute(term.insert(), rows), write=True)

        assert await terms.begin("one") == 3 * TERMS_KEPT + 1
        first = await outbox.database.run(numbers)
        assert len(first) == 3 * TERMS_KEPT + 1 - REMOVED_AT_ONCE
        assert first[0] == REMOVED_AT_ONCE + 1

        for _ in range(25):
            await terms.begin("one")
        last = await outbox.database.run(numbers)
        assert len(last) == TERMS_KEPT
        assert last[-1] == 3 * TERMS_KEPT + 26


def numbers(connection: Connection) -> list[int]:
    schema = "dovecote." if connection.dialect.name == "postgresql" else "dovecote_"
    return list(
        connection.exec_driver_sql(f"SELECT number FROM {schema}leadership_term ORDER BY number").scalars()  # noqa: S608 (a literal)
    )


class TestInstances:
    async def test_a_heartbeat_makes_one_known(self, outbox: Outbox, terms: Terms) -> None:
        await terms.beat(ONE)
        await outbox.advance(5)
        await terms.beat(ONE)
        await outbox.advance(2)

        assert await terms.instances() == (at(7), [InstanceRecord(ONE, started_at=at(0), seen_at=at(5))])

    async def test_two_processes_of_one_host_are_two(self, terms: Terms) -> None:
        await terms.beat(ONE)
        await terms.beat(replace(ONE, id="two"))

        _, records = await terms.instances()

        assert sorted(record.instance.id for record in records) == ["one", "two"]
        assert {record.instance.host for record in records} == {"a-host"}

    async def test_whoever_leaves_is_forgotten_at_once(self, terms: Terms) -> None:
        await terms.beat(ONE)

        await terms.leave("one")
        await terms.leave("nobody")

        assert (await terms.instances())[1] == []

    async def test_a_new_one_forgets_those_that_are_long_gone_so_many_at_a_time(
        self, outbox: Outbox, terms: Terms
    ) -> None:
        for n in range(REMOVED_AT_ONCE + 5):
            await terms.beat(replace(ONE, id=f"gone {n}"))
        await outbox.advance(DAY - 60)
        await terms.beat(replace(ONE, id="yesterday's"))
        await outbox.advance(120)

        await terms.beat(ONE)
        assert len((await terms.instances())[1]) == 5 + 2
        await terms.beat(replace(ONE, id="two"))

        _, records = await terms.instances()
        assert sorted(record.instance.id for record in records) == ["one", "two", "yesterday's"]

    async def test_one_that_was_forgotten_and_comes_back_is_known_again(self, outbox: Outbox, terms: Terms) -> None:
        await terms.beat(ONE)
        await outbox.advance(2 * DAY)
        await terms.beat(replace(ONE, id="two"))
        assert [record.instance.id for record in (await terms.instances())[1]] == ["two"]

        await terms.beat(ONE)

        assert sorted(record.instance.id for record in (await terms.instances())[1]) == ["one", "two"]


class TestOutages:
    @pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
    async def test_without_a_schema_it_says_what_to_run(self, request: pytest.FixtureRequest, url: str) -> None:
        database = Database(outbox_url(request.getfixturevalue(url)))
        terms = Terms(database, timeout=TIMEOUT)
        try:
            with pytest.raises(NotMigrated, match="dovecote migrate"):
                await terms.begin("one")
        finally:
            await terms.close()
            await database.close()

    async def test_a_server_that_was_restarted_is_reached_again(self, own_postgres: PostgresServer) -> None:
        database = Database(outbox_url(own_postgres.create_database()))
        await database.migrate()
        terms = Terms(database, timeout=TIMEOUT)
        try:
            assert await terms.begin("one") == 1
            own_postgres.kill()
            with pytest.raises(StoreUnavailable):
                await terms.begin("one")
            with pytest.raises(StoreUnavailable):
                await terms.newest()
            own_postgres.start()
            assert await terms.begin("one") == 2
        finally:
            await terms.close()
            await database.close()

    async def test_a_server_that_stands_still_is_given_up_on_and_asked_anew(self, own_postgres: PostgresServer) -> None:
        database = Database(outbox_url(own_postgres.create_database()))
        await database.migrate()
        terms = Terms(database, timeout=timedelta(seconds=1))
        try:
            assert await terms.begin("one") == 1
            own_postgres.freeze()
            with pytest.raises(StoreUnavailable, match="the database has not answered within 1 s"):
                await terms.begin("one")
            with pytest.raises(StoreUnavailable, match="the database has not answered within 1 s"):
                await terms.begin("one")
            own_postgres.thaw()
            # What was given up on may have happened: the number has grown, and is nobody's twice.
            assert await terms.begin("two") in {2, 3, 4}
            newest = await terms.newest()
            assert newest is not None
            assert newest.instance == "two"
        finally:
            await terms.close()
            await database.close()


async def test_each_election_has_terms_of_its_own_and_all_have_one_numbering(outbox: Outbox, terms: Terms) -> None:
    jobs = Terms(outbox.database, timeout=TIMEOUT, clock=outbox._microseconds, election=JOBS)
    assert await terms.begin("one") == 1

    assert await jobs.newest() is None
    assert await jobs.beat(ONE) == 0
    assert await jobs.begin("two") == 2

    assert await terms.beat(ONE) == 1
    assert await terms.newest() == Term(1, "one", at(0))
    assert await jobs.newest() == Term(2, "two", at(0))
    await jobs.close()

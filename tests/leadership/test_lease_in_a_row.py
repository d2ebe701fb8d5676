"""What is a row's alone: its clock, and what a clock that was set back leaves behind."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from leases import DatabaseArena

from dovecote.errors import NotMigrated
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.lease import RowLease

if TYPE_CHECKING:
    from databases import PostgresDatabases

    from dovecote.ports import LeaseStore

LEASE = timedelta(seconds=60)
HOUR = 3600


async def test_a_database_whose_time_was_set_back_gives_the_lease_to_the_next(database_url: str) -> None:
    arena = DatabaseArena(database_url)
    await arena.prepare()
    first, second = arena.store(), arena.store()
    await first.acquire("a", 1, LEASE)

    await arena.advance(-HOUR)

    assert await second.holder() is None
    assert await second.acquire("b", 1, LEASE)
    assert not await first.renew("a", 1, LEASE)
    await arena.close()


async def test_a_clock_that_is_set_back_a_little_gives_nothing_away(database_url: str) -> None:
    arena = DatabaseArena(database_url)
    await arena.prepare()
    first, second = arena.store(), arena.store()
    await first.acquire("a", 1, LEASE)

    await arena.advance(-30)

    assert not await second.acquire("b", 1, LEASE)
    await arena.close()


@pytest.mark.parametrize("off", [-HOUR, HOUR])
async def test_the_time_of_day_means_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch, off: int) -> None:
    database = Database(outbox_url(database_url))
    timeout = timedelta(seconds=10)
    first, second = RowLease(database, timeout=timeout), RowLease(database, timeout=timeout)
    assert await first.acquire("a", 1, LEASE)
    real, real_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real() + off)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + off * 1_000_000_000)

    assert not await second.acquire("b", 1, LEASE)
    assert await first.renew("a", 1, LEASE)
    assert await second.holder() == "a"
    await first.close()
    await second.close()
    await database.close()


async def test_a_follower_that_asks_in_vain_writes_nothing(postgres: PostgresDatabases, server_url: str) -> None:
    database = Database(outbox_url(server_url))
    first, second = (RowLease(database, timeout=timedelta(seconds=10)) for _ in range(2))
    await first.acquire("a", 1, LEASE)
    assert not await second.acquire("b", 1, LEASE)
    postgres.forget_statements(server_url)

    for token in range(2, 12):
        assert not await second.acquire("b", token, LEASE)

    asked = postgres.statements(server_url)
    assert not [words for words in asked if "FOR UPDATE" in words or "INSERT" in words or "UPDATE dovecote" in words]
    # Ten looks over one connection: a transaction, the row, the clock.
    assert sum(asked.values()) <= 40
    await first.close()
    await second.close()
    await database.close()


class TestTheLockOfTheFile:
    """SQLite's alone: a holder whose process is gone is known to be gone."""

    async def test_the_lease_of_a_process_that_is_gone_is_taken_at_once(self, lite_url: str) -> None:
        arena = DatabaseArena(lite_url)
        gone, next_one = arena.store(), arena.store()
        assert await gone.acquire("gone", 1, LEASE)
        assert not await next_one.acquire("next", 1, LEASE)
        dies(gone)

        assert await next_one.acquire("next", 2, LEASE)

        assert await next_one.holder() == "next"
        await arena.close()

    async def test_one_that_leads_without_the_lock_is_waited_for(self, lite_url: str) -> None:
        arena = DatabaseArena(lite_url)
        frozen, leader, third = arena.store(), arena.store(), arena.store()
        await frozen.acquire("frozen", 1, LEASE)
        await arena.advance(61)
        # The frozen one has the lock still.
        assert await leader.acquire("leader", 1, LEASE)
        dies(frozen)

        assert not await third.acquire("third", 1, LEASE)

        # From its next renewal on it has the lock, and nobody waits for it once it is gone.
        assert await leader.renew("leader", 1, LEASE)
        assert not await third.acquire("third", 2, LEASE)
        dies(leader)
        assert await third.acquire("third", 3, LEASE)
        await arena.close()

    async def test_one_that_lost_the_lease_lets_the_lock_go(self, lite_url: str) -> None:
        arena = DatabaseArena(lite_url)
        late, leader = arena.store(), arena.store()
        await late.acquire("late", 1, LEASE)
        await arena.advance(61)
        await leader.acquire("leader", 1, LEASE)

        assert not await late.renew("late", 1, LEASE)

        await leader.renew("leader", 1, LEASE)
        assert locked_by(leader)
        assert not locked_by(late)
        await arena.close()

    async def test_in_a_folder_that_cannot_be_written_to_the_lease_alone_decides(
        self, lite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> int:
            raise PermissionError

        arena = DatabaseArena(lite_url)
        first, second = arena.store(), arena.store()
        monkeypatch.setattr(os, "open", refuse)

        assert await first.acquire("a", 1, LEASE)
        assert not await second.acquire("b", 1, LEASE)
        await arena.advance(61)
        assert await second.acquire("b", 2, LEASE)
        await arena.close()

    async def test_on_postgresql_there_is_none(self, server_url: str) -> None:
        arena = DatabaseArena(server_url)
        await arena.prepare()
        first, second = arena.store(), arena.store()
        await first.acquire("a", 1, LEASE)
        await first.close()

        assert not await second.acquire("b", 1, LEASE)
        await arena.close()


def dies(store: LeaseStore) -> None:
    """Let go of the lock as the end of a process does, without a word to the database."""
    assert isinstance(store, RowLease)
    assert store._file is not None
    store._file.drop()


def locked_by(store: LeaseStore) -> bool:
    assert isinstance(store, RowLease)
    return store._file is not None and store._file.held


@pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
async def test_without_a_schema_it_says_what_to_run(request: pytest.FixtureRequest, url: str) -> None:
    database = Database(outbox_url(request.getfixturevalue(url)))
    store = RowLease(database, timeout=timedelta(seconds=10))

    with pytest.raises(NotMigrated, match="dovecote migrate"):
        await store.acquire("a", 1, LEASE)

    await store.close()
    await database.close()

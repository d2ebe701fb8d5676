"""How a worker on SQLite waits: it sees every commit of others, none of its own, and can be woken without a poll."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from outboxes import LEASE, Outbox, delivered

from dovecote.stores import database
from dovecote.stores.database import outbox_url
from dovecote.stores.sqlite import SQLiteOutbox, wake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.parametrize("outbox_database", ["sqlite"], indirect=True)

HOUR = timedelta(hours=1)
INSTANT = timedelta(milliseconds=1)
BOUND = 20


def path_of(outbox: Outbox) -> str:
    return str(outbox.database.url.database)


def commit(outbox: Outbox) -> None:
    """Write to the file as another process does."""
    with closing(sqlite3.connect(path_of(outbox))) as connection, connection:
        connection.execute("UPDATE dovecote_bot SET version = version + 1")


@pytest_asyncio.fixture
async def polling(outbox: Outbox) -> AsyncIterator[SQLiteOutbox]:
    """A store that looks again after a millisecond."""
    store = SQLiteOutbox(outbox.database.url, polls=(INSTANT, INSTANT))
    yield store
    await store.close()


@pytest_asyncio.fixture
async def sleeping(outbox: Outbox) -> AsyncIterator[SQLiteOutbox]:
    """A store that looks once and then no more for an hour."""
    store = SQLiteOutbox(outbox.database.url, polls=(HOUR, HOUR))
    await store.wait(timedelta())
    yield store
    await store.close()


class TestPoll:
    async def test_a_commit_of_another_connection_ends_the_wait(self, outbox: Outbox, polling: SQLiteOutbox) -> None:
        await polling.cycle([], claim=10, lease=LEASE)
        waiting = asyncio.create_task(polling.wait(HOUR))
        commit(outbox)

        await asyncio.wait_for(waiting, BOUND)

    async def test_a_commit_between_the_claim_and_the_wait_is_not_missed(
        self, outbox: Outbox, sleeping: SQLiteOutbox
    ) -> None:
        await sleeping.cycle([], claim=10, lease=LEASE)
        commit(outbox)

        await asyncio.wait_for(sleeping.wait(HOUR), BOUND)

    async def test_a_cycle_that_claims_nothing_does_not_hide_a_commit(
        self, outbox: Outbox, sleeping: SQLiteOutbox
    ) -> None:
        await sleeping.cycle([], claim=10, lease=LEASE)
        commit(outbox)
        await sleeping.cycle([], claim=0, lease=LEASE)

        await asyncio.wait_for(sleeping.wait(HOUR), BOUND)

    async def test_what_the_claim_has_seen_does_not_wake(self, outbox: Outbox, sleeping: SQLiteOutbox) -> None:
        commit(outbox)
        await sleeping.cycle([], claim=10, lease=LEASE)

        assert not await sleeping._in_thread(sleeping._others_have_committed)

    async def test_its_own_commits_do_not_wake(self, outbox: Outbox, sleeping: SQLiteOutbox) -> None:
        await outbox.put(1)
        (claimed,) = (await sleeping.cycle([], claim=10, lease=LEASE)).claimed
        await sleeping.cycle([delivered(claimed)], claim=0, lease=LEASE)

        assert not await sleeping._in_thread(sleeping._others_have_committed)

    async def test_a_commit_wakes_once(self, outbox: Outbox, sleeping: SQLiteOutbox) -> None:
        await sleeping.cycle([], claim=10, lease=LEASE)
        commit(outbox)
        await asyncio.wait_for(sleeping.wait(HOUR), BOUND)

        assert not await sleeping._in_thread(sleeping._others_have_committed)

    async def test_without_a_commit_it_returns_after_the_timeout(self, polling: SQLiteOutbox) -> None:
        await asyncio.wait_for(polling.wait(timedelta(milliseconds=5)), BOUND)

    async def test_a_cycle_runs_while_another_task_waits(self, outbox: Outbox, polling: SQLiteOutbox) -> None:
        await outbox.put(1)
        waiting = asyncio.create_task(polling.wait(HOUR))
        cycle = await asyncio.wait_for(polling.cycle([], claim=10, lease=LEASE), BOUND)

        assert [claimed.id for claimed in cycle.claimed] == [1]
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    @pytest.mark.parametrize(
        ("idle", "pause"), [(0.0, 0.01), (0.05, 0.01), (0.5, 0.05), (1.0, 0.1), (3600.0, 0.1), (float("inf"), 0.1)]
    )
    async def test_the_longer_nothing_happens_the_seldomer_it_looks(
        self, outbox: Outbox, idle: float, pause: float
    ) -> None:
        assert isinstance(outbox.store, SQLiteOutbox)

        assert outbox.store._pause(idle) == pytest.approx(pause)

    @pytest.mark.parametrize("outage", ["locked", "missing"])
    async def test_an_outage_is_the_cycles_to_report(
        self, outbox: Outbox, tmp_path: Path, outage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "PATIENCE_SECONDS", 0)
        path = path_of(outbox) if outage == "locked" else tmp_path / "nowhere" / "x.db"
        store = SQLiteOutbox(outbox_url(f"sqlite:///{path}"), polls=(INSTANT, INSTANT), patience=timedelta())
        with closing(sqlite3.connect(path_of(outbox))) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")

            await asyncio.wait_for(store.wait(timedelta(milliseconds=5)), BOUND)
        await store.close()


class TestWake:
    async def test_it_ends_the_wait_without_a_poll(self, outbox: Outbox, sleeping: SQLiteOutbox) -> None:
        waiting = asyncio.create_task(sleeping.wait(HOUR))
        wake(path_of(outbox))

        await asyncio.wait_for(waiting, BOUND)

    async def test_it_may_come_from_any_thread(self, outbox: Outbox, sleeping: SQLiteOutbox) -> None:
        waiting = asyncio.create_task(sleeping.wait(HOUR))
        thread = threading.Thread(target=wake, args=(path_of(outbox),))
        thread.start()

        await asyncio.wait_for(waiting, BOUND)
        thread.join()

    async def test_the_file_may_go_by_another_name(
        self, outbox: Outbox, sleeping: SQLiteOutbox, tmp_path: Path
    ) -> None:
        (tmp_path / "link.db").symlink_to(path_of(outbox))
        waiting = asyncio.create_task(sleeping.wait(HOUR))
        wake(str(tmp_path / "link.db"))

        await asyncio.wait_for(waiting, BOUND)

    async def test_before_the_wait_it_is_remembered_and_once_it_has_ended_one_it_is_spent(
        self, outbox: Outbox, sleeping: SQLiteOutbox
    ) -> None:
        wake(path_of(outbox))
        await asyncio.wait_for(sleeping.wait(HOUR), BOUND)

        assert not sleeping._woken.is_set()

    async def test_it_wakes_everybody_at_that_file_and_nobody_at_another(
        self, outbox: Outbox, sleeping: SQLiteOutbox, polling: SQLiteOutbox, tmp_path: Path
    ) -> None:
        await polling.wait(timedelta())
        wake(str(tmp_path / "other.db"))
        await asyncio.sleep(0)
        assert not sleeping._woken.is_set()

        wake(path_of(outbox))
        await asyncio.wait_for(asyncio.gather(sleeping.wait(HOUR), polling.wait(HOUR)), BOUND)

    async def test_after_close_there_is_nobody_to_wake(self, outbox: Outbox) -> None:
        store = SQLiteOutbox(outbox.database.url)
        await store.wait(timedelta())
        await store.close()

        wake(path_of(outbox))
        await asyncio.sleep(0)

        assert not store._woken.is_set()

    def test_a_loop_that_is_gone_hinders_nobody(self, outbox_database: str) -> None:
        store = SQLiteOutbox(outbox_url(outbox_database))
        asyncio.run(store.wait(timedelta()))

        wake(outbox_database.removeprefix("sqlite:///"))

        asyncio.run(store.close())

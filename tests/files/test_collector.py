"""The loop that collects: while this instance leads, and only then."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from file_world import GRACE

from dovecote.errors import StoreUnavailable
from dovecote.files import FileCollector

if TYPE_CHECKING:
    from file_world import FileWorld

pytestmark = pytest.mark.parametrize("outbox_database", ["sqlite"], indirect=True)


class Leading:
    """`ports.Leadership` by hand."""

    def __init__(self, term: int | None) -> None:
        self._term = term
        self._changed = asyncio.Event()
        self.asked = asyncio.Event()

    @property
    def term(self) -> int | None:
        return self._term

    def lead(self, term: int | None) -> None:
        self._term = term
        self._changed.set()

    async def changed(self) -> None:
        self.asked.set()
        await self._changed.wait()
        self._changed.clear()


def collector(world: FileWorld, leading: Leading, *, interval: float = 3600) -> FileCollector:
    return FileCollector(world.sweeper, world.storages, leading, grace=GRACE, interval=timedelta(seconds=interval))


async def collected(world: FileWorld, count: int) -> None:
    """Return when so many files are left."""
    async with asyncio.timeout(10):
        while len(await world.files.list()) != count:  # noqa: ASYNC110 - the loop tells nobody
            await asyncio.sleep(0.01)


async def test_a_follower_waits_and_a_leader_collects_at_once(world: FileWorld) -> None:
    await world.files.put(b"x")
    await world.outbox.advance(GRACE.total_seconds())
    leading = Leading(None)
    loop = collector(world, leading)
    running = asyncio.create_task(loop.run())
    await asyncio.wait_for(leading.asked.wait(), 10)
    assert len(await world.files.list()) == 1

    leading.lead(7)
    await collected(world, 0)

    loop.stop()
    await asyncio.wait_for(running, 10)


async def test_it_stops_while_it_follows_and_before_it_has_run(world: FileWorld) -> None:
    leading = Leading(None)
    loop = collector(world, leading)
    running = asyncio.create_task(loop.run())
    await asyncio.wait_for(leading.asked.wait(), 10)
    loop.stop()
    await asyncio.wait_for(running, 10)

    stopped = collector(world, Leading(1))
    stopped.stop()
    await asyncio.wait_for(stopped.run(), 10)
    assert loop.name == "files"


async def test_a_round_that_fails_is_told_and_the_next_one_collects(
    world: FileWorld, caplog: pytest.LogCaptureFixture
) -> None:
    await world.files.put(b"x")
    await world.outbox.advance(GRACE.total_seconds())
    real, failures = world.sweeper.release, 2

    async def release(*, after: tuple[int, int], limit: int) -> tuple[int, int] | None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreUnavailable("the database is away")
        return await real(after=after, limit=limit)

    world.sweeper.release = release  # type: ignore[method-assign]
    loop = collector(world, Leading(1), interval=0.01)
    running = asyncio.create_task(loop.run())

    await collected(world, 0)

    loop.stop()
    await asyncio.wait_for(running, 10)
    assert caplog.text.count("files could not be collected, and are with the next round: the database is away") == 2


async def test_who_ceases_to_lead_removes_nothing_more(world: FileWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dovecote.files.collector.BATCH", 1)
    for number in range(3):
        await world.files.put(b"%d" % number)
    await world.outbox.advance(GRACE.total_seconds())
    leading = Leading(1)
    real = world.sweeper.collect

    async def collect(*, grace: timedelta, limit: int) -> object:
        leading.lead(None)
        return await real(grace=grace, limit=limit)

    world.sweeper.collect = collect  # type: ignore[method-assign,assignment]
    loop = collector(world, leading, interval=0.01)
    running = asyncio.create_task(loop.run())
    await collected(world, 2)
    await asyncio.wait_for(leading.asked.wait(), 10)

    assert len(await world.files.list()) == 2
    assert len(world.primary.objects) == 3
    loop.stop()
    await asyncio.wait_for(running, 10)


async def test_a_process_that_has_no_files_leaves_the_store_alone(world: FileWorld) -> None:
    asked: list[str] = []

    async def ask(name: str, _key: str) -> None:
        asked.append(name)

    world.primary.before = ask

    await world.collect()

    assert asked == []

"""When the loop of retention prunes: at the interval, while this instance leads, and in pieces."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from virtual_time import in_virtual_time

from dovecote.errors import StoreUnavailable
from dovecote.model import Pruned, PrunedOutcome, Retention, State
from dovecote.observability.metrics import Metrics
from dovecote.retention import RetentionLoop, prune_all

if TYPE_CHECKING:
    import pytest


class Led:
    """Leadership that is given and taken by hand."""

    def __init__(self, term: int | None) -> None:
        self.term = term
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def become(self, term: int | None) -> None:
        self.term = term
        self._changed.set()


def removed(count: int) -> Pruned:
    """So many delivered notifications of a bot."""
    return Pruned(history=(PrunedOutcome(bot="shop", outcome=State.DELIVERED, notifications=count),))


class Pieces:
    """A store with so many pieces to prune; `calls` are the times at which it was asked."""

    def __init__(self, *pieces: int) -> None:
        self.pieces = list(pieces)
        self.calls: list[float] = []
        self.away = False

    async def prune(self, retention: Retention, *, limit: int = 1000) -> Pruned:
        del retention, limit
        self.calls.append(asyncio.get_running_loop().time())
        if self.away:
            raise StoreUnavailable("the database cannot be used just now")
        return removed(self.pieces.pop(0)) if self.pieces else Pruned()

    async def due(self, retention: Retention) -> Pruned:
        raise NotImplementedError(f"nobody asks a loop for what is due by {retention}")


async def run_for(loop: RetentionLoop, seconds: float) -> None:
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(seconds)
    loop.stop()
    await running


def loop_of(store: Pieces, leadership: Led) -> RetentionLoop:
    return RetentionLoop(store, leadership, Retention(), interval=timedelta(hours=1))


@in_virtual_time
async def test_the_leader_prunes_piece_by_piece_and_again_after_the_interval() -> None:
    store = Pieces(1000, 1000, 3)
    began = asyncio.get_running_loop().time()

    await run_for(loop_of(store, Led(1)), 2 * 3600 + 10)

    assert len([at for at in store.calls if at - began < 1]) == 4
    assert [round((at - began) / 3600) for at in store.calls[4:]] == [1, 2]


@in_virtual_time
async def test_a_follower_prunes_nothing_until_it_leads() -> None:
    store, leadership = Pieces(5), Led(None)
    running = asyncio.create_task((loop := loop_of(store, leadership)).run())
    await asyncio.sleep(7200)
    assert store.calls == []

    leadership.become(2)
    await asyncio.sleep(1)

    assert len(store.calls) == 2
    loop.stop()
    await running


@in_virtual_time
async def test_one_that_ceases_to_lead_ends_after_the_piece_under_way() -> None:
    leadership = Led(1)

    class Losing(Pieces):
        async def prune(self, retention: Retention, *, limit: int = 1000) -> Pruned:
            leadership.become(None)
            return await super().prune(retention, limit=limit)

    store = Losing(1000, 1000, 1000)

    await run_for(loop_of(store, leadership), 3000)

    assert len(store.calls) == 1


@in_virtual_time
async def test_an_outage_is_told_and_it_goes_on_at_the_next_interval(caplog: pytest.LogCaptureFixture) -> None:
    store = Pieces(5)
    store.away = True

    running = asyncio.create_task((loop := loop_of(store, Led(1))).run())
    await asyncio.sleep(10)
    assert "nothing can be pruned just now" in caplog.text
    store.away = False
    await asyncio.sleep(3600)
    loop.stop()
    await running

    assert len(store.calls) == 3


async def test_the_total_is_told_as_it_grows() -> None:
    heard: list[Pruned] = []

    total = await prune_all(Pieces(2, 3), Retention(), pause=0, told=heard.append)

    assert heard == [removed(2), removed(5)]
    assert total == removed(5)


@in_virtual_time
async def test_what_the_leader_prunes_is_counted_piece_by_piece() -> None:
    metrics = Metrics()
    store, retention = Pieces(1000, 3), Retention()

    await run_for(
        RetentionLoop(store, Led(1), retention, interval=timedelta(hours=1), counted=metrics.pruned.pruned), 10
    )
    metrics.pruned.pruned(
        Pruned(history=(PrunedOutcome(bot="shop", outcome=State.DEAD, payloads=7),), keys=2, broadcasts=1)
    )

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"dovecote_pruned_{name}_total", labels)

    assert value("notifications", bot="shop", outcome="delivered") == 1003
    assert value("notifications", bot="shop", outcome="dead") is None
    assert value("payloads", bot="shop", outcome="dead") == 7
    assert [value("others", kind=kind) for kind in ("keys", "broadcasts", "occurrences")] == [2, 1, 0]

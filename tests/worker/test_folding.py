"""When the loop that folds the counts does so: every few seconds, while this instance leads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from virtual_time import in_virtual_time

from dovecote.errors import StoreUnavailable
from dovecote.folding import FoldingLoop

if TYPE_CHECKING:
    from dovecote.ports import CountStore, Leadership


class Led:
    """Leadership that is given by hand."""

    term: int | None = None

    async def changed(self) -> None:
        await asyncio.Event().wait()


class Rows:
    """Counts with so many rows to fold at each call; `calls` are the times at which it was asked."""

    def __init__(self, *rows: int) -> None:
        self.rows = list(rows)
        self.calls: list[float] = []
        self.away = False

    async def fold(self) -> int:
        self.calls.append(asyncio.get_running_loop().time())
        if self.away:
            raise StoreUnavailable("the database cannot be used just now")
        return self.rows.pop(0) if self.rows else 0


async def run_for(store: CountStore, leadership: Leadership, seconds: float) -> None:
    loop = FoldingLoop(store, leadership)
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(seconds)
    loop.stop()
    await running


@in_virtual_time
async def test_the_leader_folds_every_ten_seconds_and_more_at_once_where_there_is_more() -> None:
    store, leadership = Rows(20_000, 20_000, 5, 3), Led()
    leadership.term = 1

    await run_for(store, leadership, 25)

    first = store.calls[0]
    assert [round(at - first) for at in store.calls] == [0, 0, 0, 10, 20]


@in_virtual_time
async def test_a_follower_folds_nothing() -> None:
    store = Rows(5)

    await run_for(store, Led(), 60)

    assert store.calls == []


@in_virtual_time
async def test_an_outage_costs_a_round() -> None:
    store, leadership = Rows(5), Led()
    leadership.term, store.away = 1, True

    await run_for(store, leadership, 15)

    assert len(store.calls) == 2

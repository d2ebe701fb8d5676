"""Two workers on one bot keep its pace together, measured where the requests arrive."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from deliveries import OTHER_TOKEN, Delivery, delivery, until

from dovecote.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import pytest

    from dovecote.model import Cycle
    from dovecote.ports import OutboxStore

PACE = 300.0
COUNT = 750


async def test_the_pace_holds_over_two_workers_and_no_slot_is_given_twice(
    outbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as one:
        two = Delivery(outbox_url, emulator.url, keys=one.keys)
        await one.bot("paced", OTHER_TOKEN, pace=PACE)
        await one.backlog(COUNT, bot="paced")
        slots: list[list[int]] = [[], []]
        for worker, kept in zip((one, two), slots, strict=True):
            keep_slots(worker.dovecote.store, kept, monkeypatch)
        async with stalls() as seen, one.working(), two.working():
            await until(lambda: one.settled(COUNT))
        await two.dovecote.close()

        given = sorted(slots[0] + slots[1])
        assert given == sorted(set(given)), "a slot was given twice"
        assert min(map(len, slots)) > 0, "only one of the two worked"
        (paced,) = [bot for bot in await one.dovecote.bots() if bot.name == "paced"]
        assert paced.slots_given == len(given)

        arrivals = [record.monotonic for record in emulator.accepted]
        assert len(arrivals) == COUNT
        # What should have come while this process, emulator and all, stood still comes together after it. On top of
        # that a tenth: requests are not equally fast.
        assert busiest_second(arrivals) <= PACE * (1.1 + 2 * max(seen))
        # The first may have been late, and so all others early by comparison.
        assert arrivals[-1] - arrivals[0] >= (COUNT - 1) / PACE - 0.1 - max(seen)


async def test_an_urgent_notification_passes_a_paced_backlog(outbox_url: str) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        await parts.bot("paced", OTHER_TOKEN, pace=100)
        await parts.backlog(500, bot="paced")
        async with parts.working():
            await until(lambda: len(emulator.accepted) >= 50)
            await parts.backlog(1, bot="paced", first=1000, priority=0)
            before = len(emulator.accepted)
            await until(lambda: any(record.chat_id == 1000 for record in emulator.accepted))

        (place,) = [n for n, record in enumerate(emulator.accepted) if record.chat_id == 1000]
        # The slots of half a second may have been given already, and one more claim is under way.
        assert place - before <= 100


@asynccontextmanager
async def stalls() -> AsyncIterator[list[float]]:
    """By how many seconds this process was late at each of many instants; it is busy, or others are."""
    seen = [0.0]

    async def look() -> None:
        loop = asyncio.get_running_loop()
        while True:
            expected = loop.time() + 0.01
            await asyncio.sleep(0.01)
            seen.append(loop.time() - expected)

    looking = asyncio.create_task(look())
    yield seen
    looking.cancel()


def keep_slots(store: OutboxStore, kept: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write down the slot of everything that this store claims for the paced bot."""
    cycle = store.cycle

    async def keeping(*arguments: Sequence[object], **named: object) -> Cycle:
        answer: Cycle = await cycle(*arguments, **named)  # type: ignore[arg-type]
        kept.extend(claimed.slot for claimed in answer.claimed if claimed.slot is not None)
        await asyncio.sleep(0)
        return answer

    monkeypatch.setattr(store, "cycle", keeping)


def busiest_second(arrivals: Sequence[float]) -> int:
    """The most arrivals that lie within any one second."""
    most = begin = 0
    for end, arrived in enumerate(arrivals):
        while arrived - arrivals[begin] >= 1:
            begin += 1
        most = max(most, end - begin + 1)
    return most

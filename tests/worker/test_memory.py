"""A worker's memory stays flat however much it delivers."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import psutil
import pytest
from campaigns import campaign
from deliveries import delivery

from dovecote.model import Delivered

if TYPE_CHECKING:
    from datetime import timedelta

    from dovecote.model import ClaimedNotification, Outcome

COUNT = 40_000
WARM = 10_000


class Measuring:
    """A channel that has delivered at once, and measures this process at every 5,000th."""

    def __init__(self) -> None:
        self.sent = 0
        self.resident: list[int] = []

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        del token, timeout
        await asyncio.sleep(0)
        self.sent += 1
        if self.sent >= WARM and self.sent % 5000 == 0:
            gc.collect()
            self.resident.append(psutil.Process().memory_info().rss)
        return Delivered((claimed.id,))

    async def close(self) -> None:
        return


@pytest.mark.parametrize("outbox_url", campaign(["sqlite", "postgresql"], always=["sqlite"]), indirect=True)
async def test_memory_is_flat_over_thirty_thousand(outbox_url: str) -> None:
    channel = Measuring()
    async with delivery(outbox_url) as parts:
        for first in range(1, COUNT, 5000):
            await parts.backlog(5000, first=first)
        await parts.worker_with(channel).run(until_empty=True)
        assert await parts.settled(COUNT)

    assert channel.sent == COUNT
    warm, *later = channel.resident
    assert len(later) == 6
    assert max(later) <= 1.1 * warm

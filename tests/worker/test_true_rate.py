"""How much of Telegram's true limit is used, and what it costs: minutes of several workers, in virtual time.

The judge is a token bucket of capacity 30, refilled at the true rate, that says 429 with a `retry_after` of one second.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest
from campaigns import campaign
from simulated import enqueue, make_outbox, working
from virtual_time import VirtualTimeLoop, seconds_passed

from dovecote.model import Delivered, Snoozed

if TYPE_CHECKING:
    from pathlib import Path

    from dovecote.model import ClaimedNotification, Outcome

MINUTE = 60.0
MEASURED = 5 * MINUTE
CAPACITY = 30.0


@dataclass
class TokenBucket:
    """A Bot API that takes `rate` messages a second, and a burst of 30. Requests and answers travel for a while.

    An album counts as its items, and is taken whole while there is a token left.
    """

    rate: float
    random: Random = field(default_factory=lambda: Random(20260105))
    tokens: float = CAPACITY
    filled_at: float = 0.0
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    sent: set[int] = field(default_factory=set)

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        del token, timeout
        await asyncio.sleep(self.random.uniform(0.01, 0.08))
        outcome = self._judge(claimed)
        await asyncio.sleep(self.random.uniform(0.01, 0.08))
        return outcome

    def _judge(self, claimed: ClaimedNotification) -> Outcome:
        now = seconds_passed()
        self.tokens = min(CAPACITY, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < 1:
            self.refused.append(now)
            return Snoozed(timedelta(seconds=1))
        assert claimed.id not in self.sent, "it was sent twice"
        self.sent.add(claimed.id)
        items = len(json.loads(claimed.params).get("media", "1"))
        self.tokens -= items
        self.accepted += [now] * items
        return Delivered((claimed.id,))

    async def close(self) -> None:
        return


@pytest.fixture
def outbox_path(tmp_path: Path) -> Path:
    """A migrated outbox with a bot that is set to 30/s."""
    return make_outbox(tmp_path)


async def judged(path: Path, workers: int, judge: TokenBucket) -> None:
    """Let so many workers work for a minute, and five more."""
    async with AsyncExitStack() as stack:
        for _ in range(workers):
            await stack.enter_async_context(working(path, judge))
        await asyncio.sleep(MINUTE + MEASURED)


def shares(path: Path, workers: int, rate: float) -> tuple[float, float]:
    """The used share of the true limit and the refused share of the requests, after the first minute."""
    judge = TokenBucket(rate)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(judged(path, workers, judge))
    accepted, refused = (
        len([at for at in ats if MINUTE <= at < MINUTE + MEASURED]) for ats in (judge.accepted, judge.refused)
    )
    return accepted / (rate * MEASURED), refused / (accepted + refused)


@pytest.mark.parametrize("workers", campaign([1, 4], always=[4]))
def test_set_to_thirty_against_a_true_limit_of_twenty(outbox_path: Path, workers: int) -> None:
    enqueue(outbox_path, 11_500)

    used, refused = shares(outbox_path, workers, 20.0)

    assert used >= 0.95
    assert refused < 0.01


@pytest.mark.parametrize("workers", campaign([1, 4], always=[]))
def test_set_to_thirty_against_a_true_limit_of_thirty(outbox_path: Path, workers: int) -> None:
    enqueue(outbox_path, 11_500)

    used, refused = shares(outbox_path, workers, 30.0)

    assert used >= 0.98
    assert refused == 0


def test_an_album_counts_as_its_items(outbox_path: Path) -> None:
    enqueue(outbox_path, 600, items=10)
    enqueue(outbox_path, 5_500)

    used, refused = shares(outbox_path, 1, 30.0)

    assert used >= 0.98
    assert refused == 0

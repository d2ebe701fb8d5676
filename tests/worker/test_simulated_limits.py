"""Paid broadcasts and urgent notifications before the emulator's own limiter, several workers, in virtual time."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest
from simulated import enqueue, make_outbox, microseconds, working
from virtual_time import VirtualTimeLoop

from dovecote.channels.telegram import request_body
from dovecote.emulator import BotLimit, Limits, PaidLimit, Penalty
from dovecote.emulator.limits import Limiter
from dovecote.emulator.methods import METHODS
from dovecote.emulator.refusal import Refusal
from dovecote.model import Delivered, Snoozed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from dovecote.model import ClaimedNotification, Outcome

TENTHS = 10


@dataclass
class Telegram:
    """The emulator's limiter behind a network that takes a while. `charged` are messages that cost Stars."""

    limiter: Limiter = field(default_factory=lambda: Limiter(Limits(BotLimit(), paid=PaidLimit(), penalty=Penalty())))
    random: Random = field(default_factory=lambda: Random(20260105))
    accepted: dict[int, float] = field(default_factory=dict)
    flagged: int = 0
    charged: int = 0
    refused: int = 0

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        del token, timeout
        await asyncio.sleep(self.random.uniform(0.01, 0.08))
        body = json.loads(request_body(claimed.chat, claimed.params, paid=claimed.paid))
        now = asyncio.get_running_loop().time()
        try:
            charged = self.limiter.admit(claimed.bot_id, body["chat_id"], METHODS[claimed.method.lower()], body, now)
        except Refusal:
            self.refused += 1
            return Snoozed(timedelta(seconds=1))
        assert claimed.id not in self.accepted, "it was sent twice"
        self.accepted[claimed.id] = now
        self.flagged += body.get("allow_paid_broadcast", False)
        self.charged += charged
        await asyncio.sleep(self.random.uniform(0.01, 0.08))
        return Delivered((claimed.id,))

    async def close(self) -> None:
        return


def run(path: Path, workers: int, telegram: Telegram, course: Callable[[], Awaitable[None]]) -> None:
    """Let so many workers work while `course` runs."""

    async def together() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(workers):
                await stack.enter_async_context(working(path, telegram))
            await course()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(together())


def bot(path: Path) -> sqlite3.Row:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        row: sqlite3.Row = connection.execute("SELECT * FROM dovecote_bot").fetchone()
        return row


@pytest.mark.parametrize("workers", [1, 3])
def test_a_paid_broadcast_runs_at_its_pace_and_keeps_to_its_budget(tmp_path: Path, workers: int) -> None:
    path = make_outbox(tmp_path, paid_pace=1000.0, paid_budget=200 * TENTHS)
    enqueue(path, 4000)
    telegram = Telegram()

    run(path, workers, telegram, lambda: asyncio.sleep(10))

    begun = min(telegram.accepted.values())
    within = [at - begun for at in telegram.accepted.values()]
    # Of what was given back late, a rest of less than a Star may be left.
    assert 200 * TENTHS - 10 < telegram.flagged <= 200 * TENTHS
    assert bot(path)["paid_spent"] == telegram.flagged
    # What Telegram gives for nothing counts as well: it charges a little less.
    assert 0.95 * 200 * TENTHS <= telegram.charged <= telegram.flagged
    assert telegram.refused == 0
    # Two thousand at the paid pace, half a second of rest, then the bot's own pace.
    assert sum(at < 2.5 for at in within) >= 1990
    assert sum(4 <= at < 9 for at in within) == pytest.approx(150, abs=3)


def test_what_fits_the_free_pace_is_never_paid_for(tmp_path: Path) -> None:
    path = make_outbox(tmp_path, paid_pace=1000.0, paid_budget=200 * TENTHS)
    telegram = Telegram()

    async def course() -> None:
        for second in range(20):
            enqueue(path, 25, prefix=f"9{second:02}")
            await asyncio.sleep(1)

    run(path, 2, telegram, course)

    assert len(telegram.accepted) >= 475
    assert (telegram.flagged, telegram.charged, telegram.refused, bot(path)["paid_spent"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("columns", [{}, {"paid_pace": 1000.0, "paid_budget": 1000}], ids=["30 a second", "paid"])
def test_an_urgent_one_overtakes_any_backlog_within_a_second(
    tmp_path: Path, workers: int, columns: dict[str, float]
) -> None:
    path = make_outbox(tmp_path, **columns)
    enqueue(path, 6000)
    telegram, random, waits = Telegram(), Random(7), list[float]()

    async def course() -> None:
        for number in range(20):
            await asyncio.sleep(random.uniform(0.2, 1.5))
            now = microseconds()
            enqueue(path, 1, prefix=f"8{number:02}", id=100_000 + number, priority=0, planned_at=now, due_at=now)
            committed_at = asyncio.get_running_loop().time()
            await asyncio.sleep(2)
            waits.append(telegram.accepted[100_000 + number] - committed_at)

    run(path, workers, telegram, course)

    assert len(waits) == 20
    assert max(waits) <= 1.0, waits

"""An idle worker wakes for what is enqueued: by the commit itself, and by its poll where there is nothing else."""

from __future__ import annotations

from deliveries import Delivery, delivery, until

from dovecote.emulator import Emulator
from dovecote.model import Notification

ROUNDS = 15


async def one_after_the_other(parts: Delivery, emulator: Emulator) -> None:
    """Enqueue one, wait for its delivery, and again."""
    for number in range(1, ROUNDS + 1):
        await parts.enqueue(Notification(bot="shop", chat_id=number, text=str(number)))
        await until(lambda number=number: len(emulator.accepted) == number, bound=10)  # type: ignore[misc]


async def test_a_commit_wakes_a_worker_that_polls_once_in_an_hour(outbox_url: str) -> None:
    async with (
        Emulator() as emulator,
        delivery(outbox_url, emulator.url, worker={"poll_interval": "1h"}) as parts,
        parts.working(),
    ):
        await one_after_the_other(parts, emulator)


async def test_a_burst_of_commits_leaves_nobody_waiting_for_the_poll(outbox_url: str) -> None:
    async with (
        Emulator() as emulator,
        delivery(outbox_url, emulator.url, worker={"poll_interval": "1h"}) as parts,
        parts.working(),
    ):
        # Commits that fall before, into and after the claims that they cause.
        for number in range(1, 201):
            await parts.enqueue(Notification(bot="shop", chat_id=number, text=str(number)))
            if number % 20 == 0:
                await until(lambda number=number: len(emulator.accepted) == number, bound=10)  # type: ignore[misc]


async def test_a_commit_wakes_every_idle_worker_and_one_delivers(outbox_url: str) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url, worker={"poll_interval": "1h"}) as parts:
        other = Delivery(outbox_url, emulator.url, keys=parts.keys, worker={"poll_interval": "1h"})
        async with parts.working(), other.working():
            await one_after_the_other(parts, emulator)
        await other.dovecote.close()
        assert len(emulator.requests) == ROUNDS


async def test_without_listening_the_poll_alone_delivers(outbox_url: str) -> None:
    worker = {"poll_interval": "20ms", "listen": False}
    async with Emulator() as emulator, delivery(outbox_url, emulator.url, worker=worker) as parts, parts.working():
        await one_after_the_other(parts, emulator)
        assert await parts.rows("idle_worker") == []

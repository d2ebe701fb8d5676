"""A process is killed in the middle of a broadcast, of its edit or its recall: it goes on, and nobody has it twice."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from campaigns import campaign
from deliveries import Delivery, delivery, until
from worker_processes import of_the_program

from dovecote.broadcast import Broadcast, BroadcastCounts, BroadcastState
from dovecote.emulator import Answer, Emulator, Rule
from dovecote.model import DeliveryPolicy

if TYPE_CHECKING:
    from pathlib import Path

RECIPIENTS = 800
# The outbox holds 500 of them at this pace, so the fan-out is in its middle for as long as the rest is sent.
PACE = 100.0
QUICKLY = {
    "worker_lease": "8s",
    "telegram_timeout": "2s",
    "leadership_lease": "3s",
    "leadership_renew_interval": "1s",
    "worker_drain_deadline": "5s",
}
METHODS = {"send": "sendmessage", "edit": "editmessagetext", "recall": "deletemessage"}


def sent(emulator: Emulator, method: str) -> Counter[Any]:
    return Counter(each.parameters["chat_id"] for each in emulator.accepted if each.method.lower() == method)


async def over(parts: Delivery, name: str) -> bool:
    return (await parts.dovecote.broadcasts.get(name)).state is BroadcastState.FINISHED


async def killed_in_the_middle(parts: Delivery, emulator: Emulator, folder: Path, url: str, what: str) -> None:
    """Let one process begin and kill it when a few have arrived; another one ends it."""
    name = "news" if what == "send" else f"news-{what}"
    before = len(emulator.requests)
    with of_the_program(folder / f"{what}-1", url, emulator.url, parts.keys, **QUICKLY) as first:
        await until(lambda: len(emulator.requests) - before >= 20, bound=300)
        first.kill()
    record = await parts.dovecote.broadcasts.get(name)
    assert record.state is BroadcastState.RUNNING
    assert record.counts.waiting > 0, "it was killed when all was fanned out already"
    with of_the_program(folder / f"{what}-2", url, emulator.url, parts.keys, **QUICKLY) as second:
        await until(lambda: over(parts, name), bound=300)
        second.tell_to_stop()
        second.end()


@pytest.mark.parametrize("outbox_url", campaign(["sqlite", "postgresql"], always=["sqlite"]), indirect=True)
async def test_a_fan_out_goes_on_and_reaches_each_once_or_says_that_nobody_can_tell(
    outbox_url: str, tmp_path: Path
) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        counts = await sent_by_two(parts, emulator, tmp_path, outbox_url)

        copies = sent(emulator, METHODS["send"])
        assert set(copies.values()) == {1}
        assert counts.delivered + counts.unknown == RECIPIENTS
        # What was in the killed worker's hands, and never more than it can have had.
        assert counts.unknown <= PACE
        assert RECIPIENTS - counts.unknown <= len(copies) <= RECIPIENTS
        enqueued = [row[0] for table in ("notification", "history") for row in await parts.rows(table)]
        assert len(enqueued) == len(set(enqueued)) == RECIPIENTS


@pytest.mark.parametrize("what", campaign(["edit", "recall"], always=[]))
@pytest.mark.parametrize("outbox_url", campaign(["sqlite", "postgresql"], always=[]), indirect=True)
async def test_what_undoes_it_goes_on_and_reaches_whom_it_has_reached(
    outbox_url: str, what: str, tmp_path: Path
) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        reached = (await sent_by_two(parts, emulator, tmp_path, outbox_url)).delivered
        broadcasts = parts.dovecote.broadcasts

        record = await (broadcasts.recall("news") if what == "recall" else broadcasts.edit("news", text="bye"))

        assert record.counts.recipients == reached
        await killed_in_the_middle(parts, emulator, tmp_path, outbox_url, what)
        # One that the killed worker had in hand is asked for again, which changes nothing, and then is known as done.
        done = (await broadcasts.get(f"news-{what}")).counts
        assert done.delivered + done.dead == reached
        assert len(sent(emulator, METHODS[what])) == reached


async def sent_by_two(parts: Delivery, emulator: Emulator, folder: Path, url: str) -> BroadcastCounts:
    """Broadcast at most once to each, with a process that is killed in the middle; answers what became of it."""
    await parts.dovecote.set_limits("shop", pace=PACE, private_limit=None, group_limit=None)
    emulator.script(Rule(Answer(delay=0.05)))
    news = Broadcast(name="news", bot="shop", text="hi", delivery=DeliveryPolicy.AT_MOST_ONCE)
    await parts.dovecote.broadcasts.create(news, range(1, RECIPIENTS + 1))
    await parts.dovecote.broadcasts.start("news")
    await killed_in_the_middle(parts, emulator, folder, url, "send")
    return (await parts.dovecote.broadcasts.get("news")).counts

"""The conformance suite of `ports.OutboxStore`: what a 429 teaches of the pace, and how it is forgotten again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from outboxes import Outbox, at, settlement

from dovecote.model import Scope, Snoozed

if TYPE_CHECKING:
    from dovecote.model import ClaimedNotification, Settlement


def told_to_wait(claimed: ClaimedNotification, seconds: float = 2, scope: Scope = Scope.BOT) -> Settlement:
    """Telegram said 429."""
    return settlement(claimed, Snoozed(timedelta(seconds=seconds), scope, "Too Many Requests"))


async def paced(outbox: Outbox, pace: float | None = 30.0) -> list[ClaimedNotification]:
    """Give the bot a pace and a backlog, and claim of it."""
    await outbox.bots.set_limits("shop", pace=pace, private_limit=None, group_limit=None)
    await outbox.put_rows([{"id": id_} for id_ in range(1, 401)])
    return await outbox.claim(20)


async def pace_now(outbox: Outbox) -> float:
    """The pace that a claim keeps, as the distance of its slots says."""
    first, second, *_ = await outbox.claim(2)
    return 1 / (second.send_in - first.send_in)


async def halted_until(outbox: Outbox) -> object:
    return (await outbox.bots.bots())[0].halted_until


async def test_a_429_takes_a_share_of_the_pace_and_it_climbs_back(outbox: Outbox) -> None:
    first, *_ = await paced(outbox)

    await outbox.settle(told_to_wait(first))

    paces = []
    for seconds in (2, 10, 30, 25, 5, 3600):
        await outbox.advance(seconds)
        paces.append(await pace_now(outbox))
    # 93% of 30 when the wait is over, and 0.03 more after each second of the 70 that it takes.
    assert paces == pytest.approx([27.9, 28.2, 29.1, 29.85, 30.0, 30.0], rel=1e-3)


async def test_a_claim_holds_as_many_slots_as_the_lower_pace_has(outbox: Outbox) -> None:
    first, *_ = await paced(outbox)
    await outbox.settle(told_to_wait(first))
    await outbox.advance(2)

    assert len(await outbox.claim(100)) == 13  # half a second at 27.9/s


async def test_the_siblings_of_a_429_take_nothing_more(outbox: Outbox) -> None:
    one, two, three, four, *_ = await paced(outbox)

    await outbox.settle(told_to_wait(one), told_to_wait(two))
    await outbox.advance(0.5)
    await outbox.settle(told_to_wait(three))
    await outbox.advance(1.9)
    await outbox.settle(told_to_wait(four, 1))

    assert await halted_until(outbox) == at(3.4)
    await outbox.advance(1)
    assert await pace_now(outbox) == pytest.approx(27.9 + 0.03 * 1.4, rel=1e-4)


async def test_a_429_after_the_wait_takes_a_share_again(outbox: Outbox) -> None:
    one, *_ = await paced(outbox)
    await outbox.settle(told_to_wait(one))
    await outbox.advance(2)
    two, *_ = await outbox.claim(5)

    await outbox.settle(told_to_wait(two, 1))

    await outbox.advance(1)
    assert await pace_now(outbox) == pytest.approx(30 * 0.93 * 0.93, rel=1e-4)


async def test_what_was_climbed_back_is_what_the_next_429_takes_from(outbox: Outbox) -> None:
    one, *_ = await paced(outbox)
    await outbox.settle(told_to_wait(one))
    await outbox.advance(22)
    two, *_ = await outbox.claim(5)

    await outbox.settle(told_to_wait(two, 1))

    await outbox.advance(1)
    assert await pace_now(outbox) == pytest.approx(28.5 * 0.93, rel=1e-4)


async def test_a_bot_without_a_pace_is_only_halted(outbox: Outbox) -> None:
    first, *_ = await paced(outbox, None)

    await outbox.settle(told_to_wait(first))

    assert await halted_until(outbox) == at(2)
    assert await outbox.claim() == []
    await outbox.advance(2)
    claimed = await outbox.claim(100)
    assert (len(claimed), {each.send_in for each in claimed}) == (100, {0.0})


@pytest.mark.parametrize(("new", "then"), [(30.0, 27.9), (1000.0, 1000.0), (10.0, 10.0)])
async def test_a_changed_pace_forgets_what_was_learned_of_the_old(outbox: Outbox, new: float, then: float) -> None:
    first, *_ = await paced(outbox)
    await outbox.settle(told_to_wait(first))

    await outbox.bots.set_limits("shop", pace=new, private_limit=(1, 1.0), group_limit=None)

    await outbox.advance(2)
    assert await pace_now(outbox) == pytest.approx(then, rel=1e-3)


async def test_one_bots_429_leaves_the_pace_of_another(outbox: Outbox) -> None:
    await outbox.bot("desk", pace=30.0)
    first, *_ = await paced(outbox)

    await outbox.settle(told_to_wait(first, 3600))

    await outbox.put_rows([{"id": id_} for id_ in range(1001, 1101)], bot="desk")
    assert await pace_now(outbox) == pytest.approx(30.0)


async def groups(outbox: Outbox) -> list[ClaimedNotification]:
    """A paced bot, and what it has claimed for two groups."""
    await outbox.bots.set_limits("shop", pace=30.0, private_limit=None, group_limit=None)
    await outbox.put(1, chat="-100")
    await outbox.put(2, chat="-200")
    return await outbox.claim()


async def test_one_group_that_is_told_to_wait_is_only_that_group(outbox: Outbox) -> None:
    one, _ = await groups(outbox)

    await outbox.settle(told_to_wait(one, scope=Scope.CHAT))

    assert await halted_until(outbox) is None
    await outbox.put_rows([{"id": id_} for id_ in range(11, 31)])
    assert await pace_now(outbox) == pytest.approx(30.0)
    assert (await outbox.waiting(1)).due_at == at(2)


async def test_two_that_a_worker_cannot_send_just_now_halt_nobody(outbox: Outbox) -> None:
    one, two = await groups(outbox)

    await outbox.settle(*(told_to_wait(each, 30, Scope.NOTIFICATION) for each in (one, two)))

    assert await halted_until(outbox) is None
    assert (await outbox.waiting(1)).due_at == at(30)
    assert [row.error_code for row in await outbox.rows("attempt")] == [None, None]


async def test_two_groups_that_are_told_to_wait_at_a_time_are_the_bot(outbox: Outbox) -> None:
    one, two = await groups(outbox)

    await outbox.settle(told_to_wait(one, 2, Scope.CHAT), told_to_wait(two, 5, Scope.CHAT))

    assert await halted_until(outbox) == at(5)
    await outbox.advance(5)
    await outbox.put_rows([{"id": id_} for id_ in range(11, 31)])
    assert await pace_now(outbox) == pytest.approx(27.9, rel=1e-4)

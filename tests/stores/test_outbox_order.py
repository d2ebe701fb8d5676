"""The conformance suite of `ports.OutboxStore`: the order within a chat, and that nothing waits for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from outboxes import LEASE, Outbox, at, delivered, failed, ids, settlement

from dovecote.model import Scope, Snoozed


async def drive(outbox: Outbox, *, worker_loses: set[int] | None = None, cycles: int = 200) -> list[int]:
    """Claim and deliver until the outbox is empty, moving the clock as the answers say; the ids as they were sent."""
    to_lose = worker_loses or set()
    sent: list[int] = []
    for _ in range(cycles):
        cycle = await outbox.store.cycle([], claim=100, lease=LEASE)
        claimed = sorted(cycle.claimed, key=lambda each: (each.send_in, each.id))
        sent += ids(claimed)
        await outbox.settle(*(delivered(each) for each in claimed if each.id not in to_lose))
        to_lose -= set(ids(claimed))
        if not claimed and cycle.next_due_in is None:
            assert await outbox.rows("notification") == []
            return sent
        await outbox.advance(cycle.next_due_in or 0)
    raise AssertionError(f"after {cycles} cycles there waits {await outbox.rows('notification')}; sent: {sent}")


async def test_the_oldest_of_a_chat_is_first(outbox: Outbox) -> None:
    await outbox.put(1, planned=-1)
    await outbox.put(2, planned=-3)
    await outbox.put(3, planned=-2)

    assert await drive(outbox) == [2, 3, 1]


async def test_of_two_planned_for_one_instant_the_first_id_is_first(outbox: Outbox) -> None:
    await outbox.put(9, 8, 10)

    assert await drive(outbox) == [8, 9, 10]


async def test_one_of_a_chat_is_in_flight(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat="7")

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert ids(cycle.claimed) == [1]
    assert cycle.postponed == 2


async def test_what_is_behind_one_in_flight_waits_until_that_is_settled(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    first = await outbox.claim_one()
    await outbox.put(2, chat="7")

    for _ in range(20):
        assert await outbox.claim() == []
        await outbox.advance(2)
    await outbox.deliver(first)
    await outbox.advance(2)

    assert ids(await outbox.claim()) == [2]


async def test_what_is_behind_one_in_flight_is_asked_about_at_least_every_second(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    await outbox.claim_one()
    await outbox.put(2, chat="7")
    await outbox.advance(30)

    await outbox.claim()

    due_at = (await outbox.waiting(2)).due_at
    assert at(30) < due_at <= at(31)


async def test_an_older_one_in_backoff_blocks_its_chat(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat="7")
    await outbox.settle(failed(await outbox.claim_one(), retry_in=30))

    waits = []
    for _ in range(14):
        await outbox.advance(2)
        waits += ids(await outbox.claim())
    assert waits == []
    await outbox.advance(2)

    assert ids(await outbox.claim()) == [1]


async def test_a_snoozed_chat_waits_as_a_whole(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat="7")
    await outbox.put(3, chat="8")
    one, three = await outbox.claim()
    await outbox.settle(settlement(one, Snoozed(timedelta(seconds=9), Scope.CHAT)), delivered(three))

    assert await drive(outbox) == [1, 2]
    assert (await outbox.settled(1)).settled_at >= at(9)


async def test_an_older_one_that_is_planned_for_tomorrow_does_not_block(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", planned=86_400)
    await outbox.put(2, chat="7")

    assert ids(await outbox.claim()) == [2]


async def test_an_urgent_one_overtakes_the_bulk_of_its_chat(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat="7", priority=2)
    await outbox.put(4, chat="7", priority=0)

    assert await drive(outbox) == [4, 1, 2, 3]


async def test_an_urgent_one_overtakes_bulk_that_is_blocked_already(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat="7", priority=2)
    first = await outbox.claim_one()
    await outbox.put(4, chat="7", priority=0, planned=1)
    await outbox.deliver(first)
    await outbox.advance(1)

    assert await drive(outbox) == [4, 2, 3]


async def test_an_urgent_one_does_not_overtake_what_is_in_flight(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", priority=2)
    bulk = await outbox.claim_one()
    await outbox.put(2, chat="7", priority=0)

    assert await outbox.claim() == []
    await outbox.deliver(bulk)
    await outbox.advance(1)
    assert ids(await outbox.claim()) == [2]


async def test_an_urgent_one_does_not_wait_for_bulk_in_backoff(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", priority=2)
    await outbox.settle(failed(await outbox.claim_one(), retry_in=30))
    await outbox.put(2, chat="7", planned=0, priority=0)

    assert ids(await outbox.claim()) == [2]


async def test_bulk_waits_for_an_older_urgent_one_in_backoff(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", priority=0)
    await outbox.settle(failed(await outbox.claim_one(), retry_in=30))
    await outbox.put(2, chat="7", planned=0, priority=2)

    assert await outbox.claim() == []
    assert await drive(outbox) == [1, 2]


async def test_bulk_does_not_wait_for_a_later_urgent_one_in_backoff(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", planned=1, priority=0)
    await outbox.put(2, chat="7", planned=0, priority=2)
    await outbox.advance(1)
    await outbox.settle(failed(await outbox.claim_one(), retry_in=30))
    await outbox.advance(1)

    assert ids(await outbox.claim()) == [2]


async def test_three_priorities_of_a_chat_each_keep_their_order(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat="7", priority=2)
    await outbox.put(3, 4, chat="7", priority=1)
    await outbox.put(5, 6, chat="7", priority=0)

    assert await drive(outbox) == [5, 6, 3, 4, 1, 2]


async def test_one_that_is_committed_after_a_later_id_waits_for_that_alone(outbox: Outbox) -> None:
    await outbox.put(2, chat="7")
    first = await outbox.claim_one()
    await outbox.put(1, 3, chat="7")

    assert await outbox.claim() == []
    await outbox.deliver(first)
    await outbox.advance(1)
    assert await drive(outbox) == [1, 3]


async def test_those_without_a_chat_never_block_each_other(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, 4, chat=None)

    assert ids(await outbox.claim()) == [1, 2, 3, 4]


async def test_the_same_chat_under_two_bots_is_two_chats(outbox: Outbox) -> None:
    await outbox.bot("desk")
    await outbox.put(1, bot="shop", chat="7")
    await outbox.put(2, bot="desk", chat="7")

    assert sorted(ids(await outbox.claim())) == [1, 2]


async def test_chats_are_told_apart_by_every_character(outbox: Outbox) -> None:
    await outbox.put(1, chat="@news")
    await outbox.put(2, chat="@News")
    await outbox.put(3, chat="7")
    await outbox.put(4, chat="-7")

    assert sorted(ids(await outbox.claim())) == [1, 2, 3, 4]


async def test_a_blocked_one_always_has_a_finite_later_due_time(outbox: Outbox) -> None:
    await outbox.put(*range(1, 41), chat="7")

    await outbox.claim()

    dues = [row.due_at for row in await outbox.rows("notification") if row.lease_token is None]
    assert len(dues) == 39
    assert dues == sorted(set(dues))
    assert dues[0] > at(0)
    assert dues[-1] <= at(1)


@pytest.mark.parametrize("limit", [None, (3, 3.0)], ids=["unlimited", "3 in 3 s"])
async def test_all_of_a_chat_are_sent_in_order_as_the_clock_goes_on(
    outbox: Outbox, limit: tuple[int, float] | None
) -> None:
    await outbox.bots.set_limits("shop", pace=30.0, private_limit=limit, group_limit=None)
    await outbox.put(*range(1, 26), chat="7")
    await outbox.put(*range(101, 126), chat="8")

    sent = await drive(outbox)

    assert [id_ for id_ in sent if id_ < 100] == [*range(1, 26)]
    assert [id_ for id_ in sent if id_ > 100] == [*range(101, 126)]


async def test_a_worker_that_was_lost_does_not_change_the_order_of_its_chat(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat="7")
    await outbox.put(4, chat="7", priority=2)

    assert await drive(outbox, worker_loses={1, 3, 4}) == [1, 1, 2, 3, 3, 4, 4]


async def test_an_urgent_one_that_came_before_a_lease_was_lost_does_not_strand_its_chat(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", priority=2)
    await outbox.claim_one()
    await outbox.put(2, chat="7", priority=0, planned=60)
    await outbox.advance(60)

    assert await drive(outbox) == [1, 2]


async def test_many_of_one_chat_in_front_of_others_hold_these_up_for_few_cycles(outbox: Outbox) -> None:
    await outbox.put_rows([{"id": id_, "chat": "7"} for id_ in range(1, 301)], planned=-10)
    await outbox.put_rows([{"id": id_, "chat": str(id_)} for id_ in range(1001, 1301)])

    sent: list[int] = []
    for _ in range(10):
        claimed = await outbox.claim(100)
        sent += ids(claimed)
        await outbox.deliver(*claimed)

    assert set(range(1001, 1301)) <= set(sent)


async def test_many_of_a_chat_that_is_in_flight_hold_others_up_for_no_time(outbox: Outbox) -> None:
    await outbox.bots.set_limits("shop", pace=30.0, private_limit=None, group_limit=None)
    await outbox.put(1, chat="7", planned=-10)
    await outbox.claim_one()
    await outbox.put_rows([{"id": id_, "chat": "7"} for id_ in range(2, 402)], planned=-9)
    await outbox.put(1001, chat="8")
    await outbox.advance(30)

    waited, claimed = 0.0, list[int]()
    for _ in range(10):
        cycle = await outbox.store.cycle([], claim=15, lease=LEASE)
        claimed += ids(cycle.claimed)
        if claimed:
            break
        assert cycle.next_due_in is not None
        waited += cycle.next_due_in
        await outbox.advance(cycle.next_due_in)

    assert claimed == [1001]
    assert waited <= 0.1

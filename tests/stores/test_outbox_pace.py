"""The conformance suite of `ports.OutboxStore`: slots, limits of chats, halts and shares."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from outboxes import LEASE, Outbox, at, delivered, ids, settlement

from dovecote.model import BotStopped, Scope, Snoozed


async def limit(
    outbox: Outbox,
    *,
    pace: float | None = None,
    private: tuple[int, float] | None = None,
    group: tuple[int, float] | None = None,
) -> None:
    await outbox.bots.set_limits("shop", pace=pace, private_limit=private, group_limit=group)


async def put_many(outbox: Outbox, first: int, count: int, *, priority: int = 1, bot: str = "shop") -> None:
    """Notifications without a chat."""
    rows = [{"id": id_, "priority": priority} for id_ in range(first, first + count)]
    await outbox.put_rows(rows, bot=bot)


async def test_no_more_than_half_a_second_of_slots_is_claimed(outbox: Outbox) -> None:
    await limit(outbox, pace=30.0)
    await put_many(outbox, 1, 100)

    claimed = await outbox.claim(500)

    assert [each.slot for each in claimed] == [*range(15)]
    assert [round(each.send_in, 3) for each in claimed] == [
        *(0.0, 0.033, 0.067, 0.1, 0.133, 0.167, 0.2, 0.233, 0.267, 0.3, 0.333, 0.367, 0.4, 0.433, 0.467),
    ]
    assert await outbox.claim(500) == []


async def test_the_next_claim_goes_on_where_the_last_one_ended(outbox: Outbox) -> None:
    await limit(outbox, pace=30.0)
    await put_many(outbox, 1, 100)
    await outbox.claim(500)
    await outbox.advance(0.25)

    claimed = await outbox.claim(500)

    assert [each.slot for each in claimed] == [15, 16, 17, 18, 19, 20, 21]
    assert claimed[0].send_in == pytest.approx(0.25)
    assert claimed[-1].send_in == pytest.approx(0.45)


async def test_slots_that_passed_unused_are_not_given_later(outbox: Outbox) -> None:
    await limit(outbox, pace=30.0)
    await outbox.advance(3600)
    await put_many(outbox, 1, 100)

    claimed = await outbox.claim(500)

    assert len(claimed) == 15
    assert claimed[0].send_in == 0.0


async def test_a_claim_takes_no_more_slots_than_it_uses(outbox: Outbox) -> None:
    await limit(outbox, pace=30.0)
    await put_many(outbox, 1, 2)
    await outbox.claim(500)
    await put_many(outbox, 3, 1)

    claimed = await outbox.claim(500)

    assert [each.slot for each in claimed] == [2]
    assert claimed[0].send_in == pytest.approx(0.066667, abs=1e-5)


async def test_at_one_a_second_there_is_one_slot_at_a_time(outbox: Outbox) -> None:
    await limit(outbox, pace=1.0)
    await put_many(outbox, 1, 5)

    claims = []
    for _ in range(8):
        claims.append([(each.id, each.slot, each.send_in) for each in await outbox.claim(10)])
        await outbox.advance(0.5)

    assert claims == [
        [(1, 0, 0.0)],
        [],
        [(2, 1, 0.0)],
        [],
        [(3, 2, 0.0)],
        [],
        [(4, 3, 0.0)],
        [],
    ]


async def test_without_a_pace_there_is_no_limit(outbox: Outbox) -> None:
    await put_many(outbox, 1, 600)

    claimed = await outbox.claim(500)

    assert len(claimed) == 500
    assert {each.send_in for each in claimed} == {0.0}


async def test_an_album_takes_as_many_slots_as_it_has_items(outbox: Outbox) -> None:
    await limit(outbox, pace=10.0)
    await outbox.put(1, 3, 4, chat=None)
    await outbox.put(2, chat=None, weight=5)

    claimed = await outbox.claim(10)

    assert [(each.id, each.slot) for each in claimed] == [(1, 0), (2, 1)]
    await outbox.advance(0.2)
    (third,) = await outbox.claim(10)
    assert (third.id, third.slot) == (3, 6)
    assert third.send_in == pytest.approx(0.4)


async def test_no_slot_is_given_twice_over_two_workers(outbox: Outbox) -> None:
    await limit(outbox, pace=30.0)
    await put_many(outbox, 1, 200)
    other = outbox.new_store()

    slots: list[int | None] = []
    for _ in range(40):
        first, second = await asyncio.gather(outbox.claim(50), outbox.claim(50, store=other))
        slots += [each.slot for each in (*first, *second)]
        await outbox.advance(0.1)

    assert sorted(slot for slot in slots if slot is not None) == [*range(len(slots))]
    assert 116 <= len(slots) <= 134  # four seconds, and half a second ahead
    assert (await outbox.bots.bots())[0].slots_given == len(slots)


async def test_a_429_halts_the_bot_in_every_worker_and_then_it_goes_on(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat=None)
    other = outbox.new_store()
    first = (await outbox.claim(1))[0]

    await outbox.settle(settlement(first, Snoozed(timedelta(seconds=7), Scope.BOT, "Too Many Requests")))

    assert (await outbox.bots.bots())[0].halted_until == at(7)
    for store in (outbox.store, other):
        assert await outbox.claim(store=store) == []
    await outbox.advance(6.9)
    for store in (outbox.store, other):
        assert await outbox.claim(store=store) == []
    await outbox.advance(0.1)
    assert sorted(ids(await outbox.claim(store=other))) == [1, 2, 3]


async def test_a_bot_that_a_cycle_halts_is_not_claimed_for_by_it(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    first = (await outbox.claim(1))[0]
    snoozed = settlement(first, Snoozed(timedelta(seconds=7), Scope.BOT))

    cycle = await outbox.store.cycle([snoozed], claim=10, lease=LEASE)
    next_look = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert (list(cycle.claimed), list(next_look.claimed)) == ([], [])
    assert next_look.next_due_in == 7.0


async def test_the_longest_halt_counts(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat=None)
    one, two, three = await outbox.claim()

    await outbox.settle(
        settlement(one, Snoozed(timedelta(seconds=3), Scope.BOT)),
        settlement(two, Snoozed(timedelta(seconds=9), Scope.BOT)),
    )
    await outbox.settle(settlement(three, Snoozed(timedelta(seconds=1), Scope.BOT)))

    assert (await outbox.bots.bots())[0].halted_until == at(9)


async def test_a_429_of_one_chat_halts_nobody_else(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    await outbox.put(2, chat="8")
    seven, eight = await outbox.claim()
    await outbox.settle(settlement(seven, Snoozed(timedelta(seconds=60), Scope.CHAT)), delivered(eight))
    await outbox.put(3, chat="8")

    assert (await outbox.bots.bots())[0].halted_until is None
    assert ids(await outbox.claim()) == [3]


async def test_a_halt_does_not_disturb_another_bot(outbox: Outbox) -> None:
    await outbox.bot("desk")
    await outbox.put(1, chat=None)
    first = await outbox.claim_one()
    await outbox.settle(settlement(first, Snoozed(timedelta(seconds=60), Scope.BOT)))
    await outbox.put(2, bot="desk")

    assert ids(await outbox.claim()) == [2]


async def test_one_bots_pace_does_not_hold_another_up(outbox: Outbox) -> None:
    await limit(outbox, pace=1.0)
    await outbox.bot("desk", pace=30.0)
    await put_many(outbox, 1, 50)
    await put_many(outbox, 101, 50, bot="desk")

    claimed = await outbox.claim(500)

    assert sorted(ids(claimed)) == [1, *range(101, 116)]


async def test_a_stopped_bot_claims_nothing_and_loses_nothing(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    await outbox.put(3, chat=None, expires_at=at(10))
    first = (await outbox.claim(1))[0]

    stopping = await outbox.settle(settlement(first, BotStopped("Unauthorized", 401)))
    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert list(stopping.lost) == []
    assert (list(cycle.claimed), cycle.next_due_in) == ([], None)
    assert await outbox.places() == {1: "waiting", 2: "waiting", 3: "waiting"}


async def test_what_a_stopped_bot_has_in_flight_is_settled(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    one, two = await outbox.claim()
    await outbox.settle(settlement(one, BotStopped("Unauthorized", 401)))

    cycle = await outbox.deliver(two)

    assert list(cycle.lost) == []
    assert await outbox.places() == {1: "waiting", 2: "delivered"}


async def test_a_private_chat_gets_three_in_three_seconds(outbox: Outbox) -> None:
    await limit(outbox, private=(3, 3.0))
    await outbox.put(*range(1, 9), chat="7")

    sent: list[tuple[float, int]] = []
    for tenth in range(90):
        for claimed in await outbox.claim():
            sent.append((tenth / 10, claimed.id))
            await outbox.deliver(claimed)
        await outbox.advance(0.1)

    assert [id_ for _, id_ in sent] == [1, 2, 3, 4, 5, 6, 7, 8]
    times = [time for time, _ in sent]
    assert times[1] <= 0.2
    assert all(later - earlier >= 2.95 for earlier, later in zip(times, times[3:], strict=False))
    assert times[7] <= 8.5


async def test_a_group_gets_twenty_in_a_minute(outbox: Outbox) -> None:
    await limit(outbox, private=(1, 600.0), group=(20, 60.0))
    await outbox.put_history(
        [{"id": id_, "chat": "-100", "outcome": "delivered", "settled_at": at(id_)} for id_ in range(1, 20)]
    )
    await outbox.put(101, 102, chat="-100", planned=20)
    await outbox.advance(20)
    claimed = await outbox.claim_one()
    await outbox.deliver(claimed)  # the twentieth since second 1

    await outbox.advance(40.9)
    early = await outbox.claim()
    await outbox.advance(0.2)
    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert claimed.id == 101
    assert early == []
    assert ids(cycle.claimed) == [102]


async def test_a_channel_name_has_the_limit_of_groups(outbox: Outbox) -> None:
    await limit(outbox, private=None, group=(1, 60.0))
    await outbox.put(1, 2, chat="@news")
    await outbox.put(3, 4, chat="7")
    await outbox.deliver(*await outbox.claim())
    await outbox.advance(2)

    assert ids(await outbox.claim()) == [4]


async def test_the_limit_of_a_chat_counts_for_each_bot_alone(outbox: Outbox) -> None:
    await limit(outbox, private=(1, 60.0))
    await outbox.bot("desk", private=(1, 60.0))
    await outbox.put(1, chat="7")
    await outbox.deliver(await outbox.claim_one())
    await outbox.put(2, chat="7", bot="desk")

    assert ids(await outbox.claim()) == [2]


async def test_a_chat_at_its_limit_costs_no_slot(outbox: Outbox) -> None:
    await limit(outbox, pace=10.0, private=(1, 60.0))
    await outbox.put(1, chat="7")
    await outbox.deliver(await outbox.claim_one())
    await outbox.put(2, chat="7")
    await outbox.put(3, chat="8")

    claimed = await outbox.claim()

    assert [(each.id, each.slot) for each in claimed] == [(3, 1)]


async def test_urgent_ones_are_sent_first(outbox: Outbox) -> None:
    await limit(outbox, pace=10.0)
    await put_many(outbox, 1, 10, priority=2)
    await put_many(outbox, 11, 10, priority=1)
    await put_many(outbox, 21, 3, priority=0)

    claimed = await outbox.claim()

    assert ids(claimed) == [21, 22, 23, 11, 12]


async def test_an_urgent_one_waits_for_no_more_than_half_a_second_of_bulk(outbox: Outbox) -> None:
    await limit(outbox, pace=30.0)
    await put_many(outbox, 1, 1000, priority=2)
    await outbox.claim(500)
    await put_many(outbox, 2001, 1, priority=0)
    await outbox.advance(0.1)

    claimed = await outbox.claim(500)

    assert claimed[0].id == 2001
    assert claimed[0].send_in == pytest.approx(0.4)


async def test_each_priority_has_its_share_in_one_claim(outbox: Outbox) -> None:
    await put_many(outbox, 1001, 300, priority=0)
    await put_many(outbox, 2001, 300, priority=1)
    await put_many(outbox, 3001, 300, priority=2)

    claimed = ids(await outbox.claim(210))

    assert [len([id_ for id_ in claimed if id_ // 1000 == thousand]) for thousand in (1, 2, 3)] == [160, 40, 10]


@pytest.mark.parametrize(("pace", "step"), [(30.0, 0.25), (1.0, 1.0)])
async def test_each_priority_has_its_share_over_many_small_claims(outbox: Outbox, pace: float, step: float) -> None:
    await limit(outbox, pace=pace)
    await put_many(outbox, 1001, 300, priority=0)
    await put_many(outbox, 2001, 300, priority=1)
    await put_many(outbox, 3001, 300, priority=2)

    claimed: list[int] = []
    while len(claimed) < 105:
        claimed += ids(await outbox.claim())
        await outbox.advance(step)

    shares = [len([id_ for id_ in claimed[:105] if id_ // 1000 == thousand]) for thousand in (1, 2, 3)]
    assert shares == [80, 20, 5]

"""The conformance suite of `ports.OutboxStore`: what a claim answers, and claims at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from databases import connect
from outboxes import LEASE, Outbox, at, delivered, failed, ids, settlement

from dovecote.model import Cycle, Released, Scope, Snoozed
from dovecote.stores import postgresql

if TYPE_CHECKING:
    import random

    from dovecote.model import ClaimedNotification


async def look(outbox: Outbox, count: int = 100) -> Cycle:
    return await outbox.store.cycle([], claim=count, lease=LEASE)


async def test_an_empty_outbox_has_nothing_to_claim_and_nothing_to_wait_for(outbox: Outbox) -> None:
    assert await look(outbox) == Cycle(claimed=[], lost=(), ended={}, postponed=0, next_due_in=None, suspects=False)


async def test_a_cycle_that_claims_nothing_only_settles(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    (first,) = await outbox.claim(1)

    cycle = await outbox.store.cycle([delivered(first)], claim=0, lease=LEASE)

    assert list(cycle.claimed) == []
    assert await outbox.places() == {1: "delivered", 2: "waiting"}


async def test_what_is_due_in_five_seconds_is_said_so(outbox: Outbox) -> None:
    await outbox.put(1, planned=5)

    cycle = await look(outbox)

    assert (list(cycle.claimed), cycle.next_due_in) == ([], 5.0)


async def test_the_earliest_of_all_priorities_and_bots_is_next(outbox: Outbox) -> None:
    await outbox.bot("desk")
    await outbox.put(1, planned=9, priority=0)
    await outbox.put(2, planned=7, priority=1)
    await outbox.put(3, planned=4, priority=2, bot="desk")

    assert (await look(outbox)).next_due_in == 4.0


async def test_due_work_that_a_claim_left_behind_is_next_at_once(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat=None)

    cycle = await look(outbox, 2)

    assert (len(cycle.claimed), cycle.next_due_in) == (2, 0.0)


async def test_work_that_the_pace_left_behind_is_next_when_slots_come_into_reach(outbox: Outbox) -> None:
    await outbox.bots.set_limits("shop", pace=30.0, private_limit=None, group_limit=None)
    await outbox.put_rows([{"id": id_} for id_ in range(1, 101)])

    cycle = await look(outbox)

    assert len(cycle.claimed) == 15
    assert cycle.next_due_in == pytest.approx(0.25)


async def test_a_lease_of_another_is_next_when_it_ends(outbox: Outbox) -> None:
    await outbox.put(1)
    await look(outbox)

    assert (await look(outbox)).next_due_in == 60.0


async def test_a_blocked_one_is_next_when_it_is_due_again(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    await look(outbox)
    await outbox.put(2, chat="7")

    cycle = await look(outbox)

    assert cycle.postponed == 1
    assert cycle.next_due_in is not None
    assert 0 < cycle.next_due_in <= 1


async def test_a_halted_bots_work_is_next_when_the_halt_ends(outbox: Outbox) -> None:
    await outbox.put(1)
    (claimed,) = await outbox.claim()
    await outbox.settle(settlement(claimed, Snoozed(timedelta(seconds=40), Scope.BOT)))
    await outbox.advance(30)

    assert (await look(outbox)).next_due_in == 10.0


async def test_a_claim_takes_no_more_than_it_was_asked_for(outbox: Outbox) -> None:
    await outbox.put_rows([{"id": id_} for id_ in range(1, 51)])

    assert len((await look(outbox, 7)).claimed) == 7


async def test_what_is_due_longest_is_claimed_first(outbox: Outbox) -> None:
    await outbox.put(1, chat=None, planned=-1)
    await outbox.put(2, chat=None, planned=-3)
    await outbox.put(3, chat=None, planned=-2)

    assert ids((await look(outbox, 1)).claimed) == [2]


async def test_a_thousand_bots_all_come_to_their_turn(outbox: Outbox) -> None:
    bots = [
        {"name": f"bot-{n}", "token_variable": "T", "created_at": outbox.now, "next_slot_at": outbox.now}
        for n in range(1000)
    ]
    table = outbox.database.tables.bot
    await outbox.database.run(lambda connection: connection.execute(table.insert(), bots), write=True)
    bot_ids = [bot.id for bot in await outbox.bots.bots() if bot.name != "shop"]
    await outbox.put_rows(
        [{"id": 1000 * count + bot_id, "bot_id": bot_id} for bot_id in bot_ids for count in (1, 2, 3)]
    )

    turns: Counter[int] = Counter()
    for _ in range(20):
        await outbox.advance(0.01)
        claimed = await outbox.claim(50)
        turns.update(each.bot_id for each in claimed)

    assert len(turns) == 1000
    assert set(turns.values()) == {1}


async def test_a_claim_is_shared_among_the_bots_that_have_work(outbox: Outbox) -> None:
    await outbox.bot("desk")
    await outbox.put_rows([{"id": id_} for id_ in range(1, 101)])
    await outbox.put_rows([{"id": id_} for id_ in range(101, 201)], bot="desk")

    claimed = (await look(outbox, 40)).claimed

    assert Counter(each.bot for each in claimed) == {"shop": 20, "desk": 20}


async def test_workers_that_claim_at_the_same_time_never_claim_the_same_one(
    outbox: Outbox, seed: random.Random
) -> None:
    await outbox.bot("desk")
    rows = [{"id": id_, "chat": str(seed.randrange(40))} for id_ in range(1, 401)]
    await outbox.put_rows(rows[:200])
    await outbox.put_rows(rows[200:], bot="desk")
    stores = [outbox.store, outbox.new_store(), outbox.new_store()]
    held: list[list[ClaimedNotification]] = [[], [], []]
    claims: Counter[int] = Counter()

    async def turn(worker: int) -> None:
        settlements = [
            settlement(each, Released()) if seed.random() < 0.1 else
            failed(each, retry_in=0.01) if seed.random() < 0.1 else delivered(each)
            for each in held[worker]
        ]  # fmt: skip
        cycle = await stores[worker].cycle(settlements, claim=30, lease=LEASE)
        assert list(cycle.lost) == []
        held[worker] = list(cycle.claimed)
        claims.update(ids(cycle.claimed))

    for _ in range(600):
        await asyncio.gather(*map(turn, range(3)))
        in_flight = [each for worker in held for each in worker]
        assert len({each.id for each in in_flight}) == len(in_flight)
        assert len({(each.bot_id, each.chat) for each in in_flight}) == len(in_flight)
        await outbox.advance(0.02)
        if not in_flight and not await outbox.rows("notification"):
            break

    assert set((await outbox.places()).values()) == {"delivered"}
    assert set(claims) == {*range(1, 401)}


async def test_two_workers_keep_each_chats_order(outbox: Outbox) -> None:
    await outbox.put_rows([{"id": id_, "chat": str(id_ % 5)} for id_ in range(1, 101)])
    stores = [outbox.store, outbox.new_store()]
    settled: list[int] = []

    async def turn(worker: int) -> None:
        claimed = (await stores[worker].cycle([], claim=10, lease=LEASE)).claimed
        settled.extend(ids(claimed))
        await outbox.deliver(*claimed, store=stores[worker])

    for _ in range(300):
        await asyncio.gather(turn(0), turn(1))
        await outbox.advance(0.05)
        if len(settled) == 100:
            break

    for chat in range(5):
        assert [id_ for id_ in settled if id_ % 5 == chat] == [id_ for id_ in range(1, 101) if id_ % 5 == chat]


async def test_the_unique_index_on_leased_chats_never_has_to_refuse(
    outbox: Outbox, seed: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outbox.put_rows([{"id": id_, "chat": str(seed.randrange(3))} for id_ in range(1, 101)])
    stores = [outbox.store, outbox.new_store(), outbox.new_store()]
    # Deadlocks and serialisation failures alone are met by running again: a refusal of the index would be raised.
    monkeypatch.setattr(postgresql, "RETRIED", ("40P01", "40001"))

    async def turn(worker: int) -> None:
        for _ in range(3):
            claimed = (await stores[worker].cycle([], claim=5, lease=LEASE)).claimed
            await outbox.deliver(*claimed, store=stores[worker])

    while await outbox.rows("notification"):
        await asyncio.gather(turn(0), turn(1), turn(2))
        await outbox.advance(0.5)
        assert outbox.now < at(600)

    assert set((await outbox.places()).values()) == {"delivered"}


@pytest.mark.parametrize("outbox_database", ["postgresql-18"], indirect=True)
async def test_cycles_are_planned_once_and_large_ones_when_there_is_something(outbox: Outbox) -> None:
    store = outbox.store
    assert isinstance(store, postgresql.PostgreSQLOutbox)
    plans = (
        "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement ~ '^\\s*WITH clock' ORDER BY 1"
    )

    async def made() -> list[tuple[int, ...]]:
        assert store._connection is not None
        return [tuple(row) for row in await store._connection.fetch(plans)]

    await look(outbox)
    await look(outbox)
    assert await made() == [(2, 0)]

    await outbox.put_rows([{"id": number} for number in range(1, postgresql.LARGE_BATCH + 1)])
    claimed = (await look(outbox)).claimed
    await outbox.deliver(*claimed)
    assert await made() == [(1, 0), (3, 0)]


@pytest.mark.parametrize("outbox_database", ["postgresql-18"], indirect=True)
async def test_whose_bot_is_in_anothers_claim_asks_again_less_and_less_often(
    outbox: Outbox, outbox_database: str
) -> None:
    await outbox.put(1)
    with connect(outbox_database) as another:
        another.execute("BEGIN")
        another.execute("SELECT FROM dovecote.bot FOR UPDATE")
        pauses = [(await look(outbox)).next_due_in for _ in range(6)]
        another.execute("ROLLBACK")

    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.08, 0.08]
    assert ids((await look(outbox)).claimed) == [1]

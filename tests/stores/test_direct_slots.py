"""The conformance suite of `ports.DirectSlots`: slots on the timeline that direct messages share with claims."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from outboxes import Outbox, at, settlement

from dovecote.errors import NotMigrated
from dovecote.model import Snoozed
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.direct import SQLiteDirectSlots, direct_slots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dovecote.ports import DirectSlots


@pytest.fixture
async def slots(outbox: Outbox) -> AsyncIterator[DirectSlots]:
    if outbox.database.is_postgresql:
        slots = direct_slots(outbox.database)
    else:
        slots = SQLiteDirectSlots(outbox.database, clock=outbox._microseconds)
    yield slots
    await slots.close()


async def taken(slots: DirectSlots, count: int = 1, *, longest_wait: float = 30.0) -> float:
    """Take slots of the bot "desk"; answers the seconds until they may be used."""
    turn = await slots.take("desk", count, longest_wait=longest_wait)
    assert turn is not None
    return round(turn.send_in, 6)


async def next_slot(outbox: Outbox) -> float:
    """The first free slot of "desk", in seconds from now."""
    (row,) = [row for row in await outbox.rows("bot") if row.name == "desk"]
    seconds: float = (row.next_slot_at - outbox.now).total_seconds()
    return round(seconds, 3)


async def test_a_slot_is_had_at_once_and_moves_the_timeline(outbox: Outbox, slots: DirectSlots) -> None:
    bot = await outbox.bot("desk", pace=10)
    await outbox.advance(60)

    turn = await slots.take("desk", 1, longest_wait=30)

    assert turn == (bot.id, 0.0)
    assert await next_slot(outbox) == 0.1
    assert await taken(slots, 5) == 0
    assert await next_slot(outbox) == 0.6


async def test_it_is_had_at_once_while_bulk_takes_all_that_a_claim_may(outbox: Outbox, slots: DirectSlots) -> None:
    await outbox.bot("desk", pace=10)
    await outbox.put_rows([{"id": id_, "chat": str(id_), "priority": 2} for id_ in range(1, 101)], bot="desk")
    assert len(await outbox.claim()) == 5  # half a second

    assert await taken(slots) == 0

    assert await next_slot(outbox) == 0.6
    assert await outbox.claim() == []  # bulk is what waits
    await outbox.advance(0.2)
    assert [round(claimed.send_in, 3) for claimed in await outbox.claim()] == [0.4]


async def test_a_claim_goes_on_behind_it_and_in_order(outbox: Outbox, slots: DirectSlots) -> None:
    await outbox.bot("desk", pace=10)
    await outbox.put(1, 2, bot="desk", chat=None)

    await taken(slots, 2)

    assert [(claimed.id, round(claimed.send_in, 3)) for claimed in await outbox.claim()] == [(1, 0.2), (2, 0.3)]


async def test_direct_messages_that_exceed_the_pace_by_themselves_wait(outbox: Outbox, slots: DirectSlots) -> None:
    await outbox.bot("desk", pace=10)

    waits = [await taken(slots) for _ in range(20)]

    # At once go half a second's, and ten that a claim might have taken.
    assert waits[:16] == [0] * 16
    assert waits[16:] == [0.1, 0.2, 0.3, 0.4]


async def test_a_wait_that_is_too_long_takes_no_slot(outbox: Outbox, slots: DirectSlots) -> None:
    await outbox.bot("desk", pace=10)
    await taken(slots, 100)
    before = await next_slot(outbox)

    assert await taken(slots, longest_wait=5) == 8.5

    assert await next_slot(outbox) == before == 10


async def test_after_a_429_of_the_bot_the_wait_is_told(outbox: Outbox, slots: DirectSlots) -> None:
    await outbox.bot("desk", pace=10)
    await outbox.put(1, bot="desk", chat="7")
    claimed = await outbox.claim_one()
    await outbox.settle(settlement(claimed, Snoozed(timedelta(seconds=7))))

    assert await taken(slots, longest_wait=30) == 7
    assert await taken(slots, longest_wait=3) == 7

    assert await next_slot(outbox) == 7.108  # of the first alone, at the pace that the 429 has left
    (row,) = [row for row in await outbox.rows("bot") if row.name == "desk"]
    assert row.halted_until == at(7)


async def test_a_bot_without_a_pace_is_never_kept(outbox: Outbox, slots: DirectSlots) -> None:
    await outbox.bot("desk", pace=None)

    assert [await taken(slots, 1000) for _ in range(3)] == [0, 0, 0]


async def test_a_bot_that_telegram_refuses_is_left_alone(outbox: Outbox, slots: DirectSlots) -> None:
    await outbox.bot("desk", pace=10)
    await outbox.stop_bot("Unauthorized", name="desk")

    assert await taken(slots, 5) == 0
    assert await next_slot(outbox) == 0


async def test_nothing_is_taken_with_no_slot_and_of_no_bot(outbox: Outbox, slots: DirectSlots) -> None:
    await outbox.bot("desk", pace=10)

    assert await taken(slots, 0) == 0
    assert await next_slot(outbox) == 0
    assert await slots.take("dsk", 1, longest_wait=30) is None


async def test_a_database_without_the_schema_says_so(sqlite_url: str) -> None:
    slots = direct_slots(Database(outbox_url(sqlite_url)))

    with pytest.raises(NotMigrated, match="run `dovecote migrate`"):
        await slots.take("desk", 1, longest_wait=30)

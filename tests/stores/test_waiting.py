"""Why a notification is not sent now: a test for each reason, and what the next claim does about it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from outboxes import Outbox, at, delivered, failed, ids, settlement

from dovecote.model import Released, Scope, Snoozed, Unknown, Waiting, WaitReason

if TYPE_CHECKING:
    from collections.abc import Sequence


async def held(outbox: Outbox, id_: int) -> Sequence[Waiting]:
    return (await outbox.history.notification(id_)).waits_for


async def test_one_that_was_enqueued_for_later(outbox: Outbox) -> None:
    await outbox.put(1, planned=-1)
    await outbox.put(2, planned=30)

    assert await held(outbox, 2) == (Waiting(WaitReason.SCHEDULED, at(30)),)


async def test_nothing_holds_one_that_is_due(outbox: Outbox) -> None:
    await outbox.put(1)

    assert await held(outbox, 1) == ()
    assert ids(await outbox.claim()) == [1]


async def test_one_that_is_leased_or_settled_waits_for_nothing(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()
    await outbox.stop_bot("Unauthorized")
    leased = await held(outbox, 1)
    await outbox.deliver(claimed)

    assert (leased, await held(outbox, 1)) == ((), ())


async def test_the_pace_of_its_bot_until_the_next_slot(outbox: Outbox) -> None:
    await outbox.bot("slow", pace=0.1)
    await outbox.put(1, 2, chat=None, bot="slow")
    (first,) = await outbox.claim()

    (second,) = {1, 2} - {first.id}
    assert await held(outbox, second) == (Waiting(WaitReason.PACED, at(10)),)
    assert await outbox.claim() == []
    await outbox.advance(10)
    assert await held(outbox, second) == ()
    assert ids(await outbox.claim()) == [second]


async def test_a_bot_that_telegram_told_to_wait(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    first, second = await outbox.claim()
    await outbox.settle(
        settlement(first, Snoozed(timedelta(seconds=40), Scope.BOT, "Too Many Requests")),
        settlement(second, Released()),
    )

    # The one that met the refusal waits for the same.
    assert await held(outbox, first.id) == (Waiting(WaitReason.HALTED, at(40)),)
    assert await held(outbox, second.id) == (Waiting(WaitReason.HALTED, at(40)),)
    await outbox.advance(40)
    assert await held(outbox, second.id) == ()


async def test_a_bot_that_is_told_to_wait_less_than_a_retry_is_not_named(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    first, second = await outbox.claim()
    await outbox.settle(
        settlement(first, Snoozed(timedelta(seconds=3), Scope.BOT, "Too Many Requests")), failed(second, retry_in=60)
    )

    assert await held(outbox, second.id) == (Waiting(WaitReason.BACKOFF, at(60), detail="1 failure"),)


async def test_a_bot_that_telegram_refuses(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.put(2, planned=30)
    await outbox.stop_bot("Unauthorized")

    assert await held(outbox, 1) == (Waiting(WaitReason.STOPPED, detail="Unauthorized"),)
    assert await held(outbox, 2) == (
        Waiting(WaitReason.SCHEDULED, at(30)),
        Waiting(WaitReason.STOPPED, detail="Unauthorized"),
    )


async def test_another_one_of_its_chat_in_flight(outbox: Outbox) -> None:
    await outbox.put(5, chat="7", priority=2, planned=-9)
    await outbox.claim_one()
    await outbox.put(3, chat="7", planned=-1)
    await outbox.put(4, chat="8")

    assert await held(outbox, 3) == (Waiting(WaitReason.BLOCKED, at(60), behind=5, detail="leased"),)
    assert await held(outbox, 4) == ()
    assert ids(await outbox.claim()) == [4]


async def test_another_one_of_its_chat_whose_lease_ran_out(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat="7")
    await outbox.claim_one()
    await outbox.advance(61)

    assert await held(outbox, 2) == (Waiting(WaitReason.BLOCKED, at(60), behind=1, detail="leased"),)
    # It is what its chat has in flight: it waits for none of the others.
    assert await held(outbox, 1) == ()
    assert ids(await outbox.claim()) == [1]


async def test_an_older_one_of_its_chat_that_waits_for_a_retry(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat="7")
    await outbox.put(3, chat="8")
    claimed = {each.id: each for each in await outbox.claim()}
    await outbox.settle(failed(claimed[1], retry_in=90), delivered(claimed[3]))
    assert await outbox.claim() == []

    assert await held(outbox, 1) == (Waiting(WaitReason.BACKOFF, at(90), detail="1 failure"),)
    assert await held(outbox, 2) == (Waiting(WaitReason.BLOCKED, at(90), behind=1, detail="waiting"),)


async def test_of_several_before_it_the_one_that_goes_first_is_named(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", priority=1, planned=-30)
    await outbox.put(2, chat="7", priority=0, planned=-20)
    await outbox.put(3, chat="7", priority=0, planned=-10)
    await outbox.put(4, chat="7", priority=2, planned=-40)
    await outbox.put(5, chat="7", priority=1, planned=-5)

    # An older one that is less urgent (4) holds up nobody; an urgent one overtakes what is older (1).
    assert await held(outbox, 5) == (Waiting(WaitReason.BLOCKED, at(-20), behind=2, detail="waiting"),)
    assert await held(outbox, 3) == (Waiting(WaitReason.BLOCKED, at(-20), behind=2, detail="waiting"),)
    assert await held(outbox, 1) == ()
    assert await held(outbox, 2) == ()


async def test_the_limit_of_a_private_chat(outbox: Outbox) -> None:
    await outbox.bot("desk", private=(2, 10.0), group=(1, 60.0))
    await outbox.put(1, 2, 3, 4, chat="7", bot="desk", planned=-1)
    for _ in range(2):
        await outbox.deliver(await outbox.claim_one())
        await outbox.advance(1)

    assert await held(outbox, 3) == (Waiting(WaitReason.CHAT_LIMIT, at(10)),)
    assert await held(outbox, 4) == (
        Waiting(WaitReason.BLOCKED, (await outbox.waiting(3)).due_at, behind=3, detail="waiting"),
        Waiting(WaitReason.CHAT_LIMIT, at(10)),
    )
    assert await outbox.claim() == []
    await outbox.advance(8)
    assert await held(outbox, 3) == ()
    assert ids(await outbox.claim()) == [3]


async def test_the_limit_of_a_group(outbox: Outbox) -> None:
    await outbox.bot("desk", private=(2, 10.0), group=(1, 60.0))
    await outbox.put(1, 2, chat="-100", bot="desk")
    await outbox.deliver(await outbox.claim_one())

    assert await held(outbox, 2) == (Waiting(WaitReason.CHAT_LIMIT, at(60)),)


async def test_a_retry_after_several_failures(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.settle(failed(await outbox.claim_one(), retry_in=0))
    await outbox.settle(settlement(await outbox.claim_one(), Unknown("read timeout"), retry_in=25))

    assert await held(outbox, 1) == (Waiting(WaitReason.BACKOFF, at(25), detail="2 failures"),)
    await outbox.advance(25)
    assert await held(outbox, 1) == ()


async def test_a_chat_that_telegram_told_to_wait(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat="-100")
    await outbox.settle(settlement(await outbox.claim_one(), Snoozed(timedelta(seconds=30), Scope.CHAT, "Too Many")))

    assert await held(outbox, 1) == (Waiting(WaitReason.SNOOZED, at(30), detail="Too Many"),)
    assert await held(outbox, 2) == (
        Waiting(WaitReason.BLOCKED, at(30), behind=1, detail="waiting"),
        Waiting(WaitReason.CHAT_HALTED, at(30)),
    )


async def test_one_whose_turn_in_its_chat_is_still_to_come(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat="7")
    claimed = await outbox.claim_one()
    due_at = (await outbox.waiting(2)).due_at
    assert due_at > at(0)
    await outbox.deliver(claimed)

    assert await held(outbox, 2) == (Waiting(WaitReason.TURN, due_at),)

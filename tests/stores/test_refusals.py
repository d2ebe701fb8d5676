"""The conformance suite of `ports.OutboxStore`: recipients that Telegram refuses, and what waits for them."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from outboxes import LEASE, Outbox, at, delivered, ids, settlement

from dovecote.model import Dead, Failed, Refusal, Unknown
from dovecote.retry import RetryPolicy
from dovecote.unit_of_work import ClaimedOutbox

if TYPE_CHECKING:
    from dovecote.model import ClaimedNotification, Settlement


def refused(claimed: ClaimedNotification, refusal: Refusal) -> Settlement:
    """Telegram refused the recipient."""
    return settlement(claimed, Dead("Forbidden: in Telegram's words", 403, refusal))


async def refuse(outbox: Outbox, id_: int, refusal: Refusal, *, chat: str = "7", **columns: Any) -> None:
    """Let a notification be enqueued, claimed and refused."""
    await outbox.put(id_, chat=chat, **columns)
    await outbox.settle(refused(await outbox.claim_one(), refusal))


async def recipients(outbox: Outbox) -> list[tuple[str, Any, str | None, int]]:
    """Chat, instant and reason of the disabling, and strikes of each recipient that there is something to say of."""
    return [
        (row.chat, row.disabled_at, row.disabled_reason if row.disabled_at else None, row.strikes)
        for row in await outbox.rows("recipient")
    ]


async def disable(outbox: Outbox, chat: str, reason: str) -> None:
    """Write down that the recipient is disabled, past the store."""
    (bot,) = await outbox.bots.bots()
    row = {"bot_id": bot.id, "chat": chat, "disabled_at": outbox.now, "disabled_reason": reason, "strikes": 3}
    recipient = outbox.database.tables.recipient
    await outbox.database.run(lambda c: c.execute(recipient.insert(), [row]), write=True)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refusal.BLOCKED, "blocked"),
        (Refusal.DEACTIVATED, "deactivated"),
        (Refusal.NOT_STARTED, "not_started"),
        (Refusal.REMOVED, "removed"),
        (Refusal.RESTRICTED, "restricted"),
    ],
)
async def test_a_refusal_disables_the_recipient_at_once(outbox: Outbox, refusal: Refusal, reason: str) -> None:
    await outbox.advance(4)

    await refuse(outbox, 1, refusal)

    assert await recipients(outbox) == [("7", at(4), reason, 3)]
    row = await outbox.settled(1)
    assert (row.outcome, row.error, row.error_code) == ("dead", "Forbidden: in Telegram's words", 403)


async def test_what_waits_for_a_disabled_one_is_dead_at_the_claim_and_costs_no_slot(outbox: Outbox) -> None:
    await outbox.bots.set_limits("shop", pace=1.0, private_limit=None, group_limit=None)
    await refuse(outbox, 1, Refusal.BLOCKED)
    await outbox.advance(1)
    await outbox.put(2, 3, chat="7")
    await outbox.put(4, chat="8")

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert [(each.id, each.slot, each.send_in) for each in cycle.claimed] == [(4, 1, 0.0)]
    assert dict(cycle.ended) == {"suppressed": 2}
    assert await outbox.places() == {1: "dead", 2: "dead", 3: "dead", 4: "leased"}
    for id_ in (2, 3):
        row = await outbox.settled(id_)
        assert (row.error, row.error_code) == ("the recipient is disabled: blocked", None)
        assert (row.attempts, row.failures, row.lost_leases, row.settled_at) == (0, 0, 0, at(1))
    assert await outbox.rows("attempt") == []
    assert (await outbox.bots.bots())[0].slots_given == 2


async def test_more_than_a_claim_looks_at_are_suppressed_by_the_next(outbox: Outbox) -> None:
    await disable(outbox, "7", "blocked")
    await outbox.put_rows([{"id": id_, "chat": "7"} for id_ in range(1, 201)])
    await outbox.put(201, chat="8", planned=0)

    ended, claimed, looks = 0, [], 0
    while True:
        cycle = await outbox.store.cycle([], claim=50, lease=LEASE)
        ended += cycle.ended.get("suppressed", 0)
        claimed += ids(cycle.claimed)
        looks += 1
        if cycle.next_due_in != 0 and not cycle.ended:
            break

    assert (ended, claimed) == (200, [201])
    assert looks <= 6  # 64 at a time, and one look that finds nothing


async def test_a_recipient_is_disabled_for_one_bot_alone(outbox: Outbox) -> None:
    await outbox.bot("desk")
    await refuse(outbox, 1, Refusal.BLOCKED)

    await outbox.put(2, chat="7", bot="desk")

    assert ids(await outbox.claim()) == [2]


async def test_a_chat_that_is_not_found_is_disabled_by_the_third_time_in_a_row(outbox: Outbox) -> None:
    await refuse(outbox, 1, Refusal.NOT_FOUND)
    assert await recipients(outbox) == [("7", None, None, 1)]
    await refuse(outbox, 2, Refusal.NOT_FOUND)
    assert await recipients(outbox) == [("7", None, None, 2)]
    await outbox.advance(9)

    await refuse(outbox, 3, Refusal.NOT_FOUND)

    assert await recipients(outbox) == [("7", at(9), "not_found", 3)]
    await outbox.put(4, chat="7")
    assert await outbox.claim() == []
    assert (await outbox.settled(4)).error == "the recipient is disabled: not_found"


async def test_a_delivery_between_forgives_what_was_not_found(outbox: Outbox) -> None:
    for id_ in (1, 2):
        await refuse(outbox, id_, Refusal.NOT_FOUND)
    await outbox.put(3, chat="7")

    await outbox.deliver(await outbox.claim_one())

    assert await recipients(outbox) == [("7", None, None, 0)]
    for id_ in (4, 5):
        await refuse(outbox, id_, Refusal.NOT_FOUND)
    assert await recipients(outbox) == [("7", None, None, 2)]


async def test_a_delivery_to_another_chat_forgives_nothing(outbox: Outbox) -> None:
    await refuse(outbox, 1, Refusal.NOT_FOUND)
    await outbox.put(2, chat="8")

    await outbox.deliver(await outbox.claim_one())

    assert await recipients(outbox) == [("7", None, None, 1)]


async def test_one_that_was_not_found_and_then_blocked_is_disabled_for_that(outbox: Outbox) -> None:
    await refuse(outbox, 1, Refusal.NOT_FOUND)

    await refuse(outbox, 2, Refusal.BLOCKED)

    assert await recipients(outbox) == [("7", at(0), "blocked", 3)]


async def test_refusals_and_deliveries_of_one_batch_each_count_for_their_own(outbox: Outbox) -> None:
    await refuse(outbox, 1, Refusal.NOT_FOUND, chat="9")
    await outbox.put_rows([{"id": id_, "chat": str(id_)} for id_ in (7, 8, 9)])
    seven, eight, nine = sorted(await outbox.claim(), key=lambda claimed: claimed.id)

    await outbox.settle(refused(eight, Refusal.NOT_FOUND), delivered(nine), refused(seven, Refusal.BLOCKED))

    assert await recipients(outbox) == [("7", at(0), "blocked", 3), ("8", None, None, 1), ("9", None, None, 0)]


async def test_a_later_refusal_leaves_reason_and_time_as_they_are(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    claimed = await outbox.claim_one()
    await outbox.settle(refused(claimed, Refusal.BLOCKED))
    await outbox.advance(5)

    cycle = await outbox.settle(refused(claimed, Refusal.REMOVED))

    assert list(cycle.lost) == [1]
    assert await recipients(outbox) == [("7", at(0), "blocked", 3)]


async def test_what_telegram_refuses_for_itself_disables_nobody(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    await outbox.put(2, chat=None)
    with_chat, without = sorted(await outbox.claim(), key=lambda claimed: claimed.id)

    await outbox.settle(settlement(with_chat, Dead("text is empty", 400)), refused(without, Refusal.BLOCKED))

    assert await recipients(outbox) == []
    assert await outbox.places() == {1: "dead", 2: "dead"}


async def test_a_topic_that_is_closed_disables_only_that_topic(outbox: Outbox) -> None:
    topic = {"text": "hello", "message_thread_id": 5}
    await refuse(outbox, 1, Refusal.TOPIC_CLOSED, chat="-100", params=topic)
    assert await recipients(outbox) == [("-100/5", at(0), "topic_closed", 3)]
    await outbox.put(2, chat="-100", params=topic)
    await outbox.put(3, chat="-100", params={"text": "hello", "message_thread_id": 6})
    await outbox.put(4, chat="-100")
    await outbox.put(5, chat="-200", params=topic)

    sent: list[int] = []
    for _ in range(4):
        claimed = await outbox.claim()
        sent += ids(claimed)
        await outbox.deliver(*claimed)
        await outbox.advance(1)

    assert sorted(sent) == [3, 4, 5]
    assert (await outbox.settled(2)).error == "the recipient is disabled: topic_closed"


async def test_a_topic_that_is_closed_without_a_name_disables_nothing(outbox: Outbox) -> None:
    await refuse(outbox, 1, Refusal.TOPIC_CLOSED, chat="-100")

    assert await recipients(outbox) == []


async def test_one_in_flight_when_its_recipient_was_disabled_and_its_worker_lost_is_unknown(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    await outbox.claim_one()
    await disable(outbox, "7", "blocked")
    await outbox.advance(61)

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert (list(cycle.claimed), dict(cycle.ended)) == ([], {"unknown": 1})
    row = await outbox.settled(1)
    assert (row.outcome, row.error) == ("unknown", "its worker was lost while it was being sent")
    assert await outbox.attempts(1) == [(1, "lost")]


async def test_one_that_expired_is_called_expired_though_its_recipient_is_disabled(outbox: Outbox) -> None:
    await disable(outbox, "7", "blocked")
    await outbox.put(1, chat="7", expires_at=at(5))
    await outbox.advance(5)

    cycle = await outbox.store.cycle([], claim=10, lease=LEASE)

    assert dict(cycle.ended) == {"expired": 1}


async def test_what_is_never_to_be_sent_again_by_itself_is_kept_as_unknown(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    claimed = ClaimedOutbox(outbox.store, lease=LEASE, policy=RetryPolicy(), random=Random(1))
    (one,) = await claimed.claim_pending()

    claimed.note(one, Unknown("sent message was immediately deleted", 500, again=False))
    await claimed.cycle()

    row = await outbox.settled(1)
    assert (row.outcome, row.error, row.error_code) == ("unknown", "sent message was immediately deleted", 500)


async def test_a_failure_that_is_worth_one_retry_gets_one_and_no_more(outbox: Outbox) -> None:
    await outbox.put(1, chat="7")
    policy = RetryPolicy(first=timedelta(seconds=1), longest=timedelta(seconds=1))
    claimed = ClaimedOutbox(outbox.store, lease=LEASE, policy=policy, random=Random(1))

    places = []
    for _ in range(2):
        (one,) = await claimed.claim_pending()
        claimed.note(one, Failed("failed to get HTTP URL content", 400, retries=1))
        await claimed.cycle()
        places.append((await outbox.places())[1])
        await outbox.advance(2)

    assert places == ["waiting", "dead"]
    row = await outbox.settled(1)
    assert (row.attempts, row.failures, row.error) == (2, 2, "failed to get HTTP URL content")
    assert await outbox.attempts(1) == [(1, "failed")]

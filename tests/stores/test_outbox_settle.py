"""The conformance suite of `ports.OutboxStore`: what becomes of each outcome."""

from __future__ import annotations

from datetime import timedelta

import pytest
from outboxes import LEASE, Outbox, at, delivered, failed, settlement

from dovecote.model import (
    BotStopped,
    Dead,
    Delivered,
    DeliveryPolicy,
    Outcome,
    Released,
    Scope,
    Settlement,
    Snoozed,
    Unknown,
)


async def test_a_claim_carries_what_is_needed_to_send(outbox: Outbox) -> None:
    await outbox.put(1, chat="-100", method="sendPhoto", params={"photo": "ä"}, at_most_once=True, attempts=3)

    claimed = await outbox.claim_one()

    assert (claimed.id, claimed.bot, claimed.chat, claimed.method) == (1, "shop", "-100", "sendPhoto")
    assert (claimed.attempt, claimed.failures, claimed.delivery) == (4, 0, DeliveryPolicy.AT_MOST_ONCE)
    assert claimed.params in {'{"photo": "\\u00e4"}', '{"photo": "ä"}', '{"photo":"ä"}'}
    assert claimed.bot_id == (await outbox.bots.bots())[0].id


async def test_a_claim_is_counted_as_an_attempt_and_leased(outbox: Outbox) -> None:
    await outbox.put(1)

    claimed = await outbox.claim_one()

    row = await outbox.waiting(1)
    assert (row.attempts, row.failures, row.lost_leases) == (1, 0, 0)
    assert (row.due_at, row.lease_token) == (at(60), claimed.lease_token)


async def test_a_delivered_one_moves_to_the_history_whole(outbox: Outbox) -> None:
    await outbox.put(
        1,
        chat="42",
        params={"text": "hello"},
        key="order-17",
        labels=["spring", "sale"],
        priority=2,
        expires_at=at(900),
    )
    await outbox.advance(2)
    claimed = await outbox.claim_one()
    await outbox.advance(0.5)

    await outbox.settle(delivered(claimed, 555))

    row = await outbox.settled(1)
    assert (row.outcome, row.settled_at, row.took, row.message_ids) == ("delivered", at(2.5), 0.25, [555])
    assert (row.error, row.error_code, row.attempts, row.failures, row.lost_leases) == (None, None, 1, 0, 0)
    assert (row.chat, row.method, row.params, row.key) == ("42", "sendMessage", {"text": "hello"}, "order-17")
    assert (row.labels, row.priority, row.at_most_once) == (["spring", "sale"], 2, False)
    assert (row.enqueued_at, row.planned_at, row.expires_at) == (at(0), at(0), at(900))
    assert await outbox.rows("notification") == []
    assert await outbox.rows("attempt") == []


async def test_two_albums_keep_each_its_own_message_ids(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None, method="sendMediaGroup")
    first, second = await outbox.claim()

    await outbox.settle(delivered(first, 11, 12, 13), delivered(second, 21, 22))

    assert (await outbox.settled(1)).message_ids == [11, 12, 13]
    assert (await outbox.settled(2)).message_ids == [21, 22]


async def test_a_delivered_one_may_have_no_message_id(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()

    await outbox.settle(settlement(claimed, Delivered()))

    assert (await outbox.settled(1)).message_ids == []


async def test_a_failed_one_is_retried_after_its_pause(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()

    await outbox.settle(failed(claimed, retry_in=8))

    row = await outbox.waiting(1)
    assert (row.lease_token, row.due_at, row.planned_at) == (None, at(8), at(0))
    assert (row.attempts, row.failures) == (1, 1)
    (attempt,) = await outbox.rows("attempt")
    assert (attempt.number, attempt.outcome, attempt.ended_at, attempt.took) == (1, "failed", at(0), 0.25)
    assert (attempt.error, attempt.error_code, attempt.message_ids) == ("connection refused", None, None)
    await outbox.advance(7.9)
    assert await outbox.claim() == []
    await outbox.advance(0.2)
    again = await outbox.claim_one()
    assert (again.attempt, again.failures) == (2, 1)


async def test_a_failed_one_without_a_retry_is_dead_with_its_error(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.settle(failed(await outbox.claim_one(), retry_in=0))
    claimed = await outbox.claim_one()

    await outbox.settle(failed(claimed))

    row = await outbox.settled(1)
    assert (row.outcome, row.error, row.error_code) == ("dead", "connection refused", None)
    assert (row.attempts, row.failures) == (2, 2)
    assert await outbox.attempts(1) == [(1, "failed")]


async def test_an_unknown_one_is_retried_after_its_pause(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()

    await outbox.settle(settlement(claimed, Unknown("Bad Gateway", 502), retry_in=4))

    row = await outbox.waiting(1)
    assert (row.due_at, row.attempts, row.failures) == (at(4), 1, 1)
    (attempt,) = await outbox.rows("attempt")
    assert (attempt.outcome, attempt.error, attempt.error_code) == ("unknown", "Bad Gateway", 502)


async def test_an_unknown_one_without_a_retry_stays_unknown(outbox: Outbox) -> None:
    await outbox.put(1, at_most_once=True)
    claimed = await outbox.claim_one()

    await outbox.settle(settlement(claimed, Unknown("read timeout")))

    row = await outbox.settled(1)
    assert (row.outcome, row.error, row.error_code, row.took) == ("unknown", "read timeout", None, 0.25)


async def test_a_dead_one_keeps_telegrams_words_and_code(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()

    await outbox.settle(settlement(claimed, Dead("Forbidden: bot was blocked by the user", 403)))

    row = await outbox.settled(1)
    assert (row.outcome, row.error_code) == ("dead", 403)
    assert row.error == "Forbidden: bot was blocked by the user"
    assert (row.attempts, row.failures, row.message_ids) == (1, 0, None)


async def test_a_snoozed_one_spends_no_failure_and_waits_as_long_as_told(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()

    await outbox.settle(settlement(claimed, Snoozed(timedelta(seconds=17), Scope.CHAT, "Too Many Requests")))

    row = await outbox.waiting(1)
    assert (row.due_at, row.failures, row.lost_leases, row.lease_token) == (at(17), 0, 0, None)
    (attempt,) = await outbox.rows("attempt")
    assert (attempt.outcome, attempt.error, attempt.error_code) == ("snoozed", "Too Many Requests", 429)


async def test_a_released_one_is_as_if_it_had_never_been_claimed(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()
    await outbox.advance(1)

    await outbox.settle(settlement(claimed, Released()))

    row = await outbox.waiting(1)
    assert (row.attempts, row.failures, row.lost_leases, row.lease_token) == (0, 0, 0, None)
    assert row.due_at == at(1)
    assert await outbox.rows("attempt") == []
    assert (await outbox.claim_one()).attempt == 1


async def test_one_whose_bot_is_refused_waits_and_loses_nothing(outbox: Outbox) -> None:
    await outbox.put(1)
    claimed = await outbox.claim_one()

    await outbox.settle(settlement(claimed, BotStopped("Unauthorized", 401)))

    row = await outbox.waiting(1)
    assert (row.failures, row.lease_token) == (0, None)
    assert (await outbox.bots.bots())[0].stopped_reason == "Unauthorized"
    assert await outbox.attempts(1) == [(1, "stopped")]


@pytest.mark.parametrize(
    "outcome",
    [Dead("no"), Snoozed(timedelta(seconds=9), Scope.CHAT), Unknown("reset"), Released()],
    ids=["dead", "snoozed", "unknown", "released"],
)
async def test_a_stale_settle_changes_nothing_and_is_said_to_be_lost(outbox: Outbox, outcome: Outcome) -> None:
    await outbox.put(1)
    stale = await outbox.claim_one()
    await outbox.advance(61)
    await outbox.claim_one()
    before = await outbox.rows("notification"), await outbox.rows("attempt")

    cycle = await outbox.settle(settlement(stale, outcome))

    assert list(cycle.lost) == [1]
    assert (await outbox.rows("notification"), await outbox.rows("attempt")) == before
    assert await outbox.rows("history") == []


async def test_a_stale_delivered_is_kept_as_an_attempt_with_its_message_ids(outbox: Outbox) -> None:
    await outbox.put(1)
    stale = await outbox.claim_one()
    await outbox.advance(61)
    await outbox.claim_one()

    cycle = await outbox.settle(delivered(stale, 555))

    assert list(cycle.lost) == [1]
    assert await outbox.places() == {1: "leased"}
    (attempt,) = await outbox.rows("attempt")
    assert (attempt.number, attempt.outcome, attempt.message_ids) == (1, "delivered", [555])
    assert (attempt.error, attempt.took) == (None, 0.25)


async def test_a_stale_delivered_is_kept_beside_the_settle_of_the_same_ones_new_lease(outbox: Outbox) -> None:
    await outbox.put(1)
    stale = await outbox.claim_one()
    await outbox.advance(61)
    fresh = await outbox.claim_one()

    cycle = await outbox.settle(delivered(stale, 555), delivered(fresh, 556))

    assert list(cycle.lost) == [1]
    assert (await outbox.settled(1)).message_ids == [556]
    assert await outbox.attempts(1) == [(1, "delivered")]


async def test_a_stale_failure_is_not_kept_beside_the_settle_of_the_same_ones_new_lease(outbox: Outbox) -> None:
    await outbox.put(1)
    stale = await outbox.claim_one()
    await outbox.advance(61)
    fresh = await outbox.claim_one()

    cycle = await outbox.settle(failed(stale, retry_in=1), failed(fresh, retry_in=5))

    assert list(cycle.lost) == [1]
    assert (await outbox.waiting(1)).due_at == at(66)
    assert await outbox.attempts(1) == [(1, "lost"), (2, "failed")]


async def test_the_same_settle_twice_is_harmless(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat=None)
    one, two, three = await outbox.claim()
    batch = [delivered(one, 555), failed(two, retry_in=5), settlement(three, Dead("no", 400))]
    first = await outbox.settle(*batch)
    before = await outbox.rows("notification"), await outbox.rows("history")

    second = await outbox.settle(*batch)

    assert list(first.lost) == []
    assert sorted(second.lost) == [1, 2, 3]
    assert (await outbox.rows("notification"), await outbox.rows("history")) == before
    record = await outbox.history.notification(1)
    assert [(attempt.number, attempt.outcome) for attempt in record.attempts] == [(1, "delivered")]


async def test_a_batch_that_holds_a_settle_twice_is_settled_once(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    one, two = await outbox.claim()

    await outbox.settle(*[delivered(one), failed(two, retry_in=5)] * 2)

    assert await outbox.places() == {1: "delivered", 2: "waiting"}
    assert (await outbox.waiting(2)).failures == 1
    assert await outbox.attempts(2) == [(1, "failed")]


async def test_a_mixed_batch_is_settled_at_once(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, 4, 5, 6, 7, 8, chat=None)
    one, two, three, four, five, six, seven, eight = await outbox.claim()

    cycle = await outbox.settle(
        delivered(one, 11),
        failed(two, retry_in=5),
        failed(three),
        settlement(four, Unknown("reset"), retry_in=6),
        settlement(five, Unknown("reset")),
        settlement(six, Dead("Bad Request: chat not found", 400)),
        settlement(seven, Snoozed(timedelta(seconds=7), Scope.CHAT)),
        settlement(eight, Released()),
    )

    assert list(cycle.lost) == []
    assert await outbox.places() == {
        1: "delivered",
        2: "waiting",
        3: "dead",
        4: "waiting",
        5: "unknown",
        6: "dead",
        7: "waiting",
        8: "waiting",
    }
    assert [(row.id, row.due_at) for row in await outbox.rows("notification")] == [
        (2, at(5)),
        (4, at(6)),
        (7, at(7)),
        (8, at(0)),
    ]
    assert [(row.notification_id, row.outcome) for row in await outbox.rows("attempt")] == [
        (2, "failed"),
        (4, "unknown"),
        (7, "snoozed"),
    ]


async def test_a_cycle_settles_one_batch_and_claims_the_next(outbox: Outbox) -> None:
    await outbox.put(1, 2, 3, chat=None)
    first = await outbox.claim(2)

    cycle = await outbox.store.cycle([delivered(each) for each in first], claim=2, lease=LEASE)

    assert [each.id for each in cycle.claimed] == [3]
    assert await outbox.places() == {1: "delivered", 2: "delivered", 3: "leased"}


async def test_a_settle_leaves_the_chats_next_for_the_next_claim(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat="7")
    first = await outbox.claim_one()

    await outbox.store.cycle([delivered(first)], claim=2, lease=LEASE)
    await outbox.advance(1)

    assert (await outbox.claim_one()).id == 2


async def test_an_error_may_hold_any_character(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    one, two = await outbox.claim()
    words = 'Bad Request: can\'t parse "entities" {,}\\ at byte 0 \U0001f54a'

    await outbox.settle(settlement(one, Dead(words, 400)), settlement(two, Unknown(words), retry_in=1))

    assert (await outbox.settled(1)).error == words
    assert [attempt.error for attempt in await outbox.rows("attempt")] == [words]


async def test_retry_in_means_nothing_for_an_outcome_that_settles(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    one, two = await outbox.claim()

    await outbox.settle(
        Settlement(one, Delivered((5,)), retry_in=timedelta(seconds=9)),
        Settlement(two, Dead("no"), retry_in=timedelta(seconds=9)),
    )

    assert await outbox.places() == {1: "delivered", 2: "dead"}

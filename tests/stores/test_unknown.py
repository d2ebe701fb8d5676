"""`HistoryStore.resolve_unknown`: an operator decides what nobody could tell."""

from __future__ import annotations

from datetime import timedelta

from outboxes import START, Outbox, at, failed, settlement

from dovecote.model import Attempt, State, Unknown

TOLD = "at 2026-01-05 12:00:10 UTC an operator said that it was delivered; before: "


async def unsure(outbox: Outbox) -> None:
    """Let 1 fail once, and then be unknown; ten seconds pass."""
    await outbox.put(1, chat="7", at_most_once=True, key="k", expires_at=at(900))
    await outbox.settle(failed(await outbox.claim_one(), retry_in=0))
    await outbox.settle(settlement(await outbox.claim_one(), Unknown("read timeout", 504)))
    await outbox.advance(10)


async def test_what_was_delivered_says_who_said_so_and_what_was_known_before(outbox: Outbox) -> None:
    await unsure(outbox)

    assert list(await outbox.history.resolve_unknown([1], delivered=True)) == [1]

    record = await outbox.history.notification(1)
    assert (record.state, record.settled_at, record.error) == (State.DELIVERED, START, f"{TOLD}read timeout")
    assert record.attempts == [
        Attempt(number=1, outcome="failed", ended_at=START, took=0.25, error="connection refused"),
        Attempt(number=2, outcome="delivered", ended_at=START, took=0.25, error_code=504, error=f"{TOLD}read timeout"),
    ]
    assert await outbox.history.settled(State.UNKNOWN) == []
    assert (await outbox.history.stats()).delivered == 1


async def test_a_lost_worker_was_an_attempt_that_is_told_as_delivered(outbox: Outbox) -> None:
    await outbox.put(1, at_most_once=True)
    await outbox.claim_one()
    await outbox.advance(61)
    assert await outbox.claim() == []
    await outbox.put_history([{"id": 2, "outcome": "unknown", "took": None}])
    await outbox.advance(-51)

    assert list(await outbox.history.resolve_unknown([1], delivered=True)) == [1]

    record = await outbox.history.notification(1)
    assert record.state is State.DELIVERED
    assert record.error == f"{TOLD}its worker was lost while it was being sent"
    assert record.attempts == [
        Attempt(number=1, outcome="delivered", ended_at=at(61), error=f"{TOLD}its lease ran out unsettled")
    ]
    assert (await outbox.history.notification(2)).state is State.UNKNOWN


async def test_what_is_sent_again_is_due_with_its_life_kept(outbox: Outbox) -> None:
    await unsure(outbox)

    assert list(await outbox.history.resolve_unknown([1], delivered=False)) == [1]

    row = await outbox.waiting(1)
    assert (row.planned_at, row.due_at, row.enqueued_at, row.expires_at) == (at(10), at(10), START, at(900))
    assert (row.attempts, row.failures, row.at_most_once, row.key) == (2, 0, True, "k")
    again = await outbox.claim_one()
    assert (again.id, again.attempt, again.failures) == (1, 3, 0)
    await outbox.deliver(again)
    assert await outbox.attempts(1) == [(1, "failed"), (2, "unknown")]
    assert [attempt.outcome for attempt in (await outbox.history.notification(1)).attempts] == [
        "failed",
        "unknown",
        "delivered",
    ]


async def test_only_what_is_unknown_is_resolved_and_named(outbox: Outbox) -> None:
    await outbox.put(1, planned=60)
    await outbox.put_history(
        [
            {"id": 2, "outcome": "delivered"},
            {"id": 3, "outcome": "dead"},
            {"id": 4, "outcome": "unknown"},
            {"id": 5, "outcome": "unknown"},
        ]
    )

    assert list(await outbox.history.resolve_unknown([1, 2, 3, 4, 4, 9], delivered=True)) == [4]
    assert list(await outbox.history.resolve_unknown([1, 2, 3, 4, 5, 9], delivered=False)) == [5]

    assert await outbox.places() == {1: "waiting", 2: "delivered", 3: "dead", 4: "delivered", 5: "waiting"}
    assert (await outbox.settled(2)).error is None
    assert (await outbox.settled(4)).error == TOLD.replace("10 UTC", "00 UTC") + "unknown"
    assert list(await outbox.history.resolve_unknown([], delivered=True)) == []


async def test_thousands_are_resolved_at_once(outbox: Outbox) -> None:
    await outbox.put_history([{"id": id_, "outcome": "unknown"} for id_ in range(1, 2502)])

    assert list(await outbox.history.resolve_unknown(range(1, 1502), delivered=True)) == [*range(1, 1502)]
    assert list(await outbox.history.resolve_unknown(range(1, 2502), delivered=False)) == [*range(1502, 2502)]

    stats = await outbox.history.stats()
    assert (stats.delivered, stats.unknown, stats.due) == (1501, 0, 1000)


async def test_what_is_sent_again_may_be_for_later(outbox: Outbox) -> None:
    await outbox.put_history([{"id": 1, "outcome": "unknown"}])

    assert list(await outbox.history.resolve_unknown([1], delivered=False, due_in=timedelta(seconds=60))) == [1]

    assert await outbox.claim() == []
    await outbox.advance(61)
    assert [claimed.id for claimed in await outbox.claim()] == [1]

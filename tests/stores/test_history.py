"""The conformance suite of `ports.HistoryStore`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from outboxes import START, Outbox, at, delivered, failed, ids, settlement

from dovecote.errors import UnknownBot, UnknownNotification
from dovecote.model import (
    Attempt,
    Dead,
    DeliveryPolicy,
    NotificationRecord,
    Priority,
    Scope,
    Selection,
    Snoozed,
    State,
    Stats,
    Unknown,
    Waiting,
    WaitReason,
)


async def kill(outbox: Outbox) -> None:
    """Claim 1 alone or in company, and die."""
    claimed = await outbox.claim() or await outbox.claim(alone=True)
    assert ids(claimed) == [1]
    await outbox.advance(61)


async def test_a_waiting_one_is_shown_with_all_that_was_asked_for(outbox: Outbox) -> None:
    await outbox.put(
        1,
        chat="-100",
        method="sendPhoto",
        params={"photo": "id", "caption": "ä"},
        key="order-17",
        labels=["spring", "sale"],
        priority=0,
        at_most_once=True,
        planned=5,
        expires_at=at(900),
    )

    record = await outbox.history.notification(1)

    assert record == NotificationRecord(
        id=1,
        bot="shop",
        chat="-100",
        method="sendPhoto",
        params={"photo": "id", "caption": "ä"},
        priority=Priority.URGENT,
        delivery=DeliveryPolicy.AT_MOST_ONCE,
        key="order-17",
        labels=("spring", "sale"),
        state=State.SCHEDULED,
        enqueued_at=START,
        planned_at=at(5),
        due_at=at(5),
        expires_at=at(900),
        settled_at=None,
        lost_leases=0,
        attempts=[],
        waits_for=(Waiting(WaitReason.SCHEDULED, at(5)),),
    )


async def test_the_states_of_a_waiting_one(outbox: Outbox) -> None:
    await outbox.put(1, planned=5)
    states = [(await outbox.history.notification(1)).state]
    await outbox.advance(5)
    states.append((await outbox.history.notification(1)).state)
    await outbox.claim_one()
    states.append((await outbox.history.notification(1)).state)
    await outbox.advance(60)
    states.append((await outbox.history.notification(1)).state)

    assert states == [State.SCHEDULED, State.DUE, State.LEASED, State.DUE]


async def test_one_that_is_leased_shows_its_earlier_attempts_alone(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.settle(failed(await outbox.claim_one(), retry_in=0))
    await outbox.claim_one()

    record = await outbox.history.notification(1)

    assert record.state is State.LEASED
    assert record.attempts == [
        Attempt(number=1, outcome="failed", ended_at=START, took=0.25, error="connection refused")
    ]


async def test_a_settled_one_shows_every_attempt_and_the_deciding_one_last(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.settle(failed(await outbox.claim_one(), retry_in=1))
    await outbox.advance(1)
    snoozed = Snoozed(timedelta(seconds=2), Scope.CHAT, "Too Many Requests")
    await outbox.settle(settlement(await outbox.claim_one(), snoozed))
    await outbox.advance(2)
    await outbox.claim_one()
    await outbox.advance(60)
    await outbox.settle(delivered(await outbox.claim_one(), 555, 556))

    record = await outbox.history.notification(1)

    assert (record.state, record.settled_at, record.due_at) == (State.DELIVERED, at(63), None)
    assert (record.lost_leases, record.error, record.error_code) == (1, None, None)
    assert record.attempts == [
        Attempt(number=1, outcome="failed", ended_at=at(0), took=0.25, error="connection refused"),
        Attempt(number=2, outcome="snoozed", ended_at=at(1), took=0.25, error_code=429, error="Too Many Requests"),
        Attempt(number=3, outcome="lost", ended_at=at(63), error="its lease ran out unsettled"),
        Attempt(number=4, outcome="delivered", ended_at=at(63), took=0.25, message_ids=(555, 556)),
    ]


async def test_a_dead_letter_shows_telegrams_words(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.settle(settlement(await outbox.claim_one(), Dead("Bad Request: chat not found", 400)))

    record = await outbox.history.notification(1)

    assert (record.state, record.error, record.error_code) == (State.DEAD, "Bad Request: chat not found", 400)
    assert [(attempt.outcome, attempt.error_code) for attempt in record.attempts] == [("dead", 400)]


async def test_one_that_expired_shows_no_attempt(outbox: Outbox) -> None:
    await outbox.put(1, expires_at=at(1))
    await outbox.advance(1)
    await outbox.claim()

    record = await outbox.history.notification(1)

    assert (record.state, record.error) == (State.DEAD, "it expired before it could be sent")
    assert record.attempts == []


async def test_one_that_was_lost_for_good_shows_the_lost_attempts_alone(outbox: Outbox) -> None:
    await outbox.put(1)
    for _ in range(3):
        await kill(outbox)
    await outbox.claim(alone=True)

    record = await outbox.history.notification(1)

    assert (record.state, record.error, record.lost_leases) == (State.DEAD, "3 workers were lost while sending it", 3)
    assert [(attempt.number, attempt.outcome) for attempt in record.attempts] == [(1, "lost"), (2, "lost"), (3, "lost")]


async def test_an_id_that_never_was_is_named(outbox: Outbox) -> None:
    with pytest.raises(UnknownNotification, match="no notification has the id 17"):
        await outbox.history.notification(17)


@pytest.mark.parametrize("id_", [0, -1, -(2**63) - 1, 2**63, 10**30])
async def test_an_id_that_no_database_could_hold_is_none_as_well(outbox: Outbox, id_: int) -> None:
    await outbox.put_history([{"id": 1, "outcome": "dead"}])

    with pytest.raises(UnknownNotification, match=f"has the id {id_}:"):
        await outbox.history.notification(id_)
    assert list(await outbox.history.replay([id_])) == []
    older = await outbox.history.settled(State.DEAD, before_id=id_)
    assert [each.id for each in older] == ([1] if id_ > 0 else [])


async def test_instants_that_no_datetime_can_hold_are_shown_as_the_nearest(outbox: Outbox) -> None:
    await outbox.put(1)
    beyond, before = ("'infinity'", "'-infinity'") if outbox.database.is_postgresql else (2**62, -(2**62))
    table = "dovecote.notification" if outbox.database.is_postgresql else "dovecote_notification"
    await outbox.sql(f"UPDATE {table} SET due_at = {beyond}, expires_at = {beyond}, enqueued_at = {before}")  # noqa: S608 (constants)

    record = await outbox.history.notification(1)

    last, first = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    assert (record.due_at, record.expires_at, record.enqueued_at) == (last, last, first)


async def test_settled_ones_come_newest_first_a_page_at_a_time(outbox: Outbox) -> None:
    await outbox.put_history([{"id": id_, "outcome": "dead"} for id_ in (1, 2, 3, 5, 8)])
    await outbox.put_history([{"id": id_, "outcome": "delivered"} for id_ in (4, 6)])
    await outbox.put_history([{"id": id_, "outcome": "unknown"} for id_ in (7, 9)])

    pages = [
        [record.id for record in await outbox.history.settled(State.DEAD, limit=2)],
        [record.id for record in await outbox.history.settled(State.DEAD, before_id=5, limit=2)],
        [record.id for record in await outbox.history.settled(State.DEAD, before_id=2, limit=2)],
        [record.id for record in await outbox.history.settled(State.DEAD, before_id=1, limit=2)],
    ]

    assert pages == [[8, 5], [3, 2], [1], []]
    assert [record.id for record in await outbox.history.settled(State.DELIVERED)] == [6, 4]
    assert [record.id for record in await outbox.history.settled(State.UNKNOWN)] == [9, 7]


async def test_a_page_holds_each_ones_own_attempts(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=None)
    one, two = await outbox.claim()
    await outbox.settle(failed(one, retry_in=0), settlement(two, Dead("no", 400)))
    await outbox.settle(settlement(await outbox.claim_one(), Dead("never", 403)))

    two_record, one_record = await outbox.history.settled(State.DEAD)

    assert [(each.number, each.outcome, each.error) for each in one_record.attempts] == [
        (1, "failed", "connection refused"),
        (2, "dead", "never"),
    ]
    assert [(each.number, each.outcome, each.error) for each in two_record.attempts] == [(1, "dead", "no")]


async def test_a_page_may_be_one_bots(outbox: Outbox) -> None:
    await outbox.bot("desk")
    await outbox.put_history([{"id": 1, "outcome": "dead"}, {"id": 3, "outcome": "dead"}])
    await outbox.put_history([{"id": 2, "outcome": "dead"}], bot="desk")

    page = await outbox.history.settled(State.DEAD, Selection(bot="desk"))

    assert [(record.id, record.bot) for record in page] == [(2, "desk")]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(error="CHAT not"), [2, 1]),
        (Selection(error="100%"), [3]),
        (Selection(error="_"), []),
        (Selection(error_code=403), [3]),
        (Selection(label="spring"), [3, 1]),
        (Selection(label="spr"), []),
        (Selection(since=at(20)), [3, 2]),
        (Selection(until=at(20)), [1]),
        (Selection(since=at(20), until=at(30), error="chat", error_code=400, bot="shop"), [2]),
    ],
)
async def test_a_page_may_be_selected(outbox: Outbox, selection: Selection, expected: list[int]) -> None:
    no_chat = "Bad Request: chat not found"
    await outbox.put_history([{"id": 4, "outcome": "unknown", "error": no_chat, "labels": None, "error_code": 400}])
    await outbox.put_history(
        [
            {"outcome": "dead"} | row
            for row in (
                {"id": 1, "error": no_chat, "error_code": 400, "labels": ["spring"], "settled_at": at(10)},
                {"id": 2, "error": no_chat, "error_code": 400, "labels": ["x"], "settled_at": at(20)},
                {"id": 3, "error": "100% blocked", "error_code": 403, "labels": ["x", "spring"], "settled_at": at(30)},
            )
        ]
    )

    assert [record.id for record in await outbox.history.settled(State.DEAD, selection)] == expected


async def test_a_replay_may_be_for_later(outbox: Outbox) -> None:
    await outbox.put_history([{"id": 1, "outcome": "dead"}])

    assert list(await outbox.history.replay([1], due_in=timedelta(seconds=60))) == [1]

    assert await outbox.claim() == []
    await outbox.advance(61)
    assert ids(await outbox.claim()) == [1]


async def test_what_is_purged_is_forgotten(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.settle(failed(await outbox.claim_one(), retry_in=0))
    await outbox.settle(settlement(await outbox.claim_one(), Dead("no")))
    await outbox.put_history([{"id": 2, "outcome": "unknown"}, {"id": 3, "outcome": "delivered"}])

    assert list(await outbox.history.purge(State.DEAD, [1, 2, 3, 99])) == [1]

    with pytest.raises(UnknownNotification):
        await outbox.history.notification(1)
    assert await outbox.rows("attempt") == []
    assert {row.id for row in await outbox.rows("history")} == {2, 3}


@pytest.mark.parametrize("state", [State.SCHEDULED, State.DUE, State.LEASED])
async def test_a_state_of_the_outbox_is_refused(outbox: Outbox, state: State) -> None:
    with pytest.raises(ValueError, match=f"'{state.value}' is no state of the history"):
        await outbox.history.settled(state)


async def test_an_unknown_bot_is_named(outbox: Outbox) -> None:
    with pytest.raises(UnknownBot, match='no bot is named "shpo"'):
        await outbox.history.settled(State.DEAD, Selection(bot="shpo"))
    with pytest.raises(UnknownBot, match='no bot is named "shpo"'):
        await outbox.history.stats(bot="shpo")


async def test_a_replayed_dead_letter_is_due_again_with_its_life_kept(outbox: Outbox) -> None:
    await outbox.put(1, chat="7", params={"text": "ä"}, key="k", labels=["a"], priority=2, expires_at=at(900))
    await outbox.settle(failed(await outbox.claim_one(), retry_in=0))
    await outbox.settle(settlement(await outbox.claim_one(), Dead("Forbidden", 403)))
    await outbox.advance(10)

    assert list(await outbox.history.replay([1])) == [1]

    assert await outbox.places() == {1: "waiting"}
    row = await outbox.waiting(1)
    assert (row.attempts, row.failures, row.lost_leases, row.lease_token, row.weight) == (2, 0, 0, None, 1)
    assert (row.planned_at, row.due_at, row.enqueued_at, row.expires_at) == (at(10), at(10), at(0), at(900))
    assert (row.chat, row.params, row.key, row.labels, row.priority) == ("7", {"text": "ä"}, "k", ["a"], 2)
    again = await outbox.claim_one()
    assert (again.id, again.attempt, again.failures) == (1, 3, 0)
    await outbox.deliver(again)
    record = await outbox.history.notification(1)
    assert record.attempts == [
        Attempt(number=1, outcome="failed", ended_at=at(0), took=0.25, error="connection refused"),
        Attempt(number=2, outcome="dead", ended_at=at(0), took=0.25, error_code=403, error="Forbidden"),
        Attempt(number=3, outcome="delivered", ended_at=at(10), took=0.25, message_ids=(1001,)),
    ]


async def test_a_replayed_poison_is_claimed_in_company_again(outbox: Outbox) -> None:
    await outbox.put(1)
    for _ in range(3):
        await kill(outbox)
    await outbox.claim(alone=True)

    await outbox.history.replay([1])

    assert (await outbox.claim_one()).attempt == 4
    assert await outbox.attempts(1) == [(1, "lost"), (2, "lost"), (3, "lost")]


async def test_a_replayed_album_takes_its_slots_again(outbox: Outbox) -> None:
    await outbox.put_history(
        [
            {"id": 1, "outcome": "dead", "method": "sendMediaGroup", "params": {"media": [{}, {}, {}]}},
            {"id": 2, "outcome": "dead", "method": "sendMediaGroup", "params": {"media": "[{}, {}]"}},
            {"id": 3, "outcome": "dead", "method": "sendPhoto", "params": {"media": [{}, {}, {}]}},
            {"id": 4, "outcome": "dead", "method": "SENDmediagroup", "params": {"media": [{}, {}, {}]}},
        ]
    )

    await outbox.history.replay([1, 2, 3, 4])

    assert [(row.id, row.weight) for row in await outbox.rows("notification")] == [(1, 3), (2, 2), (3, 1), (4, 3)]


async def test_only_dead_letters_are_replayed_and_named(outbox: Outbox) -> None:
    await outbox.put(1, planned=60)
    await outbox.put_history(
        [{"id": 2, "outcome": "delivered"}, {"id": 3, "outcome": "unknown"}, {"id": 4, "outcome": "dead"}]
    )

    replayed = await outbox.history.replay([1, 2, 3, 4, 4, 5])

    assert list(replayed) == [4]
    assert await outbox.places() == {1: "waiting", 2: "delivered", 3: "unknown", 4: "waiting"}
    assert list(await outbox.history.replay([4])) == []
    assert list(await outbox.history.replay([])) == []


async def test_thousands_are_replayed_at_once(outbox: Outbox) -> None:
    await outbox.put_history([{"id": id_, "outcome": "dead"} for id_ in range(1, 2502)])

    replayed = await outbox.history.replay(range(1, 2502))

    assert list(replayed) == [*range(1, 2502)]
    assert len(await outbox.rows("notification")) == 2501
    assert await outbox.rows("history") == []


async def test_a_replay_that_breaks_off_changes_nothing(outbox: Outbox) -> None:
    await outbox.put(3, planned=60)
    # 3 stands in both tables, which only a fault can bring about: the replay must fail as a whole.
    await outbox.put_history([{"id": id_, "outcome": "dead"} for id_ in (2, 3, 4)])

    with pytest.raises(Exception, match=r"(?i)unique"):
        await outbox.history.replay([2, 3, 4])

    assert [row.id for row in await outbox.rows("history")] == [2, 3, 4]
    assert [row.id for row in await outbox.rows("notification")] == [3]
    assert await outbox.rows("attempt") == []


async def test_the_numbers_of_an_empty_outbox(outbox: Outbox) -> None:
    assert await outbox.history.stats() == Stats(
        due=0, scheduled=0, leased=0, oldest_due=None, delivered=0, dead=0, unknown=0
    )


async def test_the_numbers_count_each_state(outbox: Outbox) -> None:
    await outbox.put(1, chat=None, planned=-100)
    await outbox.claim_one()
    await outbox.put(2, 3, chat=None, planned=-1.5)
    await outbox.put(4, chat=None, planned=-0.5)
    await outbox.put(5, 6, 7, 8, chat=None, planned=30)
    await outbox.put_history(
        [
            *({"id": id_, "outcome": "delivered"} for id_ in range(11, 16)),
            *({"id": id_, "outcome": "dead"} for id_ in (21, 22)),
            {"id": 31, "outcome": "unknown"},
        ]
    )

    assert await outbox.history.stats() == Stats(
        due=3, scheduled=4, leased=1, oldest_due=1.5, delivered=5, dead=2, unknown=1
    )


async def test_a_lease_that_ran_out_counts_as_due(outbox: Outbox) -> None:
    await outbox.put(1)
    await outbox.claim_one()
    await outbox.advance(70)

    stats = await outbox.history.stats()

    assert (stats.due, stats.leased, stats.oldest_due) == (1, 0, 10.0)


async def test_the_numbers_of_one_bot(outbox: Outbox) -> None:
    await outbox.bot("desk")
    await outbox.put(1, 2, chat=None)
    await outbox.put(3, chat=None, bot="desk", planned=-4)
    await outbox.put_history([{"id": 4, "outcome": "delivered"}, {"id": 5, "outcome": "dead"}])
    await outbox.put_history([{"id": 6, "outcome": "unknown"}, {"id": 7, "outcome": "delivered"}], bot="desk")

    assert await outbox.history.stats(bot="desk") == Stats(
        due=1, scheduled=0, leased=0, oldest_due=4.0, delivered=1, dead=0, unknown=1
    )


async def test_an_unknown_outcome_is_listed_with_its_error(outbox: Outbox) -> None:
    await outbox.put(1, at_most_once=True)
    await outbox.settle(settlement(await outbox.claim_one(), Unknown("read timeout", 504)))

    (record,) = await outbox.history.settled(State.UNKNOWN)

    assert (record.error, record.error_code, record.delivery) == ("read timeout", 504, DeliveryPolicy.AT_MOST_ONCE)


async def test_the_clock_is_the_stores(outbox: Outbox) -> None:
    await outbox.advance(12.5)

    assert await outbox.history.clock() == at(12.5)


@pytest.mark.parametrize("id_", ["1", 1.0, None, True])
async def test_what_is_no_id_is_an_unknown_notification_at_once(outbox: Outbox, id_: Any) -> None:
    await outbox.put(1)

    with pytest.raises(UnknownNotification):
        await outbox.history.notification(id_)

"""The judge of the state machine can say no: one broken promise after another, made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from outbox_model import Model
from outbox_picture import (
    Committed,
    Cycled,
    Picture,
    Sender,
    Settled,
    Timeline,
    Tried,
    Violation,
    Waiting,
    ensure_order,
)

from dovecote.model import ClaimedNotification, Cycle, Delivered, DeliveryPolicy, Failed, Settlement

NOW = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
TOKEN = 77


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def waiting(id_: int, **columns: Any) -> Waiting:
    """A notification of bot 1 and chat 7, due now."""
    plain = Waiting(
        id=id_,
        bot=1,
        chat="7",
        priority=1,
        at_most_once=False,
        planned_at=NOW,
        expires_at=None,
        weight=1,
        due_at=NOW,
    )
    return replace(plain, **columns)


def leased(id_: int, **columns: Any) -> Waiting:
    """The same under the lease that `claimed` names."""
    return waiting(id_, **{"token": TOKEN, "attempts": 1, "due_at": NOW + LEASE, **columns})


def claimed(id_: int, **columns: Any) -> ClaimedNotification:
    plain = ClaimedNotification(
        id=id_,
        lease_token=TOKEN,
        bot_id=1,
        bot="shop",
        chat="7",
        method="sendMessage",
        params="{}",
        delivery=DeliveryPolicy.AT_LEAST_ONCE,
        attempt=1,
        failures=0,
        send_in=0.0,
        slot=0,
    )
    return plain._replace(**columns)


def model(*rows: Waiting, **bot: Any) -> Model:
    """A model in which these were committed."""
    fresh = Model(NOW, {1: Sender(**bot)})
    return fresh.explained([Committed(rows)], picture(*rows))


def picture(
    *rows: Waiting,
    slots: int = 0,
    history: dict[int, Settled] | None = None,
    attempts: dict[tuple[int, int], Tried] | None = None,
) -> Picture:
    return Picture({row.id: row for row in rows}, history or {}, attempts or {}, {1: Timeline(slots, None, False)})  # noqa: FBT003 (a row's column)


def claim(*answer: ClaimedNotification, **wish: Any) -> Cycled:
    return Cycled(Cycle(claimed=answer, postponed=wish.pop("postponed", 0)), claim=10, **wish)


def after_a_claim(**columns: Any) -> Model:
    """Notification 1 has been claimed, and its lease has run out."""
    before = model(waiting(1, **columns))
    policy = DeliveryPolicy.AT_MOST_ONCE if columns.get("at_most_once") else DeliveryPolicy.AT_LEAST_ONCE
    row = leased(1, **columns)
    after = before.explained([claim(claimed(1, delivery=policy))], picture(row, slots=1))
    after.now = at(61)
    return after


def test_a_claim_of_the_oldest_is_right() -> None:
    after = model(waiting(1), waiting(2)).explained(
        [claim(claimed(1), postponed=1)], picture(leased(1), waiting(2, due_at=at(0.02)), slots=1)
    )

    assert after.outbox[2].due_at == at(0.02)


@pytest.mark.parametrize(
    ("rows", "id_", "promise"),
    [
        ([waiting(1), waiting(2)], 2, "2 is claimed before 1, which is older and no less urgent"),
        ([waiting(1), waiting(2, planned_at=at(-9))], 1, "1 is claimed before 2, which is older and no less urgent"),
        ([waiting(1, priority=0), waiting(2)], 2, "2 is claimed before 1, which is older and no less urgent"),
        ([waiting(1, planned_at=at(5), due_at=at(5))], 1, "1 is not due before 2026-01-05 12:00:05"),
        ([waiting(1, expires_at=NOW)], 1, "1 is claimed, and was to end as expired"),
        ([waiting(1)], 3, "3 is claimed and not in the outbox"),
    ],
)
def test_a_claim_out_of_order_or_time_is_wrong(rows: list[Waiting], id_: int, promise: str) -> None:
    there = {row.id: row for row in rows}
    there[id_] = leased(id_)

    with pytest.raises(Violation, match=promise):
        model(*rows).explained([claim(claimed(id_))], picture(*there.values(), slots=1))


def test_two_of_a_chat_in_one_claim_are_wrong() -> None:
    rows = [waiting(1), waiting(2, priority=0)]
    both = claim(claimed(1), claimed(2, slot=1))

    with pytest.raises(Violation, match="2 is claimed while 1 of its chat is in flight"):
        model(*rows).explained([both], picture(leased(1), leased(2, priority=0), slots=2))


def test_two_workers_with_one_notification_are_wrong() -> None:
    once, again = claim(claimed(1)), claim(claimed(1, lease_token=78, attempt=2, slot=1))

    with pytest.raises(Violation, match="1 is not due before 2026-01-05 12:01"):
        model(waiting(1)).explained([once, again], picture(leased(1, token=78, attempts=2), slots=2))


def test_a_lost_at_most_once_one_that_is_claimed_again_is_wrong() -> None:
    before = after_a_claim(at_most_once=True)
    again = claim(claimed(1, lease_token=78, attempt=2, slot=1, delivery=DeliveryPolicy.AT_MOST_ONCE))

    with pytest.raises(Violation, match="1 is claimed, and was to end as unknown"):
        before.explained([again], picture(leased(1, token=78, attempts=2, lost=1, at_most_once=True), slots=2))


def test_a_lease_token_that_settles_twice_is_wrong() -> None:
    before = after_a_claim()
    settle = Cycled(Cycle(claimed=()), settlements=[Settlement(claimed(1), Delivered(()))])
    history = {1: Settled("delivered", at(61), 1, 0, (), asked=True)}
    after = before.explained([settle], picture(slots=1, history=history))

    with pytest.raises(Violation, match=r"lost are {1: 1}, and the answer says {}"):
        after.explained([settle], picture(slots=1, history=history, attempts={(1, 1): Tried("delivered", ())}))


def test_a_stale_settlement_that_changes_something_is_wrong() -> None:
    before = after_a_claim()
    row = leased(1, token=78, attempts=2, lost=1, due_at=at(121))
    attempts = {(1, 1): Tried("lost", None)}
    after = before.explained(
        [claim(claimed(1, lease_token=78, attempt=2, slot=1))], picture(row, slots=2, attempts=attempts)
    )
    stale = Cycled(Cycle(claimed=(), lost=(1,)), settlements=[Settlement(claimed(1), Failed("no"), timedelta())])

    with pytest.raises(Violation, match="outbox 1 is"):
        after.explained([stale], picture(replace(row, failures=1), slots=2, attempts=attempts))


def test_a_slot_that_is_given_twice_is_wrong() -> None:
    rows = [waiting(1, chat=None), waiting(2, chat=None)]
    both = claim(claimed(1, chat=None), claimed(2, chat=None, slot=0))

    with pytest.raises(Violation, match="slot 0 of 1 is given twice"):
        model(*rows).explained([both], picture(leased(1, chat=None), leased(2, chat=None), slots=1))


@pytest.mark.parametrize(
    ("send_in", "promise"), [(0.05, "slots 0 and 1 of 1 are too close"), (0.6, "slot 1 of 1 is 0.6 s ahead")]
)
def test_slots_that_do_not_keep_the_pace_are_wrong(send_in: float, promise: str) -> None:
    rows = [waiting(1, chat=None), waiting(2, chat=None)]
    both = claim(claimed(1, chat=None), claimed(2, chat=None, slot=1, send_in=send_in))

    with pytest.raises(Violation, match=promise):
        model(*rows, pace=10.0).explained([both], picture(leased(1, chat=None), leased(2, chat=None), slots=2))


def test_more_to_a_chat_than_its_limit_is_wrong() -> None:
    before = model(waiting(1), waiting(2, due_at=at(0.02)), private_limit=(1, 3.0))
    settled = {1: Settled("delivered", NOW, 1, 0, (), asked=True)}
    row = waiting(2, due_at=at(0.02))
    before = before.explained([claim(claimed(1))], picture(leased(1), row, slots=1))
    settle = Cycled(Cycle(claimed=()), settlements=[Settlement(claimed(1), Delivered(()))])
    before = before.explained([settle], picture(row, slots=1, history=settled))
    before.now = at(2.9)

    with pytest.raises(Violation, match="2 is claimed beyond the limit of its chat"):
        before.explained(
            [claim(claimed(2, lease_token=78, slot=1))],
            picture(leased(2, token=78, due_at=at(62.9)), slots=2, history=settled),
        )


@pytest.mark.parametrize(
    ("found", "promise"),
    [
        (picture(), "outbox 1 is nothing"),
        (picture(waiting(1), history={1: Settled("dead", NOW, 0, 0, None, asked=False)}), "in the outbox and in the"),
        (picture(waiting(1), waiting(2)), "outbox 2 is"),
        (picture(waiting(1, due_at=at(1))), "1 was postponed"),
        (picture(waiting(1, due_at=None)), "1 has neither a due time nor a lease"),
        (picture(waiting(1), attempts={(1, 2): Tried("lost", None)}), r"the attempts of 1 are \[2\]"),
        (picture(waiting(1), slots=1), "bot 1 has given 1 slots"),
    ],
    ids=["lost", "twice", "rolled back", "postponed behind nothing", "stranded", "gap in attempts", "lost slot"],
)
def test_a_database_that_holds_something_else_is_wrong(found: Picture, promise: str) -> None:
    with pytest.raises(Violation, match=promise):
        model(waiting(1)).explained([claim()], found)


def test_a_run_that_was_out_of_order_is_wrong_at_its_end() -> None:
    after = model(waiting(1), waiting(2)).explained(
        [claim(claimed(1), postponed=1)], picture(leased(1), waiting(2, due_at=at(0.02)), slots=1)
    )
    ensure_order(after.everything, after.courses)
    after.courses[2].first_claimed = after.events

    with pytest.raises(Violation, match="2 was claimed before 1 had left the outbox"):
        ensure_order(after.everything, after.courses)

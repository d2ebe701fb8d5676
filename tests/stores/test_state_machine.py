"""Two workers, two applications and one outbox, in any order that Hypothesis finds, before an independent judge.

`outbox_model` is the judge and says what is promised. DOVECOTE_TEST_EXAMPLES multiplies how many runs are made.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from outbox_arena import APPLICATIONS, START, Arena
from outbox_draws import (
    BOTH,
    CLAIMS,
    HARMLESS,
    LEASE,
    ORDERS,
    OUTCOMES,
    SENDERS,
    WISHES,
    WORKERS,
    Ordered,
    Settling,
    Wish,
    seconds,
)
from outbox_model import Model
from outbox_picture import Cycled, Event, Sender, Waiting, ensure, ensure_order

from dovecote.model import (
    ClaimedNotification,
    Cycle,
    Delivered,
    DeliveryPolicy,
    Released,
    Settlement,
    Snoozed,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

EXAMPLES = {"sqlite": 9, "postgresql-18": 5}
STEPS = 50
TIMES = float(os.environ.get("DOVECOTE_TEST_EXAMPLES", "1"))


NO_ANSWER = Cycle(claimed=())
GONE = ClaimedNotification(
    id=0,
    lease_token=0,
    bot_id=1,
    bot="bot-1",
    chat=None,
    method="sendMessage",
    params="{}",
    delivery=DeliveryPolicy.AT_LEAST_ONCE,
    attempt=1,
    failures=0,
    send_in=0.0,
    slot=0,
)


@dataclass(slots=True)
class Worker:
    """A worker's memory: its claims, also those whose lease it may have lost, and what it has settled."""

    held: list[ClaimedNotification] = field(default_factory=list)
    spent: list[Settlement] = field(default_factory=list)


class OutboxMachine(RuleBasedStateMachine):
    """Each rule does one thing to the outbox and lets the model judge what came of it.

    Who wins a race is not the same again in another run, so no precondition may look at what came of one.
    """

    def __init__(self, arena: Arena) -> None:
        super().__init__()
        self.arena = arena
        self.workers = [Worker() for _ in range(WORKERS)]
        self.sound = True
        self.model = Model(START, {})

    @initialize(first=SENDERS, second=SENDERS, orders=ORDERS)
    def begin(self, first: Sender, second: Sender, orders: Sequence[Ordered]) -> None:
        bots = {1: replace(first), 2: replace(second)}
        self.arena.begin(bots)
        self.model = Model(START, bots)
        self.enqueue_and_commit(0, orders)

    def judge(self, *events: Event) -> None:
        self.sound = False
        self.model = self.model.explained(events, self.arena.picture())
        self.sound = True

    # The applications.

    @rule(application=st.integers(0, APPLICATIONS - 1), orders=ORDERS)
    def enqueue(self, application: int, orders: Sequence[Ordered]) -> None:
        if self.arena.may_write(application):
            self.arena.enqueue(application, [row for order in orders for row in self.written(order)])
            self.judge()

    def written(self, order: Ordered) -> list[Waiting]:
        planned_at = self.arena.now + seconds(order.delay)
        return [
            Waiting(
                id=0,
                bot=order.bot,
                chat=order.chat if order.chat is None or copy == 0 else f"{order.chat}{copy}",
                priority=order.priority,
                at_most_once=order.at_most_once,
                planned_at=planned_at,
                expires_at=None if order.lifetime is None else planned_at + seconds(order.lifetime),
                weight=order.weight,
                due_at=planned_at,
                method=order.method,
            )
            for copy in range(order.copies)
        ]

    @precondition(lambda self: any(self.arena.uncommitted))
    @rule(application=st.integers(0, APPLICATIONS - 1), rolled_back=st.sampled_from([False, False, True]))
    def end(self, application: int, rolled_back: bool) -> None:  # noqa: FBT001 (drawn, not called)
        if rolled_back:
            self.arena.roll_back(application)
            self.judge()
        else:
            self.judge(self.arena.commit(application))

    @rule(application=st.integers(0, APPLICATIONS - 1), orders=ORDERS)
    def enqueue_and_commit(self, application: int, orders: Sequence[Ordered]) -> None:
        if self.arena.may_write(application):
            self.arena.enqueue(application, [row for order in orders for row in self.written(order)])
            self.judge(self.arena.commit(application))

    @precondition(lambda self: self.arena.is_postgresql)
    @rule(slow=st.integers(0, APPLICATIONS - 1), orders=ORDERS)
    def enqueue_in_one_order_and_commit_in_another(self, slow: int, orders: Sequence[Ordered]) -> None:
        """What is written first is committed last, unless it is rolled back."""
        self.enqueue(slow, orders)
        self.move_to(self.arena.now + seconds(0.001))
        self.enqueue_and_commit(1 - slow, orders)

    # Time, and the operator.

    @rule(step=st.sampled_from([0.001, 0.02, 0.1, 0.5, 1, 3, 5, 31, 61, 43_200]))
    def advance(self, step: float) -> None:
        self.move_to(self.arena.now + seconds(step))

    @rule()
    def advance_to_the_next_instant(self) -> None:
        """To the very microsecond at which something becomes due or a lease ends."""
        later = [item.due_at for item in self.model.outbox.values() if item.due_at > self.arena.now]
        if later:
            self.move_to(min(later))

    def move_to(self, now: datetime) -> None:
        self.arena.move_to(now)
        self.model.now = self.arena.now

    @precondition(lambda self: not self.arena.is_locked())
    @rule()
    def repair(self) -> None:
        for id_, bot in self.model.bots.items():
            if bot.stopped:
                self.arena.repair(id_)
                bot.stopped = False
        self.judge()

    # The workers.

    @precondition(lambda self: not self.arena.is_locked())
    @rule(worker=st.integers(0, WORKERS - 1), wish=WISHES)
    def cycle(self, worker: int, wish: Wish) -> None:
        self.cycles([self.asked(worker, wish)])

    @precondition(lambda self: not self.arena.is_locked())
    @rule(worker=st.integers(0, WORKERS - 1), claim=CLAIMS, late=st.sampled_from([0, 0.001]))
    def freeze(self, worker: int, claim: int, late: float) -> None:
        """A worker claims, and is not heard of until its lease has run out, if ever."""
        self.cycles([self.asked(worker, Wish(claim=claim))])
        self.move_to(self.arena.now + seconds(5 + late))

    @precondition(lambda self: not self.arena.is_locked())
    @rule(worker=st.integers(0, WORKERS - 1), claim=CLAIMS, outcome=OUTCOMES, renewing=st.booleans())
    def thaw(self, worker: int, claim: int, outcome: Settling, renewing: bool) -> None:  # noqa: FBT001 (drawn)
        """A worker freezes, another one claims what it held, and it wakes up and goes on as if nothing had happened."""
        self.freeze(worker, claim, 0.001)
        self.cycles([self.asked(1 - worker, Wish(lease=LEASE))])
        if renewing:
            self.cycles([self.asked(worker, Wish(renew=range(len(self.workers[worker].held)), claim=0))])
        self.settle_all(worker, outcome)

    @precondition(lambda self: not self.arena.is_locked())
    @rule(worker=st.integers(0, WORKERS - 1), outcome=OUTCOMES)
    def settle_all(self, worker: int, outcome: Settling) -> None:
        settle = [(0, outcome)] * len(self.workers[worker].held)
        self.cycles([self.asked(worker, Wish(settle, claim=0))])

    @precondition(lambda self: not self.arena.is_locked())
    @rule(wishes=BOTH)
    def race(self, wishes: Sequence[Wish]) -> None:
        self.cycles([self.asked(worker, wish) for worker, wish in enumerate(wishes)])

    @precondition(lambda self: any(self.arena.uncommitted))
    @rule(wishes=BOTH, last=st.booleans())
    def race_with_a_commit(self, wishes: Sequence[Wish], last: bool) -> None:  # noqa: FBT001 (drawn, not called)
        begun = [number for number, rows in enumerate(self.arena.uncommitted) if rows]
        asked = [self.asked(worker, wish) for worker, wish in enumerate(wishes)]
        self.cycles(asked, commit=begun[-1 if last else 0])

    @precondition(lambda self: self.arena.is_postgresql)
    @rule(
        claim=CLAIMS,
        others=st.lists(st.tuples(CLAIMS | st.just(0), HARMLESS), min_size=1, max_size=2),
        committing=st.booleans(),
    )
    def overtake(self, claim: int, others: Sequence[tuple[int, Settling]], committing: bool) -> None:  # noqa: FBT001
        """The second worker's cycle has begun and waits for a bot that is to be halted; meanwhile the first goes on.

        What halts the bot is the late settlement of a notification that is long gone, so nothing else is waited for.
        """
        late = Settlement(GONE._replace(bot_id=2), Snoozed(seconds(5)), took=0.25)
        slow = Cycled(NO_ANSWER, settlements=[late], claim=claim, lease=seconds(5))
        events: list[Event] = []

        def meanwhile() -> None:
            if committing:
                events.extend(self.arena.commit(number) for number, rows in enumerate(self.arena.uncommitted) if rows)
            for count, outcome in others:
                held = self.workers[0].held
                # Stars that are given back are given to that bot.
                waits = any(claimed.bot_id == 2 and claimed.paid for claimed in held)
                settle = [] if waits else [(0, outcome)] * len(held)
                for wish in (Wish(claim=count), Wish(settle, claim=0)):
                    _, quick = self.asked(0, wish)
                    (answer,) = self.arena.run([self.running(0, quick)])
                    self.workers[0].held += answer.claimed
                    events.append(replace(quick, answer=answer))

        self.sound = False
        answer = self.arena.run_slowly(self.running(1, slow), 2, meanwhile)
        self.judge(*events, replace(slow, answer=answer))
        self.workers[1].held += answer.claimed

    def asked(self, worker: int, wish: Wish) -> tuple[int, Cycled]:
        """What the wish comes to with what the worker holds; a claim that is settled is held no longer."""
        memory = self.workers[worker]
        settlements = []
        for pick, (outcome, retry_in) in wish.settle:
            if memory.held:
                claimed = memory.held.pop(pick % len(memory.held))
                again = retry_in
                if isinstance(outcome, Unknown) and claimed.delivery is DeliveryPolicy.AT_MOST_ONCE:
                    again = None  # as every worker decides
                settlements.append(Settlement(claimed, outcome, None if again is None else seconds(again), took=0.25))
        repeated = {pick % len(memory.spent) for pick in wish.again} if memory.spent else set()
        memory.spent += settlements
        renewed = {pick % len(memory.held) for pick in wish.renew} if memory.held else set()
        return worker, Cycled(
            NO_ANSWER,
            settlements=[*settlements, *(memory.spent[number] for number in repeated)],
            renew=[memory.held[number] for number in renewed],
            claim=wish.claim,
            lease=seconds(wish.lease),
            alone=self.model.suspects() != wish.contrary,
        )

    def running(self, worker: int, wish: Cycled) -> Callable[[], Awaitable[Cycle]]:
        return partial(
            self.arena.stores[worker].cycle,
            wish.settlements,
            claim=wish.claim,
            lease=wish.lease,
            renew=wish.renew,
            alone=wish.alone,
        )

    def cycles(self, asked: Sequence[tuple[int, Cycled]], commit: int | None = None) -> Sequence[Cycle]:
        """Run these cycles at the same time, judge what they answered, and remember what was claimed."""
        running = [self.running(worker, wish) for worker, wish in asked]
        self.sound = False
        answers = self.arena.run(running, commit)
        events: list[Event] = [replace(wish, answer=answer) for (_, wish), answer in zip(asked, answers, strict=False)]
        if commit is not None:
            events.append(answers[-1])
        self.judge(*events)
        for (worker, _), answer in zip(asked, answers, strict=False):
            self.workers[worker].held += answer.claimed
        return answers[: len(asked)]

    # The end.

    def teardown(self) -> None:
        """Unless a promise is broken already, kill both workers, and let two new ones deliver everything."""
        for application in range(APPLICATIONS):
            self.arena.roll_back(application)
        if self.sound:
            self.workers = [Worker() for _ in range(WORKERS)]
            self.repair()
            self.drain()

    def drain(self) -> None:
        """Both workers claim and deliver, and alone what is said to be suspect.

        When there was nothing to do, as much time passes as they say.
        """
        ends_by, rounds = self.latest_end(), 100 + 40 * len(self.model.outbox)
        for round_ in range(rounds):
            if not self.model.outbox:
                break
            workers = range(WORKERS) if self.arena.is_postgresql else [round_ % WORKERS]
            answers = self.cycles([self.delivery(worker, alone=False) for worker in workers])
            suspects = any(answer.suspects for answer in answers)
            pauses = [answer.next_due_in for answer in answers if answer.next_due_in is not None]
            if suspects:
                answers = [*answers, *self.cycles([self.delivery(round_ % WORKERS, alone=True)])]
            idle = not any(answer.claimed or answer.ended for answer in answers)
            if idle and self.model.outbox and not any(memory.held for memory in self.workers):
                ensure(pauses or suspects, f"nothing is said to be waiting, and there is {self.model.outbox}")
                self.move_to(self.arena.now + seconds(max(0.001, *pauses) if pauses else 1))
            ensure(self.arena.now <= ends_by, f"by {ends_by} {self.model.outbox} was still there")
        ensure(not self.model.outbox, f"{self.model.outbox} was still there after {rounds} rounds")
        ensure_order(self.model.everything, self.model.courses)

    def delivery(self, worker: int, *, alone: bool) -> tuple[int, Cycled]:
        wish = Wish([(0, (Delivered((3,)), None))] * len(self.workers[worker].held), lease=LEASE)
        return worker, replace(self.asked(worker, wish)[1], alone=alone)

    def latest_end(self) -> datetime:
        """By when everything is delivered: after the last of all waits, one by one, each with a second's grace."""
        bots = self.model.bots
        waits = [self.arena.now, *(item.due_at for item in self.model.outbox.values())]
        waits += [bot.halted_until for bot in bots.values() if bot.halted_until is not None]
        end = max(waits) + seconds(10)
        for item in self.model.outbox.values():
            bot = bots[item.bot]
            limit = None if item.chat is None else bot.limit(item.chat)
            end += seconds(1 + (limit[1] if limit else 0) + (item.weight / bot.pace if bot.pace else 0))
        return end


@pytest.mark.parametrize("outbox_database", list(EXAMPLES), indirect=True)
def test_an_independent_judge_finds_every_promise_kept(outbox_database: str, request: pytest.FixtureRequest) -> None:
    examples = EXAMPLES[request.node.callspec.params["outbox_database"]]
    with closing(Arena(outbox_database)) as arena:
        run_state_machine_as_test(
            partial(OutboxMachine, arena),  # type: ignore[arg-type] # anything that makes one is taken
            settings=settings(
                max_examples=max(1, round(examples * TIMES)),
                stateful_step_count=STEPS,
                report_multiple_bugs=False,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            ),
        )


@pytest.mark.parametrize("outbox_database", ["postgresql-18"], indirect=True)
@pytest.mark.parametrize("at_most_once", [True, False])
def test_a_claim_that_began_before_does_not_lose_what_is_released_as_its_lease_ends(
    outbox_database: str, *, at_most_once: bool
) -> None:
    """It is due at the same microsecond before and after: only the lease tells them apart."""
    order = Ordered(1, "7", 1, at_most_once, delay=0, lifetime=None, weight=1)
    with closing(Arena(outbox_database)) as arena:
        machine = OutboxMachine(arena)
        machine.begin(Sender(), Sender(), [order])
        machine.freeze(0, claim=1, late=0)

        machine.overtake(10, [(0, (Released(), None))], committing=False)

        (row,) = arena.picture().outbox.values()
        assert (row.attempts, row.lost, row.token) == (0, 0, None)


@pytest.mark.parametrize("outbox_database", ["sqlite", "postgresql-18"], indirect=True)
def test_the_judge_watches_a_budget_of_stars_over_two_workers(outbox_database: str) -> None:
    order = Ordered(1, "7", 1, at_most_once=False, delay=0, lifetime=None, weight=1, copies=30)
    with closing(Arena(outbox_database)) as arena:
        machine = OutboxMachine(arena)
        machine.begin(Sender(pace=4.0, paid_pace=40.0, budget=12), Sender(), [order])
        for _ in range(3):
            machine.cycles([machine.asked(0, Wish(claim=20)), machine.asked(1, Wish(claim=20))])
            machine.advance(0.1)

        assert arena.picture().timelines[1].spent == 12

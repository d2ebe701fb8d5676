"""What an outbox promises, said a second time: it judges every step of the state machine and shares nothing with it.

The model keeps what should stand in the database. A step is what was committed and what the workers' cycles asked and
answered; what ran at the same time comes as several events, and some order of them must explain everything: each
answer, and every row that stands in the database afterwards. What is promised:

- a notification that was committed is in the outbox or in the history, never in both, never in neither; one that was
  rolled back is nowhere;
- a settlement changes something only while its lease is the notification's latest. Any other is answered as lost, and
  of it nothing is kept but a delivered attempt;
- a claim takes nothing before its planned time, nothing during a pause, nothing expired, nothing at most once that may
  have been sent, and alone exactly what has lost two workers;
- of one chat at most one notification is under a lease. One that was in flight when its worker was lost goes on first.
  Any other is claimed only when nothing of its chat is under a lease and nothing that was committed before and stands
  before it, by (planned_at, id), of the same or a more urgent priority, is in the outbox;
- a slot of a bot is given once; slots grow, and are the pace apart in time, whichever worker they were given to; none
  is half a second ahead or later;
- nothing of a chat that was told to wait is claimed before the end of its wait, but what was in flight when its worker
  was lost;
- what the grants of a day cost is never more than the bot's budget. Only what a limit counts and what can carry the
  flag is paid for, and only where more waits than the free pace sends in a second, or within half a second after such
  a claim; within that time nothing that counts goes without being paid for. What certainly was not sent, or was
  refused, is given back on the day of its grant;
- due times change only by a settlement, a lease, or a postponement behind something of the same chat.

What a claim must not take is judged at each step, what it must take only at the end, by the state machine, whose drain
says: everything is delivered within a bounded time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import permutations
from typing import TYPE_CHECKING

from outbox_picture import (
    Committed,
    Course,
    Cycled,
    Event,
    Picture,
    Sender,
    Settled,
    Tried,
    Violation,
    Waiting,
    ensure,
    ensure_same,
    ensure_standing,
)
from outbox_stars import ensure_budget, ensure_paid, give_back

from dovecote.model import BotStopped, Dead, Delivered, DeliveryPolicy, Failed, Released, Scope, Snoozed, Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.model import ClaimedNotification, Settlement

HORIZON = timedelta(seconds=0.5)
"""No slot is given that is so far ahead."""
ROUNDING = timedelta(microseconds=2)
"""Slots are kept in whole microseconds."""
SUSPECT = 2
"""So many lost workers, and a notification is sent alone; one more, and it is dead."""


@dataclass(slots=True)
class Model:
    """The outbox as it should be. `now` is moved by whoever moves the store's clock."""

    now: datetime
    bots: dict[int, Sender]
    outbox: dict[int, Waiting] = field(default_factory=dict)
    history: dict[int, Settled] = field(default_factory=dict)
    attempts: dict[tuple[int, int], Tried] = field(default_factory=dict)
    tokens: set[int] = field(default_factory=set)
    everything: dict[int, Waiting] = field(default_factory=dict)
    courses: dict[int, Course] = field(default_factory=dict)
    events: int = 0

    def copy(self) -> Model:
        """One that can be tried out."""
        return replace(
            self,
            bots={id_: replace(bot, spent=dict(bot.spent), waits=dict(bot.waits)) for id_, bot in self.bots.items()},
            outbox={id_: replace(item) for id_, item in self.outbox.items()},
            history=dict(self.history),
            attempts=dict(self.attempts),
            tokens=set(self.tokens),
            everything=dict(self.everything),
            courses={id_: replace(course) for id_, course in self.courses.items()},
        )

    def explained(self, events: Sequence[Event], picture: Picture) -> Model:
        """The model after `events`, which ran at the same time. Raises Violation when no order explains `picture`."""
        refusals: list[str] = []
        for order in permutations(events):
            after = self.copy()
            try:
                for event in order:
                    after.apply(event, picture)
                after.compare(picture, self, events)
            except Violation as violation:
                refusals.append(str(violation))
            else:
                return after
        raise Violation(" / ".join(dict.fromkeys(refusals)))

    def apply(self, event: Event, picture: Picture) -> None:
        """Let one event happen. Raises Violation."""
        self.events += 1
        match event:
            case Committed(rows):
                for row in rows:
                    self.outbox[row.id] = replace(row)
                    self.everything[row.id] = row
                    self.courses[row.id] = Course(self.events)
            case Cycled():
                self._settle(event)
                for claimed in event.renew:
                    item = self.outbox.get(claimed.id)
                    if item is not None and item.token == claimed.lease_token:
                        item.due_at = self.now + event.lease
                suspects = self.suspects()
                self._end(event, picture)
                self._claim(event, picture)
                if event.claim and not event.settlements and not event.renew:
                    ensure(
                        event.answer.suspects == (suspects and not event.alone),
                        f"suspects is said to be {event.answer.suspects}",
                    )

    # Settling.

    def _settle(self, event: Cycled) -> None:
        self._halt_for_groups(event)
        lost: Counter[int] = Counter()
        for settlement in event.settlements:
            claimed, outcome = settlement.claimed, settlement.outcome
            # What Telegram says of a bot is true whoever has the lease by now.
            match outcome:
                case Snoozed(retry_after, Scope.BOT):
                    until, bot = self.now + retry_after, self.bots[claimed.bot_id]
                    bot.halted_until = until if bot.halted_until is None else max(bot.halted_until, until)
                case Snoozed(retry_after, Scope.CHAT) if claimed.chat is not None:
                    until, waits = self.now + retry_after, self.bots[claimed.bot_id].waits
                    waits[claimed.chat] = max(until, waits.get(claimed.chat, until))
                case BotStopped():
                    self.bots[claimed.bot_id].stopped = True
                case _:
                    pass
            item = self.outbox.get(claimed.id)
            if item is not None and item.token == claimed.lease_token:
                give_back(self.bots[claimed.bot_id], item, settlement, self.now)
                self._settle_one(item, settlement)
                continue
            lost[claimed.id] += 1
            if isinstance(outcome, Delivered):
                self.attempts[claimed.id, claimed.attempt] = Tried("delivered", outcome.message_ids)
        answered = Counter(event.answer.lost)
        ensure(answered == lost, f"lost are {dict(lost)}, and the answer says {dict(answered)}")

    def _halt_for_groups(self, event: Cycled) -> None:
        """Two chats of a bot that are told to wait in one batch mean the bot, for the longest of their waits."""
        told = [s for s in event.settlements if isinstance(s.outcome, Snoozed) and s.outcome.scope is Scope.CHAT]
        for id_, bot in self.bots.items():
            of_bot = [s for s in told if s.claimed.bot_id == id_]
            if len({s.claimed.chat for s in of_bot}) < 2:
                continue
            for settlement in of_bot:
                if isinstance(settlement.outcome, Snoozed):
                    until = self.now + settlement.outcome.retry_after
                    bot.halted_until = until if bot.halted_until is None else max(bot.halted_until, until)

    def _settle_one(self, item: Waiting, settlement: Settlement) -> None:
        retry_in = settlement.retry_in
        match settlement.outcome:
            case Delivered(message_ids):
                self._leave(item, "delivered", message_ids)
            case Dead():
                self._leave(item, "dead")
            case Failed() if retry_in is None:
                self._leave(item, "dead")
            case Unknown() if retry_in is None:
                self._leave(item, "unknown")
            case Failed() | Unknown() as outcome:
                item.failures += 1
                self._keep(item, retry_in or timedelta(), "failed" if isinstance(outcome, Failed) else "unknown")
            case Snoozed(retry_after):
                self._keep(item, retry_after, "snoozed")
            case BotStopped():
                self._keep(item, timedelta(), "stopped")
            case Released():
                item.attempts -= 1
                self._keep(item, timedelta(), None)

    def _keep(self, item: Waiting, pause: timedelta, tried: str | None) -> None:
        item.token, item.due_at = None, self.now + pause
        if tried is not None:
            self.attempts[item.id, item.attempts] = Tried(tried, None)

    def _leave(
        self, item: Waiting, outcome: str, message_ids: tuple[int, ...] | None = None, *, asked: bool = True
    ) -> None:
        lost = item.lost if asked else item.workers_lost()
        del self.outbox[item.id]
        self.history[item.id] = Settled(outcome, self.now, item.attempts, lost, message_ids, asked)
        self.courses[item.id].left = self.events

    # What a claim ends.

    def _ending(self, item: Waiting) -> str | None:
        expired = item.expires_at is not None and item.expires_at <= self.now
        if item.token is None:
            return "expired" if expired else None
        if item.at_most_once or expired:
            return "unknown"
        return "poison" if item.workers_lost() > SUSPECT else None

    def _end(self, event: Cycled, picture: Picture) -> None:
        expected = Counter(event.answer.ended)
        for id_ in sorted(self.outbox.keys() & picture.history.keys()):
            item, found = self.outbox[id_], picture.history[id_]
            reason = self._ending(item)
            if found.asked or reason is None or not expected[reason]:
                continue
            self._may_be_met(item)
            expected[reason] -= 1
            if item.token is not None:
                self.attempts[id_, item.attempts] = Tried("lost", None)
            self._leave(item, "unknown" if reason == "unknown" else "dead", asked=False)
        ensure(not +expected, f"the claim is said to have ended {dict(+expected)}, which it did not")

    def _may_be_met(self, item: Waiting) -> None:
        bot = self.bots[item.bot]
        ensure(item.due_at <= self.now, f"{item.id} is not due before {item.due_at}")
        ensure(item.planned_at <= self.now, f"{item.id} is planned for {item.planned_at}")
        ensure(not bot.stopped, f"bot {item.bot} is stopped")
        ensure(bot.halted_until is None or bot.halted_until <= self.now, f"bot {item.bot} waits")

    def suspects(self) -> bool:
        """Whether one that has lost two workers is due."""

        def available(bot: Sender) -> bool:
            return not bot.stopped and (bot.halted_until is None or bot.halted_until <= self.now)

        return any(
            item.workers_lost() >= SUSPECT and item.due_at <= self.now and available(self.bots[item.bot])
            for item in self.outbox.values()
        )

    # Claiming.

    def _claim(self, event: Cycled, picture: Picture) -> None:
        claimed = event.answer.claimed
        most = min(event.claim, 1) if event.alone else event.claim
        ensure(len(claimed) <= most, f"{len(claimed)} are claimed where {most} were asked for")
        tokens = {one.lease_token for one in claimed}
        ensure(len(tokens) <= 1, f"one claim has the lease tokens {tokens}")
        ensure(not tokens & self.tokens, f"the lease token {tokens} was given before")
        self.tokens |= tokens
        waiting = Counter(i.bot for i in self.outbox.values() if i.due_at <= self.now for _ in range(i.weight))
        for one in claimed:
            self._take(one, event, picture)
        for bot in {one.bot_id for one in claimed}:
            of_bot = sorted((one for one in claimed if one.bot_id == bot), key=lambda one: one.slot or 0)
            ensure_paid(self, self.bots[bot], of_bot, waiting[bot])
            self._give_slots(bot, of_bot)

    def _take(self, claimed: ClaimedNotification, event: Cycled, picture: Picture) -> None:
        item = self.outbox.get(claimed.id)
        if item is None:
            raise Violation(f"{claimed.id} is claimed and not in the outbox")
        self._may_be_met(item)
        ensure(self._ending(item) is None, f"{item.id} is claimed, and was to end as {self._ending(item)}")
        ensure((item.workers_lost() >= SUSPECT) == event.alone, f"{item.id} has lost {item.workers_lost()} workers")
        if item.chat is not None:
            self._first_of_chat(item, item.chat, picture)
        if item.token is not None:
            self.attempts[item.id, item.attempts] = Tried("lost", None)
            item.lost += 1
        item.attempts += 1
        item.token, item.due_at = claimed.lease_token, self.now + event.lease
        policy = DeliveryPolicy.AT_MOST_ONCE if item.at_most_once else DeliveryPolicy.AT_LEAST_ONCE
        given = (claimed.bot_id, claimed.chat, claimed.attempt, claimed.failures, claimed.delivery)
        right = (item.bot, item.chat, item.attempts, item.failures, policy)
        ensure(given == right, f"{item.id} is claimed as {given}, and is {right}")
        course = self.courses[item.id]
        course.first_claimed = course.first_claimed or self.events

    def _first_of_chat(self, item: Waiting, chat: str, picture: Picture) -> None:
        mates = [m for m in self.outbox.values() if (m.bot, m.chat) == (item.bot, chat) and m.id != item.id]
        for mate in mates:
            ensure(mate.token is None, f"{item.id} is claimed while {mate.id} of its chat is in flight")
        if item.token is not None:
            return
        wait = self.bots[item.bot].waits.get(chat)
        ensure(wait is None or wait <= self.now, f"{item.id} is claimed, and its chat is told to wait until {wait}")
        for mate in mates:
            # What this very claim ended is never sent, and so nothing is sent out of order.
            if mate.id not in picture.history or picture.history[mate.id].asked:
                before = mate.priority <= item.priority and (mate.planned_at, mate.id) < (item.planned_at, item.id)
                ensure(not before, f"{item.id} is claimed before {mate.id}, which is older and no less urgent")
        paced = self._paced(item.bot, chat, certain=True)
        ensure(not paced, f"{item.id} is claimed beyond the limit of its chat")

    def _paced(self, bot: int, chat: str, *, certain: bool) -> bool:
        """Whether as many have left for the chat in its window as may be; with `certain`, as many were certainly sent.

        What was never sent or may not have been sent counts as well where it is known, but no claim has to know it.
        """
        limit = self.bots[bot].limit(chat)
        if limit is None:
            return False
        since = self.now - timedelta(seconds=limit[1])
        latest = [
            id_
            for id_, settled in self.history.items()
            if settled.settled_at > since and (settled.asked or not certain)
        ]
        return sum((self.everything[id_].bot, self.everything[id_].chat) == (bot, chat) for id_ in latest) >= limit[0]

    def _give_slots(self, bot_id: int, claimed: Sequence[ClaimedNotification]) -> None:
        bot = self.bots[bot_id]
        pace = bot.paid_pace or bot.pace
        for one in claimed:
            at = self.now + timedelta(seconds=one.send_in)
            ensure(one.slot is not None and one.slot >= bot.slots_given, f"slot {one.slot} of {bot_id} is given twice")
            slot = one.slot or 0
            ensure(one.send_in >= 0, f"{one.id} is to be sent {one.send_in} s from now")
            if pace is None:
                ensure(one.send_in == 0, f"{one.id} has to wait {one.send_in} s for a bot that has no pace")
            else:
                ensure(at < self.now + HORIZON + ROUNDING, f"slot {slot} of {bot_id} is {one.send_in} s ahead")
                if bot.last_slot is not None:
                    last, last_at = bot.last_slot
                    apart = timedelta(seconds=(slot - last) / pace)
                    ensure(at - last_at >= apart - ROUNDING, f"slots {last} and {slot} of {bot_id} are too close")
            bot.last_slot = slot, at
            bot.slots_given = slot + self.outbox[one.id].weight

    # Comparing with what stands in the database.

    def compare(self, picture: Picture, before: Model, events: Sequence[Event]) -> None:
        """Raise Violation unless the database holds what it should after `events`."""
        ensure_standing(picture)
        postponed = self._postpone(picture, before)
        said = sum(event.answer.postponed for event in events if isinstance(event, Cycled))
        ensure(len(postponed) == said, f"{said} are said to be postponed, and {postponed} were")
        ensure_same("outbox", self.outbox, picture.outbox)
        ensure_same("history", self.history, picture.history)
        ensure_same("attempts", self.attempts, picture.attempts)
        for id_, timeline in picture.timelines.items():
            bot, given = self.bots[id_], timeline.slots_given
            # A claim that another cycle was faster than has taken its slot, and nobody uses it.
            ensure(
                given >= bot.slots_given if len(events) > 1 else given == bot.slots_given,
                f"bot {id_} has given {given} slots, and should have given {bot.slots_given}",
            )
            bot.slots_given = given
            ensure_budget(bot, timeline, exact=len(events) <= 1)
            halts = (bot.halted_until, bot.stopped)
            ensure(timeline[1:3] == halts, f"bot {id_} is halted until {timeline[1:3]}, and should be until {halts}")

    def _postpone(self, picture: Picture, before: Model) -> list[int]:
        """Take over the due times of what was postponed, and answer its ids."""
        postponed = []
        for id_, item in self.outbox.items():
            row = picture.outbox.get(id_)
            if row is None or row.token is not None or row.due_at == item.due_at or item.token is not None:
                continue
            ensure(item.due_at <= self.now, f"{id_} was postponed and was not due")
            latest = self._latest(item, before)
            ensure(self.now < row.due_at <= latest, f"{id_} was postponed to {row.due_at}, and {latest} is the latest")
            item.due_at = row.due_at
            postponed.append(id_)
        return postponed

    def _latest(self, item: Waiting, before: Model) -> datetime:
        """The latest instant to which it may be postponed; the past when nothing stands in its way."""
        if item.chat is None:
            return datetime.min.replace(tzinfo=self.now.tzinfo)
        # Also what came and was ended in the same step.
        arrived = [row for id_, row in self.everything.items() if id_ not in before.everything]
        near = (*before.outbox.values(), *self.outbox.values(), *arrived)
        mates = [m for m in near if (m.bot, m.chat) == (item.bot, item.chat) and m.id != item.id]
        limit = self.bots[item.bot].limit(item.chat)
        in_the_way = any(
            m.token is not None
            or (m.priority < item.priority and m.due_at <= self.now)
            or (m.priority <= item.priority and (m.planned_at, m.id) < (item.planned_at, item.id))
            for m in mates
        )
        wait = self.bots[item.bot].waits.get(item.chat, self.now)
        if not in_the_way and wait <= self.now and not self._paced(item.bot, item.chat, certain=False):
            return datetime.min.replace(tzinfo=self.now.tzinfo)
        waiting = len({m.id for m in mates}) + 1
        interval = 0.02 if limit is None else max(0.02, limit[1] / limit[0])
        window = 0 if limit is None else limit[1]
        last = max([self.now, wait, *(m.due_at for m in mates if m.token is None)])
        return last + timedelta(seconds=window + waiting * interval + 1)

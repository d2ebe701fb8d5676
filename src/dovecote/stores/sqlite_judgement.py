"""What a claim on SQLite decides between its statements: slots, endings, order per chat, turns. Pure functions.

The rules are those of `postgresql_cycle`, where they are SQL. Instants and durations are whole microseconds, except
where a name says seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from dovecote.stores.sqlite_paid import Tariff, tariff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dovecote.stores.sqlite_paid import Terms

SECOND = 1_000_000
# The third lost lease ends a notification: it has been alone with its worker twice.
POISON_LEASES = 3
# How long a blocked one waits at least, and the longest that one in flight makes it wait.
SHORTEST_PATIENCE = SECOND // 50
LONGEST_PATIENCE = SECOND


class GrantedBot(NamedTuple):
    """A bot with free slots, as `GRANT` finds it. A limit is a number of messages and a window in seconds."""

    id: int
    name: str
    pace: float | None
    slots_given: int
    next_slot_at: int
    private_count: int | None
    private_window: float | None
    group_count: int | None
    group_window: float | None
    whole_pace: float | None
    zone: str | None
    paid_pace: float | None
    paid_left: int | None
    paid_until: int

    def first_slot_at(self, now: int) -> int:
        """The first slot that may still be given."""
        return max(self.next_slot_at, now)

    def slots(self, now: int, share: int, horizon: int) -> int:
        """How many slots this claim may take: its share, or as many as start within the horizon; at least one."""
        if self.pace is None:
            return max(1, share)
        return min(max(1, share), max(1, int(self.pace * (now + horizon - self.first_slot_at(now)) / SECOND)))

    def chat_interval(self, chat: str) -> tuple[int | None, float]:
        """The limit of one chat: how many messages, and the microseconds that each of them takes of the window."""
        group = chat.startswith(("-", "@"))
        count, window = (self.group_count, self.group_window) if group else (self.private_count, self.private_window)
        return (None, 0.0) if count is None or window is None else (count, window * SECOND / count)


class Met(NamedTuple):
    """A due notification, as `MEET` finds it. `lost` says that it is still under a lease, which has run out.

    `refusal` says why its recipient takes nothing, `hours` when it wants no sound (see `sqlite_heeded`).
    """

    id: int
    bot_id: int
    chat: str | None
    priority: int
    planned_at: int
    due_at: int
    expires_at: int | None
    at_most_once: int
    weight: int
    attempts: int
    method: str
    lost: int
    lost_leases: int
    refusal: str | None
    hours: str | None


class Ending(NamedTuple):
    """Why a claim takes a notification out of the outbox: the reason for `Cycle.ended`, and the history's words."""

    reason: str
    outcome: str
    error: str


def ending(met: Met, now: int) -> Ending | None:
    """Say whether this is its end."""
    expired = met.expires_at is not None and met.expires_at <= now
    if met.lost and (met.at_most_once or expired or met.refusal):
        return Ending("unknown", "unknown", "its worker was lost while it was being sent")
    if met.lost and met.lost_leases >= POISON_LEASES:
        return Ending("poison", "dead", f"{met.lost_leases} workers were lost while sending it")
    if expired and not met.lost:
        return Ending("expired", "dead", "it expired before it could be sent")
    if met.refusal and not met.lost:
        return Ending("suppressed", "dead", met.refusal)
    return None


class Known(NamedTuple):
    """What `JUDGE` knows about the first met of a chat and priority."""

    id: int
    mate_lease_ends_at: int | None
    behind: int
    tail_due_at: int | None
    settled_ats: str
    waits_until: int


@dataclass(slots=True)
class Chat:
    """The met ones of one chat in their order: what was in flight before everything, then by urgency and age."""

    bot: GrantedBot
    name: str
    met: list[Met] = field(default_factory=list)

    def by_priority(self) -> list[list[Met]]:
        """The met ones of each priority, each in their order."""
        if len(self.met) == 1:
            return [self.met]
        classes: dict[int, list[Met]] = {}
        for met in self.met:
            classes.setdefault(met.priority, []).append(met)
        return list(classes.values())


@dataclass(slots=True)
class Verdict:
    """Which of the met may be sent now, and when the others are due again."""

    free: list[Met]
    due_again: dict[int, int]


class Queue(NamedTuple):
    """Where the blocked ones of a chat and priority stand: behind `start`, spread as the chat's limit wants it."""

    start: int
    paced: bool
    patience: int
    limit: int | None
    interval: float

    def due_again_at(self, rank: int) -> int:
        """When the one of this rank, counted from 1, is due again."""
        if self.paced:
            return self.start + round((rank - 1) * (self.interval or SHORTEST_PATIENCE))
        if self.limit is None or rank <= self.limit:
            return self.start + max(rank * SHORTEST_PATIENCE, self.patience)
        return self.start + round((rank - self.limit) * self.interval) + self.patience


def arranged(waiting: Iterable[Met], bots: Mapping[int, GrantedBot]) -> tuple[list[Met], list[Chat]]:
    """Separate those without a chat, which wait for nothing, from those that have an order to keep."""
    free: list[Met] = []
    chats: dict[tuple[int, str], Chat] = {}
    for met in waiting:
        if met.chat is None:
            free.append(met)
            continue
        place = (met.bot_id, met.chat)
        if place not in chats:
            chats[place] = Chat(bots[met.bot_id], met.chat)
        chats[place].met.append(met)
    for chat in chats.values():
        if len(chat.met) > 1:
            chat.met.sort(key=lambda met: (not met.lost, met.priority, met.planned_at, met.id))
    return free, list(chats.values())


def judge(free: list[Met], chats: Iterable[Chat], known: Mapping[int, Known], now: int, lease: int) -> Verdict:
    """Let at most the first of each chat through, and give every other a later due time behind its chat's last."""
    verdict = Verdict(list(free), {})
    for chat in chats:
        head = chat.met[0]
        fact = known[head.id]
        limit, interval = chat.bot.chat_interval(chat.name)
        paced_until = max(fact.waits_until, _paced_until(fact.settled_ats, limit, round(interval * (limit or 0))))
        # One whose lease ran out is what its chat has in flight: if it waited too, all would wait for ever.
        blocked = not head.lost and (fact.behind or fact.mate_lease_ends_at is not None or paced_until > now)
        if not blocked:
            verdict.free.append(head)
            if len(chat.met) == 1:
                continue
        # Wait as long again as the one in flight has been there already, so that a slow one is asked about seldom.
        flown = 0 if fact.mate_lease_ends_at is None else lease - (fact.mate_lease_ends_at - now)
        patience = min(LONGEST_PATIENCE, max(SHORTEST_PATIENCE, flown))
        for ranked in chat.by_priority():
            if ranked[0] is head and not blocked:
                # Those behind one that goes now wait for nothing else.
                queue = Queue(now, paced=False, patience=0, limit=limit, interval=interval)
            else:
                tail_due_at = known[ranked[0].id].tail_due_at
                start = max(now, paced_until, now if tail_due_at is None else tail_due_at)
                queue = Queue(start, paced=paced_until > now, patience=patience, limit=limit, interval=interval)
            verdict.due_again.update(
                (met.id, queue.due_again_at(rank)) for rank, met in enumerate(ranked, 1) if blocked or met is not head
            )
    return verdict


def _paced_until(settled_ats: str, limit: int | None, window: int) -> int:
    """When the chat's limit allows the next one; 0 when it does already."""
    # Most chats have nothing in their window, and then there is nothing to read.
    if limit is None or settled_ats == "[]":
        return 0
    latest: list[int] = sorted(json.loads(settled_ats), reverse=True)
    return latest[limit - 1] + window if len(latest) >= limit else 0


class Taken(NamedTuple):
    """One that is claimed: when its slot comes, in seconds from now, the slot's number, and whether it is paid for."""

    met: Met
    send_in: float
    slot: int
    paid: bool


@dataclass(slots=True)
class Share:
    """What one bot's claim came to."""

    terms: Terms
    taken: list[Taken]
    used: int
    left_over: bool

    @property
    def bot(self) -> GrantedBot:
        """Whose share it is."""
        return self.terms.bot

    @property
    def stars(self) -> int:
        """Tenths of Stars that are granted."""
        return sum(one.met.weight for one in self.taken if one.paid)

    def next_slot_at(self) -> int:
        """The first slot that is free after this claim."""
        pace, first = self.terms.pace, self.terms.first_slot_at
        return first if pace is None else first + round(self.used * SECOND / pace)


def share_out(terms: Terms, free: list[Met], met: int, now: int) -> Share:
    """Give a bot's slots to its `free` notifications, the priorities taking turns; `met` is how many were waiting."""
    ahead_of_it = [0, 0, 0]
    turns: list[tuple[int, int, int, Met]] = []
    slots_given = terms.bot.slots_given
    for one in sorted(free, key=attrgetter("due_at", "id")):
        turns.append((_turn(one.priority, ahead_of_it[one.priority], slots_given), one.priority, one.id, one))
        ahead_of_it[one.priority] += 1
    turns.sort()
    taken: list[Taken] = []
    used = 0
    ahead = (terms.first_slot_at - now) / SECOND
    for *_, one in turns:
        if used >= terms.slots or (terms.stars_left is not None and used + one.weight > terms.stars_left):
            break
        send_in = 0.0 if terms.pace is None else ahead + used / terms.pace
        paid = terms.stars_left is not None and tariff(one.method) is Tariff.PAID
        taken.append(Taken(one, send_in, slots_given + used, paid))
        used += one.weight
    return Share(terms, taken, used, left_over=met >= terms.slots or len(free) > len(taken))


def _turn(priority: int, ahead: int, slots_given: int) -> int:
    """The turn of a notification with so many of its priority ahead of it.

    A share of the slots goes to each priority that has something waiting (16 urgent : 4 normal : 1 bulk): a bot's
    slots repeat a pattern of 21, four urgent and one normal four times over, then one bulk. A claim goes on in the
    pattern where the last one ended, or bulk would never have a small one's slot.
    """
    phase = slots_given % 21
    normal_before = phase // 5
    match priority:
        case 0:
            rounds, place = divmod(ahead + phase - normal_before, 16)
            return rounds * 21 + place * 5 // 4
        case 1:
            rounds, place = divmod(ahead + normal_before, 4)
            return rounds * 21 + place * 5 + 4
        case _:
            return ahead * 21 + 20


def next_claim_in(shares: Sequence[Share], now: int, horizon: int, most_bots: int) -> float:
    """Seconds until another claim may find something, after one that took something."""
    if len(shares) == most_bots or any(share.left_over and share.terms.pace is None for share in shares):
        return 0.0
    waits = [(share.next_slot_at() - now - horizon / 2) / SECOND for share in shares if share.left_over]
    return max(0.0, min(waits, default=0.05))

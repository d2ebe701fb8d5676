"""What the stores share: outcomes as rows, rows as claims."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from dovecote.model import (
    BotStopped,
    ClaimedNotification,
    Cycle,
    Dead,
    Delivered,
    DeliveryPolicy,
    Failed,
    Migrated,
    Refusal,
    Released,
    Scope,
    Snoozed,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from dovecote.model import Settlement

_AT_MOST_ONCE, _AT_LEAST_ONCE = DeliveryPolicy.AT_MOST_ONCE, DeliveryPolicy.AT_LEAST_ONCE


class ResultRow(NamedTuple):
    """A settlement as the statements take it. `retry_in` is in seconds; None means that it leaves the outbox."""

    id: int
    lease_token: int
    attempt: int
    outcome: str
    retry_in: float | None
    took: float
    error_code: int | None
    error: str | None
    message_ids: tuple[int, ...] | None
    new_chat: str | None


def result_row(settlement: Settlement) -> ResultRow:
    """Write one settlement as a row."""
    claimed, outcome, _, took = settlement
    if type(outcome) is Delivered:
        message_ids = outcome.message_ids
        return ResultRow(
            claimed.id, claimed.lease_token, claimed.attempt, "delivered", None, took, None, None, message_ids, None
        )
    retry_in = None if settlement.retry_in is None else settlement.retry_in.total_seconds()
    code: int | None = None
    error: str | None = None
    new_chat: str | None = None
    match outcome:
        case Snoozed(retry_after, scope, error):
            name, retry_in = "snoozed", retry_after.total_seconds()
            code = None if scope is Scope.NOTIFICATION else 429
        case Failed(error, code):
            name = "failed"
        case Unknown(error, code):
            name = "unknown"
        case Dead(error, code):
            name, retry_in = "dead", None
        case Migrated(new_chat, error):
            name, retry_in, code = "migrated", 0.0, 400
        case BotStopped(error, code):
            name, retry_in = "stopped", 0.0
        case Released(due_in):
            name, retry_in = "released", due_in.total_seconds()
    return ResultRow(
        claimed.id, claimed.lease_token, claimed.attempt, name, retry_in, took, code, error, None, new_chat
    )


class BotEffects(NamedTuple):
    """What outcomes mean for whole bots: seconds to halt, and reasons to stop, by bot id."""

    halts: dict[int, float]
    stops: dict[int, str]


def bot_effects(settlements: Sequence[Settlement]) -> BotEffects:
    """Find the longest halt and the first reason to stop of each bot.

    When two groups of a bot are told to wait at a time, it is the bot that Telegram means.
    """
    effects = BotEffects({}, {})
    groups: dict[int, dict[str | None, float]] = {}
    for settlement in settlements:
        claimed = settlement.claimed
        match settlement.outcome:
            case Snoozed(retry_after, Scope.BOT, _):
                longest = max(effects.halts.get(claimed.bot_id, 0.0), retry_after.total_seconds())
                effects.halts[claimed.bot_id] = longest
            case Snoozed(retry_after, Scope.CHAT, _):
                waits = groups.setdefault(claimed.bot_id, {})
                waits[claimed.chat] = max(waits.get(claimed.chat, 0.0), retry_after.total_seconds())
            case BotStopped(error, _):
                effects.stops.setdefault(claimed.bot_id, error)
            case _:
                continue
    for bot_id, waits in groups.items():
        if len(waits) > 1:
            effects.halts[bot_id] = max(effects.halts.get(bot_id, 0.0), *waits.values())
    return effects


# So many refusals in a row disable a recipient; all but one kind counts as all of them at once.
DISABLING_STRIKES = 3


class Strike(NamedTuple):
    """A refusal of a recipient: a chat, or a topic of one as chat/thread."""

    bot_id: int
    chat: str
    reason: str
    strikes: int


def strikes(settlements: Sequence[Settlement]) -> list[Strike]:
    """Find the refusals of recipients, the gravest of each, sorted so that two batches never wait for each other."""
    found: dict[tuple[int, str], Strike] = {}
    for settlement in settlements:
        claimed, outcome = settlement.claimed, settlement.outcome
        if not isinstance(outcome, Dead) or outcome.refusal is None or claimed.chat is None:
            continue
        chat = claimed.chat
        if outcome.refusal is Refusal.TOPIC_CLOSED:
            thread = json.loads(claimed.params).get("message_thread_id")
            if thread is None:
                continue
            chat = f"{chat}/{thread}"
        before = found.get((claimed.bot_id, chat))
        count = 1 if outcome.refusal is Refusal.NOT_FOUND else DISABLING_STRIKES
        reason = outcome.refusal.value
        if before is not None:
            reason = before.reason if before.strikes > count else reason
            count = min(DISABLING_STRIKES, before.strikes + count)
        found[claimed.bot_id, chat] = Strike(claimed.bot_id, chat, reason, count)
    return sorted(found.values())


class GivenBack(NamedTuple):
    """A claim that was paid for and certainly not sent, or refused: Telegram charges for what it accepts alone."""

    id: int
    lease_token: int
    day: int
    bot_id: int


def given_back(settlements: Iterable[Settlement]) -> list[GivenBack]:
    """Find the claims whose Stars are to be had again, each once.

    What may have arrived is not among them: it counts as spent, so that a budget is never overrun.
    """
    return sorted(
        {
            GivenBack(s.claimed.id, s.claimed.lease_token, s.claimed.paid_day, s.claimed.bot_id)
            for s in settlements
            if s.claimed.paid_day is not None and not isinstance(s.outcome, Delivered | Unknown)
        }
    )


class ChatWait(NamedTuple):
    """A chat that Telegram has told to wait, in seconds."""

    bot_id: int
    chat: str
    seconds: float


def chat_waits(settlements: Iterable[Settlement]) -> list[ChatWait]:
    """Find the longest wait of each chat, sorted so that two batches never wait for each other.

    It is true whoever has the lease by now.
    """
    longest: dict[tuple[int, str], float] = {}
    for settlement in settlements:
        claimed = settlement.claimed
        match settlement.outcome:
            case Snoozed(retry_after, Scope.CHAT, _) if claimed.chat is not None:
                place = claimed.bot_id, claimed.chat
                longest[place] = max(longest.get(place, 0.0), retry_after.total_seconds())
            case _:
                continue
    return sorted(ChatWait(bot_id, chat, seconds) for (bot_id, chat), seconds in longest.items())


class Move(NamedTuple):
    """A group that has become a supergroup: what waits for the old chat moves to the new one."""

    bot_id: int
    old: str
    new: str


def moves(settlements: Sequence[Settlement], lost: Collection[int]) -> list[Move]:
    """Find the groups that have become supergroups.

    The settlements whose ids are `lost` move nothing: what is in another's hands by now would be overtaken.
    """
    return sorted(
        {
            Move(s.claimed.bot_id, s.claimed.chat, s.outcome.chat)
            for s in settlements
            if isinstance(s.outcome, Migrated)
            and s.claimed.id not in lost
            and s.claimed.chat is not None
            and s.claimed.chat != s.outcome.chat
        }
    )


def read_cycle(rows: Iterable[Sequence[Any]], token: int) -> Cycle:
    """Read an answer: first a row with the summary as JSON, then the claimed notifications.

    Columns: id, bot_id, bot, chat, method, params, at_most_once, attempts, failures, send_in, slot, paid_day, refusals,
    moves, silent.
    """
    claims = iter(rows)
    summary = json.loads(next(claims)[5])
    claimed = [_claimed(token, row) for row in claims]
    return Cycle(
        claimed=claimed,
        lost=tuple(summary["lost"]),
        ended=summary["ended"],
        postponed=summary["postponed"],
        next_due_in=None if summary["next_due_in"] is None else max(0.0, summary["next_due_in"]),
        suspects=bool(summary["suspects"]),
    )


def _claimed(token: int, row: Sequence[Any]) -> ClaimedNotification:
    id_, bot_id, bot, chat, method, params, at_most_once, *counts = row
    policy = _AT_MOST_ONCE if at_most_once else _AT_LEAST_ONCE
    return ClaimedNotification(id_, token, bot_id, bot, chat, method, params, policy, *counts)

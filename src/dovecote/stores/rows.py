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
    Released,
    Scope,
    Snoozed,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dovecote.model import Settlement


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


def result_row(settlement: Settlement) -> ResultRow:
    """Write one settlement as a row."""
    claimed, took = settlement.claimed, settlement.took
    retry_in = None if settlement.retry_in is None else settlement.retry_in.total_seconds()
    code: int | None = None
    error: str | None = None
    message_ids: tuple[int, ...] | None = None
    match settlement.outcome:
        case Delivered(message_ids):
            name, retry_in = "delivered", None
        case Snoozed(retry_after, _, error):
            name, retry_in, code = "snoozed", retry_after.total_seconds(), 429
        case Failed(error, code):
            name = "failed"
        case Unknown(error, code):
            name = "unknown"
        case Dead(error, code):
            name, retry_in = "dead", None
        case BotStopped(error, code):
            name, retry_in = "stopped", 0.0
        case Released():
            name, retry_in = "released", 0.0
    return ResultRow(claimed.id, claimed.lease_token, claimed.attempt, name, retry_in, took, code, error, message_ids)


class BotEffects(NamedTuple):
    """What outcomes mean for whole bots: seconds to halt, and reasons to stop, by bot id."""

    halts: dict[int, float]
    stops: dict[int, str]


def bot_effects(settlements: Sequence[Settlement]) -> BotEffects:
    """Find the longest halt and the first reason to stop of each bot."""
    effects = BotEffects({}, {})
    for settlement in settlements:
        bot_id = settlement.claimed.bot_id
        match settlement.outcome:
            case Snoozed(retry_after, Scope.BOT, _):
                effects.halts[bot_id] = max(effects.halts.get(bot_id, 0.0), retry_after.total_seconds())
            case BotStopped(error, _):
                effects.stops.setdefault(bot_id, error)
            case _:
                continue
    return effects


def read_cycle(rows: Iterable[Sequence[Any]], token: int) -> Cycle:
    """Read an answer: first a row with the summary as JSON, then the claimed notifications.

    Columns: id, bot_id, bot, chat, method, params, at_most_once, attempts, failures, send_in, slot.
    """
    claims = iter(rows)
    summary = json.loads(next(claims)[5])
    claimed = [
        ClaimedNotification(
            id=id_,
            lease_token=token,
            bot_id=bot_id,
            bot=bot,
            chat=chat,
            method=method,
            params=params,
            delivery=DeliveryPolicy.AT_MOST_ONCE if at_most_once else DeliveryPolicy.AT_LEAST_ONCE,
            attempt=attempts,
            failures=failures,
            send_in=send_in,
            slot=slot,
        )
        for id_, bot_id, bot, chat, method, params, at_most_once, attempts, failures, send_in, slot in claims
    ]
    return Cycle(
        claimed=claimed,
        lost=tuple(summary["lost"]),
        ended=summary["ended"],
        postponed=summary["postponed"],
        next_due_in=None if summary["next_due_in"] is None else max(0.0, summary["next_due_in"]),
        suspects=bool(summary["suspects"]),
    )

"""A notification's life as a person reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dovecote.cli.output import NONE, moment, say_facts, say_table
from dovecote.model import DeliveryPolicy

if TYPE_CHECKING:
    from dovecote.model import Attempt, NotificationRecord


def show_life(record: NotificationRecord) -> None:
    """Print what was asked for, where it is, and every attempt."""
    say_facts(
        {
            "id": str(record.id),
            "state": record.state.value,
            "bot": record.bot,
            "chat": record.chat or NONE,
            "method": record.method,
            "parameters": json.dumps(dict(record.params), ensure_ascii=False),
            "key": record.key or NONE,
            "labels": ", ".join(record.labels) or NONE,
            "priority": record.priority.name.lower(),
            "delivery": "at most once" if record.delivery is DeliveryPolicy.AT_MOST_ONCE else "at least once",
            "enqueued": moment(record.enqueued_at),
            "planned": moment(record.planned_at),
            "due": moment(record.due_at),
            "expires": moment(record.expires_at),
            "settled": moment(record.settled_at),
            "lost leases": str(record.lost_leases),
            "error": error_text(record.error_code, record.error),
        }
    )
    if record.attempts:
        say_table(
            ["attempt", "ended", "outcome", "took", "message ids", "error"],
            [_row(attempt) for attempt in record.attempts],
        )


def error_text(code: int | None, error: str | None) -> str:
    """Telegram's words, or ours, with their code."""
    return " ".join(part for part in (str(code or ""), error or "") if part) or NONE


def _row(attempt: Attempt) -> list[str]:
    return [
        str(attempt.number),
        moment(attempt.ended_at),
        attempt.outcome,
        NONE if attempt.took is None else f"{attempt.took:.3f} s",
        ", ".join(map(str, attempt.message_ids)) or NONE,
        error_text(attempt.error_code, attempt.error),
    ]

"""A notification's life as a person reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dovecote.cli.output import NONE, moment, say_facts, say_table
from dovecote.model import DeliveryPolicy, State, WaitReason

if TYPE_CHECKING:
    from dovecote.model import AttachedFile, Attempt, NotificationRecord


WAITS = {
    WaitReason.SCHEDULED: "scheduled for {until}",
    WaitReason.BACKOFF: "in backoff after {detail}, until {until}",
    WaitReason.SNOOZED: "told to wait until {until}: {detail}",
    WaitReason.BLOCKED: "blocked by {behind} of its chat, which is {detail} until {until}",
    WaitReason.QUIET_HOURS: "for its recipient's quiet hours, until {until}",
    WaitReason.CHAT_LIMIT: "at the limit of its chat until {until}",
    WaitReason.CHAT_HALTED: "Telegram told its chat to wait until {until} (429)",
    WaitReason.UPLOAD: "another one uploads the same file; until {until} at the latest",
    WaitReason.TURN: "its turn in its chat comes at {until}",
    WaitReason.STOPPED: "its bot is stopped: {detail}",
    WaitReason.HALTED: "Telegram told its bot to wait until {until} (429)",
    WaitReason.PACED: "paced: the next slot of its bot is at {until}",
}
NOTHING_HOLDS_IT = "for nothing: a worker's next claim takes it"


def show_life(record: NotificationRecord) -> None:
    """Print what was asked for, where it is, and every attempt."""
    say_facts(
        {
            "id": str(record.id),
            "state": record.state.value,
            **_waits(record),
            "bot": record.bot,
            "chat": record.chat or NONE,
            "method": record.method,
            "parameters": _parameters(record),
            **_attachments(record),
            "key": record.key or NONE,
            "labels": ", ".join(record.labels) or NONE,
            "category": record.category or NONE,
            **({} if record.quiet is None else {"quiet hours": str(record.quiet)}),
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


def _parameters(record: NotificationRecord) -> str:
    if record.payload_removed_at is not None:
        return f"removed at {moment(record.payload_removed_at)}; it cannot be sent again"
    return json.dumps(dict(record.params), ensure_ascii=False)


def _waits(record: NotificationRecord) -> dict[str, str]:
    """Why it is not sent now, for what is in the outbox and in no worker's hands."""
    if record.state not in {State.SCHEDULED, State.DUE}:
        return {}
    holds = [
        WAITS[each.reason].format(until=moment(each.until), behind=each.behind, detail=each.detail)
        for each in record.waits_for
    ]
    return {"waits": "; ".join(holds) or NOTHING_HOLDS_IT}


def _attachments(record: NotificationRecord) -> dict[str, str]:
    """The stored files that it sends."""
    if not record.attachments:
        return {}
    return {"attachments": "; ".join(map(_attachment, record.attachments))}


def _attachment(file: AttachedFile) -> str:
    if file.size is None:
        return f"{file.field}: file {file.file_id}, which is gone"
    name = "" if file.name is None else f' "{file.name}"'
    return f"{file.field}: file {file.file_id}{name}, {file.content_type}, {file.size} bytes"


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

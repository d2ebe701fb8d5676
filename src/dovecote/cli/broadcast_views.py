"""How broadcasts, their previews and their records are shown."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TextIO

from dovecote.cli.output import NONE, moment, number, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from dovecote.model import Added, BroadcastRecord, Estimate, RecipientRecord, Rendering

COLUMNS = (
    *("chat", "state", "locale", "notification_id", "enqueued_at", "settled_at", "error_code", "error"),
    *("message_ids", "variables"),
)
MOST_ERRORS = 10
SECOND = timedelta(seconds=1)


def broadcast_json(record: BroadcastRecord) -> dict[str, Any]:
    """A broadcast for programs."""
    given = record.broadcast
    return {
        "id": record.id,
        "name": given.name,
        "bot": given.bot,
        "kind": record.kind,
        "of": record.of,
        "state": record.state,
        "reason": record.reason,
        "method": given.method,
        "text": given.text,
        "template": given.template,
        "locales": sorted(given.locales),
        "priority": given.priority,
        "counts": record.counts,
        "rate": record.rate,
        "ends_in": None if record.ends_in is None else round(record.ends_in.total_seconds(), 1),
        "errors": record.errors,
        "created_at": record.created_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "expires_at": given.expires_at,
    }


def broadcast_facts(record: BroadcastRecord) -> dict[str, str]:
    """A broadcast for people."""
    given, counts = record.broadcast, record.counts
    facts = {"name": given.name, "bot": given.bot}
    if record.of is not None:
        facts[f"{record.kind} of"] = record.of
    state = str(record.state) if record.reason is None else f"{record.state} ({record.reason})"
    facts |= {"state": state, "method": given.method}
    if given.text is not None and record.kind != "recall":
        facts["text"] = given.text
    if given.locales:
        facts["locales"] = ", ".join(sorted(given.locales))
    facts["recipients"] = number(counts.recipients)
    for name in ("waiting", "enqueued", "delivered", "dead", "unknown", "suppressed", "cancelled"):
        count = getattr(counts, name)
        if count:
            blocked = f" ({number(counts.blocked)} of them blocked)" if name == "dead" and counts.blocked else ""
            facts[name] = f"{number(count)}{blocked}"
    facts["progress"] = progress_text(record)
    if record.rate is not None:
        facts["rate"] = f"{number(round(record.rate, 1))}/s"
    for name in ("created_at", "started_at", "finished_at"):
        if getattr(record, name) is not None:
            facts[name.replace("_at", "")] = moment(getattr(record, name))
    if given.expires_at is not None:
        facts["expires"] = moment(given.expires_at)
    return facts


def error_rows(record: BroadcastRecord) -> list[list[str]]:
    """The commonest errors."""
    return [[number(count), error] for error, count in list(record.errors.items())[:MOST_ERRORS]]


def progress_text(record: BroadcastRecord) -> str:
    """How far it is, and when it ends."""
    counts = record.counts
    if not counts.recipients:
        return "no recipients"
    if record.state.value == "cancelled":  # All are settled then, and hardly done.
        return f"{number(counts.delivered)} of {number(counts.recipients)} delivered"
    done = f"{100 * counts.settled / counts.recipients:.1f}%"
    return done if record.ends_in is None else f"{done}, {span(record.ends_in)} left"


def span(duration: timedelta) -> str:
    """A time for people."""
    return str(timedelta(seconds=round(duration.total_seconds())))


def added_text(added: Added) -> str:
    """What came of adding recipients."""
    parts = [f"{recipients_text(added.added)} added"]
    if added.repeated:
        parts.append(f"{number(added.repeated)} were there already")
    if added.bad:
        parts.append(f"{number(added.bad)} bad")
    return ", ".join(parts) + "."


def recipients_text(count: int) -> str:
    """How many recipients."""
    return "1 recipient" if count == 1 else f"{number(count)} recipients"


def estimate_text(estimate: Estimate) -> str:
    """What a start would mean."""
    count = recipients_text(estimate.recipients)
    if estimate.takes is None:
        takes = "as fast as the server answers"
    else:
        takes = f"about {span(estimate.takes)}" if estimate.takes >= SECOND else "less than a second"
    off = f" {number(estimate.suppressed)} more are disabled and get nothing." if estimate.suppressed else ""
    cost = ""
    if estimate.stars_per_day is not None:
        budget = number(estimate.stars_per_day)
        cost = f" It costs {number(estimate.stars)} Stars at most, and no more than {budget} a day."
    return f"{count}, {takes}.{off}{cost}"


def rendering_rows(found: Sequence[Rendering]) -> list[list[str]]:
    """What recipients would get."""
    return [
        [
            each.chat,
            each.locale or NONE,
            str(each.params.get("text") or each.params.get("caption") or json.dumps(plain(dict(each.params))))
            if each.problem is None
            else f"refused: {each.problem}",
        ]
        for each in found
    ]


async def write_csv(found: AsyncIterator[RecipientRecord], file: TextIO) -> int:
    """Write the record as CSV, and answer how many recipients it has."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    async for recipient in found:
        row = _row(recipient)
        row["message_ids"] = " ".join(map(str, recipient.message_ids))
        row["variables"] = json.dumps(row["variables"], ensure_ascii=False) if row["variables"] else None
        writer.writerow([_harmless(row[name]) for name in COLUMNS])
        count += 1
    return count


async def write_json_lines(found: AsyncIterator[RecipientRecord], file: TextIO) -> int:
    """Write the record as one JSON object a line, and answer how many recipients it has."""
    count = 0
    async for recipient in found:
        file.write(json.dumps(_row(recipient), ensure_ascii=False) + "\n")
        count += 1
    return count


def _row(recipient: RecipientRecord) -> dict[str, Any]:
    return {name: plain(getattr(recipient, name)) for name in COLUMNS}


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: words of others stand in it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "@", "\t", "\r"} else value

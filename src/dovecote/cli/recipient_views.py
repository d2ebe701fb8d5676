"""A recipient as a person and a program read it."""

from __future__ import annotations

import csv
import dataclasses
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO

from dovecote.cli.output import NONE, moment, number, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterator

    from dovecote.model import Erased, Recipient


class FormatChoice(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSON_LINES = "jsonl"


def recipient_json(recipient: Recipient) -> dict[str, Any]:
    """A recipient for programs: all its fields, quiet hours as text."""
    known = {field.name: getattr(recipient, field.name) for field in dataclasses.fields(recipient)}
    hours = recipient.quiet_hours
    return {**known, "quiet_hours": None if hours is None else str(hours)}


def recipient_row(recipient: Recipient) -> list[str]:
    """A row of the list."""
    return [
        recipient.chat,
        moment(recipient.disabled_at),
        recipient.reason or NONE,
        recipient.zone or NONE,
        recipient.language or NONE,
        ", ".join(recipient.labels) or NONE,
        ", ".join(recipient.opted_out) or NONE,
    ]


def recipient_facts(recipient: Recipient) -> dict[str, str]:
    """Everything, with a name for each."""
    return {
        "bot": recipient.bot,
        "chat": recipient.chat,
        "disabled": moment(recipient.disabled_at),
        "reason": recipient.reason or NONE,
        "zone": recipient.zone or NONE,
        "language": recipient.language or NONE,
        "labels": ", ".join(recipient.labels) or NONE,
        "opted out": ", ".join(recipient.opted_out) or NONE,
        "quiet hours": NONE if recipient.quiet_hours is None else str(recipient.quiet_hours),
        "told of": moment(recipient.told_at),
        "seen": moment(recipient.seen_at),
        "delivered": moment(recipient.delivered_at),
        "blocked": moment(recipient.blocked_at),
    }


def _line(recipient: Recipient) -> dict[str, Any]:
    known = plain(recipient_json(recipient))
    return {"chat_id": known.pop("chat"), **known}


async def write_csv(recipients: AsyncIterable[Recipient], file: TextIO) -> int:
    """Write a header and a row for each, and answer how many there are. Lists have commas in them, or are JSON."""
    count = 0
    writer = csv.writer(file, lineterminator="\n")
    async for recipient in recipients:
        line = _line(recipient)
        if not count:
            writer.writerow(line)
        writer.writerow([_cell(value) for value in line.values()])
        count += 1
    return count


def _cell(value: object) -> str:
    if isinstance(value, list):
        plain_items = all("," not in item and item == item.strip() and not item.startswith("[") for item in value)
        return ",".join(value) if plain_items else json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


async def write_json_lines(recipients: AsyncIterable[Recipient], file: TextIO) -> int:
    """Write a line of JSON for each, and answer how many there are."""
    count = 0
    async for recipient in recipients:
        file.write(json.dumps(_line(recipient), ensure_ascii=False) + "\n")
        count += 1
    return count


def erased_text(erased: Erased) -> str:
    """What was erased, in a sentence."""
    return (
        f"Erased: {number(erased.notifications)} that waited, {number(erased.history)} of the history,"
        f" {number(erased.broadcasts)} places in broadcasts, {number(erased.keys)} keys,"
        f" {number(erased.schedules_changed)} places in schedules, {number(len(erased.files))} files."
    )


def left_to_you(erased: Erased) -> Iterator[str]:
    """What only a person can judge."""
    if erased.kept_files:
        ids = ", ".join(map(str, erased.kept_files))
        yield f"These files were sent to it and are kept until you delete them (`dovecote file delete ID`): {ids}"
    if erased.schedules:
        yield f"These schedules for it alone stand in the settings file; take them out: {', '.join(erased.schedules)}"
    if erased.jobs:
        yield f"These jobs hold its number (`dovecote job list`): {', '.join(erased.jobs)}"

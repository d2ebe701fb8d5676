"""A recipient as a person and a program read it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from dovecote.cli.output import NONE, moment

if TYPE_CHECKING:
    from dovecote.model import Recipient


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

"""Broadcasts: one content for many recipients, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dovecote.model.notification import DeliveryPolicy, Priority
from dovecote.model.recipient import Quiet


class BroadcastState(StrEnum):
    """Where a broadcast is in its life."""

    DRAFT = "draft"
    """Recipients may be added; nothing is sent."""
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class BroadcastKind(StrEnum):
    """What a broadcast does: it sends, or it undoes or changes what another has sent."""

    SEND = "send"
    RECALL = "recall"
    EDIT = "edit"


class RecipientState(StrEnum):
    """Where one recipient of a broadcast is."""

    WAITING = "waiting"
    ENQUEUED = "enqueued"
    """It has a notification in the outbox, or one whose outcome has not been read yet."""
    DELIVERED = "delivered"
    DEAD = "dead"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    """It was disabled, or has opted out of the category, so nothing was sent."""
    CANCELLED = "cancelled"
    """Its notification was taken back when the broadcast was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """When a broadcast pauses itself: shares of what was settled lately, in groups of at least `sample`.

    `blocks` is the share that may be refused because the recipient takes nothing (blocked, deactivated), `errors` the
    share that may end with one same error. None switches one off.
    """

    blocks: float | None = 0.5
    errors: float | None = 0.2
    sample: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """One content for many recipients. Its recipients are added apart.

    `text`, `method` and `params` are as in `Notification`. `locales` has, for a locale such as `pt` or `pt-BR`, the
    parameters that are others there. With `template` the texts are Jinja2 templates, rendered for each recipient.
    What is not sent by `expires_at` is not sent at all. `category` and `quiet` are as in `Notification`.
    """

    name: str
    bot: str
    text: str | None = None
    method: str = "sendMessage"
    params: Mapping[str, Any] = field(default_factory=dict)
    locales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    template: bool = False
    priority: Priority = Priority.BULK
    delivery: DeliveryPolicy = DeliveryPolicy.AT_LEAST_ONCE
    labels: Sequence[str] = ()
    category: str | None = None
    quiet: Quiet | None = None
    expires_at: datetime | None = None
    brake: Brake = field(default_factory=Brake)


@dataclass(frozen=True, slots=True)
class Addressee:
    """A recipient as it is added: a chat, its locale, and what a template may say of it."""

    chat_id: int | str
    locale: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Segment:
    """Recipients that the bot was told of and that are not disabled; of these, those for whom all of it is so.

    `zones`: it lives in one of them. `labels`: it has all of them. `languages`: it reads one of them, where `pt` is
    `pt-BR` as well. `category`: it has not opted out of that one. `seen_since`: it was seen then or later.
    """

    zones: Sequence[str] | None = None
    labels: Sequence[str] = ()
    languages: Sequence[str] = ()
    category: str | None = None
    seen_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of a source that is no recipient. `line` counts from 1, the header of a CSV file included."""

    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class Added:
    """What came of adding recipients: new ones, ones that were there already, bad lines (the first of them named)."""

    added: int = 0
    repeated: int = 0
    bad: int = 0
    bad_lines: Sequence[BadLine] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import: lines that were taken, and bad ones, of which the first are named."""

    taken: int = 0
    bad: int = 0
    bad_lines: Sequence[BadLine] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastCounts:
    """Recipients by what became of them. `blocked` are those of `dead` that take nothing more."""

    recipients: int = 0
    waiting: int = 0
    enqueued: int = 0
    delivered: int = 0
    dead: int = 0
    blocked: int = 0
    unknown: int = 0
    suppressed: int = 0
    cancelled: int = 0

    @property
    def settled(self) -> int:
        """Those for whom nothing more happens."""
        return self.delivered + self.dead + self.unknown + self.suppressed + self.cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastRecord:
    """A broadcast as it stands. `rate` is recipients settled per second lately, None before there is one.

    `of` is the broadcast that a recall or an edit is about. `reason` says why it is paused. `errors` counts how many
    recipients ended with each error, the commonest first.
    """

    id: int
    broadcast: Broadcast
    kind: BroadcastKind
    of: str | None
    state: BroadcastState
    reason: str | None
    counts: BroadcastCounts
    rate: float | None
    errors: Mapping[str, int]
    created_at: datetime
    changed_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def ends_in(self) -> timedelta | None:
        """How long the rest takes at this rate; None where nobody can tell."""
        left = self.counts.waiting + self.counts.enqueued
        if self.state is not BroadcastState.RUNNING or not self.rate:
            return None
        return timedelta(seconds=left / self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientRecord:
    """Who got it and when, who did not and why."""

    chat: str
    state: RecipientState
    locale: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    notification_id: int | None = None
    enqueued_at: datetime | None = None
    settled_at: datetime | None = None
    error_code: int | None = None
    error: str | None = None
    message_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Before the start: whom it reaches, how long it takes at the bot's pace, what it may cost.

    `suppressed` get nothing: they are disabled, or have opted out of its category. `takes` is None for a bot without
    a pace. `stars` is the most that Telegram can charge, `stars_per_day` the budget that holds, None where nothing is
    paid for.
    """

    recipients: int
    suppressed: int
    takes: timedelta | None
    stars: float
    stars_per_day: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What one recipient would get, or in `problem` why not."""

    chat: str
    locale: str | None
    method: str
    params: Mapping[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a dry run found: how many texts were looked at, how many would be refused, and the first of those."""

    looked_at: int
    refused: int
    refusals: Sequence[Rendering] = ()


@dataclass(frozen=True, slots=True)
class StoredContent:
    """The content of a broadcast as the database has it. `form` is JSON text."""

    id: int
    form: str
    kind: BroadcastKind


@dataclass(frozen=True, slots=True)
class Advanced:
    """What one turn of a broadcast did: how many recipients it moved, whether there is more to do at once."""

    moved: int
    more: bool

"""Notifications, bots, claims, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from dovecote.model.attachments import AttachedFile
from dovecote.model.recipient import Quiet


class Priority(IntEnum):
    """The lower the number, the more urgent. An urgent notification overtakes any backlog of its bot."""

    URGENT = 0
    NORMAL = 1
    BULK = 2


class DeliveryPolicy(StrEnum):
    """What happens to a notification that may or may not have arrived."""

    AT_LEAST_ONCE = "at_least_once"
    """It is sent again, as a possible second copy."""
    AT_MOST_ONCE = "at_most_once"
    """It is kept as `unknown` and never sent again by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message to one recipient: a Bot API method and its parameters, and how to deliver it.

    `params` is open: whatever the Bot API takes, today or next year. `text` is a short form for
    `params["text"]`. `chat_id` is a number, an `@channel`, or None for a method without a chat.
    `due_at` and `expires_at` carry a zone. `key` makes enqueuing idempotent within one bot. A recipient that has opted
    out of its `category` gets nothing; `quiet` is what the recipient's quiet hours mean for it, None for what they say.
    """

    bot: str
    chat_id: int | str | None = None
    text: str | None = None
    method: str = "sendMessage"
    params: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    priority: Priority = Priority.NORMAL
    due_at: datetime | None = None
    expires_at: datetime | None = None
    delivery: DeliveryPolicy = DeliveryPolicy.AT_LEAST_ONCE
    labels: Sequence[str] = ()
    category: str | None = None
    quiet: Quiet | None = None


class ClaimedNotification(NamedTuple):
    """A notification under a lease: what is needed to send it, and the lease token that settles it.

    `params` is JSON text without `chat_id`. `send_in` is the wait until its slot, in seconds from the moment the
    claim was answered: a delay and not a time of day, so that a worker with a wrong clock keeps the pace.
    `paid_day` is the day, counted from 1970 in UTC, whose budget of Stars pays for it; None where it costs none.
    `refusals` are those of its failures that Telegram itself answered, `moves` how often its group has moved.
    With `silent` it is sent without a sound, for the quiet hours of its recipient.
    """

    id: int
    lease_token: int
    bot_id: int
    bot: str
    chat: str | None
    method: str
    params: str
    delivery: DeliveryPolicy
    attempt: int
    failures: int
    send_in: float
    slot: int | None
    paid_day: int | None = None
    refusals: int = 0
    moves: int = 0
    silent: bool = False

    @property
    def paid(self) -> bool:
        """Whether it is sent as a paid broadcast: a Star's tenth was granted for each message of it."""
        return self.paid_day is not None


class Scope(StrEnum):
    """Who waits."""

    BOT = "bot"
    CHAT = "chat"
    NOTIFICATION = "notification"
    """No 429 at all: this worker cannot send it just now, and perhaps another can."""


class Refusal(StrEnum):
    """Why a recipient takes nothing more, until it is enabled again."""

    BLOCKED = "blocked"
    DEACTIVATED = "deactivated"
    NOT_STARTED = "not_started"
    REMOVED = "removed"
    NOT_FOUND = "not_found"
    """Known to be false at times: only the third in a row disables the recipient."""
    RESTRICTED = "restricted"
    TOPIC_CLOSED = "topic_closed"
    """Of one topic of the chat; the others go on."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Telegram accepted it. An album has several message ids, an edit or a deletion may have none."""

    message_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Snoozed:
    """Telegram said 429: not now. No attempt is spent; the bot (or the chat) waits in every worker."""

    retry_after: timedelta
    scope: Scope = Scope.BOT
    error: str = ""


class FileFault(StrEnum):
    """What Telegram has against the way in which a file was given to it."""

    UNKNOWN_ID = "unknown_id"
    """The `file_id` is not one of this bot's, or of none."""
    NOT_FETCHED = "not_fetched"
    """It could not fetch the URL."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It was certainly not delivered and may be tried again: connection refused, no connection free.

    `retries` bounds how often after answers of this kind, below the policy's own bound of all failures.
    """

    error: str
    error_code: int | None = None
    retries: int | None = None
    file: FileFault | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been delivered and nobody can tell. The notification's delivery policy decides.

    `again` is false where even an at-least-once one is not to be sent again by itself.
    """

    error: str
    error_code: int | None = None
    again: bool = True


@dataclass(frozen=True, slots=True)
class Dead:
    """Telegram refused it for good, in its own words. `refusal` says that it refuses the recipient as well.

    `file` says that it would take the same file given in another way.
    """

    error: str
    error_code: int | None = None
    refusal: Refusal | None = None
    file: FileFault | None = None


@dataclass(frozen=True, slots=True)
class Migrated:
    """The group has become a supergroup, `chat`: it is sent again there, and what waits for the old chat moves."""

    chat: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class BotStopped:
    """Telegram refuses the bot itself (a revoked token): its notifications wait, none is lost."""

    error: str
    error_code: int | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """It was claimed and never tried (drain, a lease too short to start): due again after `due_in`, nothing is spent.

    `due_in` is above zero where it waits for another's upload of the same file.
    """

    due_in: timedelta = timedelta(0)


Outcome = Delivered | Snoozed | Failed | Unknown | Dead | Migrated | BotStopped | Released


class Settlement(NamedTuple):
    """The outcome of one claimed notification, fenced by its lease token.

    `retry_in` says what becomes of a `Failed` or `Unknown` one: due again after it, or, when None, out of the
    outbox (failed → dead, unknown → unknown). For the other outcomes it has no meaning. `took` is the seconds
    that the request took.
    """

    claimed: ClaimedNotification
    outcome: Outcome
    retry_in: timedelta | None = None
    took: float = 0.0


def eventful(settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """Those whose outcome says something of the bot, the chat or the recipient: all but plain deliveries."""
    return [settlement for settlement in settlements if type(settlement.outcome) is not Delivered]


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle did and found.

    `lost` are the ids whose lease was another's by now: their settlements changed no state. `ended` counts what
    the claim itself took out of the outbox, by reason (`expired`, `unknown`, `poison`). `postponed` is how many
    were given a later due time, being blocked or for quiet hours. `next_due_in` is the seconds until there may be
    something to claim, None when nothing is waiting; it is 0 when this claim left due work behind. `suspects` says that
    a notification which has lost two workers is due and must be claimed alone.
    """

    claimed: Sequence[ClaimedNotification]
    lost: Sequence[int] = ()
    ended: Mapping[str, int] = field(default_factory=dict)
    postponed: int = 0
    next_due_in: float | None = None
    suspects: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """A sender: a token and its limits. The token is never part of its repr.

    Exactly one of `token_sealed` (encrypted) and `token_variable` (the name of an environment variable) is set.
    `pace` is messages per second, None for no limit (only for a local server). `private_limit` and `group_limit`
    are (messages, seconds) per chat, or None for no limit. `paid_pace` is messages per second while Stars pay for
    what is beyond `pace`, None for never; `stars_per_day` bounds what they may cost, `stars_spent` is what was granted
    since midnight in UTC. `zone` is that of recipients whose own nobody knows.
    """

    id: int
    name: str
    token_sealed: str | None = field(default=None, repr=False)
    token_variable: str | None = None
    pace: float | None = 30.0
    private_limit: tuple[int, float] | None = (3, 3.0)
    group_limit: tuple[int, float] | None = (20, 60.0)
    paid_pace: float | None = None
    stars_per_day: int | None = None
    stars_spent: float = 0.0
    created_at: datetime
    halted_until: datetime | None = None
    stopped_reason: str | None = None
    slots_given: int = 0
    zone: str | None = None


class State(StrEnum):
    """Where a notification is in its life. The first three are in the outbox, the others in the history."""

    SCHEDULED = "scheduled"
    DUE = "due"
    LEASED = "leased"
    DELIVERED = "delivered"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One counted try. `outcome` is an outcome's name, or `lost` for a lease that ran out unsettled."""

    number: int
    outcome: str
    ended_at: datetime
    took: float | None = None
    error_code: int | None = None
    error: str | None = None
    message_ids: tuple[int, ...] = ()


class WaitReason(StrEnum):
    """Why a notification in the outbox is not sent now."""

    SCHEDULED = "scheduled"
    """It was enqueued for later."""
    BACKOFF = "backoff"
    """It has failed and is tried again later. `detail`: how often."""
    SNOOZED = "snoozed"
    """Telegram told this one to wait, or its worker could not read the token. `detail`: in which words."""
    BLOCKED = "blocked"
    """Another one of its chat comes before it: `behind`. `detail`: whether that one is leased or waiting."""
    QUIET_HOURS = "quiet_hours"
    """Its recipient's quiet hours."""
    CHAT_LIMIT = "chat_limit"
    """The limit of its chat."""
    CHAT_HALTED = "chat_halted"
    """Telegram told its chat to wait."""
    UPLOAD = "upload"
    """Another one uploads the same file; it is sent when that is done, or at the latest then."""
    TURN = "turn"
    """It was put behind others of its chat that are gone since, and its turn comes at that time."""
    STOPPED = "stopped"
    """Telegram refuses its bot. `detail`: in which words."""
    HALTED = "halted"
    """Telegram told its bot to wait."""
    PACED = "paced"
    """It is due; the slots of its bot until then are given to others."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that keeps a notification from being sent now.

    `until` is when that ends as far as is known: for `BLOCKED`, when `behind` is due, or its lease ends.
    """

    reason: WaitReason
    until: datetime | None = None
    behind: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRecord:
    """A notification's life so far: what was asked for, where it is, every attempt.

    `waits_for` is everything that holds it back now; it is empty for one that is due with nothing before it, for a
    leased one, for a settled one, and in lists. `attachments` are the stored files that it sends, also only there.
    `payload_removed_at` is since when the parameters are gone, for retention or because its recipient was erased; such
    a one cannot be sent again.
    """

    id: int
    bot: str
    chat: str | None
    method: str
    params: Mapping[str, Any]
    priority: Priority
    delivery: DeliveryPolicy
    key: str | None
    labels: tuple[str, ...]
    state: State
    enqueued_at: datetime
    planned_at: datetime
    due_at: datetime | None
    expires_at: datetime | None
    settled_at: datetime | None
    lost_leases: int
    attempts: Sequence[Attempt]
    category: str | None = None
    quiet: Quiet | None = None
    error_code: int | None = None
    error: str | None = None
    waits_for: tuple[Waiting, ...] = ()
    attachments: tuple[AttachedFile, ...] = ()
    payload_removed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The outbox and its history in numbers.

    `oldest_due` is the age in seconds of the oldest due notification, `stars_spent` what paid broadcasts were granted
    since midnight in UTC.
    """

    due: int
    scheduled: int
    leased: int
    oldest_due: float | None
    delivered: int
    dead: int
    unknown: int
    stars_spent: float = 0.0

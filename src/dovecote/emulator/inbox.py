"""The updates that wait for a bot: which of them it wants, and who fetches them, getUpdates or a webhook.

An update that the bot does not want when it comes is none, as at Telegram: asking for its kind later brings nothing
back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from dovecote.emulator.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS: Final = (
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "guest_message",
    "message_reaction",
    "message_reaction_count",
    "inline_query",
    "chosen_inline_result",
    "callback_query",
    "shipping_query",
    "pre_checkout_query",
    "purchased_paid_media",
    "poll",
    "poll_answer",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
    "managed_bot",
    "subscription",
    "stopped_message_generation",
)
# These have to be asked for by name.
UNASKED: Final = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
WANTED: Final = frozenset(KINDS) - UNASKED
FIRST_UPDATE: Final = 100_000_001
LARGEST_BACKLOG: Final = 100_000
"""Updates that nobody fetches: more of them and the oldest go, as they do at Telegram after a day."""

OTHER_POLL: Final = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_SET: Final = "Conflict: terminated by setWebhook request"
WEBHOOK_ACTIVE: Final = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)


@dataclass(frozen=True, slots=True)
class Update:
    """One update. `queue` is the chat or the user that it is about: a webhook gets those of one in order."""

    id: int
    kind: str
    queue: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a bot wants its updates posted."""

    url: str
    secret_token: str = ""
    max_connections: int = 40
    ip_address: str = ""
    has_certificate: bool = False


@dataclass(slots=True)
class Inbox:
    """One bot's updates. `added` is told of each new one while there is a webhook."""

    pending: dict[int, Update] = field(default_factory=dict)
    allowed: frozenset[str] = WANTED
    webhook: Webhook | None = None
    added: Callable[[Update], None] | None = None
    last_error: tuple[int, str] | None = None
    _last: int = FIRST_UPDATE - 1
    _poll: asyncio.Future[Refusal | None] | None = None

    def put(self, kind: str, content: dict[str, Any], queue: int) -> dict[str, Any] | None:
        """Add an update and answer it; None when the bot does not want its kind."""
        if kind not in self.allowed:
            return None
        self._last += 1
        update = Update(self._last, kind, queue, {"update_id": self._last, kind: content})
        self.pending[update.id] = update
        if len(self.pending) > LARGEST_BACKLOG:
            del self.pending[next(iter(self.pending))]
        if self.added is not None:
            self.added(update)
        self.wake()
        return update.document

    def allow(self, given: Any) -> None:
        """Take the parameter `allowed_updates`; what is no list of kinds changes nothing, as at Telegram."""
        if isinstance(given, str):
            try:
                given = orjson.loads(given)
            except orjson.JSONDecodeError:
                return
        if isinstance(given, list) and all(kind in KINDS for kind in given):
            self.allowed = frozenset(given) or WANTED

    def confirm(self, offset: int) -> None:
        """Forget what a getUpdates with this offset has confirmed; a negative one keeps so many of the last."""
        if offset < 0:
            for gone in list(self.pending)[:offset]:
                del self.pending[gone]
        elif offset <= self._last + 1:
            for gone in [number for number in self.pending if number < offset]:
                del self.pending[gone]

    def first(self, limit: int) -> list[dict[str, Any]]:
        """Up to `limit` updates, the oldest first."""
        updates = iter(self.pending.values())
        return [update.document for _, update in zip(range(limit), updates, strict=False)]

    def check_polling(self) -> None:
        """Raises Refusal (409) while there is a webhook."""
        if self.webhook is not None:
            raise Refusal(409, WEBHOOK_ACTIVE)

    def begin_poll(self) -> asyncio.Future[Refusal | None]:
        """Wait for an update, in place of whoever waits now: that one is refused. The result is a refusal, or none."""
        self._end_poll(Refusal(409, OTHER_POLL))
        self._poll = asyncio.get_running_loop().create_future()
        return self._poll

    def wake(self) -> None:
        """Let whoever waits have what there is."""
        self._end_poll(None)

    def end_poll(self, poll: asyncio.Future[Refusal | None]) -> None:
        """Whoever waited has left."""
        if self._poll is poll:
            self._poll = None

    def set_webhook(self, webhook: Webhook | None) -> None:
        """Have updates posted there, or fetched again."""
        if webhook is not None:
            self._end_poll(Refusal(409, WEBHOOK_SET))
        self.webhook = webhook
        self.added = None
        self.last_error = None

    def _end_poll(self, refusal: Refusal | None) -> None:
        poll, self._poll = self._poll, None
        if poll is not None and not poll.done():
            poll.set_result(refusal)


class Inboxes(dict[int, Inbox]):
    """By the bot's id; every bot has one. `changed` is told when a bot's webhook was set or deleted."""

    changed: Callable[[int, Inbox], None]

    def wake(self) -> None:
        """End every wait for an update, with none."""
        for inbox in self.values():
            inbox.wake()

    def __missing__(self, bot_id: int) -> Inbox:
        inbox = self[bot_id] = Inbox()
        return inbox

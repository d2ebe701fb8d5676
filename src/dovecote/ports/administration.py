"""What an operator asks for: bots, the life of notifications, recipients, and what is past its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from dovecote.model import (
        Bot,
        BotRetention,
        DatabaseVitals,
        Erased,
        NotificationRecord,
        OldSnapshot,
        Overview,
        Pruned,
        Recipient,
        RecipientChange,
        Retention,
        Selection,
        State,
        Stats,
    )


class BotStore(Protocol):
    """The bots: their tokens (sealed), their limits."""

    async def add_bot(
        self,
        name: str,
        *,
        token_sealed: str | None = None,
        token_variable: str | None = None,
        pace: float | None = 30.0,
        private_limit: tuple[int, float] | None = (3, 3.0),
        group_limit: tuple[int, float] | None = (20, 60.0),
    ) -> Bot:
        """Add a bot. Raises BotExists if there is one of that name already."""

    async def bots(self) -> Sequence[Bot]:
        """All bots, by name."""

    async def set_token(self, name: str, *, token_sealed: str | None, token_variable: str | None) -> None:
        """Replace the token and start the bot again if it was stopped. Raises UnknownBot."""

    async def reseal(self, name: str, token_sealed: str) -> None:
        """Replace the sealed form of the same token; a stopped bot stays stopped. Raises UnknownBot."""

    async def set_zone(self, name: str, zone: str | None) -> None:
        """Set the zone of recipients whose own nobody knows. Raises UnknownBot."""

    async def set_limits(
        self,
        name: str,
        *,
        pace: float | None,
        private_limit: tuple[int, float] | None,
        group_limit: tuple[int, float] | None,
    ) -> None:
        """Replace the limits; workers keep to them from their next claim. Raises UnknownBot."""

    async def set_paid_broadcasts(self, name: str, *, pace: float | None, stars_per_day: int | None) -> None:
        """Let it send up to `pace` messages a second for at most so many Stars a day (UTC); None for both: never.

        Workers keep to it from their next claim. Raises UnknownBot.
        """


class HistoryStore(Protocol):
    """What an operator reads and mends."""

    async def notification(self, notification_id: int) -> NotificationRecord:
        """One notification's life so far. Raises UnknownNotification."""

    async def id_of_key(self, bot: str, key: str) -> int | None:
        """The notification that was enqueued with that key, while the key is remembered. Raises UnknownBot."""

    async def settled(
        self, state: State, selection: Selection, *, before_id: int | None = None, limit: int = 50
    ) -> Sequence[NotificationRecord]:
        """Dead letters, unknowns or delivered ones, the newest first, a page at a time. Raises UnknownBot."""

    async def replay(self, ids: Sequence[int], *, due_in: timedelta) -> Sequence[int]:
        """Make these dead letters due again, with a fresh count of failures; answers the ids that were dead."""

    async def purge(self, state: State, ids: Sequence[int]) -> Sequence[int]:
        """Forget these, which are in that state, and their attempts; answers which they were. Keys stay known."""

    async def resolve_unknown(self, ids: Sequence[int], *, delivered: bool) -> Sequence[int]:
        """Take an operator's word for these unknown ones: they were delivered, or they are due again.

        What was delivered says so in the attempt that was unknown, with the time. What is sent again keeps its id and
        its attempts, with a fresh count of failures. Answers the ids that were unknown.
        """

    async def stats(self, *, bot: str | None = None) -> Stats:
        """The outbox and its history in numbers. Raises UnknownBot."""

    async def clock(self) -> datetime:
        """The store's time."""


class RecipientStore(Protocol):
    """The chats of the bots: which take nothing more, and what holds one up.

    A chat is a number or an @name, or a topic of one as chat/thread, as the outbox holds it.
    """

    async def disabled(self, bot: str, *, before_chat: str | None = None, limit: int = 50) -> Sequence[Recipient]:
        """The disabled ones of a bot, from the last chat to the first in byte order, a page at a time.

        Raises UnknownBot.
        """

    async def enable(self, bot: str, chat: str) -> bool:
        """Let it be sent to again, and forget its refusals; answers whether it was disabled. Raises UnknownBot.

        What is known of where it lives stays.
        """

    async def welcome(self, bot: str, chat: str) -> bool:
        """The same, and it is told of and was seen now; the zone that it has stays. Raises UnknownBot."""

    async def move(self, bot: str, old: str, new: str) -> int:
        """Let a recipient be another chat, with what waits for it and is not leased; answers how much that was.

        What is known of the new chat already is stronger. In bounded transactions. Raises UnknownBot.
        """

    async def disable(self, bot: str, chat: str, reason: str) -> bool:
        """Let nothing more be sent to it. Answers whether it was enabled until now; if not, the reason is replaced.

        Raises UnknownBot.
        """

    async def unblock(self, bot: str, chat: str) -> int:
        """Make due now what waits for its turn in a chat, for a retry or for a 429; answers how many.

        What is leased, and what was enqueued for later, stays as it is. In bounded transactions. Raises UnknownBot.
        """


class RecipientBook(Protocol):
    """What is known of the chats of the bots."""

    async def tell(self, bot: str, changes: Sequence[RecipientChange]) -> None:
        """Write what is told of recipients in one transaction; from now on they are recipients of what goes to all.

        Of two changes of one chat the later stands. An earlier instant never replaces when one was seen.
        Raises UnknownBot.
        """

    async def get(self, bot: str, chat: str) -> Recipient:
        """What is known of one. Raises UnknownBot, UnknownRecipient."""

    async def page(self, bot: str, *, before_chat: str | None = None, limit: int = 50) -> Sequence[Recipient]:
        """Those of which anything is known, from the last chat to the first in byte order. Raises UnknownBot."""


class ErasingStore(Protocol):
    """Forgetting a person."""

    async def erase(self, bot: str, chat: str) -> Erased:
        """Let nothing of a chat of a bot be left in any table, in bounded transactions. Raises UnknownBot.

        Schedules for it alone are named, and neither they nor files are deleted here. Doing it again is harmless, and
        needed while something of it is in flight.
        """


class PruneStore(Protocol):
    """What is done and past its time."""

    async def prune(self, retention: Retention, *, limit: int = 1000) -> Pruned:
        """Remove up to `limit` of each kind that are past their time, each kind in a transaction of its own.

        `retention` is that of the settings; what a bot has of its own is stronger. A payload goes earlier than its
        notification, or with it. What is still in the outbox is never touched. Call it again until it answers that
        nothing was removed. Raises StoreUnavailable, NotMigrated.
        """

    async def due(self, retention: Retention) -> Pruned:
        """How much would be removed now; nothing is changed. Raises StoreUnavailable, NotMigrated."""


class RetentionStore(Protocol):
    """What bots have of their own of the settings of retention, and what has lost its payload."""

    async def retentions(self) -> Mapping[str, BotRetention]:
        """That of every bot that has any, by its name."""

    async def set_retention(self, bot: str, own: BotRetention) -> None:
        """Replace all of it. Raises UnknownBot, and ValueError with every fault."""

    async def emptied(self, ids: Sequence[int]) -> Sequence[int]:
        """Which of these notifications are settled and have no payload any more, sorted."""


class CountStore(Protocol):
    """The counts of what is settled, which the database keeps as it changes."""

    async def fold(self) -> int:
        """Let one row stand for many, whose sum it is, in one bounded transaction; answers how many rows went.

        Raises StoreUnavailable, NotMigrated.
        """


class OverviewStore(Protocol):
    """The outbox at work."""

    async def overview(self, *, bot: str | None = None) -> Overview:
        """How it stands now, with this bot alone or with all, by few statements that no backlog makes dear.

        Raises UnknownBot, StoreUnavailable.
        """

    async def oldest_snapshot(self) -> OldSnapshot | None:
        """Whoever has held a snapshot the longest, None where nobody does. Raises StoreUnavailable."""


class RestoreStore(Protocol):
    """An outbox that was restored from a backup."""

    async def doubt(self, backup: datetime, *, limit: int = 1000) -> int:
        """Make unknown up to `limit` that were enqueued by `backup` and whose turn has come; answers how many."""


class HealthStore(Protocol):
    """How the database itself is."""

    async def vitals(self) -> DatabaseVitals:
        """Its own answers. Raises StoreUnavailable."""

    async def hears(self) -> bool | None:
        """Whether what is told by NOTIFY is heard by LISTEN; None where there is no such thing. Raises nothing."""

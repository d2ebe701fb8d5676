"""What a worker asks for: claims and settlements, the Bot API, tokens, and who counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from dovecote.model import ClaimedNotification, Cycle, Outcome, Settlement, TraceContext


class OutboxStore(Protocol):
    """The outbox as a worker sees it. Time is the store's own clock."""

    @property
    def statements(self) -> int:
        """How many statements it has executed so far."""

    async def cycle(
        self,
        settlements: Sequence[Settlement],
        *,
        claim: int,
        lease: timedelta,
        renew: Sequence[ClaimedNotification] = (),
        alone: bool = False,
    ) -> Cycle:
        """Settle `settlements`, renew the leases of `renew`, and claim up to `claim` due, in one transaction.

        A settlement whose lease has been lost changes no state; its id is in `Cycle.lost`, and if it was
        delivered, the attempt is kept with its message ids. With `alone` at most one notification is claimed, and
        only one that has already lost two leases; without it, only others.
        Raises StoreUnavailable when the database cannot be reached; nothing has happened then, or the whole
        cycle has, and settling again is harmless.
        """

    async def wait(self, timeout: timedelta) -> None:
        """Return when something was enqueued for now by anybody, or after `timeout`. May return early."""

    async def close(self) -> None:
        """Give back every connection."""


class Channel(Protocol):
    """Sends one notification and says what came of it."""

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        """Make the request and classify the answer. Raises nothing that the network can cause.

        Cancelling it is allowed; whether the request arrived is then unknown. No outcome, log line or exception
        contains the token.
        """

    async def close(self) -> None:
        """Let requests in flight end, then close every connection."""


class TokenSource(Protocol):
    """Bot tokens for sending. They are held in memory and never shown."""

    async def token(self, bot_id: int) -> str:
        """The bot's token. Raises TokenUnreadable."""

    def forget(self, bot_id: int) -> None:
        """Read it afresh next time: Telegram refused it."""


class TraceStore(Protocol):
    """The trace contexts that were written as notifications were enqueued."""

    async def contexts(self, ids: Sequence[int]) -> Mapping[int, TraceContext]:
        """Those of these notifications, as far as they have one. Raises StoreUnavailable, NotMigrated."""


class EnqueueSpan(Protocol):
    """Whoever traces enqueues."""

    def __call__(self, bots: Sequence[str], notifications: int, /) -> AbstractContextManager[TraceContext | None]:
        """What stands around the enqueue of so many notifications for these bots.

        It yields what is written beside each new one, None for nothing.
        """


class Observer(Protocol):
    """Who counts what the worker does. Called once per cycle, never once per notification."""

    def cycle_done(self, seconds: float, cycle: Cycle) -> None:
        """A cycle took so long and did this."""

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """These outcomes are recorded."""

"""The architecture on one page: what the engine asks of the world. Adapters implement these, nothing else.

No port has more than eight methods. Each port has one conformance suite that runs over all of its adapters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Sequence
    from datetime import datetime, timedelta

    from dovecote.model import (
        Bot,
        ClaimedNotification,
        Cycle,
        DueSchedules,
        FannedOut,
        Fired,
        Firing,
        Instance,
        InstanceRecord,
        NextFire,
        NotificationRecord,
        ObjectInfo,
        Occurrence,
        Origin,
        Outcome,
        PlannedOccurrence,
        Recipient,
        Schedule,
        ScheduleRecord,
        Settlement,
        State,
        Stats,
        Term,
    )


class OutboxStore(Protocol):
    """The outbox as a worker sees it. Time is the store's own clock."""

    statements: int
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
        """Add a bot. Raises ValueError, with the name, if there is one of that name already."""

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


class HistoryStore(Protocol):
    """What an operator reads and mends."""

    async def notification(self, notification_id: int) -> NotificationRecord:
        """One notification's life so far. Raises UnknownNotification."""

    async def settled(
        self, state: State, *, bot: str | None = None, before_id: int | None = None, limit: int = 50
    ) -> Sequence[NotificationRecord]:
        """Dead letters, unknowns or delivered ones, the newest first, a page at a time. Raises UnknownBot."""

    async def replay(self, ids: Sequence[int]) -> Sequence[int]:
        """Make these dead letters due again, with a fresh count of failures; answers the ids that were dead."""

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
        """Let it be sent to again, and forget its refusals; answers whether it was disabled. Raises UnknownBot."""

    async def disable(self, bot: str, chat: str, reason: str) -> bool:
        """Let nothing more be sent to it. Answers whether it was enabled until now; if not, the reason is replaced.

        Raises UnknownBot.
        """

    async def set_zone(self, bot: str, chat: str, zone: str | None) -> None:
        """Note in which zone a recipient lives, None where nobody knows. Raises UnknownBot."""

    async def unblock(self, bot: str, chat: str) -> int:
        """Make due now what waits for its turn in a chat, for a retry or for a 429; answers how many.

        What is leased, and what was enqueued for later, stays as it is. In bounded transactions. Raises UnknownBot.
        """


class ScheduleStore(Protocol):
    """The schedules as the scheduler sees them. Time is the store's own, and the store judges every race.

    Each raises StoreUnavailable; what was to be written is then written whole or not at all, and again is harmless.
    """

    async def due(self, *, limit: int, overdue_by: timedelta) -> DueSchedules:
        """Up to `limit` schedules that have been due for at least so long, the longest first. Found by an index."""

    async def homes(self, schedule: Schedule) -> tuple[Sequence[str], str | None]:
        """Which zones the recipients of a schedule live in ("" for those in none), and the zone of its bot."""

    async def fire(self, firings: Sequence[Firing], *, wait: bool = False) -> Fired:
        """Write occurrences, the notifications they make, and where their schedules stand then, in one transaction.

        A schedule that is not as it was read is left alone, and so is one that another transaction holds, unless told
        to `wait`. An occurrence that there is already is not written again; one for many is left open for `fan_out`.
        """

    async def fan_out(self, *, limit: int) -> FannedOut | None:
        """Enqueue for up to `limit` more recipients of an open occurrence, in one transaction; None if none is open."""

    async def postpone(self, record: ScheduleRecord, by: timedelta) -> None:
        """Look at a schedule again only so much later than now. Its cursor stays."""

    async def close(self) -> None:
        """Give back every connection."""


class ScheduleBook(Protocol):
    """The schedules as whoever makes them sees them."""

    async def add(self, schedule: Schedule, origin: Origin, then: NextFire) -> ScheduleRecord:
        """Keep a new one. Raises InvalidSchedule for a name that is taken, UnknownBot."""

    async def get(self, name: str) -> ScheduleRecord:
        """The one of that name. Raises UnknownSchedule."""

    async def page(self, *, after_name: str | None = None, limit: int = 50) -> Sequence[ScheduleRecord]:
        """Schedules in the order of their names, by code point, a page at a time."""

    async def change(
        self,
        record: ScheduleRecord,
        *,
        schedule: Schedule,
        paused: bool,
        then: NextFire,
        missed: PlannedOccurrence | None = None,
    ) -> ScheduleRecord | None:
        """Replace `record` under its next version; None when it is not as it was read by now. Raises UnknownBot."""

    async def delete(self, name: str) -> None:
        """Forget a schedule and its occurrences; what is enqueued stays enqueued. Raises UnknownSchedule."""

    async def occurrences(self, name: str, *, before: datetime | None = None, limit: int = 50) -> Sequence[Occurrence]:
        """Its occurrences, the newest fire time first, a page at a time. Raises UnknownSchedule."""

    async def audience(self, schedule: Schedule) -> int:
        """How many recipients it has now. Raises UnknownBot."""

    async def clock(self) -> datetime:
        """The store's time."""


class Leadership(Protocol):
    """Whether this instance leads. Leadership saves work and decides nothing: the database does that."""

    @property
    def term(self) -> int | None:
        """The number of the term that this instance leads in at this moment; None while it follows.

        It may be read as often as one likes: the answer is the monotonic clock's, no server is asked.
        """

    async def changed(self) -> None:
        """Return when this instance has begun to lead, or has ceased to."""


class Election(Leadership, Protocol):
    """A `Leadership` that says as well whether anybody can be elected at present."""

    @property
    def available(self) -> bool:
        """False while the lease store is out of reach: nobody is elected until it is back.

        Whoever must go on without a leader then does so itself: any instance sweeps slowly.
        """


class Loop(Protocol):
    """What goes on in a process until it is told to stop."""

    @property
    def name(self) -> str:
        """What it is, in a word, for the log."""

    async def run(self) -> None:
        """Work until `stop`; then end in order and return. May be called again after it has raised."""

    def stop(self) -> None:
        """Begin to end. From the loop's own thread; may be called before `run`, which then returns at once."""


class LeaseStore(Protocol):
    """One lease, held by one instance at a time by the store's own clock.

    An instance numbers its acquisitions: the `token` grows with each. What was asked for with an older token and
    arrives late changes nothing that was asked for since. Every method raises LeaseStoreUnavailable (or, where the
    lease is a row, StoreUnavailable) when there is no answer in time: whether it happened is then unknown.
    """

    kind: str
    """Where the lease is, in a word: "redis" or "database"."""

    async def acquire(self, instance: str, token: int, lease: timedelta) -> bool:
        """Take the lease if it is free, has run out, or is this instance's by an older token; answer whether."""

    async def renew(self, instance: str, token: int, lease: timedelta) -> bool:
        """Let the lease last `lease` from now if it is still held by this very token; answer whether."""

    async def release(self, instance: str, token: int) -> bool:
        """Give the lease back if this instance holds it by this token or an older one; answer whether it did."""

    async def holder(self) -> str | None:
        """The instance that holds the lease now."""

    async def close(self) -> None:
        """Give back every connection."""


class TermStore(Protocol):
    """The terms and the instances, in the database. Time is the store's own clock.

    Every method raises StoreUnavailable when the database does not answer in time, and NotMigrated.
    """

    async def beat(self, instance: Instance) -> int:
        """Say that the instance is there, and answer the newest term's number, 0 before the first."""

    async def leave(self, instance: str) -> None:
        """Say that the instance has ended in order: it is forgotten at once."""

    async def begin(self, instance: str) -> int:
        """Begin a term of the instance and answer its number, greater than that of every term before."""

    async def end(self, number: int) -> None:
        """Note that the term was handed over in order."""

    async def newest(self) -> Term | None:
        """The newest term."""

    async def instances(self) -> tuple[datetime, Sequence[InstanceRecord]]:
        """The store's time, and every instance that is known."""

    async def close(self) -> None:
        """Give back every connection."""


class FileStorage(Protocol):
    """Contents by key. Every backend takes the same keys: one normaliser stands before them all."""

    async def upload(
        self, file: bytes | AsyncIterable[bytes], key: str, *, content_type: str | None = None, size: int | None = None
    ) -> str:
        """Store it whole or not at all, in place of what the key held, and answer a URL to read it by.

        `size`, in bytes, is what a stream promises to hold. Raises InvalidKey, StorageUnavailable, StorageRefused.
        """

    async def download(self, key: str) -> bytes:
        """The whole content. Raises InvalidKey, FileMissing, FileDamaged, StorageUnavailable, StorageRefused."""

    def stream(self, key: str, *, chunk_size: int = 256 * 1024) -> AsyncIterator[bytes]:
        """The content in chunks of at most `chunk_size` bytes. Raises what `download` does, as it goes."""

    async def delete(self, key: str) -> bool:
        """Remove it, and answer whether there was something."""

    async def exists(self, key: str) -> bool:
        """Whether there is a content of this key."""

    async def info(self, key: str) -> ObjectInfo:
        """Size in bytes, instant of the last change, content type where the store keeps one. Raises FileMissing."""

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        """A URL to read it by: under the public base URL where one is set, else signed and good for `expires_in`."""

    def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Every key that begins with `prefix`, in no promised order, page by page."""


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


class ScheduleObserver(Protocol):
    """Who counts what the scheduler does. Called once per transaction."""

    def occurrences_written(self, fired: Fired, late: Sequence[float]) -> None:
        """These were written; each that fired was so many seconds later than planned, its jitter included."""


class Observer(Protocol):
    """Who counts what the worker does. Called once per cycle, never once per notification."""

    def cycle_done(self, seconds: float, cycle: Cycle) -> None:
        """A cycle took so long and did this."""

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """These outcomes are recorded."""

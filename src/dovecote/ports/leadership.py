"""Leadership, the loops of a process, and where the lease and the terms are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from dovecote.model import Instance, InstanceRecord, Term


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

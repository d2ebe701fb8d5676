"""The unit of work over the outbox: claim a batch, mark each outcome, record all of them in one commit.

Marks are only remembered; `commit` settles all of them in one statement, which can claim the next batch as well. What
was claimed and is neither marked nor committed when the unit ends stays under its lease: nobody can say whether it was
sent, so it is treated as after a crash. Only an orderly end (no exception) gives back what was never marked.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Self

from dovecote.errors import InvalidNotification, NotConfigured, NotMigrated, StoreUnavailable
from dovecote.model import Cycle, Dead, Delivered, Failed, Released, Settlement, Snoozed, Unknown
from dovecote.retry import RetryPolicy, final, retry_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dovecote.model import ClaimedNotification, Outcome
    from dovecote.ports import OutboxStore

logger = logging.getLogger(__name__)

DEFAULT_LEASE = timedelta(seconds=60)


class ClaimedOutbox:
    """`uow.outbox`: what this unit of work has claimed, and the marks that wait for the commit."""

    def __init__(self, store: OutboxStore, *, lease: timedelta, policy: RetryPolicy, random: Random) -> None:
        self._store = store
        self._lease = lease
        self._policy = policy
        self._random = random
        self._claimed: dict[int, ClaimedNotification] = {}
        self._marked: dict[tuple[int, int], Settlement] = {}

    async def claim_pending(self, limit: int = 100) -> Sequence[ClaimedNotification]:
        """Claim up to `limit` due notifications under a lease, in one statement; fewer when the pace allows no more.

        Each has `send_in`, the seconds until its slot in the bot's pace.
        """
        if type(limit) is not int or limit < 1:
            raise ValueError(f"limit is {limit!r}: claim a whole number of notifications, at least one.")
        return (await self.cycle(claim=limit, settle=False)).claimed

    async def mark_delivered(self, id: int, message_ids: Sequence[int] = ()) -> None:
        """Remember that Telegram accepted it, as these messages."""
        self.mark(id, Delivered(tuple(message_ids)))

    async def mark_failed(self, id: int, error: str = "it was not sent") -> None:
        """Remember that it was certainly not sent: tried again with backoff, or dead when its attempts are spent."""
        self.mark(id, Failed(error))

    async def mark_unknown(self, id: int, error: str = "it may have been sent") -> None:
        """Remember that it may have been delivered: its delivery policy decides."""
        self.mark(id, Unknown(error))

    async def mark_dead(self, id: int, error: str, error_code: int | None = None) -> None:
        """Remember that Telegram refused it for good, in its own words."""
        self.mark(id, Dead(error, error_code))

    async def mark_snoozed(self, id: int, retry_after: timedelta) -> None:
        """Remember a 429: the whole bot waits, and no attempt is spent."""
        self.mark(id, Snoozed(retry_after))

    async def release(self, id: int) -> None:
        """Give it back untried: due at once, nothing is spent."""
        self.mark(id, Released())

    def mark(self, id: int, outcome: Outcome, took: float = 0.0) -> None:
        """Remember `outcome`, which took `took` seconds, until the commit. The last mark of an id counts."""
        claimed = self._claimed.get(id)
        if claimed is None:
            raise InvalidNotification(
                "id", f"{id} is not claimed in this unit of work: mark what claim_pending answered."
            )
        self.note(claimed, outcome, took)

    def note(self, claimed: ClaimedNotification, outcome: Outcome, took: float = 0.0) -> None:
        """Remember the outcome of this very claim, also when the notification has been claimed again since."""
        again_in = None
        if type(outcome) is not Delivered:
            outcome = final(claimed, outcome)
            again_in = retry_in(claimed, outcome, self._policy, self._random)
        self._marked[claimed.id, claimed.lease_token] = Settlement(claimed, outcome, again_in, took)

    def release_unmarked(self) -> None:
        """Forget the marks and give back what has none; what has one was perhaps sent, and its lease runs out."""
        marked = {id_ for id_, _ in self._marked}
        self._marked.clear()
        for claimed in self._claimed.values():
            if claimed.id not in marked:
                self.note(claimed, Released())

    @property
    def outstanding(self) -> int:
        """How many are claimed and not yet settled."""
        return len(self._claimed)

    @property
    def marked(self) -> int:
        """How many marks wait for the commit."""
        return len(self._marked)

    async def cycle(
        self,
        *,
        claim: int = 0,
        renew: Sequence[ClaimedNotification] = (),
        alone: bool = False,
        settle: bool = True,
        settled: Callable[[Sequence[Settlement]], None] | None = None,
    ) -> Cycle:
        """Settle what is marked and claim the next batch in one statement. When it raises, the marks are kept."""
        # One statement settles an id once; an older claim of the same id waits for the next.
        settlements = list({s.claimed.id: s for s in self._marked.values()}.values()) if settle else []
        cycle = await self._store.cycle(settlements, claim=claim, lease=self._lease, renew=renew, alone=alone)
        for settlement in settlements:
            self._forget(settlement)
        for claimed in cycle.claimed:
            self._claimed[claimed.id] = claimed
        if settled is not None and settlements:
            settled(settlements)
        return cycle

    async def settle_singly(self, settled: Callable[[Sequence[Settlement]], None]) -> Sequence[Settlement]:
        """Settle every mark in a statement of its own, so that one that cannot be recorded spoils no other.

        `settled` is told of those that were recorded. Answers those that could not, which are forgotten: their leases
        run out.
        Raises StoreUnavailable and NotMigrated; what is not settled by then stays marked.
        """
        refused = []
        for settlement in list(self._marked.values()):
            try:
                await self._store.cycle([settlement], claim=0, lease=self._lease)
            except (StoreUnavailable, NotMigrated):
                raise
            except Exception:
                logger.exception("an outcome was refused", extra={"notification": settlement.claimed.id})
                refused.append(settlement)
            else:
                settled([settlement])
            self._forget(settlement)
        return refused

    def _forget(self, settlement: Settlement) -> None:
        claimed = settlement.claimed
        key = claimed.id, claimed.lease_token
        if self._marked.get(key) is settlement:  # not marked again while the statement ran
            del self._marked[key]
        if self._claimed.get(claimed.id) is claimed:
            del self._claimed[claimed.id]


class UnitOfWork:
    """One batch from claim to commit.

    `async with UnitOfWork() as uow` works on the configured Dovecote, `UnitOfWork(store)` on a given store.
    """

    configured: Callable[[], UnitOfWork] | None = None
    """How to make one on the configured Dovecote; set by the application layer."""

    outbox: ClaimedOutbox

    def __init__(
        self,
        store: OutboxStore | None = None,
        *,
        lease: timedelta = DEFAULT_LEASE,
        policy: RetryPolicy | None = None,
        random: Random | None = None,
    ) -> None:
        if store is None:
            if UnitOfWork.configured is None:
                raise NotConfigured(
                    "there is no Dovecote yet: make one first, as in Dovecote('sqlite:///dovecote.db')."
                )
            self.outbox = UnitOfWork.configured().outbox
        else:
            self.outbox = ClaimedOutbox(
                store, lease=lease, policy=policy or RetryPolicy(), random=random or SystemRandom()
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None and self.outbox.outstanding:
            self.outbox.release_unmarked()
            await self.commit()

    async def commit(self, *, claim: int = 0) -> Sequence[ClaimedNotification]:
        """Record every marked outcome in one statement, and with `claim` take the next batch in the same one."""
        return (await self.outbox.cycle(claim=claim)).claimed

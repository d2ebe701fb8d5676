"""The leader's part of the composition root: where the lease is, and who stands for election."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dovecote.leadership import ElectionSettings, Elector, answer_within, report, this_process
from dovecote.stores.leadership import Terms
from dovecote.stores.lease import RowLease
from dovecote.version import __version__

if TYPE_CHECKING:
    from dovecote.config import Settings
    from dovecote.model import LeadershipReport
    from dovecote.observability.metrics import Metrics
    from dovecote.ports import LeaseStore, TermStore
    from dovecote.stores.database import Database

PATIENCE = timedelta(seconds=5)
"""How long an operator's question to the lease store may take."""


class Leading:
    """The election of one process. Nothing is opened before it is needed."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._leases: LeaseStore | None = None
        self._terms: TermStore | None = None
        self._elector: Elector | None = None

    async def close(self) -> None:
        """Give back every connection."""
        if self._leases is not None:
            await self._leases.close()
        if self._terms is not None:
            await self._terms.close()
        self._leases = self._terms = self._elector = None

    @property
    def leases(self) -> LeaseStore:
        """Where the lease of the leader is: Redis if there is one, else the outbox's database. Raises MissingExtra."""
        if self._leases is None:
            self._leases = self._lease_store(answer_within(self._settings.leadership.lease))
        return self._leases

    def _lease_store(self, timeout: timedelta) -> LeaseStore:
        url = self._settings.redis.url
        if url is None:
            return RowLease(self._database, timeout=timeout)
        from dovecote.leases.redis import RedisLease  # noqa: PLC0415 (an extra)

        return RedisLease(url, identity=self._database.installation, timeout=timeout)

    @property
    def terms(self) -> TermStore:
        """The terms and the instances."""
        if self._terms is None:
            self._terms = Terms(self._database, timeout=answer_within(self._settings.leadership.lease))
        return self._terms

    def elector(self, role: str = "worker") -> Elector:
        """The elector of this process, always the same one, ready to `run`. `role` is what the first call says."""
        if self._elector is None:
            chosen = self._settings.leadership
            settings = ElectionSettings(
                lease=chosen.lease, renew_interval=chosen.renew_interval, poll_interval=chosen.poll_interval
            )
            self._elector = Elector(self.leases, self.terms, this_process(role, __version__), settings)
            self._metrics.follow(self._elector)
        return self._elector

    async def report(self) -> LeadershipReport:
        """Who leads, and every instance that follows. Raises StoreUnavailable, NotMigrated, MissingExtra."""
        # A person waits for longer than a leader can.
        leases, terms = self._lease_store(PATIENCE), Terms(self._database, timeout=PATIENCE)
        try:
            return await report(leases, terms, stale_after=self._settings.leadership.lease)
        finally:
            await leases.close()
            await terms.close()

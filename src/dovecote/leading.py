"""The leader's part of the composition root: where the lease is, and who stands for election."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from dovecote.leadership import ElectionSettings, Elector, answer_within, report, this_process
from dovecote.model import DELIVERIES, JOBS
from dovecote.stores.leadership import Terms
from dovecote.stores.lease import RowLease
from dovecote.version import __version__

if TYPE_CHECKING:
    from dovecote.config import Settings
    from dovecote.model import LeadershipReport
    from dovecote.observability.metrics import Metrics
    from dovecote.ports import LeaseStore, TermStore
    from dovecote.stores.database import Database

SCHEDULER = "scheduler"
"""The role of an instance that stands for the election of jobs."""
PATIENCE = timedelta(seconds=5)
"""How long an operator's question to the lease store may take."""


class Leading:
    """The elections of one process. Nothing is opened before it is needed."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._leases: dict[str, LeaseStore] = {}
        self._terms: dict[str, TermStore] = {}
        self._electors: dict[str, Elector] = {}

    async def close(self) -> None:
        """Give back every connection."""
        for leases in self._leases.values():
            await leases.close()
        for terms in self._terms.values():
            await terms.close()
        self._leases.clear()
        self._terms.clear()
        self._electors.clear()

    def leases(self, election: str = DELIVERIES) -> LeaseStore:
        """Where the lease of an election is: Redis if there is one, else the outbox's database. Raises MissingExtra."""
        if election not in self._leases:
            self._leases[election] = self._lease_store(election, answer_within(self._settings.leadership.lease))
        return self._leases[election]

    def _lease_store(self, election: str, timeout: timedelta) -> LeaseStore:
        url = self._settings.redis.url
        if url is None:
            return RowLease(self._database, timeout=timeout, election=election)
        from dovecote.leases.redis import RedisLease  # noqa: PLC0415 (an extra)

        return RedisLease(url, identity=self._database.installation, timeout=timeout, election=election)

    def terms(self, election: str = DELIVERIES) -> TermStore:
        """The terms of an election, and the instances."""
        if election not in self._terms:
            timeout = answer_within(self._settings.leadership.lease)
            self._terms[election] = Terms(self._database, timeout=timeout, election=election)
        return self._terms[election]

    def elector(self, role: str = "worker", election: str = DELIVERIES) -> Elector:
        """This process's elector of that election, always the same one. `role` is what the first call says."""
        if election not in self._electors:
            chosen = self._settings.leadership
            settings = ElectionSettings(
                lease=chosen.lease, renew_interval=chosen.renew_interval, poll_interval=chosen.poll_interval
            )
            instance = this_process(role, __version__)
            self._electors[election] = Elector(self.leases(election), self.terms(election), instance, settings)
            # Where a process stands for both, the metrics tell of the deliveries'.
            self._metrics.follow(self._electors.get(DELIVERIES, self._electors[election]))
        return self._electors[election]

    async def report(self) -> LeadershipReport:
        """Who leads, and every instance that follows. Raises StoreUnavailable, NotMigrated, MissingExtra."""
        found = await self._report(DELIVERIES)
        standing = {peer.id for peer in found.instances if peer.role == SCHEDULER}
        if not standing:
            return found
        jobs = await self._report(JOBS)
        return replace(found, jobs=replace(jobs, instances=tuple(p for p in jobs.instances if p.id in standing)))

    async def _report(self, election: str) -> LeadershipReport:
        # A person waits for longer than a leader can.
        leases = self._lease_store(election, PATIENCE)
        terms = Terms(self._database, timeout=PATIENCE, election=election)
        try:
            return await report(leases, terms, stale_after=self._settings.leadership.lease)
        finally:
            await leases.close()
            await terms.close()

"""The jobs of APScheduler and their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime, timedelta

    from dovecote.model import JobRun, Plan, RunEnd, RunKey, StartedRun, StoredJob, Stranger


class JobStore(Protocol):
    """The jobs of APScheduler, by id, within one job store. The database is what decides; Redis has a copy."""

    async def add(self, job_id: str, definition: str, next_run_at: datetime | None) -> StoredJob | None:
        """Keep a new job; None when there is one of that id."""

    async def change(
        self, job_id: str, definition: str | None, *, next_run_at: datetime | None = None, reschedule: bool = False
    ) -> StoredJob | None:
        """Replace its definition, unless None, and with `reschedule` its next run. None when there is no such job."""

    async def remove(self, job_id: str) -> bool:
        """Remove it and cancel its runs that have not begun; answers whether there was one."""

    async def remove_all(self) -> int:
        """Remove all of them, and answer how many there were."""

    async def jobs(self, ids: Sequence[str] | None = None) -> Sequence[StoredJob]:
        """These jobs, or all, by id; those that are finished among them."""

    async def versions(self) -> Mapping[str, tuple[int, datetime | None]]:
        """Revision and next run of every job: what tells whether a copy is true."""

    async def note(self, problems: Mapping[str, str | None], strangers: Sequence[Stranger] | None = None) -> None:
        """Remember why these jobs cannot be run, and in place of the strangers known so far, unless None, these."""


class JobRunStore(Protocol):
    """The runs of the jobs of one job store. Leases are by the store's own clock."""

    async def plan(self, plans: Sequence[Plan], *, instance: str, term: int) -> tuple[Sequence[RunKey], datetime]:
        """Write down the runs and the next run of each job, in one transaction; answers whose runs, and the time.

        A plan whose job has changed since, or was planned by another, does nothing.
        """

    async def start(
        self, keys: Sequence[RunKey], *, token: int, lease: timedelta, instance: str, term: int
    ) -> Mapping[RunKey, StartedRun]:
        """Count an attempt of each and take it under a lease, whose token is `token`; what another has is missing.

        It may be called again with the same token when it is not known whether it was done.
        """

    async def settle(self, ends: Sequence[RunEnd], *, wait: bool = True) -> None:
        """Record what came of these runs; where the lease has been lost, nothing changes.

        Without `wait` a run is passed over that a transaction has in its hands.
        """

    async def sweep(self, *, limit: int) -> tuple[Sequence[JobRun], datetime]:
        """Runs that are due, or whose lease ran out, the earliest first; and the store's time."""

    async def renew(self, runs: Sequence[StartedRun], *, lease: timedelta) -> None:
        """Extend the leases of these."""

    async def prune(self, *, older_than: timedelta, limit: int) -> int:
        """Remove up to `limit` runs that ended so long ago, and jobs that are finished; answers how many runs."""

    def unit(self, run: StartedRun) -> AbstractAsyncContextManager[Any | None]:
        """A transaction in which the run is done when it commits; None in place of it where the lease is lost.

        What it gives is a connection for `enqueue`. An exception undoes all of it.
        """

    async def close(self) -> None:
        """Give back the connections of this event loop."""

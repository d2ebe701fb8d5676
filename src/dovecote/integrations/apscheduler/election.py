"""An ordinary AsyncIOScheduler under the election: paused while it follows, running while it leads."""

from __future__ import annotations

import asyncio
import logging
from random import SystemRandom
from typing import TYPE_CHECKING, Any, TypeVar

from apscheduler.events import EVENT_SCHEDULER_SHUTDOWN
from apscheduler.schedulers.base import STATE_PAUSED, STATE_RUNNING
from apscheduler.util import maybe_ref

from dovecote.app import Dovecote, configured
from dovecote.errors import NotConfigured
from dovecote.integrations.apscheduler.functions import accept_unit
from dovecote.integrations.apscheduler.keeper import Keeper, Timing
from dovecote.integrations.apscheduler.running import UNITS_AT_ONCE, Backing
from dovecote.integrations.apscheduler.store import RedisJobStore
from dovecote.retry import RetryPolicy
from dovecote.service import Supervised

if TYPE_CHECKING:
    from collections.abc import Callable

    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    from dovecote.ports import Leadership

logger = logging.getLogger(__name__)

S = TypeVar("S", bound="AsyncIOScheduler")

LOOKED_AT_SECONDS = 0.25


class Election:
    """What makes a scheduler follow and lead. It lives from the scheduler's start to its shutdown."""

    def __init__(
        self, scheduler: AsyncIOScheduler, dovecote: Dovecote | None, leadership: Leadership | None, timing: Timing
    ) -> None:
        self._scheduler = scheduler
        self._dovecote = dovecote
        self._leadership = leadership
        self._timing = timing
        self._start: Callable[..., None] = scheduler.start
        self._add_job: Callable[..., Any] = scheduler.add_job
        self._keepers: list[Keeper] = []
        self._following: asyncio.Task[None] | None = None
        self._electing: Supervised | None = None
        # Held, or the loop would forget it.
        self._standing: asyncio.Task[None] | None = None

    def start(self, paused: bool = False) -> None:  # noqa: FBT001, FBT002 (APScheduler's signature)
        """In place of the scheduler's own `start`. Raises NotConfigured, NotMigrated, StoreUnavailable."""
        if paused:
            raise ValueError("paused is True: an elected scheduler is paused and resumed by the election alone.")
        stores = [store for store in self._scheduler._jobstores.values() if isinstance(store, RedisJobStore)]  # noqa: SLF001
        if not stores:
            raise NotConfigured(
                "an elected scheduler needs a RedisJobStore of dovecote.integrations.apscheduler: jobs in another store"
                " would run in every process."
            )
        dovecote = self._dovecote or configured()
        leadership = self._leadership or dovecote.jobs_elector()
        retry = dovecote.settings.retry
        default = RetryPolicy(attempts=retry.attempts, first=retry.first, longest=retry.longest)
        self._keepers = []
        for store in stores:
            self._attach(store, dovecote, leadership, default)
        try:
            self._start(paused=True)
        except BaseException:
            for keeper in self._keepers:
                keeper.stop()
            raise
        self._scheduler.add_listener(self._shut_down, EVENT_SCHEDULER_SHUTDOWN)
        loop = asyncio.get_running_loop()
        self._following = loop.create_task(self._follow(leadership))
        if self._leadership is None:
            self._electing = Supervised(dovecote.jobs_elector())
            self._standing = loop.create_task(self._electing.run())

    def add_job(self, func: Any, *args: Any, **options: Any) -> Any:
        """In place of the scheduler's own `add_job`: the parameter for a unit of work is nobody's to give."""
        accept_unit(maybe_ref(func))
        return self._add_job(func, *args, **options)

    def _attach(self, store: RedisJobStore, dovecote: Dovecote, leadership: Leadership, default: RetryPolicy) -> None:
        keeper = Keeper(
            dovecote,
            leadership,
            store=store.jobs_key,
            redis=(store.connect_args, store.db, store.run_times_key),
            default=default,
            timing=self._timing,
            unusable=store.unusable,
            wake_scheduler=self._wake,
        )
        backing = Backing(
            dovecote=dovecote,
            recorder=keeper.recorder,
            unit=keeper.unit,
            units=asyncio.Semaphore(UNITS_AT_ONCE),
            default=default,
            random=SystemRandom(),
            finished=keeper.planner.returned,
        )
        store.attach(keeper, backing)
        self._keepers.append(keeper)

    def _wake(self) -> None:
        """From any thread. A scheduler that has been shut down has no loop any more."""
        loop = self._scheduler._eventloop  # noqa: SLF001
        if loop is not None and not loop.is_closed() and self._scheduler.state == STATE_RUNNING:
            self._scheduler.wakeup()

    async def _follow(self, leadership: Leadership) -> None:
        """Resume when this instance begins to lead, pause when it ceases to, for ever."""
        while True:
            try:
                self._heed(leadership)
            except Exception:
                # A listener of the application's may raise anything; the election goes on.
                logger.exception("the scheduler could not be paused or resumed; it is tried again")
            try:
                # What is missed between the look and the wait is seen a moment later.
                async with asyncio.timeout(LOOKED_AT_SECONDS):
                    await leadership.changed()
            except TimeoutError:
                continue

    def _heed(self, leadership: Leadership) -> None:
        leads = leadership.term is not None
        if leads and self._scheduler.state == STATE_PAUSED:
            logger.info("this instance leads: its scheduler runs the jobs", extra={"term": leadership.term})
            self._scheduler.resume()
            self._wake_keepers()
        elif not leads and self._scheduler.state == STATE_RUNNING:
            logger.info("this instance does not lead any more: its scheduler is paused")
            self._scheduler.pause()
            self._wake_keepers()

    def _wake_keepers(self) -> None:
        for keeper in self._keepers:
            keeper.wake()

    def _shut_down(self, _event: object) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None
        if self._electing is not None:
            # It hands over, and ends by itself.
            self._electing.stop()


def elected(
    scheduler: S,
    dovecote: Dovecote | None = None,
    *,
    leadership: Leadership | None = None,
    timing: Timing | None = None,
) -> S:
    """Let this scheduler run its jobs only while its process leads in the election of jobs, and answer it.

    `scheduler.start()` then starts it paused, and the election resumes and pauses it; jobs are added, changed and
    removed as before, by followers as well. `dovecote` is whose outbox has the record, the configured one by default;
    `leadership` says who leads: by default the Dovecote's `jobs_elector()`, which then stands for election as long as
    the scheduler runs. Call this before jobs are added: it is what lets a job's function have a parameter `uow`.
    """
    election = Election(scheduler, dovecote, leadership, timing or Timing())
    scheduler.start = election.start
    scheduler.add_job = election.add_job
    return scheduler

"""The composition root: the one place that knows every adapter and puts the parts together."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from dovecote.administration import Administration
from dovecote.attachments import AttachmentChannel, Knowledge, Patience, PreparedOutbox, Turns, UrlSender
from dovecote.batch import BatchSummary, process_batch
from dovecote.broadcasting import Broadcasting
from dovecote.channels.fetching import UrlFetcher
from dovecote.channels.telegram import TelegramChannel
from dovecote.config import Settings, load_settings
from dovecote.direct import DirectMessages
from dovecote.enqueuing import Enqueuing
from dovecote.errors import StorageUnavailable, TokenUnreadable, UnknownBot
from dovecote.filing import Filing
from dovecote.folding import FoldingLoop
from dovecote.leading import SCHEDULER, Leading
from dovecote.model import JOBS, Situation, under_way
from dovecote.observability.metrics import Metrics
from dovecote.observability.traced import KnownTraces, TracedChannel, TracedOutbox
from dovecote.observability.tracing import enqueuing
from dovecote.planning import Planning
from dovecote.recipients import Eraser
from dovecote.retaining import Retaining
from dovecote.retry import RetryPolicy
from dovecote.sender import Sender
from dovecote.stores.bots import Bots
from dovecote.stores.database import Database, outbox_url
from dovecote.stores.direct import direct_slots
from dovecote.stores.enqueue import Enqueuer
from dovecote.stores.erasing import Erasing
from dovecote.stores.file_ids import FileIds
from dovecote.stores.folding import Counts
from dovecote.stores.history import History
from dovecote.stores.overview import Overviews
from dovecote.stores.recipient_book import RecipientBook
from dovecote.stores.recipients import Recipients
from dovecote.stores.restoring import Restoring, doubt_all
from dovecote.stores.retentions import Retentions
from dovecote.stores.sql_functions import tell_settings
from dovecote.stores.sqlite import SQLiteOutbox
from dovecote.stores.traces import Traces
from dovecote.tokens import BotTokens
from dovecote.unit_of_work import UnitOfWork
from dovecote.vault import Vault
from dovecote.worker import Worker, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from dovecote.broadcasts import Broadcaster, Broadcasts
    from dovecote.files import Files
    from dovecote.leadership import Elector
    from dovecote.model import LeadershipReport, Notification, OldSnapshot, Pruned
    from dovecote.ports import JobRunStore, JobStore, Loop, ManagedStorage, OutboxStore
    from dovecote.scheduler import Scheduler
    from dovecote.schedules import Schedules
    from dovecote.stores.jobs import JobRecords

MEGABYTE = 1024 * 1024
logger = logging.getLogger(__name__)

STORAGE_PATIENCE = 10.0
# Of an event loop.
FILE_CONNECTIONS = 6
WATCHING_CONNECTIONS = 3
UNREADABLE_TOKEN_PAUSE = timedelta(seconds=30)


class Dovecote(Administration, Enqueuing):
    """An outbox and everything that works on it.

    `Dovecote("sqlite:///dovecote.db")` or `Dovecote("postgresql://...")`; without a URL it is the configured one. All
    other settings come from `settings`, or from `dovecote.toml` and the `DOVECOTE_*` variables. `storage` is where
    files are kept, in place of the configured one; it is closed together with this. Nothing is opened before it is
    needed. Raises InvalidConfiguration with every fault, MissingExtra for PostgreSQL without its driver.

    The Dovecote that was made last in a process is the one that `UnitOfWork()` and `process_notifications_batch()`
    mean.
    """

    def __init__(
        self, url: str | None = None, *, settings: Settings | None = None, storage: ManagedStorage | None = None
    ) -> None:
        self.settings = settings or load_settings()
        # Who does not listen may be behind a transaction pooler, where what was prepared is another's next.
        self.database = Database(
            outbox_url(url or self.settings.database.url), keeps_statements=self.settings.worker.listen
        )
        # For what is asked again and again: opening a connection takes many times as long as the answer.
        self._kept_database = Database(self.database.url, pool_size=WATCHING_CONNECTIONS, keeps_statements=False)
        self.metrics = Metrics()
        super().__init__(
            bots=Bots(self.database),
            history=History(self._kept_database),
            retentions=Retentions(self.database),
            recipients=Recipients(self.database),
            book=RecipientBook(self.database),
            eraser=Eraser(Erasing(self.database), lambda: self.schedules, lambda: self.files),
            vault=Vault(self.settings.encryption.ring()),
        )
        self._enqueuer = Enqueuer(
            self.database,
            key_window=self.settings.enqueue.key_window,
            largest_upload=self.settings.telegram.largest_upload * MEGABYTE,
            span=enqueuing,
        )
        self._store: OutboxStore | None = None
        # A file takes several short transactions, and there may be many at a time: these wait for a few connections.
        self._file_database = Database(self.database.url, pool_size=FILE_CONNECTIONS, keeps_statements=False)
        self._filing = Filing(self._file_database, self.settings, storage, self._token_of, self.metrics.files)
        self._sender: Sender | None = None
        self._channel: AttachmentChannel | None = None
        self._file_ids = FileIds(self._file_database)
        self._knowledge = Knowledge(self._file_ids)
        self._traces = KnownTraces(Traces(self._file_database))
        self._leading = Leading(self.database, self.settings, self.metrics)
        self._retaining = Retaining(self.database, self.settings, self.metrics)
        self._planning = Planning(self.database, self.settings, self.metrics, self._bots, self._enqueuer)
        databases = (self.database, self._kept_database)
        self._broadcasting = Broadcasting(databases, self.settings, self.metrics, self._bots, self._enqueue_alone)
        self.direct = DirectMessages(direct_slots(self.database), lambda: self.store, self._bots)
        _open.append(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self.close()

    @property
    def schedules(self) -> Schedules:
        """The schedules of notifications: add, edit, pause, trigger and so on."""
        return self._planning.schedules

    @property
    def broadcasts(self) -> Broadcasts:
        """One content for many recipients: create, preview, start, pause, recall and so on."""
        return self._broadcasting.broadcasts

    @property
    def jobs(self) -> JobRecords:
        """What is known of the jobs of APScheduler, of every job store."""
        return self._planning.jobs

    def __repr__(self) -> str:
        return f"Dovecote({self.database.url.render_as_string(hide_password=True)!r})"

    async def close(self) -> None:
        """Give back every connection. May be called again."""
        if self._channel is not None:
            await self._channel.close()
        if self._store is not None:
            await self._store.close()
        await self.direct.close()
        await self._planning.close()
        await self._leading.close()
        await self._filing.close()
        await self._file_database.close()
        await self._kept_database.close()
        await self.database.close()
        self._channel = self._store = self._sender = None
        _forget(self)

    async def _enqueue_alone(self, given: Sequence[Notification]) -> list[int]:
        async with self.transaction() as connection:
            return await self.enqueue(connection, given)

    @property
    def files(self) -> Files:
        """The files: put, get, fetch, delete and so on. Raises MissingExtra where the storage's client is missing."""
        return self._filing.files

    @property
    def storage(self) -> ManagedStorage:
        """Where the contents of files are kept: what was given, else what the settings name.

        Raises MissingExtra for an S3-compatible store without its client.
        """
        return self._filing.storage

    async def _token_of(self, name: str) -> str:
        """The token of the bot of that name. Raises UnknownBot, TokenUnreadable."""
        bots = {bot.name: bot for bot in await self._bots.bots()}
        if name in bots:
            return self.unseal(bots[name])
        raise UnknownBot(name, sorted(bots))

    def jobs_of(self, store: str) -> tuple[JobStore, JobRunStore]:
        """The jobs of one job store of APScheduler, and their runs."""
        return self._planning.jobs_of(store)

    # The delivery's side.

    @property
    def store(self) -> OutboxStore:
        """The outbox as workers see it."""
        if self._store is None:
            outbox: OutboxStore
            if self.database.is_postgresql:
                from dovecote.stores.postgresql import PostgreSQLOutbox  # noqa: PLC0415 (an extra)

                outbox = PostgreSQLOutbox(self.database.url, listen=self.settings.worker.listen)
            else:
                outbox = SQLiteOutbox(self.database.url)
            prepared = PreparedOutbox(self._broadcasting.outbox(outbox), self._knowledge)
            self._store = TracedOutbox(prepared, self._traces)
        return self._store

    @property
    def sender(self) -> Sender:
        """What sends a claimed notification through the Bot API."""
        if self._sender is None:
            telegram = self.settings.telegram
            self._channel = self._attachment_channel()
            tokens = BotTokens(self._bots, self.unseal)
            channel = TracedChannel(self._broadcasting.channel(self._channel), self._traces)
            self._sender = Sender(channel, tokens, timeout=telegram.timeout, unreadable_pause=UNREADABLE_TOKEN_PAUSE)
        return self._sender

    def _attachment_channel(self) -> AttachmentChannel:
        telegram = self.settings.telegram
        channel = TelegramChannel(telegram.base_url, max_connections=telegram.connections)
        patience = Patience(upload=telegram.upload_timeout)
        urls = None
        if telegram.fetch_urls != "never":
            fetcher = UrlFetcher(timeout=telegram.upload_timeout, private=telegram.fetch_urls == "any")
            urls = UrlSender(channel, fetcher, largest=telegram.largest_upload * MEGABYTE, patience=patience)
        turns = Turns(self._file_ids, self._knowledge)
        return AttachmentChannel(
            channel, self.files, self._knowledge, turns, urls=urls, patience=patience, observer=self.metrics.files
        )

    def unit_of_work(self) -> UnitOfWork:
        """A unit of work on this outbox."""
        return UnitOfWork(self.store, lease=self.settings.worker.lease, policy=self._retry_policy())

    def worker(self) -> Worker:
        """A worker on this outbox, ready to `run`."""
        chosen = self.settings.worker
        settings = WorkerSettings(
            batch_size=chosen.batch_size,
            concurrency=chosen.concurrency,
            lease=chosen.lease,
            poll_interval=chosen.poll_interval,
            flush_interval=chosen.flush_interval,
            drain_deadline=chosen.drain_deadline,
        )
        return Worker(self.store, self.unit_of_work().outbox, self.sender, settings, self.metrics)

    async def process_notifications_batch(self, *, batch_size: int = 100) -> BatchSummary:
        """Claim one batch in one query, send it, record all outcomes in one commit, and say what came of it.

        Raises ValueError for a `batch_size` that is no whole number above zero.
        """
        if type(batch_size) is not int or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}: give a whole number of notifications, 1 or more.")
        concurrency, lease = self.settings.worker.concurrency, self.settings.worker.lease
        return await process_batch(
            self.unit_of_work(), self.sender, batch_size=batch_size, concurrency=concurrency, lease=lease
        )

    async def prune(self, *, told: Callable[[Pruned], None] = lambda _: None) -> Pruned:
        """Remove what is past its time by the settings of retention, a bounded piece at a time, and answer how much.

        The leader does the same now and then. `told` hears, after each piece, how much it was so far.
        """
        return await self._retaining.prune(told)

    async def prunable(self) -> Pruned:
        """How much `prune` would remove now. It reads as many entries of indexes as that is, and changes nothing."""
        return await self._retaining.due()

    def _retry_policy(self) -> RetryPolicy:
        retry = self.settings.retry
        return RetryPolicy(
            attempts=retry.attempts, unknown_attempts=retry.unknown_attempts, first=retry.first, longest=retry.longest
        )

    # The leader's side.

    def elector(self, role: str = "worker") -> Elector:
        """The elector of this process, always the same one, ready to `run`. `role` is what the first call says."""
        return self._leading.elector(role)

    def jobs_elector(self) -> Elector:
        """The elector of this process for whoever runs the jobs of APScheduler, an election of its own."""
        return self._leading.elector(SCHEDULER, JOBS)

    def leader_loops(self) -> list[Loop]:
        """The loops that work only while this instance leads; each asks its elector. `Service` runs them."""
        return [
            self._retaining.loop(self.elector()),
            FoldingLoop(Counts(self._kept_database), self.elector()),
            self._filing.collector(self.elector()),
            self.scheduler(),
            self.broadcaster(),
        ]

    def broadcaster(self) -> Broadcaster:
        """The loop that moves broadcasts on, ready to `run`, or to `turn` once."""
        return self._broadcasting.broadcaster(self.elector())

    def scheduler(self) -> Scheduler:
        """The loop that fires schedules, ready to `run`, or to `fire_due` once."""
        return self._planning.scheduler(self.elector())

    async def leadership(self) -> LeadershipReport:
        """Who leads, and every instance that follows. Raises StoreUnavailable, NotMigrated, MissingExtra."""
        return await self._leading.report()

    # The operator's side.

    async def doubt_restored(self, backup: datetime) -> int:
        """Make unknown what was enqueued by `backup`, waits, and may have been sent since; answers how many.

        For an outbox that was restored from a backup of that time. Raises ValueError for one in the future.
        """
        return await doubt_all(Restoring(self.database), backup, now=await self._history.clock())

    async def oldest_snapshot(self) -> OldSnapshot | None:
        """Whoever keeps dead rows from being cleaned away the longest, None for nobody. Raises StoreUnavailable."""
        return await Overviews(self._kept_database).oldest_snapshot()

    async def situation(self, *, bot: str | None = None) -> Situation:
        """How the outbox stands now, of one bot or of all, and who works on it: what `dovecote top` shows.

        Cheap, whatever the backlog. Raises UnknownBot, StoreUnavailable, NotMigrated, MissingExtra.
        """
        outbox = await Overviews(self._kept_database).overview(bot=bot)
        found = await self.broadcasts.under_way()
        return Situation(outbox=outbox, broadcasts=under_way(found, bot), leadership=await self.leadership())

    async def migrate(self) -> None:
        """Bring the schema to this version's. Safe to call from many instances at once.

        On PostgreSQL the functions for SQL are told what the settings say of keys and files.
        """
        await self.database.migrate()
        await tell_settings(
            self.database,
            key_window=self.settings.enqueue.key_window,
            largest_upload=self.settings.telegram.largest_upload * MEGABYTE,
        )

    async def check(self) -> None:
        """Raise what would keep a worker from working.

        NotMigrated, StoreUnavailable, TokenUnreadable with every such bot, StorageRefused where a storage is named in
        the settings. A storage that cannot be reached just now is only logged: most notifications need none.
        """
        await self.database.check_migrated()
        await self._check_storage()
        faults: list[str] = []
        for bot in await self._bots.bots():
            if bot.stopped_reason is None:
                try:
                    self.unseal(bot)
                except TokenUnreadable as error:
                    faults.append(str(error))
        if faults:
            raise TokenUnreadable("\n".join(faults))

    async def _check_storage(self) -> None:
        if not self._filing.names_a_storage:
            return
        try:
            async with asyncio.timeout(STORAGE_PATIENCE):
                await self.storage.check()
        except TimeoutError:
            logger.warning("files cannot be kept or read just now: the storage does not answer")
        except StorageUnavailable as error:
            logger.warning("files cannot be kept or read just now: %s", error)


_open: list[Dovecote] = []


def _forget(dovecote: Dovecote) -> None:
    if dovecote in _open:
        _open.remove(dovecote)


def configured() -> Dovecote:
    """The Dovecote that was made last and is not closed; where there is none, one from the settings."""
    return _open[-1] if _open else Dovecote()


async def process_notifications_batch(*, batch_size: int = 100) -> BatchSummary:
    """Claim, send and record one batch of the configured Dovecote. See `Dovecote.process_notifications_batch`."""
    return await configured().process_notifications_batch(batch_size=batch_size)


UnitOfWork.configured = staticmethod(lambda: configured().unit_of_work())

"""Turns: of all who need a content at a time, one uploads it, and the others are told when it is done.

Within a process a dictionary knows the uploads under way, so that five hundred claims of one picture ask the database
once. Over the cluster a row does: see `dovecote.ports.attachments.FileIds.begin`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dovecote.errors import DovecoteError
from dovecote.model import Released

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from dovecote.attachments.known import Knowledge
    from dovecote.model import ClaimedNotification, UploadKey
    from dovecote.ports.attachments import FileIds

logger = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=30)
"""How long a turn lasts that nobody renews: so long a dead uploader holds up the others."""
SHORTEST_WAIT: Final = timedelta(milliseconds=50)
LOOK_EVERY: Final = 0.5
"""Seconds between two looks whether another process has done its upload, while something waits for it here."""
WAKING: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Pauses in seconds before each try to wake what has not been given back yet."""
AGAIN: Final = 0.25
"""Seconds after which it is looked at once more: longer than a claim takes."""
REMEMBERING: Final = (0.0, 0.2, 1.0)
"""Pauses in seconds before each try to write down a new `file_id`."""
ENDING: Final = 5.0
"""Seconds that turns which were cut off have to be given up at the end."""


@dataclass(slots=True)
class Flight:
    """An upload under way, here or elsewhere. `until` is when its turn ends, on the monotonic clock."""

    until: float
    waiting: dict[int, ClaimedNotification] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """`keys` are to be uploaded now, by whoever has this. `known` needed no upload after all."""

    keys: tuple[UploadKey, ...]
    known: Mapping[UploadKey, str]


class Turns:
    """Whose turn it is to upload what. `lease` is how long a turn lasts that is not renewed."""

    def __init__(
        self,
        file_ids: FileIds,
        knowledge: Knowledge,
        *,
        lease: timedelta = LEASE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = file_ids
        self._knowledge = knowledge
        self._lease = lease
        self._now = monotonic
        self._uploader = secrets.token_hex(8)
        self._flights: dict[UploadKey, Flight] = {}
        # What waited for uploads that came to nothing, for whoever uploads next.
        self._left: dict[UploadKey, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()

    async def begin(
        self, claimed: ClaimedNotification, keys: Sequence[UploadKey], files: Mapping[UploadKey, int]
    ) -> Turn | Released:
        """Take the turn for all of `keys`, whose file ids are `files`; or give the notification back to wait.

        Raises StoreUnavailable.
        """
        for key in keys:
            if (flight := self._flights.get(key)) is not None:
                return self._wait(flight, claimed)
        ends_at = self._now() + self._lease.total_seconds()
        flights = {key: self._flight(key, ends_at) for key in keys}
        # Before the database is asked, so that nobody else here asks meanwhile.
        self._flights.update(flights)
        try:
            turn = await self._store.begin(keys, uploader=self._uploader, lease=self._lease)
        except BaseException:
            self._land(keys, wake_all=False)
            raise
        self._knowledge.learn(turn.file_ids)
        self._land([key for key in keys if key in turn.file_ids], wake_all=True)
        left = tuple(key for key in keys if key not in turn.file_ids)
        if not turn.busy:
            return Turn(left, turn.file_ids)
        for key, seconds in turn.busy.items():
            flights[key].until = self._now() + seconds
            self._spawn(self._watch(key, flights[key], (key.bot_id, files[key])))
        self._land([key for key in left if key not in turn.busy], wake_all=False)
        last = max(turn.busy, key=turn.busy.__getitem__)
        return self._wait(flights[last], claimed)

    def _flight(self, key: UploadKey, ends_at: float) -> Flight:
        before = self._left.pop(key, None)
        return Flight(ends_at) if before is None else Flight(ends_at, before.waiting)

    def _wait(self, flight: Flight, claimed: ClaimedNotification) -> Released:
        flight.waiting[claimed.id] = claimed
        return Released(max(SHORTEST_WAIT, timedelta(seconds=flight.until - self._now())))

    @asynccontextmanager
    async def held(self, turn: Turn) -> AsyncIterator[None]:
        """Renew the turn while an upload is under way."""
        renewing = asyncio.create_task(self._renew(turn.keys)) if turn.keys else None
        try:
            yield
        finally:
            if renewing is not None:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, keys: Sequence[UploadKey]) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            started_at = self._now()
            try:
                await self._store.renew(keys, uploader=self._uploader, lease=self._lease)
            except DovecoteError as error:
                logger.warning("the turn of an upload could not be renewed: %s", error)
                continue
            for key in keys:
                if (flight := self._flights.get(key)) is not None:
                    flight.until = started_at + self._lease.total_seconds()

    async def finish(self, turn: Turn, file_ids: Mapping[UploadKey, str]) -> None:
        """The upload is over: remember what Telegram calls what, and let others upload what it did not name."""
        self._knowledge.learn(file_ids)
        failed = [key for key in turn.keys if key not in file_ids]
        try:
            if file_ids:
                await self._remember(file_ids)
            if failed:
                await self._store.give_up(failed, uploader=self._uploader)
        except DovecoteError as error:
            logger.warning("the end of an upload could not be written down; its turn runs out: %s", error)
        finally:
            self._land([key for key in turn.keys if key in file_ids], wake_all=True)
            self._land(failed, wake_all=False)

    async def _remember(self, file_ids: Mapping[UploadKey, str]) -> None:
        for pause in REMEMBERING:
            await asyncio.sleep(pause)
            try:
                await self._store.finish(file_ids)
            except DovecoteError:
                if pause == REMEMBERING[-1]:
                    raise
            else:
                return

    def give_up(self, turn: Turn) -> None:
        """The upload was cut off: end the turn without waiting for it."""
        if turn.keys:
            self._spawn(self.finish(turn, {}), self._endings)

    async def forget(self, file_ids: Mapping[UploadKey, str]) -> None:
        """Telegram does not know these. Raises StoreUnavailable."""
        self._knowledge.forget(file_ids)
        await self._store.forget(file_ids)

    def _land(self, keys: Sequence[UploadKey], *, wake_all: bool) -> None:
        """These are under way no more: wake what waits, or, where there is no `file_id`, the next to upload it."""
        woken: dict[int, ClaimedNotification] = {}
        for key in keys:
            flight = self._flights.pop(key, None)
            if flight is None or not flight.waiting:
                continue
            if wake_all:
                woken.update(flight.waiting)
            else:
                first = next(iter(flight.waiting))
                woken[first] = flight.waiting.pop(first)
                self._left = {each: left for each, left in self._left.items() if left.until > self._now()}
                self._left[key] = flight
        if woken:
            self._spawn(self._wake(list(woken.values())))

    async def _wake(self, released: Sequence[ClaimedNotification]) -> None:
        waiting = released
        try:
            for pause in WAKING:
                await asyncio.sleep(pause)
                left = set(await self._store.wake(waiting))
                waiting = [claimed for claimed in waiting if claimed.id in left]
                if not waiting:
                    break
            # A claim that was under way meanwhile may have postponed what is behind them, as if they waited still.
            await asyncio.sleep(AGAIN)
            await self._store.wake([claimed for claimed in released if claimed.chat is not None])
        except DovecoteError as error:
            logger.warning("what waits for an upload could not be woken, and is due by itself later: %s", error)

    async def _watch(self, key: UploadKey, flight: Flight, file: tuple[int, int]) -> None:
        """Look whether another process has uploaded it, until its turn ends."""
        while self._flights.get(key) is flight and self._now() < flight.until:
            await asyncio.sleep(min(LOOK_EVERY, max(0.0, flight.until - self._now())))
            try:
                known = await self._store.look_up({file})
            except DovecoteError as error:
                logger.warning("whether a file was uploaded could not be asked: %s", error)
                continue
            self._knowledge.learn(known.file_ids)
            if key in known.file_ids:
                break
        if self._flights.get(key) is flight:
            self._land([key], wake_all=self._knowledge.file_id(key) is not None)

    def _spawn(self, work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]] | None = None) -> None:
        tasks = self._tasks if tasks is None else tasks
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def close(self) -> None:
        """End what waits and watches; what waits in the outbox is due by itself when its turn has run out."""
        if self._endings:
            await asyncio.wait(self._endings, timeout=ENDING)
        tasks = [*self._endings, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""The collection: files that nobody needs, and objects that belong to no file, are removed by the leader.

Leadership saves work and nothing else: two collections at a time take different rows, and what both remove is removed.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dovecote.errors import DovecoteError
from dovecote.model import Collection
from dovecote.rounds import LeaderRounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.files.storages import Storages
    from dovecote.ports import Leadership
    from dovecote.ports.files import FileObserver, FileSweeper

logger = logging.getLogger(__name__)

BATCH: Final = 200
"""Rows in one transaction."""
AGAIN_AFTER: Final = timedelta(hours=1)
"""When an object is tried again that its store did not remove."""


async def collect(
    sweeper: FileSweeper,
    storages: Storages,
    *,
    grace: timedelta,
    on_progress: Callable[[Collection], None] = lambda _: None,
    may_go_on: Callable[[], bool] = lambda: True,
    observer: FileObserver | None = None,
) -> Collection:
    """Remove whatever has not been needed for `grace`, and whatever belongs to no file. Raises StoreUnavailable.

    `on_progress` hears what is done so far after each batch, before which `may_go_on` is asked.
    """
    await storages.primary()
    await storages.sweep()
    after: tuple[int, int] | None = (0, -1)
    while after is not None and may_go_on():
        after = await sweeper.release(after=after, limit=BATCH)
    done, more = Collection(), True
    while more and may_go_on():
        collected, more = await sweeper.collect(grace=grace, limit=BATCH)
        if observer is not None:
            observer.collected(collected)
        done += collected
        on_progress(done)
    while may_go_on() and (objects := await sweeper.doomed(limit=BATCH)):
        removed = await storages.remove(objects, sweeper)
        # Put off in any case, so that this ends; those that are gone are no longer there to be put off.
        await sweeper.put_off(objects, by=AGAIN_AFTER)
        done += Collection(objects=removed, failed_objects=len(objects) - removed)
        on_progress(done)
    return done


class FileCollector(LeaderRounds):
    """Collects every `interval` while this instance leads. A failed round is logged, and tried again with the next."""

    name = "files"

    def __init__(
        self,
        sweeper: FileSweeper,
        storages: Storages,
        leadership: Leadership,
        *,
        grace: timedelta,
        interval: timedelta,
        observer: FileObserver | None = None,
    ) -> None:
        super().__init__(leadership, interval=interval)
        self._sweeper = sweeper
        self._storages = storages
        self._grace = grace
        self._observer = observer

    async def round(self) -> None:
        """See `LeaderRounds.round`."""
        try:
            done = await collect(
                self._sweeper,
                self._storages,
                grace=self._grace,
                may_go_on=self.may_go_on,
                observer=self._observer,
            )
        except DovecoteError as error:
            logger.warning("files could not be collected, and are with the next round: %s", error)
            return
        if done.files or done.objects:
            logger.info("collected %d files of %d bytes, removed %d objects", done.files, done.size, done.objects)

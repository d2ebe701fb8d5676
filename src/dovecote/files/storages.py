"""The stores that the files are in, opened when they are needed: the configured one, and those of a move."""

from __future__ import annotations

import logging
import shlex
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dovecote.errors import DovecoteError, StorageRefused, StoresDiffer
from dovecote.files.keys import INSTALLATIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from dovecote.model import FileStore, ObjectPlace
    from dovecote.ports import ManagedStorage
    from dovecote.ports.files import FileObserver, FileStores, FileSweeper

logger = logging.getLogger(__name__)

LEFT_BEHIND: Final = timedelta(days=1)
# Every file is lacking in a store that there is none of.
NO_STORE: Final = 0


class Storages:
    """Opens each store once. `url` is the configured one; `open_` makes a storage of a URL.

    `identity` answers what a URL leads to: two URLs of one identity are one store, whatever else stands in them.
    `installation` answers the outbox's own identity, by which the stores that it uses are marked; without it none is.
    """

    def __init__(
        self,
        records: FileStores,
        url: str,
        open_: Callable[[str], ManagedStorage],
        *,
        identity: Callable[[str], str] = lambda url: url,
        installation: Callable[[], Awaitable[str]] | None = None,
        observer: FileObserver | None = None,
    ) -> None:
        self.records = records
        self._url = url
        self._open = open_
        self._identity = identity
        self._installation = installation
        self._marked: set[int] = set()
        self._observer = observer
        self._known: dict[int, FileStore] = {}
        self._opened: dict[str, ManagedStorage] = {}
        self._primary: FileStore | None = None
        self._agreed = False

    async def primary(self) -> FileStore:
        """The store that answers, as this process last saw it. The configured one becomes it where there is none.

        Raises StoresDiffer where the files are in another store, and were not moved there.
        """
        # Reading looks at the roles as well, and asks nobody whether this process may write.
        if self._primary is None or not self._agreed:
            primary = await self.records.adopt(self._url)
            await self.refresh()
            if not self.same(primary.url, self._url):
                self._follow(primary)
            self._primary, self._agreed = primary, True
        return self._primary

    def _follow(self, primary: FileStore) -> None:
        """Accept a primary that is not the configured store, if the files were moved there from it or move to it."""
        roles = {self._identity(store.url): store.role for store in self._known.values()}
        configured = self._identity(self._url)
        if configured not in roles:
            # What is no URL, such as "beside the database: dovecote-files", is nothing to move to.
            move = "" if ": " in self._url else f"; `dovecote file move {shlex.quote(self._url)}` then moves them"
            raise StoresDiffer(
                f'the configured store is "{self._url}", and that of the files is "{primary.url}": configure that one'
                f" again{move}."
            )
        if roles[configured] == "retired":
            logger.warning(
                'the files were moved out of the configured store ("%s") to %s, which is used: set storage.url to it',
                self._url,
                primary.url,
            )

    async def refresh(self) -> None:
        """Look at the roles again."""
        self._known = {store.id: store for store in await self.records.stores()}
        self._primary = next((store for store in self._known.values() if store.role == "primary"), self._primary)

    def same(self, url: str, other: str) -> bool:
        """Whether both lead to one store."""
        return self._identity(url) == self._identity(other)

    def of(self, store: FileStore) -> ManagedStorage:
        """The storage behind a store. Raises what opening it raises, InvalidConfiguration or MissingExtra."""
        return self.open(store.url)

    def open(self, url: str) -> ManagedStorage:
        """The storage of a URL, opened once. The configured one is opened as it is configured now."""
        identity = self._identity(url)
        storage = self._opened.get(identity)
        if storage is None:
            storage = self._open(self._url if self.same(url, self._url) else url)
            self._opened[identity] = storage
        return storage

    async def storage(self, store_id: int) -> ManagedStorage:
        """The storage of that id."""
        return self.of(await self.store(store_id))

    async def store(self, store_id: int) -> FileStore:
        """The store of that id. Raises StoresDiffer where there is none."""
        if store_id not in self._known:
            await self.refresh()
        if store_id not in self._known:
            raise StoresDiffer(f"no file store has the id {store_id}: was its row removed by hand?")
        return self._known[store_id]

    async def by_preference(self, copies: Iterable[ObjectPlace]) -> list[ObjectPlace]:
        """Copies of a file, that of the primary first. Each is right, whatever this process has missed of a move."""
        found = [(await self.store(copy.store_id), copy) for copy in copies]
        return [copy for _, copy in sorted(found, key=lambda each: each[0].role != "primary")]

    async def remove(self, objects: Sequence[ObjectPlace], sweeper: FileSweeper) -> int:
        """Remove doomed objects from their stores and forget them; answers how many. Others stay to be tried again."""
        gone: list[ObjectPlace] = []
        for each in objects:
            try:
                storage = await self.storage(each.store_id)
                await storage.delete(each.key)
            except DovecoteError as error:
                if self._observer is not None:
                    self._observer.storage_failed(error)
                logger.warning("the object %s could not be removed and is tried again later: %s", each.key, error)
            else:
                gone.append(each)
        if gone:
            await sweeper.removed(gone)
        return len(gone)

    async def mark(self, store: FileStore) -> None:
        """Leave this installation's mark in a store, once in the life of a process."""
        if self._installation is not None and store.id not in self._marked:
            key = f"{INSTALLATIONS}{await self._installation()}"
            await self.of(store).upload(b"This installation of Dovecote keeps files here.\n", key)
            self._marked.add(store.id)

    async def unmark(self, store: FileStore) -> None:
        """Take the mark away."""
        if self._installation is not None:
            await self.of(store).delete(f"{INSTALLATIONS}{await self._installation()}")
            self._marked.discard(store.id)

    async def refuse_shared(self, store: FileStore) -> None:
        """Raise StoresDiffer where another installation has left its mark: to each the other's files are strays."""
        if self._installation is None:
            return
        own = f"{INSTALLATIONS}{await self._installation()}"
        async for key in self.of(store).keys(INSTALLATIONS):
            if key != own:
                raise StoresDiffer(
                    f'another installation keeps files in {store.url} as well (its mark is "{key}"), and to each the'
                    " other's would be strays: nothing was removed. Give each a prefix of its own; if that one is no"
                    " more, remove its mark from the store."
                )

    async def sweep(self) -> None:
        """Mark the stores that are written, and remove there what uploads of killed processes have left behind.

        While there is no file they are left alone: who uses none is not to find a folder made, or an error in the log.
        """
        if not await self.records.lacking(NO_STORE, after_id=0, limit=1):
            return
        await self.refresh()
        for store in self._known.values():
            if store.role != "retired":
                try:
                    await self.mark(store)
                    await self.of(store).sweep(older_than=LEFT_BEHIND)
                except DovecoteError as error:
                    # A store whose credentials are not known here, as those of a machine's role, is not swept at all.
                    level = logging.INFO if isinstance(error, StorageRefused) else logging.WARNING
                    logger.log(level, "%s could not be swept, and is with the next collection: %s", store.url, error)

    async def close(self) -> None:
        """Close every storage that was opened. May be called again."""
        opened, self._opened = self._opened, {}
        for storage in opened.values():
            await storage.close()

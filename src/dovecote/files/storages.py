"""The stores that the files are in, opened when they are needed: the configured one, and those of a move."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dovecote.errors import DovecoteError, StoresDiffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dovecote.file_ports import FileStores, FileSweeper
    from dovecote.model import FileStore, ObjectPlace
    from dovecote.ports import FileStorage

logger = logging.getLogger(__name__)


class Storages:
    """Opens each store once. `url` is the configured one; `open_` makes a storage of a URL."""

    def __init__(self, records: FileStores, url: str, open_: Callable[[str], FileStorage]) -> None:
        self._records = records
        self._url = url
        self._open = open_
        self._known: dict[int, FileStore] = {}
        self._opened: dict[str, FileStorage] = {}
        self._primary: FileStore | None = None

    async def primary(self) -> FileStore:
        """The store that answers, as this process last saw it. The configured one becomes it where there is none.

        Raises StoresDiffer where the files are in another store, and were not moved there.
        """
        if self._primary is None:
            primary = await self._records.adopt(self._url)
            await self._refresh()
            if primary.url != self._url:
                self._follow(primary)
            self._primary = primary
        return self._primary

    def _follow(self, primary: FileStore) -> None:
        """Accept a primary that is not the configured store, if the files were moved there from it or move to it."""
        roles = {store.url: store.role for store in self._known.values()}
        if self._url not in roles:
            raise StoresDiffer(
                f"storage.url is {self._url}, and the files are in {primary.url}: move them with `dovecote file move"
                f" {self._url}` while storage.url still names {primary.url}, or set it back."
            )
        if roles[self._url] == "retired":
            logger.warning(
                "the files were moved from %s to %s, which is used: set storage.url to it", self._url, primary.url
            )

    async def _refresh(self) -> None:
        self._known = {store.id: store for store in await self._records.stores()}
        self._primary = next((store for store in self._known.values() if store.role == "primary"), self._primary)

    def of(self, store: FileStore) -> FileStorage:
        """The storage behind a store. Raises what opening it raises, InvalidConfiguration or MissingExtra."""
        storage = self._opened.get(store.url)
        if storage is None:
            storage = self._opened[store.url] = self._open(store.url)
        return storage

    async def storage(self, store_id: int) -> FileStorage:
        """The storage of that id."""
        return self.of(await self.store(store_id))

    async def store(self, store_id: int) -> FileStore:
        """The store of that id. Raises StoresDiffer where there is none."""
        if store_id not in self._known:
            await self._refresh()
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
                logger.warning("the object %s could not be removed and is tried again later: %s", each.key, error)
            else:
                gone.append(each)
        if gone:
            await sweeper.removed(gone)
        return len(gone)

    async def close(self) -> None:
        """Close every storage that was opened and can be closed."""
        opened, self._opened = self._opened, {}
        for storage in opened.values():
            close = getattr(storage, "close", None)
            if close is not None:
                await close()

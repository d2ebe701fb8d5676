"""Objects that nobody owns, removed: strays in the stores that are used, and what a move has left in the old one.

No file can come to own one any more: a key is used once, and is written down before its object is there. What can come
back is a database, from a backup that is older than the store's contents. So a stray stays for the grace period.
Another installation's files would be strays as well: where its mark is, nothing is removed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from dovecote.errors import DovecoteError, FileMissing, StoresDiffer
from dovecote.files.keys import CONTENTS, INCOMING, incoming_key
from dovecote.model import Removal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from dovecote.files.storages import Storages
    from dovecote.model import FileStore
    from dovecote.ports import ManagedStorage
    from dovecote.ports.files import FileCatalogue

PAGE: Final = 100
# What is of another form was put there by somebody else.
_OURS: Final = re.compile(
    rf"{CONTENTS}([0-9a-f]{{2}})/([0-9a-f]{{2}})/\1\2[0-9a-f]{{60}}-[0-9a-f]{{16}}|{INCOMING}[0-9a-f]{{32}}"
)


class Strays:
    """Removes what nobody owns. `on_progress` hears what is done so far; `now` is compared with the store's times."""

    def __init__(
        self,
        catalogue: FileCatalogue,
        storages: Storages,
        *,
        on_progress: Callable[[Removal], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._catalogue = catalogue
        self._storages = storages
        self._on_progress = on_progress
        self._now = now

    async def remove(self, *, grace: timedelta) -> Removal:
        """Remove the strays that were stored longer than `grace` ago. Raises StoreUnavailable, StoresDiffer."""
        await self._storages.primary()
        done = Removal()
        stores = await self._storages.records.stores()
        # A key is one copy's, so who owns it in any store owns it: two of them may be one under two URLs.
        owners = [store.id for store in stores]
        used = [store for store in stores if store.role != "retired"]
        for store in used:
            await self._storages.mark(store)
            await self._storages.refuse_shared(store)
        for store in used:
            done = await self._remove_from(store, owners, grace, done)
        return done

    async def remove_old(self, url: str) -> Removal:
        """Remove what a move has left in the store of that URL.

        Raises StoresDiffer where the files were not moved out of it, where it is, under another URL, the one that is
        used, and while the files' store lacks some.
        """
        await self._storages.primary()
        # Another process may have moved the files since this one looked.
        await self._storages.refresh()
        primary = await self._storages.primary()
        stores = await self._storages.records.stores()
        old = next((store for store in stores if self._storages.same(store.url, url)), None)
        if any(self._storages.same(store.url, url) for store in stores if store.role != "retired"):
            raise StoresDiffer(f"the files are in {url}, and were not moved out of it: name the store they left.")
        if old is None:
            known = ", ".join(store.url for store in stores if store.role == "retired") or "none"
            raise StoresDiffer(f"no files were moved out of {url}: the stores that they have left are {known}.")
        _, lacking = await self._storages.records.count(primary.id)
        if lacking:
            raise StoresDiffer(
                f"{primary.url} lacks {lacking} files: see `dovecote file verify` before any is removed."
            )
        for store in stores:
            if store.role != "retired" and await self._are_one(self._storages.of(old), self._storages.of(store)):
                raise StoresDiffer(f"{url} and {store.url} are one store under two URLs: nothing was removed.")
        await self._storages.refuse_shared(old)
        done = await self._remove_from(old, [old.id], None, Removal())
        await self._storages.unmark(old)
        return done

    async def _are_one(self, one: ManagedStorage, other: ManagedStorage) -> bool:
        """Whether what is put into one store is in the other: their URLs need not tell."""
        key = incoming_key()
        try:
            await one.upload(b"put here to see whether two stores are one", key)
            return await other.exists(key)
        finally:
            await one.delete(key)

    async def _remove_from(
        self, store: FileStore, owners: Sequence[int], grace: timedelta | None, done: Removal
    ) -> Removal:
        storage = self._storages.of(store)
        for prefix in (CONTENTS, INCOMING):
            # Listed as a whole first: a listing that is removed from while it goes on may pass some over.
            keys = [key async for key in storage.keys(prefix) if _OURS.fullmatch(key)]
            for start in range(0, len(keys), PAGE):
                page = keys[start : start + PAGE]
                owned: set[str] = set()
                for owner in owners:
                    owned |= await self._catalogue.owned(owner, page)
                for key in page:
                    if key not in owned:
                        done += await self._judge(storage, key, grace)
                self._on_progress(done)
        return done

    async def _judge(self, storage: ManagedStorage, key: str, grace: timedelta | None) -> Removal:
        try:
            info = await storage.info(key)
            if grace is not None and info.modified_at > self._now() - grace:
                return Removal(young=1)
            await storage.delete(key)
        except FileMissing:
            return Removal()
        except DovecoteError:
            return Removal(failed=1)
        return Removal(objects=1, size=info.size)

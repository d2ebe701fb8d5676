"""Comparing what the database knows with what the stores hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dovecote.digests import checked
from dovecote.errors import DovecoteError, FileDamaged, FileMissing, UnknownFile
from dovecote.files.keys import CONTENTS, INCOMING
from dovecote.model import Discrepancy, Verification

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.files.storages import Storages
    from dovecote.model import FileStore, ObjectPlace, StoredFile
    from dovecote.ports.files import FileCatalogue, FileStores

PAGE: Final = 100


class Verifier:
    """Reads every content and compares its SHA-256, or, with `quick`, only asks for its size.

    `on_progress` hears how many files are done, and how many there are.
    """

    def __init__(
        self,
        catalogue: FileCatalogue,
        records: FileStores,
        storages: Storages,
        *,
        quick: bool = False,
        on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        self._catalogue = catalogue
        self._records = records
        self._storages = storages
        self._quick = quick
        self._on_progress = on_progress

    async def verify(self) -> Verification:
        """Compare everything, and name each disagreement. Raises StoreUnavailable, StoresDiffer."""
        primary = await self._storages.primary()
        total, _ = await self._records.count(primary.id)
        found: list[Discrepancy] = []
        files, before = 0, None
        while page := await self._catalogue.page(before_id=before, limit=PAGE):
            before = page[-1].id
            for file in page:
                found += await self._of_a_file(file)
                files += 1
                self._on_progress(files, max(files, total))
        objects = 0
        for store in await self._records.stores():
            if store.role != "retired":
                seen, strays = await self._strays(store)
                objects += seen
                found += strays
        return Verification(files, objects, tuple(found))

    async def _of_a_file(self, file: StoredFile) -> list[Discrepancy]:
        found = [fault for copy in file.copies if (fault := await self._fault(file, copy)) is not None]
        if not file.copies:
            found.append(Discrepancy("missing", "", "", file.id, "no store holds it"))
        if found:
            try:
                # It may have been deleted or moved while it was looked at.
                now = await self._catalogue.file(file.id)
            except UnknownFile:
                return []
            if now.copies != file.copies:
                return await self._of_a_file(now)
        return found

    async def _fault(self, file: StoredFile, copy: ObjectPlace) -> Discrepancy | None:
        store = await self._storages.store(copy.store_id)
        try:
            storage = self._storages.of(store)
            size = (await storage.info(copy.key)).size
            if size != file.size:
                words = f"it has {size:,} bytes instead of {file.size:,}"
                return Discrepancy("damaged", store.url, copy.key, file.id, words)
            if not self._quick:
                name = f"file {file.id}"
                async for _ in checked(storage.stream(copy.key), name=name, sha256=file.sha256, size=file.size):
                    continue
        except FileMissing as error:
            return Discrepancy("missing", store.url, copy.key, file.id, str(error))
        except FileDamaged as error:
            return Discrepancy("damaged", store.url, copy.key, file.id, str(error))
        except DovecoteError as error:
            return Discrepancy("unreadable", store.url, copy.key, file.id, str(error))
        return None

    async def _strays(self, store: FileStore) -> tuple[int, list[Discrepancy]]:
        """How many objects there are, and those that nobody knows."""
        seen, found, page = 0, [], []
        storage = self._storages.of(store)
        for prefix in (CONTENTS, INCOMING):
            async for key in storage.keys(prefix):
                seen += 1
                page.append(key)
                if len(page) == PAGE:
                    found += await self._unknown(store, page)
                    page = []
        return seen, found + await self._unknown(store, page)

    async def _unknown(self, store: FileStore, keys: list[str]) -> list[Discrepancy]:
        """Those that no file and no upload has. An upload is written down before its object is there, so it is seen."""
        owned = await self._catalogue.owned(store.id, keys)
        storage = self._storages.of(store)
        return [
            Discrepancy("stray", store.url, key, None, "no file and no upload has it")
            for key in keys
            # What was removed since it was listed is none.
            if key not in owned and await storage.exists(key)
        ]

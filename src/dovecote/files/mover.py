"""Moving the files from one store to another while everything goes on.

1. The target becomes the mirror: from then on whatever is put goes to both stores, and the primary answers.
2. What the mirror lacks is copied, read with its SHA-256 verified, and read back from the mirror before it counts.
3. What was mirrored meanwhile is looked at in the mirror: it must be there, in its size.
4. In one transaction that sees that the mirror lacks nothing, it becomes the primary, and the old store retires. Every
   process reads the roles in its own transactions, and so follows at once.
5. The copies in the old store are forgotten; its objects stay for whoever empties it.

All of it stands in the database: a move that was killed goes on where it was when it is begun again with the same
target, and two that run at a time help each other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from dovecote.digests import checked
from dovecote.errors import (
    DovecoteError,
    FileDamaged,
    FileMissing,
    StorageUnavailable,
    StoresDiffer,
    StoreUnavailable,
    UnknownFile,
)
from dovecote.files.keys import fresh_key
from dovecote.model import Move, ObjectPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from dovecote.files.storages import Storages
    from dovecote.model import FileStore, StoredFile
    from dovecote.ports.files import FileCatalogue, FileStores

PAGE: Final = 64
AT_A_TIME: Final = 8
ROUNDS: Final = 100
"""How often what is lacking is looked for again: puts that a failing mirror missed need another round."""
SHOWN: Final = 10


class Mover:
    """One move. `on_progress` hears how far it is."""

    def __init__(
        self,
        catalogue: FileCatalogue,
        records: FileStores,
        storages: Storages,
        *,
        window: timedelta,
        on_progress: Callable[[Move], None] = lambda _: None,
    ) -> None:
        self._catalogue = catalogue
        self._records = records
        self._storages = storages
        self._window = window
        self._on_progress = on_progress
        self._read_back: set[int] = set()

    async def move(self, url: str) -> Move:
        """Move to the store of that URL. Nothing is lost where it raises, and what is done stays done.

        Raises FileDamaged with files that cannot be copied, StorageUnavailable where it is merely to be begun again.
        """
        source = await self._storages.primary()
        if self._storages.same(source.url, url):
            raise StoresDiffer(f"the files are in {source.url} already: name the store that they are to move to.")
        # Before anything is mirrored there: it must be usable.
        await self._storages.open(url).check()
        target = await self._records.mirror(url)
        for _ in range(ROUNDS):
            await self._copy_all(source, target)
            await self._look_at_the_mirrored(target)
            if await self._records.switch(target.id):
                break
        else:
            raise StoresDiffer(f"{url} still lacks files after {ROUNDS} rounds: does it take what is put there?")
        await self._storages.refresh()
        await self.leave(source)
        files, _ = await self._records.count(target.id)
        return Move(source.url, target.url, files, 0, switched=True)

    async def abandon(self) -> FileStore | None:
        """Give a move up before its switch: the primary stays. Answers what was to be the target; None: no move."""
        for store in await self._records.stores():
            if store.role == "mirror":
                await self.leave(store)
                await self._storages.refresh()
                return store
        return None

    async def leave(self, store: FileStore) -> None:
        """Retire a store and forget its copies."""
        after: int | None = 0
        while after is not None:
            after = await self._records.leave(store.id, after_id=after, limit=PAGE * 8)

    async def _copy_all(self, source: FileStore, target: FileStore) -> None:
        files, lacking = await self._records.count(target.id)
        self._on_progress(Move(source.url, target.url, files, lacking, switched=False))
        faults: list[str] = []
        is_passing = True
        places = asyncio.Semaphore(AT_A_TIME)

        async def copy(file: StoredFile) -> None:
            nonlocal is_passing
            async with places:
                try:
                    await self._copy(file, target)
                except (StorageUnavailable, StoreUnavailable) as error:
                    faults.append(f"file {file.id}: {error}")
                except DovecoteError as error:
                    # One that was deleted meanwhile is no fault.
                    if await self._is_a_file(file.id):
                        faults.append(f"file {file.id}: {error}")
                        is_passing = False

        after = 0
        while page := await self._records.lacking(target.id, after_id=after, limit=PAGE):
            async with asyncio.TaskGroup() as group:
                for file in page:
                    group.create_task(copy(file))
            after = page[-1].id
            lacking = max(0, lacking - len(page))
            self._on_progress(Move(source.url, target.url, files, lacking, switched=False))
        if faults:
            raise _not_copied(faults, is_passing=is_passing)

    async def _copy(self, file: StoredFile, target: FileStore) -> None:
        """Copy one file, read it back, and note it. Raises UnknownFile for one that is no more."""
        file = await self._catalogue.file(file.id)
        (from_, *_) = await self._storages.by_preference(file.copies)
        copy = ObjectPlace(target.id, fresh_key(file.sha256))
        await self._catalogue.announce(copy.key, window=self._window, stores=[target])
        source, there = await self._storages.storage(from_.store_id), self._storages.of(target)
        name = f"file {file.id}"
        chunks = checked(source.stream(from_.key), name=name, sha256=file.sha256, size=file.size)
        await there.upload(chunks, copy.key, content_type=file.content_type, size=file.size)
        async for _ in checked(there.stream(copy.key), name=name, sha256=file.sha256, size=file.size):
            pass
        if await self._records.copied(file.id, copy):
            self._read_back.add(file.id)

    async def _look_at_the_mirrored(self, target: FileStore) -> None:
        """See that what others have put into the mirror is there. Raises FileDamaged."""
        before: int | None = None
        while page := await self._catalogue.page(before_id=before, limit=PAGE):
            before = page[-1].id
            for file in page:
                copies = [copy for copy in file.copies if copy.store_id == target.id]
                if file.id not in self._read_back and copies:
                    await self._look_at(file, copies[0])

    async def _look_at(self, file: StoredFile, copy: ObjectPlace) -> None:
        try:
            size = (await self._storages.of(await self._storages.store(copy.store_id)).info(copy.key)).size
        except FileMissing:
            size = None
        if size != file.size and await self._is_there_still(file, copy):
            has = "is missing" if size is None else f"has {size:,} bytes instead of {file.size:,}"
            raise FileDamaged(
                f"file {file.id} {has} in the store that the files move to: delete it and put it again, or give the"
                " move up with `dovecote file move --abandon`."
            )

    async def _is_a_file(self, file_id: int) -> bool:
        try:
            await self._catalogue.file(file_id)
        except UnknownFile:
            return False
        return True

    async def _is_there_still(self, file: StoredFile, copy: ObjectPlace) -> bool:
        try:
            return copy in (await self._catalogue.file(file.id)).copies
        except UnknownFile:
            return False


def _not_copied(faults: Sequence[str], *, is_passing: bool) -> DovecoteError:
    """The error for the files that could not be copied. `is_passing`: a store or the database was away, no more."""
    more = f"\nand {len(faults) - SHOWN} more." if len(faults) > SHOWN else ""
    shown = "\n".join(faults[:SHOWN]) + more
    if is_passing:
        return StorageUnavailable(
            f"some files could not be copied just now. Begin the move again: what is done stays done.\n{shown}"
        )
    return FileDamaged(
        "some files could not be copied. Mend, delete or put them again, and begin the move again: what is done"
        f" stays done.\n{shown}"
    )

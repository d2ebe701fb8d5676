"""Putting, reading and removing files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from dovecote.digests import checked
from dovecote.errors import DovecoteError, FileMissing, NotConfigured, StorageUnavailable
from dovecote.files.collector import collect
from dovecote.files.contents import taken_in
from dovecote.files.direct import Direct
from dovecote.files.keys import check_name, fresh_key
from dovecote.files.mover import Mover
from dovecote.files.strays import Strays
from dovecote.files.verifier import Verifier
from dovecote.model import NewFile, ObjectPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from dovecote.files.contents import Content, Source
    from dovecote.files.incoming import Incoming
    from dovecote.files.storages import Storages
    from dovecote.model import Collection, FileStore, Move, Removal, StoredFile, UploadTicket, Verification
    from dovecote.ports.files import DirectUploads, FileCatalogue, FileObserver, FileSweeper

logger = logging.getLogger(__name__)

WINDOW: Final = timedelta(days=1)
"""How long an upload may take before its object is removed as a dead process's."""
TRIES: Final = 3


class Files:
    """The files of a Dovecote. Ids are the database's, sizes are in bytes.

    `incoming` and `uploads` are needed for `fetch` and for `upload_url` alone; `grace` is how long an unneeded file
    stays.
    """

    def __init__(
        self,
        catalogue: FileCatalogue,
        sweeper: FileSweeper,
        storages: Storages,
        *,
        incoming: Incoming | None = None,
        uploads: DirectUploads | None = None,
        grace: timedelta = timedelta(days=7),
        observer: FileObserver | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._sweeper = sweeper
        self._storages = storages
        self._incoming = incoming
        self._direct = None if uploads is None else Direct(uploads, storages)
        self._grace = grace
        self._observer = observer

    async def put(
        self, source: Source, *, name: str | None = None, keep: bool = False, max_size: int | None = None
    ) -> StoredFile:
        """Store bytes, a file by its path, an open file or a stream, and answer the file.

        A content that is there already is not stored again; it gets one more name. `name` is what recipients see; for a
        path it is the path's last part. A file that is not to `keep` is collected once no notification has needed it
        for `storage.grace`. Raises FileTooLarge beyond `max_size` bytes, ValueError for a name that cannot be,
        StorageUnavailable and StorageRefused; there is no new file then.
        """
        if name is None and isinstance(source, str | os.PathLike):
            name = Path(source).name
        if name is not None:
            check_name(name)
        async with taken_in(source, max_size=max_size) as content:
            return await self.put_content(content, name=name, keep=keep)

    async def fetch(
        self, bot: str, file_id: str, *, name: str | None = None, keep: bool = True, max_size: int | None = None
    ) -> StoredFile:
        """Store what somebody has sent to a bot: `getFile`, and the download, streamed into storage.

        Unless told otherwise it is kept until it is deleted. Raises UnknownBot, TokenUnreadable, TelegramRefused (a
        wrong `file_id` or token), TelegramUnavailable, FileTooLarge (with what to do about it), and what `put` does.
        """
        if name is not None:
            check_name(name)
        if self._incoming is None:
            raise NotConfigured("these files were made without a source of incoming ones.")
        return await self._incoming.fetch(self, bot, file_id, name=name, keep=keep, max_size=max_size)

    async def put_content(self, content: Content, *, name: str | None, keep: bool) -> StoredFile:
        """Store what was taken in already."""
        try:
            file, outcome = await self._put_content(content, name=name, keep=keep)
        except DovecoteError:
            if self._observer is not None:
                self._observer.put("failed", content.size)
            raise
        if self._observer is not None:
            self._observer.put(outcome, content.size)
        return file

    async def _put_content(self, content: Content, *, name: str | None, keep: bool) -> tuple[StoredFile, str]:
        await self._storages.primary()
        for _ in range(TRIES):
            known = await self._catalogue.needed_again(content.sha256, name=name, keep=keep)
            if known is not None:
                return known, "known"
            new = NewFile(
                key=fresh_key(content.sha256),
                sha256=content.sha256,
                size=content.size,
                content_type=content.content_type,
                name=name,
                keep=keep,
            )
            stores = await self._catalogue.announce(new.key, window=WINDOW)
            written = [store for store in stores if await self._upload(content, new.key, store)]
            file = await self._catalogue.record(new, written)
            # What has not become the file's is doomed: another was first to put this content, or it came too late.
            copies = () if file is None else file.copies
            ours = [ObjectPlace(store.id, new.key) for store in written]
            await self._storages.remove([each for each in ours if each not in copies], self._sweeper)
            if file is not None:
                return file, "stored"
            logger.warning("an upload took longer than %s, or the files were moved meanwhile: it begins again", WINDOW)
        raise StorageUnavailable(
            f"the upload took longer than {WINDOW}, {TRIES} times: is the connection to the store so slow?"
        )

    async def _upload(self, content: Content, key: str, store: FileStore) -> bool:
        """Upload to one store; False where a mirror does not take it, which the move then copies there."""
        try:
            await self._storages.of(store).upload(
                content.chunks() if content.whole is None else content.whole,
                key,
                content_type=content.content_type,
                size=content.size,
            )
        except DovecoteError as error:
            self._storage_failed(error)
            if store.role == "primary":
                raise
            logger.warning("the store %s, which the files move to, did not take one: %s", store.url, error)
            return False
        return True

    def _storage_failed(self, error: DovecoteError) -> None:
        if self._observer is not None:
            self._observer.storage_failed(error)

    async def info(self, file_id: int) -> StoredFile:
        """What is known of a file. Raises UnknownFile."""
        return await self._catalogue.file(file_id)

    async def list(
        self, *, name: str | None = None, before_id: int | None = None, limit: int = 50
    ) -> Sequence[StoredFile]:
        """Files, the newest first, a page at a time; with `name` those of that name alone."""
        return await self._catalogue.page(name=name, before_id=before_id, limit=limit)

    async def get(self, file_id: int) -> bytes:
        """The whole content. Raises UnknownFile, FileMissing, FileDamaged, StorageUnavailable, StorageRefused."""
        return b"".join([chunk async for chunk in self.stream(file_id)])

    async def stream(self, file_id: int) -> AsyncIterator[bytes]:
        """The content in chunks. Raises what `get` does, as it goes.

        Its SHA-256 is verified, and the last chunk held back until then: what comes to its end is right.
        """
        file = await self._catalogue.file(file_id)
        begun = False
        copies = await self._storages.by_preference(file.copies)
        for place in copies:
            try:
                storage = await self._storages.storage(place.store_id)
                async for chunk in checked(
                    storage.stream(place.key), name=f"file {file.id}", sha256=file.sha256, size=file.size
                ):
                    begun = True
                    yield chunk
            except DovecoteError as error:
                self._storage_failed(error)
                # Another copy is as good, unless a part was given out already.
                if begun or place == copies[-1]:
                    raise
                logger.warning("a copy of file %d cannot be read, another is tried: %s", file.id, error)
            else:
                return
        if not copies:
            raise FileMissing(f"file {file.id} is in no store: put its content again.")

    async def save(self, file_id: int, path: str | os.PathLike[str]) -> StoredFile:
        """Write the content to a file of the disk, whole or not at all: what was there stays if it fails.

        Raises what `get` does, StorageUnavailable where the disk is full or takes no file so large, and OSError for a
        path that cannot be written to.
        """
        file = await self._catalogue.file(file_id)
        target = Path(path)
        part = await asyncio.to_thread(_part_of, target)
        try:
            async for chunk in self.stream(file_id):
                await asyncio.to_thread(_written, part, chunk, target)
            await asyncio.to_thread(_written, part, None, target)
            await asyncio.to_thread(os.replace, part.name, target)
        except BaseException:
            await asyncio.to_thread(_discarded, part)
            raise
        return file

    async def url(self, file_id: int, *, expires_in: timedelta = timedelta(hours=1)) -> str:
        """A URL to read it by, made now: under the public base URL where one is set, else signed for `expires_in`."""
        file = await self._catalogue.file(file_id)
        for place in await self._storages.by_preference(file.copies):
            return await (await self._storages.storage(place.store_id)).url(place.key, expires_in=expires_in)
        raise FileMissing(f"file {file.id} is in no store: put its content again.")

    async def keep(self, file_id: int, *, keep: bool = True) -> StoredFile:
        """Let it never be collected; with `keep=False`, a grace period from now. Raises UnknownFile."""
        return await self._catalogue.keep(file_id, keep=keep)

    async def delete(self, file_id: int, *, name: str | None = None) -> bool:
        """Remove a file with all its names, or one `name`, and the file with the last. Says whether the file is gone.

        Raises UnknownFile, and FileInUse while a notification in the outbox needs it.
        """
        objects = await self._catalogue.forget(file_id, name=name)
        # It is gone already: what a store does not remove now, the collection does.
        await self._storages.remove(objects, self._sweeper)
        return bool(objects)

    async def upload_url(
        self,
        name: str | None,
        content_type: str,
        max_size: int,
        *,
        size: int | None = None,
        expires_in: timedelta = timedelta(minutes=15),
        keep: bool = False,
    ) -> UploadTicket:
        """Let a client upload one content straight into the store, of at most `max_size` bytes, or exactly `size`.

        What is to be sent stands in the ticket; when it is sent, `complete` makes a file of it. Raises ValueError for
        limits that cannot be, and StorageRefused where the store cannot do it, as a folder cannot.
        """
        if name is not None:
            check_name(name)
        return await self._to_direct().allow(name, content_type, max_size, size=size, expires_in=expires_in, keep=keep)

    async def complete(self, upload_id: str, *, sha256: str | None = None, size: int | None = None) -> StoredFile:
        """Make a file of what a client has uploaded, once it is what was agreed on; again, and it is the same file.

        `sha256` (in hexadecimal) and `size` are what the client says that it has sent. Raises UnknownUpload,
        FileMissing before anything is there, ValueError for a `sha256` that is none, FileTooLarge, and FileDamaged
        where it differs from that or is of another kind than was agreed on; what was uploaded is removed then.
        """
        return await self._to_direct().complete(self, upload_id, sha256=sha256, size=size)

    def _to_direct(self) -> Direct:
        if self._direct is None:
            raise NotConfigured("these files were made without direct uploads.")
        return self._direct

    async def collect(
        self, *, grace: timedelta | None = None, on_progress: Callable[[Collection], None] = lambda _: None
    ) -> Collection:
        """Remove now what the leader would: files that nobody needs or keeps, and objects that belong to no file."""
        return await collect(
            self._sweeper,
            self._storages,
            grace=self._grace if grace is None else grace,
            on_progress=on_progress,
            observer=self._observer,
        )

    async def verify(
        self, *, quick: bool = False, on_progress: Callable[[int, int], None] = lambda _done, _all: None
    ) -> Verification:
        """Compare database and stores, and name what is missing, damaged or stray. `quick` compares sizes alone."""
        records = self._storages.records
        verifier = Verifier(self._catalogue, records, self._storages, quick=quick, on_progress=on_progress)
        return await verifier.verify()

    async def remove_strays(
        self, *, grace: timedelta | None = None, on_progress: Callable[[Removal], None] = lambda _: None
    ) -> Removal:
        """Remove the objects that no file and no upload has, once they were stored longer than `grace` ago.

        What another installation has put under the same prefix would be among them: StoresDiffer where one has left
        its mark there, and nothing is removed.
        """
        strays = Strays(self._catalogue, self._storages, on_progress=on_progress)
        return await strays.remove(grace=self._grace if grace is None else grace)

    async def remove_old(self, url: str, *, on_progress: Callable[[Removal], None] = lambda _: None) -> Removal:
        """Remove what a move has left in the store of that URL. Raises StoresDiffer where that could harm a file."""
        return await Strays(self._catalogue, self._storages, on_progress=on_progress).remove_old(url)

    async def move(self, url: str, *, on_progress: Callable[[Move], None] = lambda _: None) -> Move:
        """Move all files to the store of that URL while everything goes on; begun again, it goes on where it was.

        Raises StoresDiffer, InvalidConfiguration, StorageRefused, StorageUnavailable where it is merely to be begun
        again, and FileDamaged that names what cannot be copied.
        """
        return await self._mover(on_progress).move(url)

    async def abandon_move(self) -> str | None:
        """Give a move up that has not switched yet; answers the URL of what was to be the target, None without one."""
        store = await self._mover().abandon()
        return None if store is None else store.url

    def _mover(self, on_progress: Callable[[Move], None] = lambda _: None) -> Mover:
        return Mover(self._catalogue, self._storages.records, self._storages, window=WINDOW, on_progress=on_progress)


def _part_of(target: Path) -> IO[bytes]:
    """A new file beside the target, which is renamed when it is whole."""
    return target.with_name(f".{secrets.token_hex(8)}.part").open("xb")


def _written(part: IO[bytes], chunk: bytes | None, target: Path) -> None:
    """Write a chunk, or, with None, the end. Raises StorageUnavailable."""
    try:
        if chunk is None:
            part.close()
        else:
            part.write(chunk)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageUnavailable(
            f"the disk of {target.parent} does not take the file ({reason}): what was there is as it was. Make room, or"
            " name another folder."
        ) from error


def _discarded(part: IO[bytes]) -> None:
    """Remove what was begun. What could not be written is not to be written at the end either."""
    with contextlib.suppress(OSError):
        part.close()
    Path(part.name).unlink(missing_ok=True)

"""Putting, reading and removing files."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from dovecote.errors import DovecoteError, FileDamaged, FileMissing, NotConfigured, StorageUnavailable
from dovecote.files.contents import taken_in
from dovecote.model import NewFile, ObjectPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from dovecote.file_ports import FileCatalogue, FileSweeper
    from dovecote.files.contents import Content, Source
    from dovecote.files.incoming import Incoming
    from dovecote.files.storages import Storages
    from dovecote.model import FileStore, StoredFile

logger = logging.getLogger(__name__)

WINDOW: Final = timedelta(days=1)
"""How long an upload may take before its object is removed as a dead process's."""
LONGEST_NAME: Final = 255
TRIES: Final = 3


class Files:
    """The files of a Dovecote. Ids are the database's, sizes are in bytes."""

    def __init__(
        self, catalogue: FileCatalogue, sweeper: FileSweeper, storages: Storages, incoming: Incoming | None = None
    ) -> None:
        self._catalogue = catalogue
        self._sweeper = sweeper
        self._storages = storages
        self._incoming = incoming

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
        await self._storages.primary()
        for _ in range(TRIES):
            known = await self._catalogue.needed_again(content.sha256, name=name, keep=keep)
            if known is not None:
                return known
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
                return file
            logger.warning("an upload took longer than %s and begins again", WINDOW)
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
            if store.role == "primary":
                raise
            logger.warning("the store %s, which the files move to, did not take one: %s", store.url, error)
            return False
        return True

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
                async for chunk in verified(storage.stream(place.key), file):
                    begun = True
                    yield chunk
            except DovecoteError as error:
                # Another copy is as good, unless a part was given out already.
                if begun or place == copies[-1]:
                    raise
                logger.warning("a copy of file %d cannot be read, another is tried: %s", file.id, error)
            else:
                return
        if not copies:
            raise FileMissing(f"file {file.id} is in no store: put its content again.")

    async def save(self, file_id: int, path: str | os.PathLike[str]) -> StoredFile:
        """Write the content to a file of the disk, whole or not at all. Raises what `get` does, and OSError."""
        file = await self._catalogue.file(file_id)
        target = Path(path)
        part = await asyncio.to_thread(_part_of, target)
        try:
            async for chunk in self.stream(file_id):
                await asyncio.to_thread(part.write, chunk)
            await asyncio.to_thread(part.close)
            await asyncio.to_thread(os.replace, part.name, target)
        except BaseException:
            await asyncio.to_thread(part.close)
            await asyncio.to_thread(Path(part.name).unlink, missing_ok=True)
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


def fresh_key(sha256: str) -> str:
    """A key for a content that no object ever had."""
    return f"sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}-{secrets.token_hex(8)}"


def check_name(name: str) -> None:
    """Raise ValueError for a name that no file can have."""
    if not name or len(name.encode(errors="replace")) > LONGEST_NAME:
        raise ValueError(f"a file's name has 1 to {LONGEST_NAME} bytes in UTF-8, and {name[:40]!r} has not.")
    if not name.isprintable() or "/" in name or "\\" in name:
        raise ValueError(f"{name!r} cannot be a file's name: it holds a slash, a backslash or a control character.")


async def verified(chunks: AsyncIterator[bytes], file: StoredFile) -> AsyncIterator[bytes]:
    """The chunks, the last one only once all of them have the file's size and hash. Raises FileDamaged."""
    digest, size, held = hashlib.sha256(), 0, b""
    async for chunk in chunks:
        size += len(chunk)
        if size > file.size:
            break
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    if size != file.size or digest.hexdigest() != file.sha256:
        raise FileDamaged(
            f"file {file.id} is damaged: its store holds something else than the {file.size:,} bytes that were put"
            " (`dovecote file verify` tells what else is)."
        )
    if held:
        yield held


def _part_of(target: Path) -> IO[bytes]:
    """A new file beside the target, which is renamed when it is whole."""
    return target.with_name(f".{secrets.token_hex(8)}.part").open("xb")

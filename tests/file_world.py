"""Files for a test: on an outbox whose clock stands still, in stores that are in memory and can be made to fail."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from outboxes import START

from dovecote.errors import DovecoteError, FileMissing, InvalidConfiguration
from dovecote.files import Files, Storages
from dovecote.files.collector import collect
from dovecote.model import ObjectInfo, SignedUpload
from dovecote.stores.file_collection import FileSweep
from dovecote.stores.file_moves import FileMoves
from dovecote.stores.file_uploads import FileUploads
from dovecote.stores.files import Files as Catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable

    from outboxes import Outbox

    from dovecote.model import Collection, StoredFile
    from dovecote.ports.files import FileCatalogue, FileSweeper

GRACE = timedelta(hours=1)
PRIMARY = "memory:primary"


class MemoryObjects:
    """`ports.FileStorage` in a dictionary. `before` is awaited before each call, with its name and key."""

    def __init__(self, url: str) -> None:
        self.url_base = url
        self.objects: dict[str, bytes] = {}
        self.content_types: dict[str, str | None] = {}
        self.uploads = 0
        self.failure: DovecoteError | None = None
        self.before: Callable[[str, str], Awaitable[None]] | None = None

    async def _call(self, name: str, key: str) -> None:
        if self.before is not None:
            await self.before(name, key)
        if self.failure is not None:
            raise self.failure

    async def upload(
        self, file: bytes | AsyncIterable[bytes], key: str, *, content_type: str | None = None, size: int | None = None
    ) -> str:
        await self._call("upload", key)
        content = file if isinstance(file, bytes) else b"".join([chunk async for chunk in file])
        assert size in {None, len(content)}
        self.objects[key] = content
        self.content_types[key] = content_type
        self.uploads += 1
        return f"{self.url_base}/{key}"

    async def download(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in self.stream(key)])

    async def stream(self, key: str, *, chunk_size: int = 256 * 1024) -> AsyncIterator[bytes]:
        await self._call("stream", key)
        content = self._content(key)
        for start in range(0, len(content), chunk_size):
            yield content[start : start + chunk_size]

    async def delete(self, key: str) -> bool:
        await self._call("delete", key)
        return self.objects.pop(key, None) is not None

    async def exists(self, key: str) -> bool:
        await self._call("exists", key)
        return key in self.objects

    async def info(self, key: str) -> ObjectInfo:
        await self._call("info", key)
        return ObjectInfo(key, len(self._content(key)), START, self.content_types.get(key))

    async def check(self, *, writes: bool = True) -> None:
        await self._call("check", str(writes))

    async def sweep(self, *, older_than: timedelta) -> int:
        assert older_than >= timedelta(days=1)
        await self._call("sweep", "")
        return 0

    async def signed_upload(
        self, key: str, *, content_type: str, largest: int, size: int | None = None, expires_in: timedelta
    ) -> SignedUpload:
        headers = {"Content-Type": content_type, "X-Largest": str(largest), "X-Size": str(size)}
        return SignedUpload("PUT", f"{self.url_base}/{key}", START + expires_in, headers)

    async def close(self) -> None:
        self.objects.clear()

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        return f"{self.url_base}/{key}?for={expires_in.total_seconds():.0f}"

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        await self._call("keys", prefix)
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield key

    def _content(self, key: str) -> bytes:
        if key not in self.objects:
            raise FileMissing(f"no object {key}")
        return self.objects[key]


class FileWorld:
    """One process's files. `stores` are shared by all processes of a test, by URL."""

    def __init__(self, outbox: Outbox, stores: dict[str, MemoryObjects] | None = None, *, url: str = PRIMARY) -> None:
        self.outbox = outbox
        self.stores = {} if stores is None else stores
        database, clock = outbox.database, outbox._microseconds
        self.catalogue: FileCatalogue = Catalogue(database, clock=clock)
        self.sweeper: FileSweeper = FileSweep(database, clock=clock)
        self.moves = FileMoves(database, clock=clock)
        self.uploads = FileUploads(database, clock=clock)
        self.storages = Storages(self.moves, url, self.store)
        self.files = Files(self.catalogue, self.sweeper, self.storages, uploads=self.uploads)

    def another(self, *, url: str = PRIMARY) -> FileWorld:
        """Another process on the same database and stores."""
        return FileWorld(self.outbox, self.stores, url=url)

    def store(self, url: str) -> MemoryObjects:
        if not url.startswith("memory:"):
            raise InvalidConfiguration([f"{url} is no store of this test"])
        return self.stores.setdefault(url, MemoryObjects(url))

    @property
    def primary(self) -> MemoryObjects:
        return self.store(PRIMARY)

    async def collect(self) -> Collection:
        return await collect(self.sweeper, self.storages, grace=GRACE)

    async def attach(self, file: StoredFile, *notification_ids: int) -> None:
        """Write attachments as an enqueue does."""
        rows = [{"notification_id": id_, "position": 0, "file_id": file.id, "field": "x"} for id_ in notification_ids]
        attachment = self.outbox.database.tables.files.attachment
        await self.outbox.database.run(lambda connection: connection.execute(attachment.insert(), rows), write=True)

    async def rows(self, table: str) -> list[tuple[object, ...]]:
        """All rows of a table of the files, as plain tuples."""
        which = getattr(self.outbox.database.tables.files, table)
        return await self.outbox.database.run(
            lambda connection: [tuple(row) for row in connection.execute(which.select().order_by(*which.primary_key))]
        )

    async def is_consistent(self) -> None:
        """Every copy's object is there, and every object is a copy's or is written down as loose."""
        known = {(row[1], row[2]) for row in await self.rows("file_copy")}
        loose = {(row[1], row[0]) for row in await self.rows("loose_object")}
        ids = {store.url: store.id for store in await self.moves.stores()}
        there = {(ids[url], key) for url, store in self.stores.items() for key in store.objects}
        assert known <= there, "a file's object is missing"
        assert there <= known | loose, "an object is in a store that nobody knows of"
        assert not known & loose, "a file's object is written down as loose"

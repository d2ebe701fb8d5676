"""What the engine asks of the world for files, beside `ports.FileStorage`: their rows, and where Telegram has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import timedelta

    from dovecote.model import (
        Collection,
        DirectUpload,
        FileStore,
        NewFile,
        ObjectPlace,
        Outcome,
        RemoteFile,
        StoredFile,
    )


class FileCatalogue(Protocol):
    """The files in the database: which there are, and which stores hold them. What it promises: `dovecote.files`."""

    async def file(self, file_id: int) -> StoredFile:
        """The file. Raises UnknownFile."""

    async def page(
        self, *, name: str | None = None, before_id: int | None = None, limit: int = 50
    ) -> Sequence[StoredFile]:
        """Files, the newest first, a page at a time; with `name` those of that name alone."""

    async def needed_again(self, sha256: str, *, name: str | None, keep: bool) -> StoredFile | None:
        """The file of that content, if there is one: it has one more name now, and its grace period begins anew."""

    async def announce(self, key: str, *, window: timedelta, stores: Sequence[FileStore] = ()) -> Sequence[FileStore]:
        """Write down, before an upload begins, that an object may lie in `stores` (all that are written) as `key`.

        Answers the stores, the primary first. What has not become a file after `window` is collected.
        """

    async def record(self, new: NewFile, stores: Sequence[FileStore]) -> StoredFile | None:
        """Make a file of what now lies in `stores`; what does not become one is doomed.

        None where the window was over, or the primary is another store by now. Where the same content has become a
        file meanwhile, that one is answered.
        """

    async def forget(self, file_id: int, *, name: str | None = None) -> Sequence[ObjectPlace]:
        """Remove the file, or its `name` and with the last name the file; answers the objects, which are doomed.

        Raises UnknownFile, FileInUse.
        """

    async def keep(self, file_id: int, *, keep: bool) -> StoredFile:
        """Let it never be collected, or let it be again, a grace period from now. Raises UnknownFile."""

    async def owned(self, store_id: int, keys: Sequence[str]) -> set[str]:
        """Those of the keys that a file or an upload has in that store, or that are being removed from it."""


class FileSweeper(Protocol):
    """The files that nobody needs, in the database. Each call is a transaction of its own, bounded by `limit`."""

    async def release(self, *, after: tuple[int, int], limit: int) -> tuple[int, int] | None:
        """Forget attachments that can be needed no more: their notifications are neither waiting nor to be replayed.

        Looks at `limit` of them behind `after` (notification id and position), and answers where it has got to; None
        at the end. The grace period of their files begins now.
        """

    async def collect(self, *, grace: timedelta, limit: int) -> tuple[Collection, bool]:
        """Remove files that nobody has needed for `grace` and doom their objects; says whether there may be more."""

    async def doomed(self, *, limit: int) -> Sequence[ObjectPlace]:
        """Objects to be removed now: doomed ones, and uploads that did not become files in time, doomed herewith.

        What lies in a retired store is not among them: it is forgotten, and left to whoever empties the store.
        """

    async def removed(self, objects: Sequence[ObjectPlace]) -> None:
        """They are gone from the stores."""

    async def put_off(self, objects: Sequence[ObjectPlace], *, by: timedelta) -> None:
        """Their store did not remove them: try again later."""


class DirectUploads(Protocol):
    """What clients may put into a store by themselves."""

    async def allow(self, upload: DirectUpload, *, expires_in: timedelta, window: timedelta) -> DirectUpload:
        """Write it down, its object as a loose one for `window`; answers it with the store's own `expires_at`."""

    async def upload(self, key: str) -> DirectUpload:
        """What was allowed. Raises UnknownUpload, also for one whose time is over."""

    async def completed(self, key: str, file_id: int) -> None:
        """It has become this file. Its object is removed when the window ends: until then it may be put again."""


class FileStores(Protocol):
    """Which stores the files are in, for every process, and the move from one to another."""

    async def stores(self) -> Sequence[FileStore]:
        """All of them, the primary first. One whose files were moved away is retired."""

    async def adopt(self, url: str) -> FileStore:
        """Let the primary be the store of that URL where there is none, or no file in it; answers the primary."""

    async def mirror(self, url: str) -> FileStore:
        """Let what is put go to that store as well. Raises StoresDiffer while a move to another one is under way."""

    async def lacking(self, store_id: int, *, after_id: int, limit: int) -> Sequence[StoredFile]:
        """Files that the store does not hold, in the order of ids behind `after_id`."""

    async def count(self, store_id: int) -> tuple[int, int]:
        """How many files there are, and how many of them the store does not hold."""

    async def copied(self, file_id: int, copy: ObjectPlace) -> bool:
        """The store holds it now. False where that is not so any more, or already: then the object is doomed."""

    async def switch(self, store_id: int) -> bool:
        """Let the mirror be the primary and the primary be retired, unless the mirror lacks a file; says whether."""

    async def leave(self, store_id: int, *, after_id: int, limit: int) -> int | None:
        """Retire a store that is not the primary, and forget what it holds of files that the primary holds as well.

        A page of files behind `after_id` at a time; answers where it has got to, None at the end. The objects stay.
        """


class FileObserver(Protocol):
    """Who counts what is done with files. Sizes are in bytes."""

    def put(self, outcome: str, size: int) -> None:
        """A content was put: `stored`, `known` already, or `failed`."""

    def sending(self, *, known: int, unknown: int) -> None:
        """A notification's files are about to be sent: so many by Telegram's name, so many with an upload."""

    def uploaded(self, outcome: Outcome, size: int) -> None:
        """A request with files has ended; `size` is of the files."""

    def collected(self, done: Collection) -> None:
        """The collection has done so much."""

    def storage_failed(self, error: Exception) -> None:
        """A storage did not do what it was asked, or does not hold what it should."""


class FileSource(Protocol):
    """Files that people have sent to a bot, at Telegram."""

    async def locate(self, token: str, file_id: str) -> RemoteFile:
        """Ask where it is. Raises TelegramRefused, TelegramUnavailable, FileTooLarge."""

    def download(self, token: str, remote: RemoteFile) -> AsyncIterator[bytes]:
        """Its content in chunks. Raises what `locate` does, as it goes. Nothing that is raised holds the token."""

    async def close(self) -> None:
        """Close every connection."""

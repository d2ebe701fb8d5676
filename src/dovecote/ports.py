"""The architecture on one page: what the engine asks of the world. Adapters implement these, nothing else.

No port has more than eight methods. Each port has one conformance suite that runs over all of its adapters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime, timedelta

    from dovecote.model import (
        Bot,
        ClaimedNotification,
        Collection,
        Cycle,
        DirectUpload,
        FilePart,
        FileStore,
        Instance,
        InstanceRecord,
        Known,
        NewFile,
        NotificationRecord,
        ObjectInfo,
        ObjectPlace,
        Outcome,
        Recipient,
        RemoteFile,
        Settlement,
        SignedUpload,
        State,
        Stats,
        StoredFile,
        Term,
        Uploaded,
        UploadKey,
        UploadTurn,
    )


class OutboxStore(Protocol):
    """The outbox as a worker sees it. Time is the store's own clock."""

    statements: int
    """How many statements it has executed so far."""

    async def cycle(
        self,
        settlements: Sequence[Settlement],
        *,
        claim: int,
        lease: timedelta,
        renew: Sequence[ClaimedNotification] = (),
        alone: bool = False,
    ) -> Cycle:
        """Settle `settlements`, renew the leases of `renew`, and claim up to `claim` due, in one transaction.

        A settlement whose lease has been lost changes no state; its id is in `Cycle.lost`, and if it was
        delivered, the attempt is kept with its message ids. With `alone` at most one notification is claimed, and
        only one that has already lost two leases; without it, only others.
        Raises StoreUnavailable when the database cannot be reached; nothing has happened then, or the whole
        cycle has, and settling again is harmless.
        """

    async def wait(self, timeout: timedelta) -> None:
        """Return when something was enqueued for now by anybody, or after `timeout`. May return early."""

    async def close(self) -> None:
        """Give back every connection."""


class BotStore(Protocol):
    """The bots: their tokens (sealed), their limits."""

    async def add_bot(
        self,
        name: str,
        *,
        token_sealed: str | None = None,
        token_variable: str | None = None,
        pace: float | None = 30.0,
        private_limit: tuple[int, float] | None = (3, 3.0),
        group_limit: tuple[int, float] | None = (20, 60.0),
    ) -> Bot:
        """Add a bot. Raises ValueError, with the name, if there is one of that name already."""

    async def bots(self) -> Sequence[Bot]:
        """All bots, by name."""

    async def set_token(self, name: str, *, token_sealed: str | None, token_variable: str | None) -> None:
        """Replace the token and start the bot again if it was stopped. Raises UnknownBot."""

    async def reseal(self, name: str, token_sealed: str) -> None:
        """Replace the sealed form of the same token; a stopped bot stays stopped. Raises UnknownBot."""

    async def set_limits(
        self,
        name: str,
        *,
        pace: float | None,
        private_limit: tuple[int, float] | None,
        group_limit: tuple[int, float] | None,
    ) -> None:
        """Replace the limits; workers keep to them from their next claim. Raises UnknownBot."""


class HistoryStore(Protocol):
    """What an operator reads and mends."""

    async def notification(self, notification_id: int) -> NotificationRecord:
        """One notification's life so far. Raises UnknownNotification."""

    async def settled(
        self, state: State, *, bot: str | None = None, before_id: int | None = None, limit: int = 50
    ) -> Sequence[NotificationRecord]:
        """Dead letters, unknowns or delivered ones, the newest first, a page at a time. Raises UnknownBot."""

    async def replay(self, ids: Sequence[int]) -> Sequence[int]:
        """Make these dead letters due again, with a fresh count of failures; answers the ids that were dead."""

    async def resolve_unknown(self, ids: Sequence[int], *, delivered: bool) -> Sequence[int]:
        """Take an operator's word for these unknown ones: they were delivered, or they are due again.

        What was delivered says so in the attempt that was unknown, with the time. What is sent again keeps its id and
        its attempts, with a fresh count of failures. Answers the ids that were unknown.
        """

    async def stats(self, *, bot: str | None = None) -> Stats:
        """The outbox and its history in numbers. Raises UnknownBot."""

    async def clock(self) -> datetime:
        """The store's time."""


class RecipientStore(Protocol):
    """The chats of the bots: which take nothing more, and what holds one up.

    A chat is a number or an @name, or a topic of one as chat/thread, as the outbox holds it.
    """

    async def disabled(self, bot: str, *, before_chat: str | None = None, limit: int = 50) -> Sequence[Recipient]:
        """The disabled ones of a bot, from the last chat to the first in byte order, a page at a time.

        Raises UnknownBot.
        """

    async def enable(self, bot: str, chat: str) -> bool:
        """Let it be sent to again, and forget its refusals; answers whether it was disabled. Raises UnknownBot."""

    async def disable(self, bot: str, chat: str, reason: str) -> bool:
        """Let nothing more be sent to it. Answers whether it was enabled until now; if not, the reason is replaced.

        Raises UnknownBot.
        """

    async def unblock(self, bot: str, chat: str) -> int:
        """Make due now what waits for its turn in a chat, for a retry or for a 429; answers how many.

        What is leased, and what was enqueued for later, stays as it is. In bounded transactions. Raises UnknownBot.
        """


class Leadership(Protocol):
    """Whether this instance leads. Leadership saves work and decides nothing: the database does that."""

    @property
    def term(self) -> int | None:
        """The number of the term that this instance leads in at this moment; None while it follows.

        It may be read as often as one likes: the answer is the monotonic clock's, no server is asked.
        """

    async def changed(self) -> None:
        """Return when this instance has begun to lead, or has ceased to."""


class Election(Leadership, Protocol):
    """A `Leadership` that says as well whether anybody can be elected at present."""

    @property
    def available(self) -> bool:
        """False while the lease store is out of reach: nobody is elected until it is back.

        Whoever must go on without a leader then does so itself: any instance sweeps slowly.
        """


class Loop(Protocol):
    """What goes on in a process until it is told to stop."""

    @property
    def name(self) -> str:
        """What it is, in a word, for the log."""

    async def run(self) -> None:
        """Work until `stop`; then end in order and return. May be called again after it has raised."""

    def stop(self) -> None:
        """Begin to end. From the loop's own thread; may be called before `run`, which then returns at once."""


class LeaseStore(Protocol):
    """One lease, held by one instance at a time by the store's own clock.

    An instance numbers its acquisitions: the `token` grows with each. What was asked for with an older token and
    arrives late changes nothing that was asked for since. Every method raises LeaseStoreUnavailable (or, where the
    lease is a row, StoreUnavailable) when there is no answer in time: whether it happened is then unknown.
    """

    kind: str
    """Where the lease is, in a word: "redis" or "database"."""

    async def acquire(self, instance: str, token: int, lease: timedelta) -> bool:
        """Take the lease if it is free, has run out, or is this instance's by an older token; answer whether."""

    async def renew(self, instance: str, token: int, lease: timedelta) -> bool:
        """Let the lease last `lease` from now if it is still held by this very token; answer whether."""

    async def release(self, instance: str, token: int) -> bool:
        """Give the lease back if this instance holds it by this token or an older one; answer whether it did."""

    async def holder(self) -> str | None:
        """The instance that holds the lease now."""

    async def close(self) -> None:
        """Give back every connection."""


class TermStore(Protocol):
    """The terms and the instances, in the database. Time is the store's own clock.

    Every method raises StoreUnavailable when the database does not answer in time, and NotMigrated.
    """

    async def beat(self, instance: Instance) -> int:
        """Say that the instance is there, and answer the newest term's number, 0 before the first."""

    async def leave(self, instance: str) -> None:
        """Say that the instance has ended in order: it is forgotten at once."""

    async def begin(self, instance: str) -> int:
        """Begin a term of the instance and answer its number, greater than that of every term before."""

    async def end(self, number: int) -> None:
        """Note that the term was handed over in order."""

    async def newest(self) -> Term | None:
        """The newest term."""

    async def instances(self) -> tuple[datetime, Sequence[InstanceRecord]]:
        """The store's time, and every instance that is known."""

    async def close(self) -> None:
        """Give back every connection."""


class FileStorage(Protocol):
    """Contents by key. Every backend takes the same keys: one normaliser stands before them all."""

    async def upload(
        self, file: bytes | AsyncIterable[bytes], key: str, *, content_type: str | None = None, size: int | None = None
    ) -> str:
        """Store it whole or not at all, in place of what the key held, and answer a URL to read it by.

        `size`, in bytes, is what a stream promises to hold; one that holds something else raises FileDamaged. Raises
        InvalidKey, StorageUnavailable, StorageRefused, and what the stream raises. Cancelled, it leaves nothing behind.
        """

    async def download(self, key: str) -> bytes:
        """The whole content. Raises InvalidKey, FileMissing, FileDamaged, StorageUnavailable, StorageRefused."""

    def stream(self, key: str, *, chunk_size: int = 256 * 1024) -> AsyncIterator[bytes]:
        """The content in chunks of at most `chunk_size` bytes. Raises what `download` does, as it goes."""

    async def delete(self, key: str) -> bool:
        """Remove it, and answer whether there was something."""

    async def exists(self, key: str) -> bool:
        """Whether there is a content of this key."""

    async def info(self, key: str) -> ObjectInfo:
        """Size in bytes, instant of the last change, content type where the store keeps one. Raises FileMissing."""

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        """A URL to read it by: under the public base URL where one is set, else signed and good for `expires_in`."""

    def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Every key that begins with `prefix`, in no promised order, page by page."""


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
        """Make a file of what now lies in `stores`; None where the window was over, so that it is being removed.

        Where the same content has become a file meanwhile, that one is answered, and these objects are doomed.
        """

    async def forget(self, file_id: int, *, name: str | None = None) -> Sequence[ObjectPlace]:
        """Remove the file, or its `name` and with the last name the file; answers the objects, which are doomed.

        Raises UnknownFile, FileInUse.
        """

    async def keep(self, file_id: int, *, keep: bool) -> StoredFile:
        """Let it never be collected, or let it be again, a grace period from now. Raises UnknownFile."""


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
        """Objects to be removed now: doomed ones, and uploads that did not become files in time, doomed herewith."""

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


class FileSource(Protocol):
    """Files that people have sent to a bot, at Telegram."""

    async def locate(self, token: str, file_id: str) -> RemoteFile:
        """Ask where it is. Raises TelegramRefused, TelegramUnavailable, FileTooLarge."""

    def download(self, token: str, remote: RemoteFile) -> AsyncIterator[bytes]:
        """Its content in chunks. Raises what `locate` does, as it goes. Nothing that is raised holds the token."""

    async def close(self) -> None:
        """Close every connection."""


class StorageUpkeep(Protocol):
    """What a file storage needs besides its contents: to be looked at when a program starts, swept, and closed."""

    async def check(self, *, writes: bool = True) -> None:
        """Raise StorageRefused or StorageUnavailable, in words, if it could not be worked with.

        With `writes` it stores something small and removes it again.
        """

    async def sweep(self, *, older_than: timedelta) -> int:
        """Remove what uploads of killed processes have left behind for so long, and answer how many it was."""

    async def signed_upload(
        self, key: str, *, content_type: str, largest: int, size: int | None = None, expires_in: timedelta
    ) -> SignedUpload:
        """Let somebody else upload this key, and this type, past us: `largest` bytes at most, or exactly `size`.

        Raises InvalidKey, ValueError for limits that cannot be, StorageRefused where the store cannot do it.
        """

    async def close(self) -> None:
        """Give back every connection and thread. May be called again."""


class Channel(Protocol):
    """Sends one notification and says what came of it."""

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        """Make the request and classify the answer. Raises nothing that the network can cause.

        Cancelling it is allowed; whether the request arrived is then unknown. No outcome, log line or exception
        contains the token.
        """

    async def close(self) -> None:
        """Let requests in flight end, then close every connection."""


class FileChannel(Channel, Protocol):
    """A channel that can upload files with a notification."""

    async def upload(
        self, claimed: ClaimedNotification, token: str, files: Sequence[FilePart], *, timeout: timedelta
    ) -> Uploaded:
        """Make the request with these files, whose parameters name their parts as `attach://part`.

        The contents are read as they are sent. What reading them raises comes out as it is, and then the request was
        certainly not made. Otherwise as `send`.
        """


class FileReader(Protocol):
    """The contents of stored files."""

    def stream(self, file_id: int) -> AsyncIterator[bytes]:
        """The content in chunks, its SHA-256 verified before the last one is given out.

        Raises, as it goes, UnknownFile, FileMissing, FileDamaged, StorageUnavailable, StorageRefused.
        """


class UrlReader(Protocol):
    """Files behind URLs that Telegram could not fetch."""

    def open(self, url: str) -> AbstractAsyncContextManager[FilePart]:
        """Ask for it, and answer it as a part that can be read once. Raises UrlNotFetched."""


class FileIds(Protocol):
    """What Telegram calls the contents for each bot, and whose turn it is to upload one. Time is the store's own."""

    async def look_up(self, files: AbstractSet[tuple[int, int]]) -> Known:
        """What is known of these files, each with the bot that sends it: (bot id, file id). One statement."""

    async def begin(self, keys: Sequence[UploadKey], *, uploader: str, lease: timedelta) -> UploadTurn:
        """Take the turn of uploading all of `keys` that have no `file_id`, or of none while another has one of them."""

    async def renew(self, keys: Sequence[UploadKey], *, uploader: str, lease: timedelta) -> None:
        """Let this uploader's turn end later."""

    async def finish(self, file_ids: Mapping[UploadKey, str]) -> None:
        """Remember what Telegram calls them; their turns are over."""

    async def give_up(self, keys: Sequence[UploadKey], *, uploader: str) -> None:
        """End this uploader's turn without a `file_id`."""

    async def forget(self, file_ids: Mapping[UploadKey, str]) -> None:
        """Telegram does not know these any more; one that is another by now stays."""

    async def wake(self, released: Sequence[ClaimedNotification]) -> Sequence[int]:
        """Make due those of `released` that wait since for an upload; answers the ids that are not given back yet."""


class TokenSource(Protocol):
    """Bot tokens for sending. They are held in memory and never shown."""

    async def token(self, bot_id: int) -> str:
        """The bot's token. Raises TokenUnreadable."""

    def forget(self, bot_id: int) -> None:
        """Read it afresh next time: Telegram refused it."""


class Observer(Protocol):
    """Who counts what the worker does. Called once per cycle, never once per notification."""

    def cycle_done(self, seconds: float, cycle: Cycle) -> None:
        """A cycle took so long and did this."""

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """These outcomes are recorded."""

"""The files' part of the composition root: it puts together what `Dovecote.files` needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from dovecote.channels.telegram_files import TelegramFiles
from dovecote.files import FileCollector, Files, Storages
from dovecote.files.incoming import Incoming
from dovecote.storage.addresses import opened
from dovecote.storage.signatures import Credentials
from dovecote.stores.file_collection import FileSweep
from dovecote.stores.file_moves import FileMoves
from dovecote.stores.file_uploads import FileUploads
from dovecote.stores.files import Files as Catalogue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dovecote.config import Settings
    from dovecote.ports import Leadership, ManagedStorage
    from dovecote.ports.files import FileObserver
    from dovecote.stores.database import Database

FILES = "dovecote-files"
# Not a path: the database and the folder may be moved together.
BESIDE_THE_DATABASE = f"beside the database: {FILES}"


class Filing:
    """The files of one Dovecote. `given` stands in for the configured storage; `token_of` answers a bot's token."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        given: ManagedStorage | None,
        token_of: Callable[[str], Awaitable[str]],
        observer: FileObserver | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._given = given
        self._observer = observer
        self._storage = given
        self._source = TelegramFiles(settings.telegram.base_url, timeout=settings.telegram.timeout)
        self._sweeper = FileSweep(database)
        self._storages = Storages(
            FileMoves(database),
            self._url(),
            self._open,
            identity=self._identity,
            installation=database.installation,
            observer=observer,
        )
        self.files = Files(
            Catalogue(database),
            self._sweeper,
            self._storages,
            incoming=Incoming(self._source, token_of),
            uploads=FileUploads(database),
            grace=settings.files.grace,
            observer=observer,
        )

    @property
    def names_a_storage(self) -> bool:
        """Whether somebody has said where the files are to be."""
        return self._given is not None or self._settings.storage.url is not None

    @property
    def storage(self) -> ManagedStorage:
        """The configured storage. Raises MissingExtra for an S3-compatible store without its client."""
        if self._storage is None:
            self._storage = self._opened(self._settings.storage.url or self._folder().as_uri(), configured=True)
        return self._storage

    def collector(self, leadership: Leadership) -> FileCollector:
        """The loop that collects while this instance leads."""
        chosen = self._settings.files
        return FileCollector(
            self._sweeper,
            self._storages,
            leadership,
            grace=chosen.grace,
            interval=chosen.collect_interval,
            observer=self._observer,
        )

    async def close(self) -> None:
        """Give back every connection. May be called again."""
        await self._source.close()
        await self._storages.close()
        if self._storage is not None:
            await self._storage.close()

    def _url(self) -> str:
        """What the configured storage is called in the database, for every process alike."""
        if self._given is not None:
            return f"given by the program: {type(self._given).__name__}"
        if self._settings.storage.url is not None:
            return self._settings.storage.url
        return self._folder().as_uri() if self._database.is_postgresql else BESIDE_THE_DATABASE

    def _identity(self, url: str) -> str:
        """The folder beside the database is one store with the URL that leads to it."""
        return identity(self._folder().as_uri() if url == BESIDE_THE_DATABASE else url)

    def _open(self, url: str) -> ManagedStorage:
        if url == self._url():
            return self.storage
        return self._opened(self._folder().as_uri() if url == BESIDE_THE_DATABASE else url, configured=False)

    def _opened(self, url: str, *, configured: bool) -> ManagedStorage:
        chosen = self._settings.storage
        credentials = None
        # A profile in the URL names the credentials of that store: a move may lead to another provider.
        if chosen.access_key_id is not None and chosen.secret_access_key is not None and not _names_a_profile(url):
            credentials = Credentials(chosen.access_key_id, chosen.secret_access_key.get_secret_value())
        public_url = chosen.public_url if configured else None
        return opened(url, public_url=public_url, credentials=credentials, url_lifetime=chosen.url_lifetime)

    def _folder(self) -> Path:
        if self._database.is_postgresql:
            return Path(FILES).absolute()
        return Path(str(self._database.url.database)).absolute().with_name(FILES)


def identity(url: str) -> str:
    """What a storage's URL leads to, without what only says how: timeouts, region, encryption."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return f"file://{unquote(parts.path).rstrip('/')}"
    if parts.scheme == "s3":
        (endpoint,) = parse_qs(parts.query).get("endpoint", [""])[-1:]
        return f"s3://{parts.netloc}/{unquote(parts.path).strip('/')} at {endpoint.rstrip('/')}"
    return url


def _names_a_profile(url: str) -> bool:
    return "profile" in parse_qs(urlsplit(url).query)

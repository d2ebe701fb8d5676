"""Files, as the stores and the engine know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a file storage knows of a content: its size in bytes, its last change, its content type if it keeps one."""

    key: str
    size: int
    modified_at: datetime
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """An object: which store it is in, and under which key."""

    store_id: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A content that is stored once, whatever its names.

    `size` is in bytes, `sha256` in hexadecimal, `content_type` read from the bytes. `names` begin with the newest. A
    file that is `kept` is never collected. `copies` are its objects, one in each store that holds it.
    """

    id: int
    size: int
    sha256: str
    content_type: str
    names: tuple[str, ...]
    created_at: datetime
    needed_at: datetime
    kept: bool
    copies: tuple[ObjectPlace, ...] = ()

    @property
    def name(self) -> str | None:
        """The newest of its names; None where it has none."""
        return self.names[0] if self.names else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A content that is about to become a file."""

    key: str
    sha256: str
    size: int
    content_type: str
    name: str | None
    keep: bool


@dataclass(frozen=True, slots=True)
class FileStore:
    """A place that files are kept in. `role` is primary, mirror or retired."""

    id: int
    url: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectUpload:
    """What a client was allowed to put into a store by itself. `max_size` is in bytes.

    `file_id` is the file that it has become, once it is complete.
    """

    key: str
    store_id: int
    name: str | None
    content_type: str
    max_size: int
    keep: bool
    expires_at: datetime
    file_id: int | None = None


@dataclass(frozen=True, slots=True)
class UploadTicket:
    """Leave to upload one content past us: what the client must send, and the `id` to complete it by afterwards."""

    id: str
    upload: SignedUpload


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at Telegram that can be fetched for about an hour. `size` is in bytes, None where Telegram tells none.

    `path` is relative to the server's download address; a local Bot API server answers the path of a file on disk.
    """

    path: str
    size: int | None
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class Collection:
    """What a collection has done: files that nobody needed, their bytes, objects that were removed from the stores."""

    files: int = 0
    size: int = 0
    objects: int = 0
    failed_objects: int = 0

    def __add__(self, other: Collection) -> Collection:
        """Both together."""
        return Collection(
            self.files + other.files,
            self.size + other.size,
            self.objects + other.objects,
            self.failed_objects + other.failed_objects,
        )


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Where the database and a store disagree.

    `problem` is missing, damaged, unreadable, or stray: an object that no file and no upload knows.
    """

    problem: str
    store: str
    key: str
    file_id: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was compared, and every disagreement."""

    files: int
    objects: int
    found: tuple[Discrepancy, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """Objects that nobody owned and that were removed, and their bytes.

    `young` are those that stay for the grace period; `failed` those that the store did not remove.
    """

    objects: int = 0
    size: int = 0
    young: int = 0
    failed: int = 0

    def __add__(self, other: Removal) -> Removal:
        """Both together."""
        return Removal(
            self.objects + other.objects,
            self.size + other.size,
            self.young + other.young,
            self.failed + other.failed,
        )


@dataclass(frozen=True, slots=True)
class Move:
    """A move from one store to another. `lacking` is how many files the target does not hold yet."""

    source: str
    target: str
    files: int
    lacking: int
    switched: bool


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """How somebody without credentials uploads one content, until `expires_at`.

    With `method` PUT the body is the content and `headers` go along as they are. With POST it is a form of `fields`,
    in this order, and the content last, as `file`.
    """

    method: str
    url: str = field(repr=False)
    expires_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)

"""Attachments: stored files that notifications send, and what is known of them at Telegram."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dovecote.model.files import StoredFile

if TYPE_CHECKING:
    from dovecote.model.notification import Outcome


@dataclass(frozen=True, slots=True)
class Attachment:
    """A stored file where the Bot API takes one: `{"photo": Attachment(file)}`, also in an album or as a thumbnail.

    `file` is what `files.put` answered, or its id. `name` is what Telegram shows as the file's name, by default the
    newest that the file has. Without `cache` it is uploaded for this notification, whatever is known of the content.
    """

    file: StoredFile | int
    _: KW_ONLY
    name: str | None = None
    cache: bool = True


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file of a notification. `field` is the parameter that it stands in, such as photo or media[0].media.

    `name`, `size` (bytes) and `content_type` are None once the file is gone.
    """

    field: str
    file_id: int
    name: str | None = None
    size: int | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as far as sending it goes: its size in bytes, SHA-256 in hexadecimal, type, and its newest name."""

    file_id: int
    sha256: str
    size: int
    content_type: str
    name: str | None = None


class UploadKey(NamedTuple):
    """What one `file_id` of Telegram's stands for: a content, uploaded by a bot as a kind of file.

    `options` is what else is part of it at Telegram, such as the name that is shown, shortened to a hash; "" for none.
    """

    bot_id: int
    sha256: str
    kind: str
    options: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of files and of their `file_id`s at Telegram."""

    files: Mapping[int, KnownFile] = field(default_factory=dict)
    file_ids: Mapping[UploadKey, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UploadTurn:
    """Whether one may upload now. `file_ids` are those that are there already and need no upload.

    `busy` are those that another uploads, with the seconds until that turn ends; with none it is one's own turn.
    """

    file_ids: Mapping[UploadKey, str]
    busy: Mapping[UploadKey, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a request: the name of its part, what it says of itself, and its content.

    `read` begins to read the content anew. `size` in bytes, None where it is not known before.
    """

    part: str
    name: str
    content_type: str
    size: int | None
    read: Callable[[], AsyncIterator[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What came of an upload: for each message of the answer its `file_id`s, by the member that they stand in."""

    outcome: Outcome
    messages: tuple[Mapping[str, str], ...] = ()

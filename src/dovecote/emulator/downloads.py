"""Files that a bot can download: what people have sent to it, and what it has uploaded itself.

What people send is put here by a test and kept until a reset; a large one may be given by its size alone, and is then
made as it is downloaded. Of what bots upload, small contents are kept, the latest ones: the emulator's memory does not
grow with the rest, and getFile says of it what Telegram says of a file that it cannot find just now.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import File, image_size, unpacked
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dovecote.emulator.multipart import Upload

LARGEST_DOWNLOAD: Final = 20 * 1024 * 1024
LARGEST_FILE: Final = 4 * 1024 * 1024 * 1024
UPLOADS_KEPT: Final = 16 * 1024 * 1024
"""Bytes of contents that bots have uploaded."""
BLOCK: Final = 256 * 1024

_FOLDERS: Final = {
    "photo": ("photos", ".jpg"),
    "video": ("videos", ".mp4"),
    "audio": ("music", ".mp3"),
    "voice": ("voice", ".oga"),
    "animation": ("animations", ".mp4"),
    "sticker": ("stickers", ".webp"),
    "video_note": ("video_notes", ".mp4"),
    "thumbnail": ("thumbnails", ".jpg"),
}
KINDS: Final = ("document", *_FOLDERS)


@dataclass(frozen=True, slots=True)
class Content:
    """What can be downloaded. Without bytes it is `size` of them, made as they are asked for."""

    size: int
    content: bytes | None = None
    name: str | None = None

    def blocks(self) -> Iterator[bytes]:
        """It, in pieces."""
        made = bytes(range(256)) * (BLOCK // 256)
        for start in range(0, self.size, BLOCK):
            length = min(BLOCK, self.size - start)
            yield made[:length] if self.content is None else self.content[start : start + length]


class Downloads:
    """The contents by what their file_ids say of them, and the paths that getFile has answered.

    With a `folder` it is a local Bot API server's: getFile has no limit there, puts the file into the folder and
    answers its whole path, and nothing is downloaded.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._sent: dict[bytes, Content] = {}
        self._uploaded: OrderedDict[bytes, Content] = OrderedDict()
        self._uploaded_bytes = 0
        self._paths: dict[tuple[int, bytes], str] = {}
        self._located: dict[tuple[int, str], bytes] = {}

    def receive(
        self, bot_id: int, *, kind: str = "document", content: bytes = b"", size: int | None = None, name: str | None
    ) -> dict[str, Any]:
        """Somebody sends a file to the bot; answers its members in an update. Raises ValueError for what cannot be."""
        if kind not in KINDS:
            raise ValueError(f'kind "{kind}": use one of {", ".join(KINDS)}.')
        if size is not None and content:
            raise ValueError("size: it goes without a content, which has one of its own.")
        if size is not None and not 0 < size <= LARGEST_FILE:
            raise ValueError(f"size {size}: use 1 to {LARGEST_FILE}.")
        if size is None and not content:
            raise ValueError("content: nobody can send an empty file; give some bytes, or a size.")
        length = len(content) if size is None else size
        digest = hashlib.sha256(content or b"%d" % length).digest()[:9]
        self._sent[digest] = Content(length, content or None, name)
        width, height = _size(kind, content)
        fields = File(kind, digest, length, width, height).fields(bot_id)
        return fields if name is None else fields | {"file_name": name}

    def name(self, digest: bytes) -> str | None:
        """What a content was called by whoever sent it."""
        content = self._content(digest)
        return None if content is None else content.name

    def remember(self, uploads: Iterable[Upload]) -> None:
        """Keep what a bot has uploaded, if it is small enough to be here as a whole."""
        for upload in uploads:
            digest = bytes.fromhex(upload.sha256)[:9]
            if upload.size == len(upload.head) and digest not in self._uploaded:
                self._uploaded[digest] = Content(upload.size, upload.head, upload.name)
                self._uploaded_bytes += upload.size
        while self._uploaded_bytes > UPLOADS_KEPT:
            _, oldest = self._uploaded.popitem(last=False)
            self._uploaded_bytes -= oldest.size

    def locate(self, bot_id: int, file_id: str) -> dict[str, Any]:
        """The result of getFile. Raises Refusal."""
        if not file_id:
            raise bad_request("file_id not specified")
        found = unpacked(file_id)
        if found is None:
            raise bad_request("invalid file_id")
        owner, file = found
        content = self._content(file.digest)
        if owner != bot_id or content is None:
            raise bad_request("wrong file_id or the file is temporarily unavailable")
        if content.size > LARGEST_DOWNLOAD and self._folder is None:
            raise bad_request("file is too big")
        path = self._paths.get((bot_id, file.digest))
        if path is None:
            folder, ending = _FOLDERS.get(file.kind, ("documents", ""))
            ending = PurePosixPath(content.name or "").suffix or ending
            path = self._paths[bot_id, file.digest] = f"{folder}/file_{len(self._paths)}{ending}"
            if self._folder is None:
                self._located[bot_id, path] = file.digest
            else:
                path = self._paths[bot_id, file.digest] = _put(self._folder / str(bot_id) / path, content)
        return file.fields(bot_id) | {"file_size": content.size, "file_path": path}

    def content(self, bot_id: int, path: str) -> Content:
        """What getFile has named. Raises Refusal."""
        digest = self._located.get((bot_id, path))
        content = None if digest is None else self._content(digest)
        if content is None:
            raise Refusal(404, "Not Found")
        return content

    def _content(self, digest: bytes) -> Content | None:
        return self._sent.get(digest) or self._uploaded.get(digest)


def _size(kind: str, content: bytes) -> tuple[int, int]:
    """A picture's size; Telegram would not take what is none, but a test may not care."""
    if kind == "photo":
        with contextlib.suppress(Refusal, struct.error):
            return image_size(content)
    return 0, 0


def _put(path: Path, content: Content) -> str:
    """Put a content where a local server puts what it has downloaded; answers its whole path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(content.blocks())
    return str(path.absolute())

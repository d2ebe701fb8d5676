"""Files in calls: uploads, file_ids and URLs, and the file_ids that the emulator gives out.

A file_id says by itself whose it is, what it is and how large, so nothing has to be remembered for it: the emulator's
memory does not grow with files. One that the emulator did not make (copied from production, say) is taken as known.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dovecote.emulator.reading import text_of
from dovecote.emulator.refusal import Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.emulator.multipart import Upload

PHOTO_BYTES = 10 * 1024 * 1024
SHORTEST_FILE_ID = 20

_MAGIC = b"dcf1"
_LAYOUT = struct.Struct(">4sqB9sQHH")
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+")
_URL = re.compile(r"https?://", re.IGNORECASE)
_KINDS = (
    "photo",
    "document",
    "video",
    "audio",
    "voice",
    "animation",
    "sticker",
    "thumbnail",
    "video_note",
    "live_photo",
)
# Pictures are of their own kind at Telegram; all other files are documents, which may stand for each other.
_PICTURES = frozenset({"photo", "thumbnail"})
# Telegram makes a picture smaller, to these longest sides.
_PHOTO_SIDES = (90, 320, 800, 1280, 2560)
_THUMBNAIL_BYTES = 200 * 1000
_ATTACHED = "attach://"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a message. Width and height are in pixels, 0 when nobody told."""

    kind: str
    digest: bytes
    size: int | None
    width: int = 0
    height: int = 0
    name: str | None = None
    content_type: str | None = None
    given_id: str | None = None

    def fields(self, bot_id: int) -> dict[str, Any]:
        """The members that every file of Telegram has."""
        packed = _LAYOUT.pack(
            _MAGIC, bot_id, _KINDS.index(self.kind), self.digest, self.size or 0, self.width, self.height
        )
        fields: dict[str, Any] = {
            "file_id": self.given_id or base64.urlsafe_b64encode(packed).decode().rstrip("="),
            "file_unique_id": base64.urlsafe_b64encode(self.digest).decode(),
        }
        if self.size is not None:
            fields["file_size"] = self.size
        return fields


def file_parameter(kind: str, value: Any, uploads: Mapping[str, Upload], bot_id: int, *, name: str = "") -> File | None:
    """The file that a parameter names, or the upload in the part `name`; none when there is neither.

    Raises Refusal for a file that Telegram would not take.
    """
    upload = upload_of(value, uploads, name=name)
    if upload is not None:
        return _uploaded(kind, upload)
    text = "" if value is None else text_of(value)
    if not text or text.startswith(_ATTACHED):
        return None
    if _URL.match(text):
        path = text.partition("?")[0].rstrip("/")
        return File(kind, _digest(text), None, name=path.rpartition("/")[2] or None)
    return _known(kind, text, bot_id)


def upload_of(value: Any, uploads: Mapping[str, Upload], *, name: str = "") -> Upload | None:
    """The upload in the part `name`, or the one that the parameter names by `attach://`; None when there is none."""
    upload = uploads.get(name) if name else None
    text = "" if value is None else text_of(value)
    if upload is None and text.startswith(_ATTACHED):
        upload = uploads.get(text.removeprefix(_ATTACHED))
    return upload


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:9]


def _uploaded(kind: str, upload: Upload) -> File:
    if upload.size == 0:
        raise bad_request("File must be non-empty")
    width = height = 0
    if kind == "photo":
        if upload.size > PHOTO_BYTES:
            raise bad_request(
                f"File of size {upload.size} bytes is too big for a photo; the maximum size is {PHOTO_BYTES} bytes"
            )
        width, height = image_size(upload.head)
    return File(
        kind,
        bytes.fromhex(upload.sha256)[:9],
        upload.size,
        width,
        height,
        name=upload.name,
        content_type=upload.content_type,
    )


def _known(kind: str, file_id: str, bot_id: int) -> File:
    if not _ALPHABET.fullmatch(file_id):
        raise bad_request("Wrong remote file identifier specified: Wrong character in the string")
    if len(file_id) < SHORTEST_FILE_ID:
        raise bad_request("Wrong remote file identifier specified: Wrong string length")
    try:
        packed = base64.urlsafe_b64decode(file_id + "=" * (-len(file_id) % 4))
        magic, owner, number, digest, size, width, height = _LAYOUT.unpack(packed)
    except (binascii.Error, struct.error):
        magic = b""
    if magic != _MAGIC:
        return File(kind, _digest(file_id), None, given_id=file_id)
    if owner != bot_id:
        # A file_id is one bot's: another cannot use it.
        raise bad_request("Wrong file identifier/HTTP URL specified")
    if _KINDS[number] != kind and _PICTURES & {kind, _KINDS[number]}:
        raise bad_request(f"Can't use file of type {_KINDS[number].capitalize()} as {kind.capitalize()}")
    return File(kind, digest, size or None, width, height, given_id=file_id)


def photo_sizes(photo: File, bot_id: int) -> list[dict[str, Any]]:
    """The picture in the sizes that Telegram makes of it, the largest last."""
    longest = max(photo.width, photo.height)
    sides = [side for side in _PHOTO_SIDES if side < longest]
    if longest <= _PHOTO_SIDES[-1]:
        sides.append(longest)
    sizes = []
    for side in sides:
        share = side / longest if longest else 1.0
        size = replace(photo, width=round(photo.width * share), height=round(photo.height * share))
        if side != sides[-1]:
            # Another file, with an identifier of its own.
            smaller = None if photo.size is None else max(1, round(photo.size * share * share))
            size = replace(size, digest=_digest(f"{photo.digest.hex()} {side}"), size=smaller, given_id=None)
        sizes.append(size.fields(bot_id) | {"width": size.width, "height": size.height})
    return sizes


def thumbnail_parameter(value: Any, uploads: Mapping[str, Upload], bot_id: int) -> dict[str, Any]:
    """The member for an uploaded thumbnail; nothing where there is none, or one that Telegram would pass over."""
    upload = uploads.get(text_of(value).removeprefix(_ATTACHED)) if value else uploads.get("thumbnail")
    if upload is None or not 0 < upload.size <= _THUMBNAIL_BYTES:
        return {}
    try:
        width, height = image_size(upload.head)
    except Refusal:
        return {}
    file = File("thumbnail", bytes.fromhex(upload.sha256)[:9], upload.size, width, height)
    return {"thumbnail": file.fields(bot_id) | {"width": width, "height": height}}


def unpacked(file_id: str) -> tuple[int, File] | None:
    """The bot's id and the file that a file_id of the emulator's making names; None for any other text."""
    if not _ALPHABET.fullmatch(file_id):
        return None
    try:
        packed = base64.urlsafe_b64decode(file_id + "=" * (-len(file_id) % 4))
        magic, owner, number, digest, size, width, height = _LAYOUT.unpack(packed)
    except (binascii.Error, struct.error):
        return None
    return (owner, File(_KINDS[number], digest, size or None, width, height)) if magic == _MAGIC else None


def image_size(head: bytes) -> tuple[int, int]:
    """Width and height of a PNG, JPEG, GIF, BMP or WebP. Raises Refusal for anything else."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:  # noqa: PLR2004 - where IHDR's sizes end
        return struct.unpack(">II", head[16:24])
    if head[:6] in {b"GIF87a", b"GIF89a"} and len(head) >= 10:  # noqa: PLR2004 - where the sizes end
        return struct.unpack("<HH", head[6:10])
    if head.startswith(b"BM") and len(head) >= 26:  # noqa: PLR2004 - where the sizes end
        width, height = struct.unpack("<ii", head[18:26])
        return width, abs(height)
    if head.startswith(b"\xff\xd8"):
        return _jpeg_size(head)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp_size(head)
    raise Refusal(400, "Bad Request: IMAGE_PROCESS_FAILED")


def _jpeg_size(head: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:  # noqa: PLR2004 - a marker
        marker = head[at + 1]
        # The frames' headers carry the size; 0xC4, 0xC8 and 0xCC are tables among their numbers.
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:  # noqa: PLR2004 - the frames' markers
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    raise Refusal(400, "Bad Request: IMAGE_PROCESS_FAILED")


def _webp_size(head: bytes) -> tuple[int, int]:
    match head[12:16]:
        case b"VP8X" if len(head) >= 30:  # noqa: PLR2004 - where the sizes end
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case b"VP8 " if len(head) >= 30:  # noqa: PLR2004 - where the sizes end
            width, height = struct.unpack("<HH", head[26:30])
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if len(head) >= 25:  # noqa: PLR2004 - where the sizes end
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise Refusal(400, "Bad Request: IMAGE_PROCESS_FAILED")

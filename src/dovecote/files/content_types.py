"""The content type of a file, read from its first bytes.

What Telegram has methods for is told here, exactly: voice from music in an Ogg, film from sound in an MP4, an animated
sticker from other gzip. Everything else is puremagic's, and what it takes for no known kind is text if it reads as
UTF-8. A name is never believed: whoever sends a file chooses it.
"""

from __future__ import annotations

import codecs
import importlib
from typing import Final

HEAD: Final = 4096
"""How many bytes are looked at."""

UNKNOWN: Final = "application/octet-stream"
PLAIN_TEXT: Final = "text/plain"

_AT_THE_START: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
)
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS: Final = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"3gp4": "video/3gpp",
    b"3gp5": "video/3gpp",
    b"3gp6": "video/3gpp",
}
_OGG: Final = ((b"OpusHead", "audio/ogg"), (b"\x01vorbis", "audio/ogg"), (b"\x80theora", "video/ogg"))
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_IN_A_ZIP: Final = (
    (b"word/", f"{_OFFICE}wordprocessingml.document"),
    (b"xl/", f"{_OFFICE}spreadsheetml.sheet"),
    (b"ppt/", f"{_OFFICE}presentationml.presentation"),
    (b"META-INF/MANIFEST.MF", "application/java-archive"),
    (b"AndroidManifest.xml", "application/vnd.android.package-archive"),
)
_MIMETYPE: Final = b"mimetype"
_TEXTS: Final = frozenset({"application/json", "application/xml", "application/rtf", "image/svg+xml"})
# Control characters that texts have: tab, line feed, form feed, carriage return, escape.
_OF_TEXTS: Final = frozenset(b"\t\n\x0c\r\x1b")
_SPACE: Final = 0x20
_SYNC: Final = 0xE0


def content_type_of(head: bytes) -> str:
    """The media type of a content that begins with `head`, of which the first HEAD bytes are enough."""
    head = head[:HEAD]
    if _is_text(head) and not head.startswith(b"%PDF-"):
        return _text(head)
    return (
        next((media_type for start, media_type in _AT_THE_START if head.startswith(start)), None)
        or _by_its_container(head)
        or ("audio/mpeg" if _is_mpeg_audio(head) else None)
        or _by_puremagic(head)
        or UNKNOWN
    )


def _text(head: bytes) -> str:
    """A text is what it says, but never a picture or a program: two letters may begin a sentence or a bitmap."""
    found = _by_puremagic(head) or ""
    return found if found.startswith("text/") or found in _TEXTS else PLAIN_TEXT


def _by_its_container(head: bytes) -> str | None:
    """What a container says that it holds; None for what is no container of these."""
    match head[:4]:
        case b"PK\x03\x04":
            return _zip(head)
        case b"RIFF":
            return _RIFF.get(head[8:12])
        case b"OggS":
            return next((media_type for mark, media_type in _OGG if mark in head[:512]), "application/ogg")
        case b"\x1aE\xdf\xa3":
            return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
        case _:
            return _BRANDS.get(head[8:12], "video/mp4") if head[4:8] == b"ftyp" else None


def _zip(head: bytes) -> str:
    """Office documents and their kin are archives, told apart by the names in them."""
    if head[30 : 30 + len(_MIMETYPE)] == _MIMETYPE:
        # OpenDocument and EPUB begin with their own type, stored as it is.
        size = int.from_bytes(head[18:22], "little")
        own = head[38 : 38 + size]
        if 0 < size < 128 and own.isascii() and b"/" in own:  # noqa: PLR2004 - no media type is longer
            return own.decode()
    return next((media_type for mark, media_type in _IN_A_ZIP if mark in head), "application/zip")


def _is_mpeg_audio(head: bytes) -> bool:
    """Whether a frame of MPEG audio stands at the start, all of whose fields have a value that there is."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & _SYNC != _SYNC:  # noqa: PLR2004 - a frame's header and its sync
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bitrate not in {0, 15} and rate != 3  # noqa: PLR2004 - what is reserved


def _by_puremagic(head: bytes) -> str | None:
    """What puremagic takes it for; None for nothing in particular. Its versions differ in what they raise."""
    puremagic = importlib.import_module("puremagic")
    if not head:
        return None
    try:
        found: str = puremagic.from_string(head, mime=True)
    except (puremagic.PureError, ValueError):
        return None
    return found or None


def _is_text(head: bytes) -> bool:
    """Whether it reads as UTF-8 without control characters; the last character may be cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(head) and all(byte >= _SPACE or byte in _OF_TEXTS for byte in head)

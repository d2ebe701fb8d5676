"""Multipart bodies, read as they arrive: of a file no more is kept than its head, so its size costs no memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from dovecote.emulator.refusal import bad_request

if TYPE_CHECKING:
    from dovecote.emulator.refusal import Refusal


HEAD: Final = 64 * 1024
"""Bytes of a file that are kept."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in a multipart body. The head (at most HEAD) is kept to read an image's size, not the rest."""

    name: str
    content_type: str
    size: int
    sha256: str
    head: bytes

    def as_json(self) -> dict[str, Any]:
        """What the control API shows of it."""
        return {"file_name": self.name, "content_type": self.content_type, "size": self.size, "sha256": self.sha256}


class Multipart:
    """A body that is fed in pieces. A malformed one reads as one without parts."""

    def __init__(self, content_type: bytes) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        self._parts = _Parts()
        self._parser = MultipartParser(boundary, self._parts.callbacks()) if boundary else None

    def feed(self, piece: bytes) -> None:
        """Read the next piece."""
        if self._parser is not None and piece:
            try:
                self._parser.write(piece)
            except FormParserError:
                self._parser = None

    def parts(self) -> tuple[dict[str, Any], dict[str, Upload]]:
        """The fields and the files of the whole body. Raises Refusal for a field that is no UTF-8."""
        try:
            if self._parser is not None:
                self._parser.finalize()
        except FormParserError:
            self._parser = None
        if self._parser is None:
            return {}, {}
        if self._parts.refusal is not None:
            raise self._parts.refusal
        return self._parts.fields, self._parts.uploads


class _Parts:
    """Collects what the parser announces."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.uploads: dict[str, Upload] = {}
        self.refusal: Refusal | None = None
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self._field = ""
        self._file_name: str | None = None
        self._content = bytearray()
        self._size = 0
        self._digest = hashlib.sha256()

    def callbacks(self) -> Any:
        """What the parser is to call."""
        return {
            "on_part_begin": self.begin,
            "on_header_field": self.header_name,
            "on_header_value": self.header_value,
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished,
            "on_part_data": self.data,
            "on_part_end": self.end,
        }

    def begin(self) -> None:
        self._headers = {}
        self._content = bytearray()
        self._size, self._digest = 0, hashlib.sha256()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._name = self._value = b""

    def headers_finished(self) -> None:
        # The library assumes latin-1 where it decodes by itself; what clients write in a file's name is UTF-8.
        disposition = self._headers.get("content-disposition", "").encode()
        options = parse_options_header(disposition)[1]
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._file_name = _text(options[b"filename"]) if b"filename" in options else None

    def data(self, data: bytes, start: int, end: int) -> None:
        piece = memoryview(data)[start:end]
        if self._file_name is None:
            self._content += piece
            return
        self._size += len(piece)
        self._digest.update(piece)
        if len(self._content) < HEAD:
            self._content += piece[: HEAD - len(self._content)]

    def end(self) -> None:
        if self._file_name is not None:
            media_type = self._headers.get("content-type", "application/octet-stream")
            head = bytes(self._content)
            upload = Upload(self._file_name, media_type, self._size, self._digest.hexdigest(), head)
            self.uploads.setdefault(self._field, upload)
            return
        try:
            self.fields.setdefault(self._field, self._content.decode())
        except UnicodeDecodeError:
            self.refusal = self.refusal or bad_request("Strings must be encoded in UTF-8")


def _text(encoded: bytes) -> str:
    try:
        return encoded.decode("utf-8")
    except UnicodeDecodeError:
        return encoded.decode("latin-1")

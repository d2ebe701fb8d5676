"""A request with files: a multipart body whose contents are read as they are sent, so that memory does not grow.

A body that was not given out whole was not sent whole, and Telegram acts on nothing less: that is proof that there is
no message, whatever has become of the connection.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from pyreqwest.multipart import FormBuilder, PartBuilder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from dovecote.model import FilePart

# What would end the quotes or the line of a header.
_UNQUOTABLE: Final = re.compile(r"[\x00-\x1f\x7f\"\\]")
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_OCTETS: Final = "application/octet-stream"


class Form(NamedTuple):
    """A multipart body, and the content type that says where its parts begin."""

    builder: FormBuilder
    content_type: str


class Upload:
    """The files of one request, and how far they were given out."""

    def __init__(self, files: Sequence[FilePart]) -> None:
        self._files = files
        self._ended = 0
        self.cancelled = False
        self.error: BaseException | None = None
        self.answer: bytes | memoryview = b""

    @property
    def is_whole(self) -> bool:
        """Whether every content was given out to its last byte."""
        return self._ended == len(self._files)

    def form(self, parameters: bytes) -> Form:
        """The body, begun anew. `parameters` is the JSON object that goes with the files."""
        self._ended, self.error = 0, None
        values = orjson.loads(parameters)
        # Names are written as they are, in UTF-8: Telegram does not decode what is percent-encoded.
        form = FormBuilder().percent_encode_noop()
        content_type = f"multipart/form-data; boundary={form.boundary}"
        for name, value in values.items():
            form = form.text(_UNQUOTABLE.sub("_", name), _text(value))
        for file in self._files:
            chunks = self._chunks(file)
            part = (
                PartBuilder.from_stream(chunks)
                if file.size is None
                else PartBuilder.from_stream_with_length(chunks, file.size)
            )
            media_type = file.content_type if _MEDIA_TYPE.fullmatch(file.content_type) else _OCTETS
            form = form.part(file.part, part.file_name(_UNQUOTABLE.sub("_", file.name)).mime(media_type))
        return Form(form, content_type)

    async def _chunks(self, file: FilePart) -> AsyncIterator[bytes]:
        """The content, one chunk behind, so that its end is known before its last byte is given out."""
        given, held = 0, b""
        try:
            async for chunk in file.read():
                if held:
                    yield held
                given += len(chunk)
                held = chunk
                self._check(file, given)
            self._check(file, given, at_end=True)
        except Exception as error:
            self.error = error
            raise
        self._ended += 1
        if held:
            yield held

    def _check(self, file: FilePart, given: int, *, at_end: bool = False) -> None:
        """Raise BrokenUpload where the content must not be given out any further."""
        if self.cancelled:
            raise BrokenUpload("the upload was cut off")
        if file.size is not None and (given > file.size or (at_end and given != file.size)):
            raise BrokenUpload(f"the content of {file.name!r} has {given} bytes or more, and not {file.size}")


class BrokenUpload(Exception):
    """The content is not to be given out any further."""


def _text(value: Any) -> str:
    """A parameter as a form has it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

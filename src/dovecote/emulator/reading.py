"""Parameters of a call, from wherever the client put them.

Telegram reads the query string first, then the body, and the first of two equal names wins. Every value is text to it
(an object in a JSON body is its JSON text), so `text_of` and `json_of` are the two ways to look at one.
Malformed JSON and malformed multipart are no errors: they read as missing parameters.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from dovecote.emulator.refusal import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = b"application/json"
MISSING: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in a multipart body. The head (at most 64 KiB) is kept to read an image's size, not the rest."""

    name: str
    content_type: str
    size: int
    sha256: str
    head: bytes

    def as_json(self) -> dict[str, Any]:
        """What the control API shows of it."""
        return {"file_name": self.name, "content_type": self.content_type, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Read:
    """The parameters, the uploads by part name, and what a record keeps: the JSON body itself, or the parameters."""

    parameters: Mapping[str, Any]
    uploads: Mapping[str, Upload]
    kept: bytes | Mapping[str, Any]


def read(query: bytes, content_type: bytes, body: bytes) -> Read:
    """Merge query string and body. Raises Refusal for text that is no UTF-8."""
    if not query and content_type.startswith(JSON):
        return Read(json_parameters(body), MISSING, body)
    parameters = form_parameters(query)
    uploads: dict[str, Upload] = {}
    if body:
        kind = content_type.partition(b";")[0].strip().lower()
        if kind == JSON:
            parameters = {**json_parameters(body), **parameters}
        elif kind == b"multipart/form-data":
            fields, uploads = multipart_parameters(content_type, body)
            parameters = {**fields, **parameters}
        elif kind in {b"application/x-www-form-urlencoded", b""}:
            parameters = {**form_parameters(body), **parameters}
    kept = {**parameters, **{name: upload.as_json() for name, upload in uploads.items()}}
    return Read(parameters, uploads, kept)


def json_parameters(body: bytes) -> dict[str, Any]:
    """The members of a JSON object; nothing when the body is malformed or no object."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def form_parameters(encoded: bytes) -> dict[str, Any]:
    """The pairs of a query string or an urlencoded body; the first of a name wins."""
    parameters: dict[str, Any] = {}
    if encoded:
        try:
            pairs = parse_qsl(encoded.decode("ascii", "replace"), keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            raise bad_request("Strings must be encoded in UTF-8") from None
        for name, value in pairs:
            parameters.setdefault(name, value)
    return parameters


def multipart_parameters(content_type: bytes, body: bytes) -> tuple[dict[str, Any], dict[str, Upload]]:
    """The fields and the files of a multipart body. Raises Refusal for a field that is no UTF-8."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        return {}, {}
    parts = _Parts()
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": parts.begin,
            "on_header_field": parts.header_name,
            "on_header_value": parts.header_value,
            "on_header_end": parts.header_end,
            "on_part_data": parts.data,
            "on_part_end": parts.end,
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError:
        return {}, {}
    return parts.fields, parts.uploads


class _Parts:
    """Collects what the parser announces."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.uploads: dict[str, Upload] = {}
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self._chunks: list[bytes] = []

    def begin(self) -> None:
        self._headers = {}
        self._chunks = []

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._name = self._value = b""

    def data(self, data: bytes, start: int, end: int) -> None:
        self._chunks.append(data[start:end])

    def end(self) -> None:
        # The library assumes latin-1 where it decodes by itself; what clients write in a file's name is UTF-8.
        disposition = self._headers.get("content-disposition", "").encode()
        options = parse_options_header(disposition)[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        content = b"".join(self._chunks)
        if b"filename" in options:
            upload = Upload(
                _text(options[b"filename"]),
                self._headers.get("content-type", "application/octet-stream"),
                len(content),
                hashlib.sha256(content).hexdigest(),
                content[:65536],
            )
            self.uploads.setdefault(name, upload)
            return
        try:
            self.fields.setdefault(name, content.decode())
        except UnicodeDecodeError:
            raise bad_request("Strings must be encoded in UTF-8") from None


def _text(encoded: bytes) -> str:
    try:
        return encoded.decode("utf-8")
    except UnicodeDecodeError:
        return encoded.decode("latin-1")


def text_of(value: Any) -> str:
    """A parameter as Telegram sees it: text. An absent one is empty."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def text_parameter(parameters: Mapping[str, Any], name: str) -> str:
    """The parameter as text, empty when it is absent."""
    value = parameters.get(name, "")
    return value if isinstance(value, str) else text_of(value)


def required_text(parameters: Mapping[str, Any], name: str) -> str:
    """The parameter as text. Raises Refusal when it is absent or empty."""
    value = text_parameter(parameters, name)
    if not value:
        raise bad_request(f'Parameter "{name}" is required')
    return value


def integer_parameter(parameters: Mapping[str, Any], name: str, default: int = 0) -> int:
    """The parameter as an integer; one that is absent or no number is `default`."""
    value = parameters.get(name)
    if type(value) is int:
        return value
    if value is None:
        return default
    try:
        return int(text_of(value))
    except ValueError:
        return default


def boolean_parameter(parameters: Mapping[str, Any], name: str) -> bool:
    """The parameter as a truth value, by Telegram's rule: true, yes and 1 are true."""
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    return text_of(value).strip().lower() in {"true", "yes", "1"}


def json_of(value: Any, what: str) -> Any:
    """The parameter's JSON value, whether it came as text or as JSON. Raises Refusal naming `what`."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise bad_request(f"Can't parse {what} JSON object") from None


def string_field(value: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """A member of a JSON object as text, numbers included. Raises ValueError in Telegram's words."""
    if name not in value or value[name] is None:
        if required:
            raise ValueError(f'Can\'t find field "{name}"')
        return ""
    field = value[name]
    if isinstance(field, str):
        return field
    if isinstance(field, int | float) and not isinstance(field, bool):
        return text_of(field)
    raise ValueError(f'Field "{name}" must be of type String')


def integer_field(value: Mapping[str, Any], name: str, *, required: bool = False) -> int:
    """A member of a JSON object as an integer. Raises ValueError in Telegram's words."""
    if name not in value or value[name] is None:
        if required:
            raise ValueError(f'Can\'t find field "{name}"')
        return 0
    field = value[name]
    wrong = ValueError(f'Field "{name}" must be of type Number')
    if isinstance(field, bool) or not isinstance(field, int | float | str):
        raise wrong
    try:
        return int(field)
    except (ValueError, OverflowError):
        raise wrong from None

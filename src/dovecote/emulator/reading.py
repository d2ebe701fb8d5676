"""Parameters of a call, from wherever the client put them.

Telegram reads the query string first, then the body, and the first of two equal names wins. Every value is text to it
(an object in a JSON body is its JSON text), so `text_of` and `json_of` are the two ways to look at one.
Malformed JSON and malformed multipart are no errors: they read as missing parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from dovecote.emulator.multipart import Multipart
from dovecote.emulator.refusal import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.emulator.multipart import Upload

JSON = b"application/json"
MISSING: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Read:
    """The parameters, the uploads by part name, and what a record keeps: the JSON body itself, or the parameters."""

    parameters: Mapping[str, Any]
    uploads: Mapping[str, Upload]
    kept: bytes | Mapping[str, Any]


def read(query: bytes, content_type: bytes, body: bytes | Multipart) -> Read:
    """Merge query string and body. Raises Refusal for text that is no UTF-8."""
    if not query and content_type.startswith(JSON) and isinstance(body, bytes):
        return Read(json_parameters(body), MISSING, body)
    parameters = form_parameters(query)
    uploads: Mapping[str, Upload] = MISSING
    if isinstance(body, Multipart):
        fields, uploads = body.parts()
        parameters = {**fields, **parameters}
    elif body:
        kind = content_type.partition(b";")[0].strip().lower()
        if kind == JSON:
            parameters = {**json_parameters(body), **parameters}
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

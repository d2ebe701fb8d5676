"""JSON documents of the control API, read strictly: what is wrong is told with its place, and nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

STRICT = ConfigDict(extra="forbid")

T = TypeVar("T")


class InvalidDocument(ValueError):
    """A document that cannot be; the message says where."""


def parsed(body: bytes, wanted: str) -> Any:
    """The value of a JSON text; an empty one is an empty object. Raises InvalidDocument, which names `wanted`."""
    try:
        return orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise InvalidDocument(f"this is no JSON ({error}); send {wanted}.") from None


def validated(adapter: TypeAdapter[T], document: Any, what: str) -> T:
    """The document as what `adapter` makes of it. Raises InvalidDocument; `what` stands for the whole of it."""
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        # What a class of ours says is a whole sentence; pydantic writes what it is in front of it.
        faults = (
            f"{'.'.join(str(part) for part in fault['loc']) or what}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        )
        raise InvalidDocument("; ".join(faults)) from None


def merged(adapter: TypeAdapter[T], current: T, document: Any, what: str) -> T:
    """`current` with the members that `document` gives. Raises InvalidDocument."""
    if not isinstance(document, dict):
        raise InvalidDocument(f"{what}: send a JSON object.")
    changed: Mapping[str, Any] = adapter.dump_python(current) | document
    return validated(adapter, changed, what)

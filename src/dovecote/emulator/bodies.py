"""The bodies of requests: as a whole where they are small by nature, read as they come where they hold files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.multipart import Multipart

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

MULTIPART: Final = b"multipart/"
FORM_DATA: Final = b"multipart/form-data"
MEGABYTE: Final = 1024 * 1024
LARGEST_BODY: Final = 51 * MEGABYTE
"""What Telegram's own server takes, in bytes: a file of 50 MB and what stands around it."""
LARGEST_LOCAL_BODY: Final = 2001 * MEGABYTE
"""What a local Bot API server takes."""


async def read_body(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], content_type: bytes = b"", *, largest: int
) -> bytes | Multipart | None:
    """The whole body, or what a multipart one holds; None when it has more than `largest` bytes.

    Of those it is read to its end all the same, so that the client gets to read the answer.
    """
    if content_type.partition(b";")[0].strip().lower() == FORM_DATA:
        return await _read_multipart(receive, content_type, largest)
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body if len(body) <= largest else None
    chunks = [body]
    size = len(body)
    while message.get("more_body"):
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= largest:
            chunks.append(chunk)
        else:
            chunks.clear()
    return b"".join(chunks) if size <= largest else None


def whole_body(content_type: bytes, body: bytes) -> bytes | Multipart:
    """A body that is here already, as read_body would have read it."""
    if content_type.partition(b";")[0].strip().lower() != FORM_DATA:
        return body
    parts = Multipart(content_type)
    parts.feed(body)
    return parts


async def _read_multipart(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], content_type: bytes, largest: int
) -> Multipart | None:
    parts, size, more = Multipart(content_type), 0, True
    while more:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= largest:
            parts.feed(chunk)
        more = message.get("more_body", False)
    return parts if size <= largest else None

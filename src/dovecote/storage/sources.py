"""What an upload is given: bytes, or a stream of them, cut into blocks of the size that a backend likes."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from dovecote.errors import FileDamaged
from dovecote.storage.keys import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

_TURN = 1024 * 1024
BUFFERS = (bytes, bytearray, memoryview)

_WORD = r"[A-Za-z0-9!#$&^_.+-]{1,127}"
_CONTENT_TYPE: Final = re.compile(rf"{_WORD}/{_WORD}(?: ?;[ -~]{{0,200}})?")


def whole(file: object, key: str, size: int | None) -> bytes | None:
    """The content if it is given as a whole, None if it is a stream. Raises TypeError, FileDamaged."""
    if isinstance(file, BUFFERS):
        content = bytes(file)
        refuse_other_size(key, len(content), size)
        return content
    if not hasattr(file, "__aiter__"):
        raise TypeError(
            f"a file to upload is bytes or an asynchronous iterator of bytes, not {type(file).__name__}; "
            "read a file of the disk in pieces and yield them."
        )
    return None


@asynccontextmanager
async def blocks(
    source: AsyncIterable[bytes], key: str, *, block: int, size: int | None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The source in blocks of `block` bytes, of which the last may be shorter; none if it is empty.

    When the body ends early the source is closed. The blocks raise FileDamaged where it does not hold `size` bytes.
    """
    cut = _cut(source, key, block, size)
    try:
        yield cut
    finally:
        await cut.aclose()
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


async def _cut(source: AsyncIterable[object], key: str, block: int, size: int | None) -> Any:
    held: list[memoryview] = []
    waiting = total = turn = 0
    async for chunk in source:
        if not isinstance(chunk, BUFFERS):
            raise TypeError(f"a stream to upload yields bytes, and this one yielded {type(chunk).__name__}.")
        # Held beyond this turn, so it must be ours: a reader may fill the same buffer again. Bytes are not copied.
        content = bytes(chunk)
        rest = memoryview(content)
        total += len(rest)
        turn += len(rest)
        if turn >= _TURN:
            # A source that has all at hand never waits, and the loop would.
            turn = 0
            await asyncio.sleep(0)
        if size is not None and total > size:
            raise FileDamaged(f"{shown(key)} is not stored: the stream holds more than the {size} bytes promised.")
        while waiting + len(rest) >= block:
            room = block - waiting
            # A chunk that is a block as it stands is not copied.
            yield content if not held and block == len(rest) == len(content) else b"".join([*held, rest[:room]])
            held, waiting, rest = [], 0, rest[room:]
        if rest:
            held.append(rest)
            waiting += len(rest)
    refuse_other_size(key, total, size)
    if held:
        yield b"".join(held)


def refuse_other_size(key: str, actual: int, promised: int | None) -> None:
    """Raise FileDamaged if there is a promise and it is not kept."""
    if promised is not None and actual != promised:
        raise FileDamaged(f"{shown(key)} is not stored: {promised} bytes were promised, and it has {actual}.")


def refuse_odd_type(content_type: str | None) -> None:
    """Raise ValueError for a content type that cannot stand in a header, or that a store's client cannot read again."""
    if content_type is not None and not _CONTENT_TYPE.fullmatch(content_type):
        raise ValueError(f"{content_type[:60]!r} is no content type: give one such as image/png, in ASCII.")


def refuse_empty_chunks(chunk_size: int) -> None:
    """Raise ValueError for chunks that hold nothing."""
    if chunk_size < 1:
        raise ValueError(f"chunk_size is in bytes, 1 or more, and not {chunk_size}.")


def refuse_impossible_limits(largest: int, size: int | None) -> None:
    """Raise ValueError for limits of a signed upload that nothing could keep."""
    if largest < 1 or (size is not None and not 0 <= size <= largest):
        raise ValueError(f"an upload of {size} bytes, {largest} at most, cannot be: give 0 <= size <= largest.")

"""ASGI by hand: what is read of a request, how an answer is written, and how one waits beside a client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from dovecote.emulator.reading import text_of

if TYPE_CHECKING:
    from dovecote.emulator.refusal import Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Reply = tuple[int, bytes, Headers]

T = TypeVar("T")

_NUMBER = re.compile(r"-?\d+")
_JSON_TYPE = (b"content-type", b"application/json")


def path_parts(path: str) -> tuple[str, str]:
    """Token and method of `/bot{token}/{method}` or `/bot{token}/test/{method}`; an empty token if it is neither."""
    parts = path.split("/")
    if len(parts) == 3:  # noqa: PLR2004 - "", token, method
        return parts[1][3:], parts[2]
    if len(parts) == 4 and parts[2] == "test":  # noqa: PLR2004 - the same and "test"
        return parts[1][3:], parts[3]
    return "", ""


def content_type_of(scope: Scope) -> bytes:
    """The header, or nothing."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type: bytes = value
            return content_type
    return b""


def chat_of(parameters: Any) -> int | str | None:
    """The call's chat for the record and the script: a number wherever it is one."""
    chat = parameters.get("chat_id")
    if type(chat) is int or chat is None:
        return chat
    text = text_of(chat).strip()
    return int(text) if _NUMBER.fullmatch(text) else text


def json_headers(content: bytes) -> Headers:
    """The headers of a JSON body."""
    return [_JSON_TYPE, (b"content-length", b"%d" % len(content))]


def refused(refusal: Refusal) -> Reply:
    """The refusal as Telegram answers it."""
    content = orjson.dumps(refusal.as_json())
    headers = json_headers(content)
    if "retry_after" in refusal.parameters:
        headers.append((b"retry-after", b"%d" % refusal.parameters["retry_after"]))
    return refusal.code, content, headers


async def respond(send: Send, status: int, content: bytes, headers: Headers) -> None:
    """Write the whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def still_there(receive: Receive, seconds: float | None) -> bool:
    """Wait; answers whether the client is still there. The client's leaving and the emulator's stopping end it."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                continue
    except TimeoutError:
        return True
    return False


async def first_of(result: asyncio.Future[T], receive: Receive, seconds: float) -> T | None:
    """Wait for a result; None when the time is over, or the client has gone."""
    gone = asyncio.ensure_future(still_there(receive, None))
    both: set[asyncio.Future[Any]] = {result, gone}
    await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    await asyncio.wait({gone})
    return result.result() if result.done() else None

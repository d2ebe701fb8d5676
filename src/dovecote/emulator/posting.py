"""One POST to a webhook, over a connection of its own.

By hand and not by the client that Dovecote sends with: what went wrong has to be told in Telegram's words, for which it
has to be known whether there was a connection at all.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_SECONDS: Final = 60.0
BLOCK: Final = 64 * 1024


class PostFailed(Exception):
    """There was no whole answer; the message says it in Telegram's words."""


class Answer:
    """What a webhook has answered. Headers are by their name in lower case."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_complete = False
        self._parser = HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Keep the status."""
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """That was all."""
        self.is_complete = True

    def feed(self, data: bytes) -> None:
        """Read on; nothing is the end of the connection. Raises PostFailed when more should have come."""
        if data:
            try:
                self._parser.feed_data(data)
            except HttpParserError:
                raise PostFailed("Wrong response from the webhook: it is no HTTP") from None
            return
        # Without a length the end of the connection is the end of the body.
        if not self.status or "content-length" in self.headers or "transfer-encoding" in self.headers:
            raise PostFailed("Webhook connection closed")
        self.is_complete = True


async def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Post and read the answer. Raises PostFailed. A certificate is not checked: a test's server has its own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in {**headers, "Content-Length": str(len(body))}.items()]
    request = "\r\n".join([*lines, "", ""]).encode("utf-8") + body
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await _connected(host, parts.port, secure=parts.scheme == "https")
            try:
                return await _answer(reader, writer, request)
            finally:
                writer.close()
    except TimeoutError:
        raise PostFailed("Read timeout expired") from None


async def _connected(host: str, port: int | None, *, secure: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = None
    if secure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        return await asyncio.open_connection(host, port or (443 if secure else 80), ssl=context)
    except socket.gaierror as error:
        raise PostFailed(f"Failed to resolve host: {error.strerror}") from None
    except ssl.SSLError as error:
        raise PostFailed(f"SSL error {{{error.reason}}}") from None
    except OSError:
        raise PostFailed("Connection refused") from None


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Answer:
    answer = Answer()
    try:
        writer.write(request)
        await writer.drain()
        while not answer.is_complete:
            answer.feed(await reader.read(BLOCK))
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        raise PostFailed("Webhook connection closed") from None
    return answer

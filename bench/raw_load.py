"""How fast the peer is itself: requests made ready beforehand over plain sockets, nothing parsed but an answer's end.

One process, `connections` keep-alive connections, one request outstanding on each, no pipelining: the same traffic as
the measured clients make, by a client that costs a fraction of theirs.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import urlsplit

from bench.work import body_of, measured_process, method_url, result_of, stopwatch


class _Load(asyncio.Protocol):
    """One connection. `turns` are the requests that all connections share."""

    def __init__(self, request: bytes, turns: list[int], done: asyncio.Future[None]) -> None:
        self.request = request
        self.turns = turns
        self.done = done
        self.transport: asyncio.WriteTransport | None = None
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's own is not derived from it
        self._next()

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not self.answer.startswith(b"HTTP/1.1 200"):
            self._fail(f"the peer answered {self.answer!r}")
            return
        if not self.answer.endswith(b"}}"):
            return  # head and body may come apart
        self.answer = b""
        self.turns[1] -= 1
        if self.turns[1] == 0 and not self.done.done():
            self.done.set_result(None)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the peer closed a connection: {exc}")

    def _next(self) -> None:
        if self.turns[0] and self.transport is not None:
            self.turns[0] -= 1
            self.transport.write(self.request)

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(why))


async def run(peer: str, requests: int, connections: int) -> dict[str, Any]:
    """Make `requests` requests and answer the rate."""
    address = urlsplit(method_url(peer))
    body = body_of(1)
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    loop = asyncio.get_running_loop()
    turns, done = [requests, requests], loop.create_future()
    with stopwatch() as watch:
        for _ in range(connections):
            await loop.create_connection(
                lambda: _Load(request, turns, done), str(address.hostname), int(address.port or 80)
            )
        await done
    return result_of(watch, requests)


if __name__ == "__main__":
    measured_process(run)

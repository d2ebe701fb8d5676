"""A server that does to a connection what its script says: for faults that no HTTP framework can be asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Script = Callable[["Connection"], Awaitable[None]]

DELIVERED = {"ok": True, "result": {"message_id": 7, "date": 1, "chat": {"id": 42, "type": "private"}}}

PATIENCE = 10.0
"""Seconds until something that must happen is a failure."""

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One accepted connection. `gone` is set when the client has closed its end."""

    def __init__(self, server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.gone = asyncio.Event()

    async def head(self) -> Request | None:
        """Read as far as the blank line; None when the client has closed."""
        try:
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            self.gone.set()
            return None
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        self.server.heads += 1
        self.server.read_something.set()
        return Request(lines[0], headers, b"")

    async def request(self) -> Request | None:
        """Read a whole request and remember it; None when the client has closed."""
        head = await self.head()
        if head is None:
            return None
        body = await self.reader.readexactly(int(head.headers.get("content-length", "0")))
        request = Request(head.line, head.headers, body)
        self.server.requests.append(request)
        self.server.read_whole.set()
        return request

    def answer(self, answer: object = None, *, status: int = 200, headers: str = "") -> None:
        body = json.dumps(DELIVERED if answer is None else answer).encode()
        self.raw(f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def raw(self, text: bytes) -> None:
        self.writer.write(text)

    def finish(self) -> None:
        """Close in the orderly way: FIN."""
        self.writer.close()

    def reset(self) -> None:
        """Close with RST, whatever is in the buffers."""
        linger_for_nothing = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_nothing)
        self.writer.transport.abort()


class ScriptedServer:
    """Runs `script` for every connection. `requests` are those read whole, `heads` counts those begun."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[Any]] = set()
        self.connections: list[Connection] = []
        self.requests: list[Request] = []
        self.heads = 0
        self.read_something = asyncio.Event()
        self.read_whole = asyncio.Event()
        self.address = ""

    @property
    def base_url(self) -> str:
        return f"http://{self.address}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(self, reader, writer)
        self.connections.append(connection)
        try:
            # A test ends by cancelling what still stalls.
            with contextlib.suppress(asyncio.CancelledError):
                await self._script(connection)
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()


async def deliver(connection: Connection) -> None:
    """Answer every request as delivered."""
    while await connection.request():
        connection.answer()


async def soon(awaitable: Awaitable[T]) -> T:
    """Wait for it, with a bound."""
    return await asyncio.wait_for(awaitable, PATIENCE)


def closed_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port

"""A network of our own: a TCP proxy that hangs, resets, cuts in the middle of an answer, and delays.

It runs in the event loop that started it. What a client wrote before it gave up is still delivered when a hanging
network goes on, as by a real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Self

CHUNK = 64 * 1024
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for no seconds: closing is a reset."""


class Proxy:
    """Listens on a port of its own and passes everything on to `target`; `with` it is there."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self.connections = 0
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay = 0.0
        self._cuts = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang(self) -> None:
        """Pass on nothing: connections are taken and kept, and nothing comes through."""
        self._flows.clear()

    def delay(self, seconds: float) -> None:
        """Let every piece wait so long."""
        self._delay = seconds

    def cut(self) -> None:
        """Pass on half of each answer, and then reset the connection."""
        self._cuts = True

    def reset(self) -> None:
        """Reset every connection that there is."""
        for writer in tuple(self._writers):
            _reset(writer)

    def heal(self) -> None:
        """Be a network that works."""
        self._delay = 0.0
        self._cuts = False
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._flows.wait()
            try:
                there, to_there = await asyncio.open_connection(*self._target)
            except OSError:
                _reset(writer)
                return
            self._writers.add(to_there)
            try:
                await asyncio.gather(self._pass(reader, to_there), self._pass(there, writer, is_answer=True))
            finally:
                self._writers.discard(to_there)
                to_there.close()
        except asyncio.CancelledError:
            _reset(writer)
        finally:
            self._writers.discard(writer)
            writer.close()
            if task is not None:
                self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        """Pass on what comes, until its end."""
        try:
            while data := await reader.read(CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flows.wait()
                if self._cuts and is_answer:
                    writer.write(data[: len(data) // 2])
                    with contextlib.suppress(ConnectionError):
                        await writer.drain()
                    _reset(writer)
                    return
                writer.write(data)
                await writer.drain()
            await self._flows.wait()
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()
        except (ConnectionError, OSError):
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()

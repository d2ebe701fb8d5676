"""The campaign's network does to a connection what it is told."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say whatever is said, until its end."""
    with suppress(ConnectionError):
        while data := await reader.read(100):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def network() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy("x", "127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def said(ends: Ends, text: bytes) -> bytes:
    ends[1].write(text)
    return await asyncio.wait_for(ends[0].readexactly(len(text)), 10)


async def test_it_passes_everything_on_and_the_end_too() -> None:
    async with network() as proxy, connected(proxy) as ends:
        assert await said(ends, b"hello") == b"hello"
        ends[1].write_eof()
        assert await ends[0].read() == b""


async def test_while_it_hangs_nothing_comes_and_then_all_does() -> None:
    async with network() as proxy, connected(proxy) as ends:
        await said(ends, b"a")
        proxy.hang()
        answer = asyncio.create_task(said(ends, b"hello"))
        async with connected(proxy) as late:
            other = asyncio.create_task(said(late, b"new"))
            done, _ = await asyncio.wait({answer, other}, timeout=0.1)
            assert not done
            proxy.heal()
            assert await answer == b"hello"
            assert await other == b"new"


async def test_a_reset_is_one_and_the_next_connection_works() -> None:
    async with network() as proxy:
        async with connected(proxy) as ends:
            await said(ends, b"a")
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                await ends[0].read()
        async with connected(proxy) as ends:
            assert await said(ends, b"hello") == b"hello"


async def test_a_cut_passes_half_of_the_answer_at_most_and_resets() -> None:
    async with network() as proxy, connected(proxy) as ends:
        await said(ends, b"a")
        proxy.cut()
        ends[1].write(b"12345678")
        # What came before a reset may be lost with it.
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await ends[0].readexactly(5)


async def test_a_delay_is_waited_for_on_the_way_there_and_back() -> None:
    async with network() as proxy, connected(proxy) as ends:
        proxy.delay(0.05)
        began = time.monotonic()
        assert await said(ends, b"hello") == b"hello"
        assert time.monotonic() - began >= 0.1


async def test_where_nobody_listens_the_connection_is_reset() -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Proxy("x", "127.0.0.1", port) as proxy, connected(proxy) as ends:
        with pytest.raises(ConnectionResetError):
            await ends[0].read()

"""A plain HTTP client of the emulator for its tests: one call, its status and its body."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING, Any

import aiogram
import telegram
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from pyreqwest.client import Client, ClientBuilder

from dovecote.emulator import Clock, Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TOKEN = "4242:" + "A" * 35
OTHER_TOKEN = "777:" + "B" * 35
# As much of a PNG as carries its size: 640 by 480.
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 640, 480) + b"\x08\x02\x00\x00\x00"


def png(width: int, height: int) -> bytes:
    """As much of a PNG as carries its size."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\x00\x00\x00"


def aiogram_bot(emulator: Emulator, token: str = TOKEN) -> aiogram.Bot:
    """A client of aiogram; it is a context that closes itself."""
    return aiogram.Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(emulator.url)))


def telegram_bot(emulator: Emulator, token: str = TOKEN) -> telegram.Bot:
    """A client of python-telegram-bot; it is a context that closes itself."""
    return telegram.Bot(token, base_url=f"{emulator.url}/bot", base_file_url=f"{emulator.url}/file/bot")


class StoppedClock(Clock):
    """A clock that moves only when it is told to. It begins on a day in May 2026."""

    def __init__(self) -> None:
        self.passed = 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.passed += seconds

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    def time(self) -> float:
        return 1_780_000_000.0 + self.passed


class Api:
    """An emulator and a connection to it."""

    def __init__(self, emulator: Emulator, client: Client) -> None:
        self.emulator = emulator
        self.client = client

    async def post(self, method: str, token: str = TOKEN, **parameters: Any) -> tuple[int, Any]:
        """Call with a JSON body; answers status and body."""
        request = self.client.post(f"{self.emulator.url}/bot{token}/{method}").body_json(parameters).build()
        response = await request.send()
        return response.status, await response.json()

    async def result(self, method: str, token: str = TOKEN, **parameters: Any) -> Any:
        """Call what must succeed; answers the result."""
        status, body = await self.post(method, token, **parameters)
        assert (status, body["ok"]) == (200, True), body
        return body["result"]

    async def refusal(self, method: str, token: str = TOKEN, **parameters: Any) -> str:
        """Call what must be refused as a bad request; answers the words after the prefix."""
        status, body = await self.post(method, token, **parameters)
        assert (status, body["ok"], body["error_code"]) == (400, False, 400), body
        description: str = body["description"]
        assert description.startswith("Bad Request: ")
        return description.removeprefix("Bad Request: ")

    async def raw(
        self, method: str, path: str, body: bytes = b"", content_type: str | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Any request; answers status, headers and body."""
        builder = self.client.request(method, self.emulator.url + path)
        if content_type is not None:
            builder = builder.header("content-type", content_type)
        response = await builder.body_bytes(body).build().send()
        return response.status, dict(response.headers.items()), bytes(await response.bytes())

    async def control(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        """A request to the control API; answers status and body."""
        builder = self.client.request(method, f"{self.emulator.url}/emulator/{path}")
        if document is not None:
            builder = builder.body_json(document)
        response = await builder.build().send()
        return response.status, await response.json()


@contextlib.asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Api]:
    """An emulator of the test's own, and a client."""
    async with Emulator(**settings) as emulator, ClientBuilder().build() as client:
        yield Api(emulator, client)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nothing announces; five seconds are the bound."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the emulator tells nobody that a request has arrived
            await asyncio.sleep(0)


def multipart(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, str]:
    """A multipart body of (name, file name or None, content), and its content type."""
    boundary = b"----a-boundary"
    body = b""
    for name, file_name, content in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name else "")
        body += b"--" + boundary + b"\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + b"--" + boundary + b"--\r\n", f"multipart/form-data; boundary={boundary.decode()}"

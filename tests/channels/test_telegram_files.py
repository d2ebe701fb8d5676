"""Fetching what people have sent to a bot: at the emulator, and at a server that fails."""

from __future__ import annotations

import asyncio
import logging
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from scripted_socket import Connection, ScriptedServer, closed_port, soon

from dovecote.channels.telegram_files import TelegramFiles
from dovecote.emulator import Emulator
from dovecote.errors import FileTooLarge, TelegramRefused, TelegramUnavailable
from dovecote.model import RemoteFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOKEN = "7000001:AAverySecretPartOfATokenThatNobodySees"
SECRET = TOKEN.partition(":")[2]
BOT = 7000001
LARGE = bytes(range(256)) * 8192


async def whole(files: TelegramFiles, remote: RemoteFile, token: str = TOKEN) -> bytes:
    return b"".join([chunk async for chunk in files.download(token, remote)])


async def test_what_was_sent_is_located_and_downloaded() -> None:
    async with Emulator() as emulator:
        files = TelegramFiles(emulator.url)
        file_id = emulator.receive_file(BOT, LARGE, name="film.mp4", kind="video")

        remote = await files.locate(TOKEN, file_id)

        assert remote == RemoteFile("videos/file_0.mp4", len(LARGE))
        assert await whole(files, remote) == LARGE
        await files.close()
        await files.close()


async def test_telegrams_refusals_are_told_with_a_remedy() -> None:
    async with Emulator() as emulator:
        files = TelegramFiles(emulator.url)
        too_large = emulator.receive_file(BOT, size=20 * 1024 * 1024 + 1)

        with pytest.raises(FileTooLarge, match=r"up to 20 MB.*run a local Bot API server.*telegram.base_url"):
            await files.locate(TOKEN, too_large)
        with pytest.raises(TelegramRefused, match=r'"Bad Request: invalid file_id".*good for the bot that received it'):
            await files.locate(TOKEN, "nonsense")
        with pytest.raises(TelegramRefused, match=r'"Not Found".*a link is good for an hour'):
            await whole(files, RemoteFile("documents/gone", None))
        emulator.revoke(TOKEN)
        with pytest.raises(TelegramRefused, match="does not know this bot"):
            await files.locate(TOKEN, too_large)
        with pytest.raises(TelegramRefused, match="holds a character that no token has"):
            await files.locate("a/b", too_large)
        await files.close()


async def answer_in_pieces(connection: Connection, length: int, *pieces: bytes) -> None:
    await connection.request()
    connection.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
    for piece in pieces:
        connection.raw(piece)
        await connection.writer.drain()


async def short(connection: Connection) -> None:
    await answer_in_pieces(connection, 100, b"half")
    connection.finish()


async def reset(connection: Connection) -> None:
    await answer_in_pieces(connection, 100, b"half")
    connection.reset()


async def stall(connection: Connection) -> None:
    await answer_in_pieces(connection, 100, b"half")
    await connection.gone.wait()


async def whole_but_not_all(connection: Connection) -> None:
    await answer_in_pieces(connection, 4, b"half")


async def unavailable(connection: Connection) -> None:
    while await connection.request():
        connection.answer("no JSON of Telegram's", status=503)


async def too_many(connection: Connection) -> None:
    while await connection.request():
        answer = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 7}}
        connection.answer(answer, status=429)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (short, "the download broke off"),
        (reset, "the download broke off"),
        (stall, "the download broke off"),
        (whole_but_not_all, "ended after 4 of 100 bytes"),
        (unavailable, "no proper answer"),
        (too_many, "asks to wait"),
    ],
)
async def test_a_download_that_fails_is_told_and_holds_no_token(
    script: Callable[[Connection], Awaitable[None]], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with ScriptedServer(script) as server:
        files = TelegramFiles(server.base_url, timeout=timedelta(milliseconds=300))

        with pytest.raises(TelegramUnavailable, match=words) as raised:
            await soon(whole(files, RemoteFile("documents/file_0", 100)))
        await files.close()

    assert_holds_no_token(raised.value)
    assert SECRET not in caplog.text


async def test_a_server_that_is_not_there_and_a_wait_are_told_and_hold_no_token() -> None:
    files = TelegramFiles(f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(TelegramUnavailable, match="does not answer") as raised:
        await files.locate(TOKEN, "any")
    await files.close()
    assert_holds_no_token(raised.value)
    async with ScriptedServer(too_many) as server:
        files = TelegramFiles(server.base_url)
        with pytest.raises(TelegramUnavailable) as raised:
            await files.locate(TOKEN, "any")
        await files.close()
    assert raised.value.retry_after == 7.0


def assert_holds_no_token(error: BaseException | None) -> None:
    """Neither it nor anything that hangs on it."""
    assert error is not None
    assert SECRET not in "".join(traceback.format_exception(error))
    while error is not None:
        assert SECRET not in repr(error)
        assert SECRET not in repr(error.__dict__)
        error = error.__context__ or error.__cause__


async def test_a_local_servers_path_is_one_of_this_machine_and_telegrams_never_is() -> None:
    path = f"/var/lib/telegram-bot-api/{TOKEN}/documents/file_3.pdf"

    async def locate(connection: Connection) -> None:
        while await connection.request():
            connection.answer({"ok": True, "result": {"file_id": "x", "file_size": 3, "file_path": path}})

    async with ScriptedServer(locate) as server:
        files = TelegramFiles(server.base_url)
        assert await files.locate(TOKEN, "x") == RemoteFile(path, 3, is_local=True)
        files._is_telegrams = True
        with pytest.raises(TelegramRefused, match="which Telegram never does") as refused:
            await files.locate(TOKEN, "x")
        await files.close()
    assert_holds_no_token(refused.value)


async def test_a_download_that_is_given_up_leaves_nothing_running() -> None:
    async with Emulator() as emulator:
        files = TelegramFiles(emulator.url)
        remote = await files.locate(TOKEN, emulator.receive_file(BOT, LARGE))
        chunks: Any = files.download(TOKEN, remote)

        assert await anext(chunks)
        await chunks.aclose()
        async with asyncio.timeout(5):
            await files.close()

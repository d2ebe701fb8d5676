"""Uploads as the emulator counts them, spaces them, and gives them back."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

import aiogram
import pytest
import pytest_asyncio
import telegram
from aiogram import types
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from emulator_client import OTHER_TOKEN, PNG, TOKEN, Api, StoppedClock, multipart, running, until

from dovecote.emulator import Emulator, Limits, UploadLimit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JPEG = b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 60, 80)
LARGE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 4000, 2000) + bytes(4000)


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    async with running() as api:
        yield api


async def upload(api: Api, method: str, *parts: tuple[str, str | None, bytes], token: str = TOKEN) -> tuple[int, Any]:
    """Call with a multipart body for chat 42."""
    encoded, content_type = multipart(("chat_id", None, b"42"), *parts)
    status, _, body = await api.raw("POST", f"/bot{token}/{method}", encoded, content_type)
    return status, json.loads(body)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class TestCounts:
    async def test_what_was_uploaded_is_counted_by_content_and_bot(self, api: Api) -> None:
        await upload(api, "sendPhoto", ("photo", "a.png", PNG))
        await upload(api, "sendDocument", ("document", "b.png", PNG))
        await upload(api, "sendDocument", ("document", "c.txt", b"text"), token=OTHER_TOKEN)

        status, body = await api.control("GET", "uploads")

        assert (status, body) == (
            200,
            {
                "uploads": [
                    {"sha256": digest(PNG), "size": len(PNG), "count": 2, "bots": {"4242": 2}},
                    {"sha256": digest(b"text"), "size": 4, "count": 1, "bots": {"777": 1}},
                ]
            },
        )
        assert api.emulator.uploads[digest(PNG)].count == 2

    async def test_what_was_refused_has_been_uploaded_all_the_same(self, api: Api) -> None:
        status, _ = await upload(api, "sendPhoto", ("photo", "a.txt", b"no picture"))

        assert status == 400
        assert api.emulator.uploads[digest(b"no picture")].count == 1

    async def test_a_file_id_is_no_upload_and_a_reset_forgets(self, api: Api) -> None:
        _, first = await upload(api, "sendPhoto", ("photo", "a.png", PNG))
        await api.result("sendPhoto", chat_id=42, photo=first["result"]["photo"][-1]["file_id"])
        assert api.emulator.uploads[digest(PNG)].count == 1

        await api.control("POST", "reset")

        assert dict(api.emulator.uploads) == {}


class TestAnswers:
    async def test_a_photo_comes_in_telegrams_sizes_and_each_can_be_sent(self, api: Api) -> None:
        _, body = await upload(api, "sendPhoto", ("photo", "a.png", LARGE))

        sizes = body["result"]["photo"]

        assert [(size["width"], size["height"]) for size in sizes] == [
            (90, 45),
            (320, 160),
            (800, 400),
            (1280, 640),
            (2560, 1280),
        ]
        assert len({size["file_id"] for size in sizes}) == len({size["file_unique_id"] for size in sizes}) == 5
        for size in sizes:
            again = await api.result("sendPhoto", chat_id=42, photo=size["file_id"])
            assert again["photo"][-1]["width"] == size["width"]

    @pytest.mark.parametrize("kind", ["document", "video", "audio", "animation"])
    async def test_a_thumbnail_comes_back_with_its_file(self, api: Api, kind: str) -> None:
        parts = ((kind, "a.bin", b"12345"), ("thumbnail", None, b"attach://small"), ("small", "t.jpg", JPEG))

        _, body = await upload(api, f"send{kind.capitalize()}", *parts)

        thumbnail = body["result"][kind]["thumbnail"]
        assert (thumbnail["width"], thumbnail["height"], thumbnail["file_size"]) == (80, 60, len(JPEG))

    async def test_an_albums_files_and_thumbnails_are_attached(self, api: Api) -> None:
        media = [
            {"type": "video", "media": "attach://one", "thumbnail": "attach://small"},
            {"type": "photo", "media": "attach://two", "caption": "Both"},
        ]
        parts = (
            ("media", None, json.dumps(media).encode()),
            ("one", "a.mp4", b"12345"),
            ("two", "b.png", PNG),
            ("small", "t.jpg", JPEG),
        )

        status, body = await upload(api, "sendMediaGroup", *parts)

        assert status == 200
        video, photo = body["result"]
        assert video["video"]["thumbnail"]["width"] == 80
        assert (photo["photo"][-1]["width"], photo["caption"]) == (640, "Both")

    async def test_documents_of_every_kind_stand_for_each_other_and_pictures_do_not(self, api: Api) -> None:
        _, video = await upload(api, "sendVideo", ("video", "a.mp4", b"12345"))
        file_id = video["result"]["video"]["file_id"]

        assert (await api.result("sendDocument", chat_id=42, document=file_id))["document"]["file_id"] == file_id
        assert await api.refusal("sendPhoto", chat_id=42, photo=file_id) == "can't use file of type Video as Photo"


class TestSpacing:
    @pytest.mark.parametrize(("size", "seconds"), [(1, 0.2), (5_000_000, 0.5), (50_000_000, 0.9)])
    def test_it_grows_with_the_size_between_two_bounds(self, size: int, seconds: float) -> None:
        assert UploadLimit().spacing(size) == seconds

    async def test_the_same_file_of_a_bot_is_taken_once_in_a_while(self) -> None:
        clock = StoppedClock()
        clock.scale = 1e6
        waits: list[float] = []
        async with running(clock=clock, limits=Limits(upload=UploadLimit())) as api:
            uploads = api.emulator._application.uploads
            measured = uploads.wait

            def noted(*arguments: Any) -> float:
                waits.append(measured(*arguments))
                return waits[-1]

            uploads.wait = noted  # type: ignore[assignment]
            for _ in range(3):
                await upload(api, "sendPhoto", ("photo", "a.png", PNG))
            await upload(api, "sendPhoto", ("photo", "a.png", PNG), token=OTHER_TOKEN)
            await upload(api, "sendDocument", ("document", "b.txt", b"other"))
            clock.advance(0.5)
            await upload(api, "sendPhoto", ("photo", "a.png", PNG))

        assert waits == pytest.approx([0, 0.2, 0.4, 0, 0, 0.1])

    async def test_more_uploads_at_a_time_than_telegram_takes_are_told_to_wait(self) -> None:
        async with running(limits=Limits(upload=UploadLimit(parallel=2))) as api:
            host, port = api.emulator.url.removeprefix("http://").split(":")
            unfinished = []
            for _ in range(2):
                _, writer = await asyncio.open_connection(host, int(port))
                head = "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100\r\n\r\n--x"
                writer.write(f"POST /bot{TOKEN}/sendPhoto HTTP/1.1\r\nHost: x\r\n{head}".encode())
                unfinished.append(writer)
            await until(lambda: api.emulator._application.uploads._under_way[TOKEN] == 2)

            status, body = await upload(api, "sendPhoto", ("photo", "a.png", PNG))
            other, _ = await upload(api, "sendPhoto", ("photo", "a.png", PNG), token=OTHER_TOKEN)
            text = await api.post("sendMessage", chat_id=42, text="hello")

            assert (status, body["parameters"]) == (429, {"retry_after": 60})
            assert (other, text[0]) == (200, 200)
            for writer in unfinished:
                writer.close()
                await writer.wait_closed()
            await until(lambda: not api.emulator._application.uploads._under_way)

    @pytest.mark.parametrize("document", [{"parallel": 0}, {"shortest": -1}, {"retry_after": 0}])
    async def test_what_cannot_be_is_refused(self, api: Api, document: dict[str, Any]) -> None:
        status, body = await api.control("POST", "limits", {"upload": document})

        assert (status, next(iter(document)) in body["error"]) == (400, True)


class TestClients:
    async def test_aiogram_parses_sizes_and_thumbnails(self) -> None:
        async with Emulator() as emulator:
            session = AiohttpSession(api=TelegramAPIServer.from_base(emulator.url))
            async with aiogram.Bot(TOKEN, session=session) as bot:
                photo = await bot.send_photo(42, types.BufferedInputFile(LARGE, "a.png"))
                video = await bot.send_video(
                    42,
                    types.BufferedInputFile(b"12345", "a.mp4"),
                    thumbnail=types.BufferedInputFile(JPEG, "t.jpg"),
                )

        assert photo.photo is not None
        assert photo.photo[-1].width == 2560
        assert video.video is not None
        assert video.video.thumbnail is not None
        assert video.video.thumbnail.width == 80

    async def test_python_telegram_bot_parses_sizes_and_thumbnails(self) -> None:
        async with Emulator() as emulator, telegram.Bot(TOKEN, base_url=f"{emulator.url}/bot") as bot:
            photo = await bot.send_photo(42, LARGE)
            video = await bot.send_video(42, b"12345", thumbnail=JPEG)

        assert photo.photo[-1].width == 2560
        assert video.video is not None
        assert video.video.thumbnail is not None
        assert video.video.thumbnail.width == 80

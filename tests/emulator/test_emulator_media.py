"""Files: uploads, file_ids, URLs, albums; and captions."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import OTHER_TOKEN, PNG, TOKEN, Api, multipart, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "https://example.com/pictures/cat.png?size=large"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running() as api:
        yield api


async def upload(api: Api, method: str, *parts: tuple[str, str | None, bytes]) -> tuple[int, dict[str, Any]]:
    encoded, content_type = multipart(("chat_id", None, b"42"), *parts)
    status, _, body = await api.raw("POST", f"/bot{TOKEN}/{method}", encoded, content_type)
    return status, json.loads(body)


class TestFiles:
    @pytest.mark.parametrize("kind", ["document", "video", "audio", "animation"])
    async def test_an_upload_is_described(self, api: Api, kind: str) -> None:
        _, body = await upload(api, f"send{kind.capitalize()}", (kind, "naïve.bin", b"12345"))

        file = body["result"][kind]
        assert (file["file_name"], file["file_size"], file["mime_type"]) == (
            "naïve.bin",
            5,
            "application/octet-stream",
        )
        assert file["file_id"] != file["file_unique_id"]

    async def test_a_file_id_sends_the_same_file_again(self, api: Api) -> None:
        _, first = await upload(api, "sendPhoto", ("photo", "a.png", PNG))
        size = first["result"]["photo"][-1]

        again = await api.result("sendPhoto", chat_id=43, photo=size["file_id"])

        assert again["photo"] == first["result"]["photo"]

    async def test_a_file_id_is_one_bots(self, api: Api) -> None:
        _, first = await upload(api, "sendPhoto", ("photo", "a.png", PNG))
        file_id = first["result"]["photo"][0]["file_id"]

        status, body = await api.post("sendPhoto", OTHER_TOKEN, chat_id=42, photo=file_id)

        assert (status, body["description"]) == (400, "Bad Request: wrong file identifier/HTTP URL specified")

    async def test_a_file_id_is_of_one_kind(self, api: Api) -> None:
        _, first = await upload(api, "sendPhoto", ("photo", "a.png", PNG))

        words = await api.refusal("sendVideo", chat_id=42, video=first["result"]["photo"][0]["file_id"])

        assert words == "can't use file of type Photo as Video"

    async def test_a_file_id_from_elsewhere_is_taken_as_known(self, api: Api) -> None:
        file_id = "BQACAgIAAxkBAAIBZ2abcdefghijklmnop"

        sent = await api.result("sendDocument", chat_id=42, document=file_id)

        assert sent["document"]["file_id"] == file_id

    async def test_a_url_is_taken(self, api: Api) -> None:
        sent = await api.result("sendDocument", chat_id=42, document=URL)

        assert sent["document"]["file_name"] == "cat.png"

    async def test_numbers_about_a_video_are_believed(self, api: Api) -> None:
        sent = await api.result(
            "sendVideo", chat_id=42, video=URL, duration="7", width=320, height=240, has_spoiler=True
        )

        assert (sent["video"]["duration"], sent["video"]["width"], sent["video"]["height"]) == (7, 320, 240)
        assert sent["has_media_spoiler"] is True

    async def test_an_animation_is_a_document_too(self, api: Api) -> None:
        sent = await api.result("sendAnimation", chat_id=42, animation=URL)

        assert sent["document"]["file_id"] == sent["animation"]["file_id"]

    async def test_a_voice_message_and_a_sticker(self, api: Api) -> None:
        _, voice = await upload(api, "sendVoice", ("voice", "v.ogg", b"x"), ("duration", None, b"3"))
        _, sticker = await upload(api, "sendSticker", ("sticker", "s.webm", b"x"), ("emoji", None, "🙂".encode()))

        assert voice["result"]["voice"]["duration"] == 3
        assert sticker["result"]["sticker"]["is_video"] is True
        assert sticker["result"]["sticker"]["emoji"] == "🙂"

    @pytest.mark.parametrize(
        ("head", "size"),
        [
            (PNG, (640, 480)),
            (b"GIF89a" + struct.pack("<HH", 20, 10), (20, 10)),
            (b"BM" + bytes(16) + struct.pack("<ii", 30, -40), (30, 40)),
            (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 50, 60), (60, 50)),
            (b"RIFF0000WEBPVP8X" + bytes(8) + b"\x63\x00\x00\xc7\x00\x00", (100, 200)),
            (b"RIFF0000WEBPVP8L0000\x2f" + (99 | 199 << 14).to_bytes(4, "little"), (100, 200)),
            (b"RIFF0000WEBPVP8 " + bytes(10) + struct.pack("<HH", 100, 200), (100, 200)),
        ],
    )
    async def test_a_photos_size_is_read(self, api: Api, head: bytes, size: tuple[int, int]) -> None:
        _, body = await upload(api, "sendPhoto", ("photo", "picture", head))

        assert (body["result"]["photo"][-1]["width"], body["result"]["photo"][-1]["height"]) == size

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"no picture", "IMAGE_PROCESS_FAILED"),
            (b"\xff\xd8\xff\xda", "IMAGE_PROCESS_FAILED"),
            (b"", "file must be non-empty"),
            (
                PNG + bytes(10 * 1024 * 1024),
                "file of size 10485789 bytes is too big for a photo; the maximum size is 10485760 bytes",
            ),
        ],
    )
    async def test_a_photo_must_be_one(self, api: Api, content: bytes, words: str) -> None:
        status, body = await upload(api, "sendPhoto", ("photo", "a.png", content))

        assert (status, body["description"]) == (400, f"Bad Request: {words}")

    @pytest.mark.parametrize("kind", ["photo", "document", "video", "audio", "voice", "animation", "sticker"])
    async def test_without_a_file_nothing_is_sent(self, api: Api, kind: str) -> None:
        method = f"send{kind.capitalize()}"

        assert await api.refusal(method, chat_id=42) == f"there is no {kind} in the request"
        assert await api.refusal(method, chat_id=42, **{kind: "attach://none"}) == f"there is no {kind} in the request"

    @pytest.mark.parametrize(
        ("file_id", "words"),
        [
            ("wrong id", "wrong remote file identifier specified: Wrong character in the string"),
            ("short", "wrong remote file identifier specified: Wrong string length"),
        ],
    )
    async def test_a_wrong_file_id_is_refused(self, api: Api, file_id: str, words: str) -> None:
        assert await api.refusal("sendPhoto", chat_id=42, photo=file_id) == words


class TestCaptions:
    async def test_a_caption_is_formatted(self, api: Api) -> None:
        sent = await api.result(
            "sendPhoto",
            chat_id=42,
            photo=URL,
            caption="<i>x</i>",
            parse_mode="HTML",
            show_caption_above_media=True,
        )

        assert sent["caption"] == "x"
        assert sent["caption_entities"] == [{"type": "italic", "offset": 0, "length": 1}]
        assert sent["show_caption_above_media"] is True

    async def test_1024_units_are_the_most(self, api: Api) -> None:
        sent = await api.result("sendPhoto", chat_id=42, photo=URL, caption="🙂" * 512)

        assert sent["caption"] == "🙂" * 512
        assert (
            await api.refusal("sendPhoto", chat_id=42, photo=URL, caption="x" * 1025) == "message caption is too long"
        )


class TestAlbums:
    async def test_one_call_is_several_messages(self, api: Api) -> None:
        media = [{"type": "photo", "media": URL, "caption": "first"}, {"type": "video", "media": URL}]

        sent = await api.result("sendMediaGroup", chat_id=42, media=media)

        assert [message["message_id"] for message in sent] == [1, 2]
        assert sent[0]["media_group_id"] == sent[1]["media_group_id"]
        assert sent[0]["caption"] == "first"
        assert "video" in sent[1]
        assert api.emulator.accepted[0].message_ids == (1, 2)

    async def test_attached_files_are_found(self, api: Api) -> None:
        media = [{"type": "photo", "media": "attach://a"}, {"type": "photo", "media": "attach://b"}]

        status, body = await upload(
            api, "sendMediaGroup", ("media", None, json.dumps(media).encode()), ("a", "a.png", PNG), ("b", "b.png", PNG)
        )

        assert status == 200
        assert len(body["result"]) == 2

    @pytest.mark.parametrize(
        ("media", "words"),
        [
            (None, 'parameter "media" is required'),
            ("[", "can't parse media JSON object"),
            ({}, "expected an Array of InputMedia"),
            ([1, 2], "can't parse InputMedia: expected an Object"),
            ([{"type": "photo", "media": URL}], "too few messages to send as an album"),
            ([{"type": "photo", "media": URL}] * 11, "too many messages to send as an album"),
            ([{"type": "photo"}] * 2, "can't parse InputMedia: media not found"),
            (
                [{"type": "animation", "media": URL}] * 2,
                "can't parse InputMedia: type \"animation\" can't be used in sendMediaGroup",
            ),
            ([{"type": "voice", "media": URL}] * 2, 'can\'t parse InputMedia: type "voice" is unsupported'),
            (
                [{"type": "photo", "media": URL}, {"type": "document", "media": URL}],
                "document can't be mixed with other media types",
            ),
            (
                [{"type": "photo", "media": URL, "caption": "x" * 1025}, {"type": "photo", "media": URL}],
                "message caption is too long",
            ),
        ],
    )
    async def test_refusals(self, api: Api, media: Any, words: str) -> None:
        given = {} if media is None else {"media": media}

        assert await api.refusal("sendMediaGroup", chat_id=42, **given) == words
        assert list(api.emulator.accepted) == []

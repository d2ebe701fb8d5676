"""getFile and the download of what it names: Telegram's limit, Telegram's words, and each file for its bot alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import pytest_asyncio
from emulator_client import OTHER_TOKEN, PNG, TOKEN, Api, multipart, running

from dovecote.emulator import downloads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BOT = 4242


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[Api]:
    async with running() as telegram:
        yield telegram


async def upload(telegram: Api, method: str, field: str, content: bytes) -> Any:
    """Send a file to a chat; answers the message."""
    body, content_type = multipart(("chat_id", None, b"42"), (field, "dove.png", content))
    status, _, answer = await telegram.raw("POST", f"/bot{TOKEN}/{method}", body, content_type)
    assert status == 200, answer
    return orjson.loads(answer)["result"]


async def get(telegram: Api, path: str, token: str = TOKEN) -> tuple[int, bytes]:
    response = await telegram.client.get(f"{telegram.emulator.url}/file/bot{token}/{path}").build().send()
    return response.status, bytes(await response.bytes())


async def test_what_somebody_sent_can_be_downloaded(telegram: Api) -> None:
    file_id = telegram.emulator.receive_file(BOT, b"the invoice", name="invoice.pdf")

    file = await telegram.result("getFile", file_id=file_id)

    assert file == {
        "file_id": file_id,
        "file_unique_id": file["file_unique_id"],
        "file_size": 11,
        "file_path": "documents/file_0.pdf",
    }
    assert await get(telegram, file["file_path"]) == (200, b"the invoice")
    assert await telegram.result("getFile", file_id=file_id) == file


async def test_what_the_bot_uploaded_itself_can_be_downloaded(telegram: Api) -> None:
    message = await upload(telegram, "sendPhoto", "photo", PNG)

    file = await telegram.result("getFile", file_id=message["photo"][-1]["file_id"])

    assert file["file_path"] == "photos/file_0.png"
    assert await get(telegram, file["file_path"]) == (200, PNG)


@pytest.mark.parametrize(
    ("file_id", "words"),
    [
        ("", "file_id not specified"),
        ("not a file_id", "invalid file_id"),
        ("AgACAgIAAxkBAAIBY2", "invalid file_id"),
    ],
)
async def test_a_wrong_file_id_is_refused_in_telegrams_words(telegram: Api, file_id: str, words: str) -> None:
    assert await telegram.refusal("getFile", file_id=file_id) == words


async def test_another_bots_file_cannot_be_had(telegram: Api) -> None:
    file_id = telegram.emulator.receive_file(BOT, b"private")
    path = (await telegram.result("getFile", file_id=file_id))["file_path"]

    assert (
        await telegram.refusal("getFile", token=OTHER_TOKEN, file_id=file_id)
        == "wrong file_id or the file is temporarily unavailable"
    )
    assert (await get(telegram, path, OTHER_TOKEN))[0] == 404
    assert (await get(telegram, path, "4242:short"))[0] == 404


async def test_a_file_over_20_mb_is_too_big(telegram: Api) -> None:
    largest = telegram.emulator.receive_file(BOT, size=20 * 1024 * 1024)
    larger = telegram.emulator.receive_file(BOT, size=20 * 1024 * 1024 + 1)

    path = (await telegram.result("getFile", file_id=largest))["file_path"]
    status, content = await get(telegram, path)

    assert (status, len(content)) == (200, 20 * 1024 * 1024)
    assert await telegram.refusal("getFile", file_id=larger) == "file is too big"


async def test_a_path_that_getfile_has_not_named_and_a_revoked_token_find_nothing(telegram: Api) -> None:
    file_id = telegram.emulator.receive_file(BOT, b"x")
    path = (await telegram.result("getFile", file_id=file_id))["file_path"]

    for other in ("documents/file_7", "../" + path, "", "documents/%2e%2e/file_0"):
        assert (await get(telegram, other))[0] == 404
    telegram.emulator.revoke(TOKEN)
    assert (await get(telegram, path))[0] == 401


async def test_the_memory_for_what_bots_upload_is_bounded(telegram: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "UPLOADS_KEPT", 2 * len(PNG))
    ids = []
    for number in range(3):
        message = await upload(telegram, "sendDocument", "document", PNG[:-1] + bytes([number]))
        ids.append(message["document"]["file_id"])

    assert await telegram.refusal("getFile", file_id=ids[0]) == "wrong file_id or the file is temporarily unavailable"
    assert (await telegram.result("getFile", file_id=ids[2]))["file_size"] == len(PNG)


async def test_files_are_sent_through_the_control_api_too(telegram: Api) -> None:
    async def post(query: str, body: bytes = b"") -> tuple[int, Any]:
        url = f"{telegram.emulator.url}/emulator/files{query}"
        response = await telegram.client.post(url).body_bytes(body).build().send()
        return response.status, await response.json()

    status, received = await post(f"?bot={BOT}&kind=voice&name=note.ogg", b"OggS")

    assert status == 200
    assert received["file_size"] == 4
    assert (await telegram.result("getFile", file_id=received["file_id"]))["file_path"] == "voice/file_0.ogg"
    for query, body, words in (
        ("", b"x", "bot: name the bot"),
        (f"?bot={BOT}", b"", "nobody can send an empty file"),
        (f"?bot={BOT}&kind=hologram", b"x", 'kind "hologram": use one of document, photo'),
        (f"?bot={BOT}&size=5", b"x", "it goes without a content"),
        (f"?bot={BOT}&size=-5", b"", "size -5: use 1 to"),
    ):
        status, answer = await post(query, body)
        assert status == 400
        assert words in answer["error"]
    telegram.emulator.reset()
    assert await telegram.refusal("getFile", file_id=received["file_id"])


def test_a_made_content_is_as_long_as_it_was_said_to_be() -> None:
    made = downloads.Content(600_000)

    content = b"".join(made.blocks())

    assert len(content) == 600_000
    assert hashlib.sha256(content).hexdigest() == hashlib.sha256(b"".join(made.blocks())).hexdigest()

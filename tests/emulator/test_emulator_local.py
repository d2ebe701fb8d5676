"""The limits of a file's size, at Telegram's own server and at a local Bot API server."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from emulator_client import TOKEN, Api, multipart, running
from migrated import migrate

from dovecote import Dovecote
from dovecote.config import Settings
from dovecote.emulator import Emulator, EmulatorProcess
from dovecote.emulator.bodies import LARGEST_LOCAL_BODY, read_body
from dovecote.emulator.multipart import HEAD, Multipart
from dovecote.errors import FileTooLarge
from dovecote.vault import generate_key

MEGABYTE = 1024 * 1024
BOT = 4242
LARGE = bytes(range(256)) * (52 * MEGABYTE // 256)


async def upload(api: Api, content: bytes, method: str = "sendDocument", field: str = "document") -> tuple[int, Any]:
    body, content_type = multipart(("chat_id", None, b"42"), (field, "a.bin", content))
    status, _, answer = await api.raw("POST", f"/bot{TOKEN}/{method}", body, content_type)
    return status, json.loads(answer)


async def test_telegrams_own_server_takes_50_mb() -> None:
    async with running() as api:
        status, answer = await upload(api, LARGE[: 50 * MEGABYTE])
        refused, words = await upload(api, LARGE)

    assert (status, answer["result"]["document"]["file_size"]) == (200, 50 * MEGABYTE)
    assert (refused, words["description"]) == (413, "Request Entity Too Large")


async def test_a_local_one_takes_more_and_a_photo_of_10_mb_as_everywhere(tmp_path: Path) -> None:
    async with running(local=tmp_path) as api:
        status, answer = await upload(api, LARGE)
        photo = await upload(api, b"\x89PNG\r\n\x1a\n" + LARGE[: 10 * MEGABYTE], "sendPhoto", "photo")

        assert (status, answer["result"]["document"]["file_size"]) == (200, len(LARGE))
        assert next(iter(api.emulator.uploads)) == hashlib.sha256(LARGE).hexdigest()
    assert photo[0] == 400
    assert "is too big for a photo" in photo[1]["description"]


async def test_what_a_local_one_takes_ends_at_2000_mb_and_no_content_is_kept() -> None:
    block = bytes(MEGABYTE)

    def body(megabytes: int) -> Any:
        pieces = iter([b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n', *[block] * megabytes])
        ended = iter([b"\r\n--b--\r\n", b""])

        async def receive() -> dict[str, Any]:
            piece = next(pieces, None)
            return {"body": next(ended) if piece is None else piece, "more_body": piece is not None}

        return receive

    content_type = b"multipart/form-data; boundary=b"
    taken = await read_body(body(2), content_type, largest=3 * MEGABYTE)
    refused = await read_body(body(3), content_type, largest=3 * MEGABYTE)

    assert isinstance(taken, Multipart)
    upload = taken.parts()[1]["f"]
    assert (upload.size, upload.sha256) == (2 * MEGABYTE, hashlib.sha256(block * 2).hexdigest())
    assert len(upload.head) == HEAD
    assert refused is None
    assert LARGEST_LOCAL_BODY == 2001 * MEGABYTE


async def test_getfile_of_a_local_one_has_no_limit_and_answers_where_the_file_is(tmp_path: Path) -> None:
    with EmulatorProcess(local=tmp_path) as emulator:
        async with running() as api:
            put = await api.client.post(f"{emulator.url}/emulator/files?bot=4242&size={25 * MEGABYTE}").build().send()
            file_id = (await put.json())["file_id"]
            ask = api.client.post(f"{emulator.url}/bot{TOKEN}/getFile").body_json({"file_id": file_id}).build()
            path = (await (await ask.send()).json())["result"]["file_path"]
            download = await api.client.get(f"{emulator.url}/file/bot{TOKEN}/{path}").build().send()

    assert Path(path).is_relative_to(tmp_path)
    assert (await asyncio.to_thread(Path(path).stat)).st_size == 25 * MEGABYTE
    assert download.status == 404


async def test_a_file_over_20_mb_is_fetched_with_a_local_server_and_refused_with_the_remedy_without(
    tmp_path: Path,
) -> None:
    migrate(f"sqlite:///{tmp_path}/x.db")
    for local in (None, tmp_path / "telegram"):
        async with Emulator(local=local) as telegram:
            settings = Settings.model_validate(
                {"telegram": {"base_url": telegram.url}, "encryption": {"keys": [generate_key()]}}
            )
            async with Dovecote(f"sqlite:///{tmp_path}/x.db", settings=settings) as dovecote:
                file_id = telegram.receive_file(BOT, size=25 * MEGABYTE)
                if local is None:
                    await dovecote.add_bot("shop", token=TOKEN)
                    with pytest.raises(FileTooLarge, match="run a local Bot API server"):
                        await dovecote.files.fetch("shop", file_id)
                else:
                    await dovecote.set_token("shop", token=TOKEN)
                    assert (await dovecote.files.fetch("shop", file_id)).size == 25 * MEGABYTE

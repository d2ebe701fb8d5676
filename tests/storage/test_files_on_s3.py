"""Files on a real S3 server: moved there from a folder, put there by a client with a signature, read, collected."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from migrated import migrate
from s3_server import fetched

from dovecote import Dovecote, FileDamaged, FileTooLarge
from dovecote.config import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from s3_server import S3Place

    from dovecote.model import UploadTicket

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
LARGE = bytes(range(256)) * 80_000


@pytest.fixture
def s3_url(s3: S3Place, bucket: str, prefix: str) -> str:
    return f"s3://{bucket}/{prefix}?endpoint={s3.endpoint}"


def settings(database: str, s3: S3Place, url: str | None) -> Settings:
    storage = {
        "access_key_id": s3.writer.access_key_id,
        "secret_access_key": s3.writer.secret_access_key,
        **({} if url is None else {"url": url}),
    }
    return Settings.model_validate({"database": {"url": database}, "storage": storage})


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/shop.db"
    migrate(url)
    return url


@pytest_asyncio.fixture
async def dovecote(database: str, s3: S3Place, s3_url: str) -> AsyncIterator[Dovecote]:
    async with Dovecote(settings=settings(database, s3, s3_url)) as dovecote:
        yield dovecote


def send(ticket: UploadTicket, content: bytes) -> int:
    """Do what a client does with its ticket; answers the status."""
    upload = ticket.upload
    if upload.method == "PUT":
        return fetched(upload.url, method="PUT", body=content, headers=upload.headers).status
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in upload.fields.items()
    ]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n')
    body = "".join(parts).encode() + content + f"\r\n--{boundary}--\r\n".encode()
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return fetched(upload.url, method="POST", body=body, headers=headers).status


async def test_a_file_goes_there_and_comes_back_and_its_url_is_signed(dovecote: Dovecote) -> None:
    file = await dovecote.files.put(LARGE, name="large")

    assert await dovecote.files.get(file.id) == LARGE
    answer = fetched(await dovecote.files.url(file.id, expires_in=timedelta(minutes=5)))
    assert (answer.status, hashlib.sha256(answer.body).hexdigest()) == (200, file.sha256)
    assert (await dovecote.files.verify()).found == ()
    await dovecote.files.delete(file.id)
    assert [key async for key in dovecote.storage.keys("")] == []


@pytest.mark.parametrize("exact", [True, False], ids=["of an exact size", "up to a size"])
async def test_a_client_uploads_with_its_ticket_and_it_becomes_a_file(dovecote: Dovecote, *, exact: bool) -> None:
    ticket = await dovecote.files.upload_url("dove.png", "image/png", 1000, size=len(PNG) if exact else None)

    assert send(ticket, PNG) in {200, 201, 204}
    file = await dovecote.files.complete(ticket.id, sha256=hashlib.sha256(PNG).hexdigest(), size=len(PNG))

    assert (file.name, file.content_type, file.size) == ("dove.png", "image/png", len(PNG))
    assert await dovecote.files.get(file.id) == PNG
    assert [key async for key in dovecote.storage.keys("")] == [copy.key for copy in file.copies]


async def test_what_the_client_was_not_to_send_becomes_no_file(dovecote: Dovecote) -> None:
    ticket = await dovecote.files.upload_url("dove.png", "image/png", 20)
    if send(ticket, PNG + bytes(1000)) < 300:
        # Some servers do not keep to the limit of a form: completing does.
        with pytest.raises(FileTooLarge):
            await dovecote.files.complete(ticket.id)
    assert send(ticket, b"<html><body>hello") < 300
    with pytest.raises(FileDamaged, match="text/html by its bytes, and image/png was agreed on"):
        await dovecote.files.complete(ticket.id)
    assert await dovecote.files.list() == []


async def test_the_files_move_from_a_folder_to_it_while_another_process_works(
    database: str, s3: S3Place, s3_url: str
) -> None:
    async with (
        Dovecote(settings=settings(database, s3, None)) as mover,
        Dovecote(settings=settings(database, s3, None)) as worker,
    ):
        old = await worker.files.put(LARGE, name="old")

        moved = await mover.files.move(s3_url)

        assert (moved.source, moved.target, moved.files) == ("beside the database: dovecote-files", s3_url, 1)
        new = await worker.files.put(b"new")
        keys = {key async for key in worker.files._storages.open(s3_url).keys("")}
        assert keys == {copy.key for file in await worker.files.list() for copy in file.copies}
    # The same store, said in other words.
    async with Dovecote(settings=settings(database, s3, f"{s3_url}&timeout=30")) as later:
        assert await later.files.get(old.id) == LARGE
        assert await later.files.get(new.id) == b"new"

"""Uploads past us: what was agreed on becomes a file, anything else does not, whatever the client does."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from outboxes import START

from dovecote.config import Settings
from dovecote.errors import FileDamaged, FileMissing, FileTooLarge, StorageRefused, UnknownUpload
from dovecote.filing import Filing

if TYPE_CHECKING:
    from pathlib import Path

    from file_world import FileWorld

    from dovecote.model import UploadTicket

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
MINUTES = timedelta(minutes=15)


async def ticket(world: FileWorld, content_type: str = "image/png", max_size: int = 100) -> UploadTicket:
    return await world.files.upload_url("dove.png", content_type, max_size, expires_in=MINUTES)


async def test_the_ticket_says_what_the_client_must_send(world: FileWorld) -> None:
    given = await world.files.upload_url("dove.png", "image/png", 100, size=16, expires_in=MINUTES)

    assert given.id.startswith("incoming/")
    assert given.upload.method == "PUT"
    assert given.upload.headers == {"Content-Type": "image/png", "X-Largest": "100", "X-Size": "16"}
    assert given.upload.expires_at == START + MINUTES


async def test_what_was_uploaded_becomes_a_file_under_a_key_of_its_own(world: FileWorld) -> None:
    given = await ticket(world)
    world.primary.objects[given.id] = PNG

    file = await world.files.complete(given.id, sha256=hashlib.sha256(PNG).hexdigest().upper(), size=16)

    assert (file.name, file.content_type, file.size, file.kept) == ("dove.png", "image/png", 16, False)
    assert list(world.primary.objects) == [copy.key for copy in file.copies]
    assert await world.files.get(file.id) == PNG
    await world.is_consistent()


async def test_completing_again_answers_the_same_file(world: FileWorld) -> None:
    given = await ticket(world)
    world.primary.objects[given.id] = PNG
    file = await world.files.complete(given.id)

    assert await world.files.complete(given.id) == file


async def test_who_uploads_once_more_after_completing_changes_nothing_and_leaves_nothing(world: FileWorld) -> None:
    given = await ticket(world)
    world.primary.objects[given.id] = PNG
    file = await world.files.complete(given.id)
    world.primary.objects[given.id] = b"something else"

    assert (await world.files.complete(given.id)).id == file.id
    assert await world.files.get(file.id) == PNG
    await world.outbox.advance((MINUTES + timedelta(days=1)).total_seconds())
    await world.files.collect()
    assert given.id not in world.primary.objects
    with pytest.raises(UnknownUpload, match="its time is over"):
        await world.files.complete(given.id)


async def test_before_anything_is_uploaded_there_is_nothing_to_complete(world: FileWorld) -> None:
    given = await ticket(world)

    with pytest.raises(FileMissing, match="nothing has been uploaded yet"):
        await world.files.complete(given.id)

    world.primary.objects[given.id] = PNG
    assert (await world.files.complete(given.id)).size == 16


@pytest.mark.parametrize(
    ("content", "agreed", "said", "error", "words"),
    [
        (PNG + b"x" * 85, "image/png", {}, FileTooLarge, "101 bytes were uploaded, and 100 were agreed on"),
        (PNG, "image/png", {"size": 17}, FileDamaged, "16 bytes were uploaded, and 17 were to be"),
        (PNG, "image/png", {"sha256": "ab" * 32}, FileDamaged, "and abababab"),
        (b"<html><script>", "image/png", {}, FileDamaged, "is text/html by its bytes, and image/png was agreed on"),
    ],
)
async def test_what_was_not_agreed_on_is_refused_and_removed(
    world: FileWorld, content: bytes, agreed: str, said: dict[str, int | str], error: type[Exception], words: str
) -> None:
    given = await ticket(world, agreed)
    world.primary.objects[given.id] = content

    with pytest.raises(error, match=words):
        await world.files.complete(given.id, **said)  # type: ignore[arg-type]
    assert world.primary.objects == {}
    assert await world.files.list() == []

    world.primary.objects[given.id] = PNG
    assert (await world.files.complete(given.id)).size == 16


@pytest.mark.parametrize(("said", "words"), [({"sha256": "zz"}, "no SHA-256"), ({"size": -1}, "no content has -1")])
async def test_what_no_content_has_is_refused_and_what_was_uploaded_stays(
    world: FileWorld, said: dict[str, int | str], words: str
) -> None:
    given = await ticket(world)
    world.primary.objects[given.id] = PNG

    with pytest.raises(ValueError, match=words):
        await world.files.complete(given.id, **said)  # type: ignore[arg-type]

    assert (await world.files.complete(given.id)).size == 16


async def test_what_was_uploaded_and_never_completed_is_removed_when_its_time_is_over(world: FileWorld) -> None:
    given = await ticket(world)
    world.primary.objects[given.id] = PNG
    await world.files.collect()
    assert given.id in world.primary.objects

    await world.outbox.advance((MINUTES + timedelta(days=1)).total_seconds())

    assert (await world.files.collect()).objects == 1
    assert world.primary.objects == {}
    for table in ("direct_upload", "loose_object"):
        assert await world.rows(table) == []


async def test_an_upload_that_nobody_allowed_is_unknown(world: FileWorld) -> None:
    with pytest.raises(UnknownUpload, match='there is no upload "incoming/x" to complete'):
        await world.files.complete("incoming/x")


async def test_a_folder_cannot_do_it_and_says_what_can(world: FileWorld, tmp_path: Path) -> None:
    settings = Settings.model_validate({"storage": {"url": (tmp_path / "files").as_uri()}})

    async def no_token(bot: str) -> str:
        raise LookupError(bot)

    filing = Filing(world.outbox.database, settings, None, no_token)
    with pytest.raises(StorageRefused, match=r"(?i)s3"):
        await filing.files.upload_url("dove.png", "image/png", 100)
    await filing.close()
    assert await world.rows("direct_upload") == []

"""What no storage takes: each once broke a store's client, left what it could not read, or was told untruly."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest

from dovecote.errors import FileMissing, InvalidConfiguration, StorageRefused
from dovecote.storage import LocalStorage, MemoryStorage, S3Storage

if TYPE_CHECKING:
    from collections.abc import Callable

    S3Maker = Callable[..., S3Storage]

Storage: TypeAlias = LocalStorage | MemoryStorage | S3Storage
ALL = pytest.mark.parametrize("storage", ["local", "memory", "s3"], indirect=True)
ENDPOINT = "https://s3.example.com"


@ALL
@pytest.mark.parametrize("content_type", ["text/ü", "a/b\r\nX-More: 1", "a/b; c\n", "", "text", "/", "a/b/c", "a /b"])
async def test_a_content_type_that_is_none_is_refused_before_anything_is_stored(
    storage: Storage, content_type: str
) -> None:
    with pytest.raises(ValueError, match="is no content type: give one such as image/png"):
        await storage.upload(b"x", "k", content_type=content_type)

    assert not await storage.exists("k")


@ALL
async def test_a_content_type_may_have_parameters(storage: Storage) -> None:
    await storage.upload(b"x", "k", content_type='text/plain; charset="utf-8"')
    await storage.upload(b"x", "l", content_type="application/vnd.oasis.opendocument.text")

    assert (await storage.info("k")).size == (await storage.info("l")).size == 1


@ALL
@pytest.mark.parametrize("chunk_size", [0, -1])
async def test_chunks_of_nothing_are_refused(storage: Storage, chunk_size: int) -> None:
    await storage.upload(b"content", "k")

    with pytest.raises(ValueError, match=f"1 or more, and not {chunk_size}"):
        await anext(storage.stream("k", chunk_size=chunk_size))


@ALL
async def test_beneath_a_content_there_is_none_and_asking_is_no_fault(storage: Storage) -> None:
    await storage.upload(b"x", "a")

    assert await storage.exists("a/b/c") is False
    assert await storage.delete("a/b") is False
    for key in ("a/b", "a/b/c"):
        with pytest.raises(FileMissing):
            await storage.download(key)
        with pytest.raises(FileMissing):
            await storage.info(key)
    assert await storage.download("a") == b"x"


@pytest.mark.parametrize("expires_in", [timedelta(days=8), timedelta(0), timedelta(seconds=-1)])
@pytest.mark.parametrize("size", [None, 5])
async def test_an_upload_is_signed_for_no_longer_than_a_signature_holds(
    expires_in: timedelta, size: int | None
) -> None:
    storage = S3Storage("bucket", ENDPOINT, access_key_id="a", secret_access_key="b")

    with pytest.raises(ValueError, match="1 second to 7 days"):
        await storage.signed_upload("k", content_type="a/b", largest=10, size=size, expires_in=expires_in)


async def test_an_upload_of_no_content_type_is_not_signed() -> None:
    for storage in (S3Storage("bucket", ENDPOINT, access_key_id="a", secret_access_key="b"), MemoryStorage()):
        with pytest.raises(ValueError, match="is no content type"):
            await storage.signed_upload("k", content_type="text/ü", largest=10, expires_in=timedelta(hours=1))


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"access_key_id": "key\n", "secret_access_key": "geheim"}, "the access key holds a line break"),
        ({"access_key_id": "key", "secret_access_key": "geheim\r\n"}, "the secret of the access key holds"),
        ({"access_key_id": "k", "secret_access_key": "geheim", "session_token": "ge\nheim"}, "the session token holds"),
        ({"region": "eu west"}, "the region holds"),
    ],
)
def test_what_cannot_stand_in_a_header_is_refused_and_not_shown(settings: dict[str, str], what: str) -> None:
    with pytest.raises(InvalidConfiguration, match=what) as refused:
        S3Storage("bucket", ENDPOINT, **({"access_key_id": "a", "secret_access_key": "b"} | settings))  # type: ignore[arg-type] # names of texts

    assert "geheim" not in str(refused.value)


def test_a_bucket_cannot_be_in_front_of_an_address() -> None:
    for endpoint in ("http://127.0.0.1:9000", "http://[::1]:9000"):
        with pytest.raises(InvalidConfiguration, match="leave path_style out"):
            S3Storage("bucket", endpoint, path_style=False)


@pytest.mark.parametrize(
    ("bucket", "endpoint", "path_style", "start"),
    [
        ("127", "http://127.0.0.1:9000", None, "http://127.0.0.1:9000/127/k?"),
        ("s3", "https://s3.example.com", True, "https://s3.example.com/s3/k?"),
        ("bot", "https://bot.example.com", None, "https://bot.example.com/k?"),
    ],
)
async def test_a_bucket_of_the_name_that_the_host_begins_with(
    bucket: str,
    endpoint: str,
    path_style: bool | None,  # noqa: FBT001 (three-valued, as the parameter is)
    start: str,
) -> None:
    storage = S3Storage(bucket, endpoint, path_style=path_style, access_key_id="a", secret_access_key="b")

    assert (await storage.url("k", expires_in=timedelta(minutes=1))).startswith(start)


async def test_a_folder_signs_no_upload_whatever_is_asked(tmp_path: object) -> None:
    with pytest.raises(StorageRefused, match="takes no signed uploads"):
        await LocalStorage(str(tmp_path)).signed_upload(
            "k", content_type="a/b", largest=10, expires_in=timedelta(hours=1)
        )

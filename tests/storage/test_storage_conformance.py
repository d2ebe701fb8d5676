"""What every storage does alike: a folder, memory, and a real S3 server."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest
from file_keys import BAD

from dovecote.digests import Digest, checked, download_checked
from dovecote.errors import FileDamaged, FileMissing, InvalidKey, StorageRefused
from dovecote.storage import LocalStorage, MemoryStorage, S3Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dovecote.ports import FileStorage, StorageUpkeep

Storage: TypeAlias = LocalStorage | MemoryStorage | S3Storage
PART = 8 * 1024 * 1024
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.parametrize("storage", ["local", "memory", "s3"], indirect=True)


async def pieces(content: bytes, size: int = 70_001) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read(storage: FileStorage, key: str, chunk_size: int = 256 * 1024) -> list[bytes]:
    return [chunk async for chunk in storage.stream(key, chunk_size=chunk_size)]


async def all_keys(storage: FileStorage, prefix: str = "") -> list[str]:
    return sorted([key async for key in storage.keys(prefix)])


class TestContents:
    async def test_what_is_uploaded_is_downloaded(self, storage: Storage) -> None:
        await storage.upload(b"hello", "greetings/first.txt")

        assert await storage.download("greetings/first.txt") == b"hello"
        assert await read(storage, "greetings/first.txt") == [b"hello"]
        assert await storage.exists("greetings/first.txt")

    async def test_it_is_a_file_storage_for_the_engine(self, storage: Storage) -> None:
        contents: FileStorage = storage
        upkeep: StorageUpkeep = storage

        await upkeep.check()
        await upkeep.check(writes=False)

        assert await all_keys(contents) == []
        assert await upkeep.sweep(older_than=HOUR) == 0

    async def test_an_upload_replaces_what_was_there(self, storage: Storage) -> None:
        await storage.upload(b"the first one, longer", "a")
        await storage.upload(b"second", "a")

        assert await storage.download("a") == b"second"
        assert await all_keys(storage) == ["a"]

    @pytest.mark.parametrize("size", [0, 1, 65_536, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1])
    async def test_every_size_comes_back_whole_from_bytes_and_from_a_stream(self, storage: Storage, size: int) -> None:
        content = os.urandom(size)

        await storage.upload(content, "as bytes", size=size)
        await storage.upload(pieces(content), "as a stream", size=size)

        for key in ("as bytes", "as a stream"):
            assert await storage.download(key) == content
            assert b"".join(await read(storage, key)) == content
            assert (await storage.info(key)).size == size

    async def test_a_stream_of_blocks_that_are_parts_comes_back_whole(self, storage: Storage) -> None:
        content = os.urandom(PART + 17)

        await storage.upload(pieces(content, PART), "k")

        assert await storage.download("k") == content

    async def test_a_reader_that_fills_its_buffer_again_does_no_harm(self, storage: Storage) -> None:
        async def from_one_buffer() -> AsyncIterator[bytes]:
            buffer = bytearray(4)
            for number in range(3):
                buffer[:] = b"%04d" % number
                yield buffer  # type: ignore[misc]
                buffer[:] = b"XXXX"

        await storage.upload(from_one_buffer(), "k")

        assert await storage.download("k") == b"000000010002"

    async def test_chunks_are_at_most_as_large_as_asked_for(self, storage: Storage) -> None:
        await storage.upload(bytes(100_000), "k")

        chunks = await read(storage, "k", chunk_size=3000)

        assert max(map(len, chunks)) <= 3000
        assert sum(map(len, chunks)) == 100_000

    async def test_a_stream_begun_may_be_left(self, storage: Storage) -> None:
        await storage.upload(bytes(1_000_000), "k")

        stream = storage.stream("k", chunk_size=1000)
        first = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

        assert len(first) <= 1000
        assert await storage.delete("k") is True

    async def test_many_at_a_time(self, storage: Storage) -> None:
        async def there_and_back(number: int) -> bytes:
            await storage.upload(b"%d" % number, f"folder-{number % 7}/{number}")
            return await storage.download(f"folder-{number % 7}/{number}")

        answers = await asyncio.gather(*(there_and_back(number) for number in range(100)))

        assert answers == [b"%d" % number for number in range(100)]
        assert len(await all_keys(storage)) == 100

    async def test_uploads_to_one_key_at_a_time_leave_one_of_them_whole(self, storage: Storage) -> None:
        contents = [bytes([number]) * 200_000 for number in range(8)]

        await asyncio.gather(*(storage.upload(pieces(content), "k") for content in contents))

        assert await storage.download("k") in contents


class TestMissing:
    async def test_a_missing_content_is_told_by_each_call(self, storage: Storage) -> None:
        assert await storage.exists("no/such") is False
        assert await storage.delete("no/such") is False
        with pytest.raises(FileMissing, match='"no/such"'):
            await storage.download("no/such")
        with pytest.raises(FileMissing, match='"no/such"'):
            await storage.info("no/such")
        with pytest.raises(FileMissing, match='"no/such"'):
            await read(storage, "no/such")

    async def test_a_folder_is_no_content(self, storage: Storage) -> None:
        await storage.upload(b"x", "folder/file")

        assert await storage.exists("folder") is False
        assert await storage.delete("folder") is False
        with pytest.raises(FileMissing):
            await storage.download("folder")
        assert await storage.download("folder/file") == b"x"

    async def test_delete_says_whether_there_was_something(self, storage: Storage) -> None:
        await storage.upload(b"x", "a/b/c")

        assert await storage.delete("a/b/c") is True
        assert await storage.delete("a/b/c") is False
        assert await storage.exists("a/b/c") is False
        assert await all_keys(storage) == []

    async def test_a_key_may_stand_where_a_folder_was(self, storage: Storage) -> None:
        await storage.upload(b"x", "a/b/c")
        await storage.delete("a/b/c")

        await storage.upload(b"y", "a")

        assert await storage.download("a") == b"y"


class TestKeys:
    @pytest.mark.parametrize("key", [bad for bad, _ in BAD])
    async def test_bad_keys_are_refused_by_every_call(self, storage: Storage, key: str) -> None:
        with pytest.raises(InvalidKey):
            await storage.upload(b"x", key)
        with pytest.raises(InvalidKey):
            await storage.download(key)
        with pytest.raises(InvalidKey):
            await read(storage, key)
        with pytest.raises(InvalidKey):
            await storage.delete(key)
        with pytest.raises(InvalidKey):
            await storage.exists(key)
        with pytest.raises(InvalidKey):
            await storage.info(key)
        with pytest.raises(InvalidKey):
            await storage.url(key, expires_in=HOUR)
        with pytest.raises(InvalidKey):
            await storage.signed_upload(key, content_type="text/plain", largest=10, expires_in=HOUR)

    @pytest.mark.parametrize(
        "key",
        [
            "a b?c#d%25+&='\"<>*[]{}|~^`:;,@!$()é-日本語🕊️.txt",
            "%2e%2e/%2F",
            "x" * 255,
            "/".join(["y" * 99] * 9),
            ".hidden",
            "a/.b/..c",
        ],
    )
    async def test_odd_but_good_keys_come_back_as_they_are(self, storage: Storage, key: str) -> None:
        await storage.upload(b"odd", key)

        assert await all_keys(storage) == [key]
        assert await storage.download(key) == b"odd"
        assert (await storage.info(key)).key == key
        assert await storage.delete(key) is True

    async def test_two_spellings_of_one_text_are_one_key(self, storage: Storage) -> None:
        await storage.upload(b"x", "cafe\u0301")

        assert await storage.download("caf\u00e9") == b"x"
        assert await all_keys(storage) == ["caf\u00e9"]

    async def test_keys_that_differ_in_case_alone_do_not_harm_each_other(self, storage: Storage) -> None:
        await storage.upload(b"lower", "case")
        try:
            await storage.upload(b"upper", "Case")
        except InvalidKey:
            # A file system that cannot hold both.
            assert await all_keys(storage) == ["case"]
        else:
            assert await storage.download("Case") == b"upper"
        assert await storage.download("case") == b"lower"

    @pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a"), ("a", "a/b/c"), ("a/b/c", "a/b")])
    async def test_a_key_beneath_another_is_stored_or_refused_and_harms_nothing(
        self, storage: Storage, first: str, second: str
    ) -> None:
        await storage.upload(b"first", first)
        try:
            await storage.upload(b"second", second)
        except InvalidKey:
            assert await all_keys(storage) == [first]
        else:
            assert await storage.download(second) == b"second"
            await storage.delete(second)
        assert await storage.download(first) == b"first"
        assert await all_keys(storage) == [first]

    async def test_keys_are_listed_by_prefix(self, storage: Storage) -> None:
        for key in ("a/b/1", "a/b/2", "a/bc", "ab", "b"):
            await storage.upload(b"x", key)

        assert await all_keys(storage) == ["a/b/1", "a/b/2", "a/bc", "ab", "b"]
        assert await all_keys(storage, "a") == ["a/b/1", "a/b/2", "a/bc", "ab"]
        assert await all_keys(storage, "a/") == ["a/b/1", "a/b/2", "a/bc"]
        assert await all_keys(storage, "a/b") == ["a/b/1", "a/b/2", "a/bc"]
        assert await all_keys(storage, "a/b/") == ["a/b/1", "a/b/2"]
        assert await all_keys(storage, "a/b/1") == ["a/b/1"]
        assert await all_keys(storage, "c") == []
        assert await all_keys(storage, "ab/") == []
        with pytest.raises(InvalidKey):
            await all_keys(storage, "../")

    async def test_keys_come_page_by_page(self, storage: Storage) -> None:
        await asyncio.gather(*(storage.upload(b"", f"{number % 3}/{number:04}") for number in range(1203)))

        assert len(await all_keys(storage)) == 1203
        assert len(await all_keys(storage, "2/")) == 401


class TestUploads:
    @pytest.mark.parametrize("length", [9, 11, 0])
    async def test_a_promised_size_is_kept_or_nothing_is_stored(self, storage: Storage, length: int) -> None:
        await storage.upload(b"old", "k")

        for file in (bytes(length), pieces(bytes(length), 3)):
            with pytest.raises(FileDamaged, match="10 bytes"):
                await storage.upload(file, "k", size=10)

        assert await storage.download("k") == b"old"

    @pytest.mark.parametrize("own", [ArithmeticError, FileNotFoundError, TimeoutError, OSError])
    @pytest.mark.parametrize("good", [0, 100, PART + 1, 2 * PART + 1])
    async def test_a_source_that_raises_leaves_the_old_content(
        self, storage: Storage, good: int, own: type[Exception]
    ) -> None:
        await storage.upload(b"old", "k")

        async def failing() -> AsyncIterator[bytes]:
            async for piece in pieces(bytes(good)):
                yield piece
            raise own("the source's own")

        with pytest.raises(own, match="the source's own"):
            await storage.upload(failing(), "k")

        assert await storage.download("k") == b"old"
        assert await all_keys(storage) == ["k"]

    @pytest.mark.parametrize("good", [0, 100, 2 * PART + 1])
    async def test_a_cancelled_upload_leaves_the_old_content_and_closes_its_source(
        self, storage: Storage, good: int
    ) -> None:
        await storage.upload(b"old", "k")
        stuck, closed = asyncio.Event(), asyncio.Event()

        async def stalling() -> AsyncIterator[bytes]:
            try:
                async for piece in pieces(bytes(good)):
                    yield piece
                stuck.set()
                await asyncio.Event().wait()
            finally:
                closed.set()

        upload = asyncio.create_task(storage.upload(stalling(), "k"))
        await asyncio.wait_for(stuck.wait(), 10)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(upload, 20)

        assert closed.is_set()
        assert await storage.download("k") == b"old"
        assert await all_keys(storage) == ["k"]

    @pytest.mark.parametrize("file", ["text", None, ["a", "list"], 5])
    async def test_what_is_no_content_is_refused(self, storage: Storage, file: object) -> None:
        with pytest.raises(TypeError, match="bytes"):
            await storage.upload(file, "k")  # type: ignore[arg-type]

        assert await storage.exists("k") is False

    async def test_a_stream_of_something_else_is_refused(self, storage: Storage) -> None:
        async def text() -> AsyncIterator[bytes]:
            yield "text"  # type: ignore[misc]

        with pytest.raises(TypeError, match="yielded str"):
            await storage.upload(text(), "k")

        assert await storage.exists("k") is False


class TestWhatIsKnown:
    async def test_info_has_size_time_and_perhaps_a_type(self, storage: Storage) -> None:
        await storage.upload(b"12345", "k", content_type="image/png")

        info = await storage.info("k")

        assert (info.key, info.size) == ("k", 5)
        assert info.content_type in {"image/png", None}
        assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=1)

    async def test_upload_answers_a_url(self, storage: Storage) -> None:
        url = await storage.upload(b"x", "a b/ü?#.txt")

        assert "a%20b/%C3%BC%3F%23.txt" in url
        assert "secret-" not in url

    async def test_a_signed_upload_is_of_that_type_and_lasts_so_long_or_is_refused(self, storage: Storage) -> None:
        try:
            upload = await storage.signed_upload(
                "k", content_type="image/png", largest=100, size=10, expires_in=timedelta(minutes=5)
            )
        except StorageRefused as refused:
            assert "folder" in str(refused)  # noqa: PT017 - the other way out is as good
            return
        assert upload.method == "PUT"
        assert upload.headers["Content-Type"] == "image/png"
        assert timedelta(minutes=4) < upload.expires_at - datetime.now(UTC) <= timedelta(minutes=5)

    async def test_no_secret_shows_in_a_repr(self, storage: Storage) -> None:
        assert "secret-" not in repr(storage)
        assert "secret-" not in repr(vars(storage))


class TestDigests:
    async def test_a_content_is_hashed_on_its_way_and_compared_on_its_way_back(self, storage: Storage) -> None:
        content = b"some content, " * 100_000
        digest = Digest()

        await storage.upload(digest.over(pieces(content)), "k")

        assert digest.size == 1_400_000
        assert digest.sha256 == "e51f75a89fb11c58efc279b9f3c8c6c2f06c7e526ef73a3799317e2fb1565abd"
        assert await download_checked(storage, "k", sha256=digest.sha256, size=digest.size) == content
        stream = checked(storage.stream("k"), name="k", sha256=digest.sha256, size=digest.size)
        assert b"".join([chunk async for chunk in stream]) == content

    @pytest.mark.parametrize("change", ["longer", "shorter", "other"])
    async def test_a_damaged_content_never_comes_whole(self, storage: Storage, change: str) -> None:
        content = os.urandom(700_000)
        digest = Digest()
        await storage.upload(digest.over(content), "k")
        turned = bytes([content[-1] ^ 1])
        other = {"longer": content + b"x", "shorter": content[:-1], "other": content[:-1] + turned}[change]
        await storage.upload(other, "k")

        got: list[bytes] = []

        async def read_on() -> None:
            async for chunk in checked(storage.stream("k"), name="k", sha256=digest.sha256, size=digest.size):
                got.append(chunk)  # noqa: PERF401 - what came before the failure counts

        with pytest.raises(FileDamaged, match='"k"'):
            await read_on()
        with pytest.raises(FileDamaged, match='"k"'):
            await download_checked(storage, "k", sha256=digest.sha256)

        assert len(b"".join(got)) < len(content)

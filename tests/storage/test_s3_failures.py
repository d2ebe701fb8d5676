"""What goes wrong between us and an S3 store, by a peer that does what its script says."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from scripted_socket import ScriptedServer, closed_port, soon

from dovecote.errors import FileDamaged, FileMissing, StorageRefused, StorageUnavailable
from dovecote.storage import S3Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from scripted_socket import Connection, Request

PART = 8 * 1024 * 1024
CONTENT = bytes(range(256)) * 40
MODIFIED = "Wed, 25 Nov 2026 10:00:00 GMT"
BOUND = 12.0
"""Seconds: a timeout of 1 s, repeated for 2 s, and the machine's own pace."""


def storage(server: ScriptedServer | str) -> S3Storage:
    return S3Storage(
        "bucket",
        server if isinstance(server, str) else server.base_url,
        access_key_id="key",
        secret_access_key="secret-of-the-key",
        timeout=timedelta(seconds=1),
        retry_for=timedelta(seconds=2),
    )


def head(length: int, *, status: str = "200 OK", etag: str = "one", more: str = "") -> bytes:
    lines = (
        f'HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: "{etag}"\r\nLast-Modified: {MODIFIED}\r\n{more}\r\n'
    )
    return lines.encode()


def answer_rest(connection: Connection, request: Request, *, etag: str = "one", content: bytes = CONTENT) -> None:
    """The content, or the part of it that the request asks for."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is None:
        connection.raw(head(len(content), etag=etag) + content)
        return
    start, end = int(asked[1]), int(asked[2] or len(content) - 1)
    part = content[start : end + 1]
    more = f"Content-Range: bytes {start}-{end}/{len(content)}\r\n"
    connection.raw(head(len(part), status="206 Partial Content", etag=etag, more=more) + part)


def said(connection: Connection, status: str, code: str = "") -> None:
    body = f"<Error><Code>{code}</Code><Message>As the script has it.</Message></Error>".encode() if code else b""
    connection.raw(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def broken_first(then: Callable[[Connection, Request], None], *, reset: bool = False) -> Callable[..., object]:
    """Break off in the middle of the first answer, then do as `then` says."""
    answered: list[str] = []

    async def script(connection: Connection) -> None:
        while request := await connection.request():
            if not answered:
                answered.append(request.line)
                connection.raw(head(len(CONTENT)) + CONTENT[:5000])
                await connection.writer.drain()
                if reset:
                    connection.reset()
                else:
                    connection.finish()
                return
            then(connection, request)

    return script


async def streamed(files: S3Storage) -> bytes:
    return b"".join([chunk async for chunk in files.stream("k", chunk_size=1000)])


async def downloaded(files: S3Storage) -> bytes:
    return await files.download("k")


@pytest.mark.parametrize("read", [streamed, downloaded])
class TestReading:
    @pytest.mark.parametrize("reset", [False, True], ids=["short", "reset"])
    async def test_a_body_that_breaks_off_once_goes_on_where_it_was(
        self, read: Callable[[S3Storage], object], *, reset: bool
    ) -> None:
        async with ScriptedServer(broken_first(answer_rest, reset=reset)) as server:  # type: ignore[arg-type]
            assert await read(storage(server)) == CONTENT  # type: ignore[misc]

    async def test_a_body_that_always_breaks_off_is_never_taken_for_whole(
        self, read: Callable[[S3Storage], object]
    ) -> None:
        async def script(connection: Connection) -> None:
            if await connection.request():
                connection.raw(head(len(CONTENT)) + CONTENT[:5000])
                await connection.writer.drain()

        async with ScriptedServer(script) as server:
            began = time.monotonic()
            with pytest.raises((StorageUnavailable, FileDamaged)):
                await read(storage(server))  # type: ignore[misc]
            assert time.monotonic() - began < BOUND

    async def test_an_object_that_changes_between_ranges_is_noticed(self, read: Callable[[S3Storage], object]) -> None:
        def changed(connection: Connection, request: Request) -> None:
            answer_rest(connection, request, etag="two", content=CONTENT[::-1])

        async with ScriptedServer(broken_first(changed)) as server:  # type: ignore[arg-type]
            with pytest.raises((FileDamaged, StorageUnavailable)):
                await read(storage(server))  # type: ignore[misc]

    async def test_a_store_that_honours_if_match_says_so_itself(self, read: Callable[[S3Storage], object]) -> None:
        def refused(connection: Connection, _: Request) -> None:
            said(connection, "412 Precondition Failed", "PreconditionFailed")

        async with ScriptedServer(broken_first(refused)) as server:  # type: ignore[arg-type]
            with pytest.raises((FileDamaged, StorageUnavailable)):
                await read(storage(server))  # type: ignore[misc]

    async def test_a_range_that_is_answered_with_the_whole_is_not_appended(
        self, read: Callable[[S3Storage], object]
    ) -> None:
        def whole(connection: Connection, _: Request) -> None:
            connection.raw(head(len(CONTENT)) + CONTENT)

        async with ScriptedServer(broken_first(whole)) as server:  # type: ignore[arg-type]
            with pytest.raises(StorageUnavailable, match=r"answers with the whole|go on where"):
                await read(storage(server))  # type: ignore[misc]

    async def test_503_twice_and_then_well(self, read: Callable[[S3Storage], object]) -> None:
        async def script(connection: Connection) -> None:
            while request := await connection.request():
                if len(connection.server.requests) <= 2:
                    said(connection, "503 Slow Down", "SlowDown")
                else:
                    answer_rest(connection, request)

        async with ScriptedServer(script) as server:
            assert await read(storage(server)) == CONTENT  # type: ignore[misc]
            assert len(server.requests) == 3

    async def test_503_for_ever_ends_in_time(self, read: Callable[[S3Storage], object]) -> None:
        async def script(connection: Connection) -> None:
            while await connection.request():
                said(connection, "503 Slow Down", "SlowDown")

        async with ScriptedServer(script) as server:
            began = time.monotonic()
            with pytest.raises(StorageUnavailable, match=r"503 SlowDown .* Try again"):
                await read(storage(server))  # type: ignore[misc]
            assert time.monotonic() - began < BOUND
            assert len(server.requests) > 1

    async def test_a_body_that_stalls_ends_in_time(self, read: Callable[[S3Storage], object]) -> None:
        async def script(connection: Connection) -> None:
            if await connection.request():
                connection.raw(head(len(CONTENT)) + CONTENT[:5000])
                await connection.gone.wait()

        async with ScriptedServer(script) as server:
            began = time.monotonic()
            with pytest.raises(StorageUnavailable):
                await read(storage(server))  # type: ignore[misc]
            assert time.monotonic() - began < BOUND

    async def test_a_connection_refused_is_told(self, read: Callable[[S3Storage], object]) -> None:
        with pytest.raises(StorageUnavailable, match="the connection is refused"):
            await read(storage(f"http://127.0.0.1:{closed_port()}"))  # type: ignore[misc]

    async def test_a_missing_key_is_missing(self, read: Callable[[S3Storage], object]) -> None:
        async def script(connection: Connection) -> None:
            while await connection.request():
                said(connection, "404 Not Found", "NoSuchKey")

        async with ScriptedServer(script) as server:
            with pytest.raises(FileMissing, match='"k"'):
                await read(storage(server))  # type: ignore[misc]


class Multipart:
    """A store for uploads in parts. `parts` fail as `fails` says; `complete` is the body of the completion's answer."""

    def __init__(
        self,
        *,
        fails: int = 0,
        loses: int = 0,
        complete: str = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
        complete_status: str = "200 OK",
    ) -> None:
        self.fails = fails
        self.loses = loses
        self.complete = complete
        self.complete_status = complete_status
        self.parts: dict[int, int] = {}
        self.aborted = asyncio.Event()
        self.completed = 0
        self.first_part = asyncio.Event()

    async def __call__(self, connection: Connection) -> None:
        while request := await connection.request():
            method, target, _ = request.line.split()
            number = re.search(r"partNumber=(\d+)", target)
            if method == "POST" and "?uploads" in target:
                connection.raw(
                    _xml("<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
                )
            elif method == "PUT" and number:
                if int(number[1]) == self.fails:
                    said(connection, "500 Internal Server Error", "InternalError")
                else:
                    self.parts[int(number[1])] = len(request.body)
                    self.first_part.set()
                    connection.raw(head(0))
            elif method == "DELETE" and "uploadId=u1" in target:
                self.aborted.set()
                connection.raw(b"HTTP/1.1 204 No Content\r\n\r\n")
            elif method == "POST" and "uploadId=u1" in target:
                self.completed += 1
                connection.raw(_xml(self.complete, self.complete_status))
            elif method == "HEAD":
                connection.raw(head(sum(self.parts.values()) - self.loses if self.completed else 0))
            else:
                said(connection, "400 Bad Request", "UnexpectedByTheScript")


def _xml(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def parts(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number]) * PART


class TestUploadsInParts:
    async def test_they_are_completed(self) -> None:
        peer = Multipart()
        async with ScriptedServer(peer) as server:
            await storage(server).upload(parts(3), "k")

        assert peer.parts == {1: PART, 2: PART, 3: PART}
        assert peer.completed == 1
        assert not peer.aborted.is_set()

    async def test_a_part_that_fails_for_ever_ends_in_time_and_the_parts_are_taken_back(self) -> None:
        peer = Multipart(fails=2)
        async with ScriptedServer(peer) as server:
            began = time.monotonic()
            with pytest.raises(StorageUnavailable, match="500 InternalError"):
                await storage(server).upload(parts(4), "k")
            assert time.monotonic() - began < BOUND
            await soon(peer.aborted.wait())

        assert peer.completed == 0

    async def test_a_completion_that_is_answered_200_with_an_error_is_no_success(self) -> None:
        error = "<Error><Code>InternalError</Code><Message>As the script has it.</Message></Error>"
        async with ScriptedServer(Multipart(complete=error)) as server:
            began = time.monotonic()
            with pytest.raises(StorageUnavailable):
                await storage(server).upload(parts(2), "k")
            assert time.monotonic() - began < BOUND

    async def test_a_store_that_has_less_than_was_sent_is_found_out(self) -> None:
        async with ScriptedServer(Multipart(loses=1)) as server:
            with pytest.raises(FileDamaged, match=f"{3 * PART - 1} of the {3 * PART} bytes"):
                await storage(server).upload(parts(3), "k")

    async def test_a_cancelled_upload_takes_its_parts_back(self) -> None:
        peer = Multipart()

        async def stalling() -> AsyncIterator[bytes]:
            async for part in parts(3):
                yield part
            await asyncio.Event().wait()

        async with ScriptedServer(peer) as server:
            upload = asyncio.create_task(storage(server).upload(stalling(), "k"))
            await soon(peer.first_part.wait())
            upload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(upload)
            assert peer.aborted.is_set()

        assert peer.completed == 0

    async def test_a_cancelled_upload_is_not_waited_for_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dovecote.storage.s3_feed.PATIENCE", 0.2)
        arrived = asyncio.Event()

        async def silent(connection: Connection) -> None:
            while await connection.request():
                arrived.set()

        async with ScriptedServer(silent) as server:
            upload = asyncio.create_task(storage(server).upload(parts(3), "k"))
            await soon(arrived.wait())
            upload.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(upload)


class TestWords:
    @pytest.mark.parametrize(
        ("status", "code", "words"),
        [
            ("404 Not Found", "NoSuchBucket", 'there is no bucket "bucket"'),
            ("403 Forbidden", "InvalidAccessKeyId", 'does not know the access key "key"'),
            ("403 Forbidden", "SignatureDoesNotMatch", 'the secret of the access key "key" is wrong'),
            ("403 Forbidden", "RequestTimeTooSkewed", "Set the clock"),
            ("403 Forbidden", "AccessDenied", "The right is lacking"),
            ("400 Bad Request", "ExpiredToken", "get new credentials"),
            ("400 Bad Request", "AuthorizationHeaderMalformed", '"us-east-1" is not the region'),
            ("301 Moved Permanently", "PermanentRedirect", "another region"),
            ("501 Not Implemented", "NotImplemented", "501 NotImplemented"),
        ],
    )
    async def test_what_a_store_refuses_at_the_start_is_told_in_words(self, status: str, code: str, words: str) -> None:
        async def script(connection: Connection) -> None:
            while await connection.request():
                said(connection, status, code)

        async with ScriptedServer(script) as server:
            with pytest.raises((StorageRefused, StorageUnavailable)) as refused:
                await storage(server).check()

        assert words in str(refused.value)
        assert "secret-of-the-key" not in str(refused.value)
        assert len(str(refused.value)) < 400

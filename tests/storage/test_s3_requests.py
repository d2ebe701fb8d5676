"""What an S3 store is asked for, as it stands on the wire: where the bucket is, the prefix, the encryption.

No name is looked up: the client goes through a proxy, which is the peer that writes down what it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scripted_socket import ScriptedServer

from dovecote.storage import S3Storage

if TYPE_CHECKING:
    from scripted_socket import Connection

DONE = b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: 0\r\n\r\n'


async def done(connection: Connection) -> None:
    while await connection.request():
        connection.raw(DONE)


@pytest.mark.parametrize(
    ("path_style", "host", "path"),
    [(False, "bucket.s3.test", "/in/here/a%20b"), (True, "s3.test", "/bucket/in/here/a%20b")],
)
async def test_a_content_goes_to_its_bucket_under_the_prefix_and_encrypted(
    monkeypatch: pytest.MonkeyPatch, host: str, path: str, *, path_style: bool
) -> None:
    async with ScriptedServer(done) as server:
        monkeypatch.setenv("HTTP_PROXY", server.base_url)
        storage = S3Storage(
            "bucket",
            "http://s3.test",
            prefix="in/here",
            path_style=path_style,
            access_key_id="key",
            secret_access_key="secret-of-the-key",
            server_side_encryption="AES256",
        )

        await storage.upload(b"hello", "a b")

        (put, *_) = server.requests
        await storage.close()
    assert put.line == f"PUT http://{host}{path} HTTP/1.1"
    assert put.headers["host"] == host
    assert put.headers["x-amz-server-side-encryption"] == "aes256"
    assert b"hello" in put.body

"""One POST to a webhook: what counts as an answer, and what is said of what is none."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dovecote.emulator.posting import PostFailed, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.asynccontextmanager
async def answering(answer: bytes, asked: list[bytes], context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that reads a request, writes these bytes and closes; answers its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head + await reader.readexactly(2))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def posted(answer: bytes) -> tuple[int, bytes]:
    async with answering(answer, []) as port:
        found = await post(f"http://127.0.0.1:{port}/", {}, b"{}")
    return found.status, found.body


async def test_the_request() -> None:
    asked: list[bytes] = []
    async with answering(DONE, asked) as port:
        await post(f"http://127.0.0.1:{port}/hook?a=1", {"X-Name": "x"}, b"{}")

    assert asked == [
        b"POST /hook?a=1 HTTP/1.1\r\n"
        b"Host: 127.0.0.1:%d\r\nConnection: close\r\nX-Name: x\r\nContent-Length: 2\r\n\r\n{}" % port
    ]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (DONE, 200, b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, b"{}"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 500, b""),
    ],
)
async def test_answers(answer: bytes, status: int, body: bytes) -> None:
    assert await posted(answer) == (status, body)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "Webhook connection closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "Webhook connection closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}", "Webhook connection closed"),
        (b"220 smtp.example\r\n", "Wrong response from the webhook: it is no HTTP"),
    ],
)
async def test_what_is_no_answer(answer: bytes, words: str) -> None:
    with pytest.raises(PostFailed, match=words):
        await posted(answer)


async def test_nobody_listens() -> None:
    async with answering(DONE, []) as port:
        pass

    with pytest.raises(PostFailed, match="Connection refused"):
        await post(f"http://127.0.0.1:{port}/", {}, b"{}")


async def test_a_certificate_of_its_own_is_taken(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dove.example")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "both.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    async with answering(DONE, [], context) as port:
        assert (await post(f"https://127.0.0.1:{port}/", {}, b"{}")).status == 200

"""What goes over the wire when files do, and what a break in the middle proves."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_socket import Connection, ScriptedServer, soon

from dovecote.channels.sent_files import sent_files
from dovecote.channels.telegram import TelegramChannel
from dovecote.model import ClaimedNotification, Delivered, DeliveryPolicy, Failed, FilePart, Unknown, Uploaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "7000001:AAverySecretPartOfATokenThatNobodySees"
SENT = {"ok": True, "result": {"message_id": 7, "document": {"file_id": "called"}}}


def claimed(params: str) -> ClaimedNotification:
    return ClaimedNotification(
        1, 1, 1, "shop", "42", "sendDocument", params, DeliveryPolicy.AT_LEAST_ONCE, 1, 0, 0.0, None
    )


def part(*chunks: bytes, size: int | None = None, name: str = "a.txt") -> FilePart:
    async def read() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return FilePart("file1", name, "text/plain", sum(map(len, chunks)) if size is None else size, read)


async def upload(server: ScriptedServer, *parts: FilePart) -> Uploaded:
    channel = TelegramChannel(server.base_url)
    params = '{"document": "attach://file1", "caption": "Grüße", "reply_markup": {"a": [1, true]}}'
    try:
        return await soon(channel.upload(claimed(params), TOKEN, parts, timeout=timedelta(seconds=10)))
    finally:
        await channel.close()


async def answer(connection: Connection) -> None:
    if await connection.request():
        connection.answer(SENT)


async def reset_at_once(connection: Connection) -> None:
    await connection.head()
    connection.reset()


async def reset_after_the_request(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def test_parameters_and_files_are_parts_of_one_form_of_known_length() -> None:
    async with ScriptedServer(answer) as server:
        uploaded = await upload(server, part(b"one ", b"two", name='Grüße "x"\r\n.txt'))

    (request,) = server.requests
    body = request.body.decode()
    assert uploaded == Uploaded(Delivered((7,)), ({"document": "called"},))
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert int(request.headers["content-length"]) == len(request.body)
    assert 'name="chat_id"\r\n\r\n42\r\n' in body
    assert 'name="document"\r\n\r\nattach://file1\r\n' in body
    assert 'name="caption"\r\n\r\nGrüße\r\n' in body
    assert json.loads(body.partition('name="reply_markup"\r\n\r\n')[2].partition("\r\n")[0]) == {"a": [1, True]}
    assert 'name="file1"; filename="Grüße _x___.txt"\r\nContent-Type: text/plain\r\n\r\none two\r\n' in body
    assert "expect" not in request.headers


async def test_a_break_before_the_end_of_the_file_proves_that_it_was_not_sent() -> None:
    async with ScriptedServer(reset_at_once) as server:
        uploaded = await upload(server, part(*[bytes(256 * 1024)] * 200))

    assert isinstance(uploaded.outcome, Failed)
    assert uploaded.outcome.error.startswith("never sent whole: ")
    assert TOKEN not in uploaded.outcome.error


async def test_a_break_after_it_proves_nothing() -> None:
    async with ScriptedServer(reset_after_the_request) as server:
        uploaded = await upload(server, part(b"content"))

    assert isinstance(uploaded.outcome, Unknown)


@pytest.mark.parametrize("size", [3, 30])
async def test_a_content_of_another_size_than_promised_is_not_sent(size: int) -> None:
    async with ScriptedServer(answer) as server:
        uploaded = await upload(server, part(b"con", b"tent", size=size))

    assert isinstance(uploaded.outcome, Failed)
    assert server.requests == []


async def test_what_reading_raises_comes_out_as_it_is() -> None:
    async def read() -> AsyncIterator[bytes]:
        yield b"some"
        raise LookupError("it is gone")

    async with ScriptedServer(answer) as server:
        with pytest.raises(LookupError, match="it is gone"):
            await upload(server, FilePart("file1", "a", "text/plain", 100, read))

    assert server.requests == []


class TestSentFiles:
    def test_the_largest_size_of_a_photo_and_every_message_of_an_album(self) -> None:
        sizes = [
            {"file_id": "small", "width": 1, "height": 1},
            {"file_id": "large", "width": 20, "height": 10},
            {"file_id": "middle", "width": 5, "height": 5},
        ]
        result = [{"message_id": 1, "photo": sizes}, {"message_id": 2, "video": {"file_id": "film"}}]

        assert sent_files(json.dumps({"ok": True, "result": result}).encode()) == (
            {"photo": "large"},
            {"video": "film"},
        )

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.sampled_from(["result", "photo", "document", "file_id", "width", "height"]), inner)
            ),
        )
    )
    def test_nothing_that_an_answer_holds_breaks_it(self, answer: object) -> None:
        for found in sent_files(json.dumps({"ok": True, "result": answer}).encode()):
            assert all(found.values())
        sent_files(json.dumps(answer).encode())

    def test_what_is_no_json_names_nothing(self) -> None:
        assert sent_files(b"<html>") == ()

"""What the real client says when the network fails, and what the channel makes of it.

Pinned to the locked pyreqwest: its exception classes mislead, so each fault is made on a real socket.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pyreqwest.client import ClientBuilder
from pyreqwest.logging import flush_logs
from scripted_socket import Connection, ScriptedServer, closed_port, deliver, soon

from dovecote.channels.telegram import TelegramChannel
from dovecote.model import ClaimedNotification, Delivered, DeliveryPolicy, Failed, Outcome, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "7000001:AAverySecretPartOfATokenThatNobodySees"
SECRET = TOKEN.partition(":")[2]
LONG = timedelta(seconds=10)
SHORT = timedelta(milliseconds=250)


def claimed(chat: str | None = "42", params: str = '{"text": "On its way"}') -> ClaimedNotification:
    return ClaimedNotification(
        id=1,
        lease_token=1,
        bot_id=1,
        bot="shop",
        chat=chat,
        method="sendMessage",
        params=params,
        delivery=DeliveryPolicy.AT_LEAST_ONCE,
        attempt=1,
        failures=0,
        send_in=0.0,
        slot=None,
    )


async def send(channel: TelegramChannel, *, timeout: timedelta = LONG, chat: str = "42") -> Outcome:
    outcome: Outcome = await soon(channel.send(claimed(chat), TOKEN, timeout=timeout))
    return outcome


async def send_once(base_url: str, *, timeout: timedelta = LONG, connect_timeout: timedelta = LONG) -> Outcome:
    channel = TelegramChannel(base_url, connect_timeout=connect_timeout)
    try:
        return await send(channel, timeout=timeout)
    finally:
        await channel.close()


class Heard(logging.Handler):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """Every log record of the test, the Rust side's included; none may hold the token, whatever the test does."""
    heard = Heard()
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.DEBUG)
    # A verbose client, somewhere in the process, is what makes the Rust side log at all.
    ClientBuilder().connection_verbose(enable=True).build()
    root.addHandler(heard)
    yield heard
    flush_logs()
    root.removeHandler(heard)
    for record in heard.records:
        assert_secret(f"{record.getMessage()} {record.__dict__!r}")


def assert_secret(text: str) -> None:
    assert SECRET not in text
    assert "/bot" not in text


def assert_outcome(outcome: Outcome, kind: type[Failed | Unknown], words: str) -> None:
    assert type(outcome) is kind
    assert words in outcome.error
    assert_secret(repr(outcome))
    assert "://" not in outcome.error
    assert "127.0.0.1" not in outcome.error


class TestNeverSent:
    async def test_a_refused_connection(self) -> None:
        outcome = await send_once(f"http://127.0.0.1:{closed_port()}")

        assert_outcome(outcome, Failed, "Connection refused")

    async def test_a_name_that_does_not_resolve(self) -> None:
        outcome = await send_once("http://nowhere.invalid")

        assert_outcome(outcome, Failed, "client error (Connect)")

    async def test_tls_against_a_server_that_speaks_none(self) -> None:
        async def speak_plainly(connection: Connection) -> None:
            connection.raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            await connection.reader.read()

        async with ScriptedServer(speak_plainly) as server:
            outcome = await send_once(f"https://{server.address}")

        assert_outcome(outcome, Failed, "client error (Connect)")

    async def test_tls_that_is_closed_in_the_handshake(self) -> None:
        async def hang_up(connection: Connection) -> None:
            await connection.reader.read(1)
            connection.finish()

        async with ScriptedServer(hang_up) as server:
            outcome = await send_once(f"https://{server.address}")

        assert_outcome(outcome, Failed, "client error (Connect)")

    async def test_a_handshake_that_outlasts_the_connect_timeout(self) -> None:
        async def say_nothing(connection: Connection) -> None:
            await connection.reader.read()

        async with ScriptedServer(say_nothing) as server:
            outcome = await send_once(f"https://{server.address}", connect_timeout=SHORT)

        assert_outcome(outcome, Failed, "client error (Connect)")

    async def test_no_connection_free_in_the_pool(self) -> None:
        release = asyncio.Event()

        async def stall(connection: Connection) -> None:
            while await connection.request():
                await release.wait()
                connection.answer()

        async with ScriptedServer(stall) as server:
            channel = TelegramChannel(server.base_url, max_connections=1, pool_timeout=SHORT)
            first = asyncio.create_task(send(channel))
            await soon(server.read_whole.wait())

            second = await send(channel)
            release.set()

            assert await first == Delivered((7,))
            assert_outcome(second, Failed, "no connection became free")
            assert len(server.requests) == 1
            await channel.close()


async def stall(connection: Connection) -> None:
    await connection.request()
    await asyncio.Event().wait()


async def stall_in_the_answer(connection: Connection) -> None:
    await connection.request()
    connection.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok":')
    await asyncio.Event().wait()


async def reset(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def finish(connection: Connection) -> None:
    await connection.request()
    connection.finish()


def say(text: bytes) -> object:
    async def script(connection: Connection) -> None:
        await connection.request()
        connection.raw(text)
        connection.finish()

    return script


MAYBE_SENT = {
    "stalled before the answer": (stall, "operation timed out"),
    "stalled in the answer": (stall_in_the_answer, "operation timed out"),
    "reset after the request": (reset, "Connection reset by peer"),
    "closed after the request": (finish, "connection closed before message completed"),
    "closed in the answer": (say(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok":true'), "error reading a body"),
    "closed in a chunk": (say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"), "error reading a body"),
    "cut without a length": (say(b'HTTP/1.1 200 OK\r\n\r\n{"ok":true,"res'), "HTTP 200 with 15 bytes"),
    "no HTTP": (say(b"ok: true\r\n\r\n"), "client error (SendRequest)"),
    "no JSON": (say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"), "HTTP 200 with 6 bytes"),
    "a gateway's page": (say(b"HTTP/1.1 502 Bad\r\nContent-Length: 6\r\n\r\n<html>"), "HTTP 502 with 6 bytes"),
    "only 100 Continue": (say(b"HTTP/1.1 100 Continue\r\n\r\n"), "connection closed before message completed"),
}


class TestMaybeSent:
    @pytest.mark.parametrize("fault", MAYBE_SENT)
    async def test_a_fault_after_the_request_was_read(self, fault: str) -> None:
        script, words = MAYBE_SENT[fault]

        async with ScriptedServer(script) as server:  # type: ignore[arg-type]
            outcome = await send_once(
                server.base_url, timeout=SHORT if script in {stall, stall_in_the_answer} else LONG
            )

        assert_outcome(outcome, Unknown, words)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("how", ["finish", "reset"])
    async def test_a_reused_connection_that_ends_after_the_request_is_not_sent_again(self, how: str) -> None:
        async def answer_the_first(connection: Connection) -> None:
            await connection.request()
            connection.answer()
            await connection.request()
            getattr(connection, how)()

        async with ScriptedServer(answer_the_first) as server:
            channel = TelegramChannel(server.base_url)
            first = await send(channel, chat="1")
            second = await send(channel, chat="2")
            await channel.close()

        assert first == Delivered((7,))
        assert type(second) is Unknown
        assert [request.json()["chat_id"] for request in server.requests] == [1, 2]

    async def test_a_reused_connection_that_ends_within_the_request_is_not_sent_again(self) -> None:
        async def reset_within_the_second(connection: Connection) -> None:
            await connection.request()
            connection.answer()
            await connection.head()
            connection.reset()

        async with ScriptedServer(reset_within_the_second) as server:
            channel = TelegramChannel(server.base_url)
            await send(channel)
            large = claimed(params='{"text": "' + "x" * 8_000_000 + '"}')
            outcome = await soon(channel.send(large, TOKEN, timeout=LONG))
            await channel.close()

        assert_outcome(outcome, Unknown, "client error (SendRequest)")
        assert server.heads == 2

    @pytest.mark.parametrize("how", ["finish", "reset"])
    async def test_a_connection_closed_just_before_its_reuse_sends_nothing_twice(self, how: str) -> None:
        async def answer_and_close(connection: Connection) -> None:
            await connection.request()
            connection.answer()
            await connection.writer.drain()
            getattr(connection, how)()

        async with ScriptedServer(answer_and_close) as server:
            channel = TelegramChannel(server.base_url)
            outcomes = [await send(channel, chat=str(number)) for number in range(200)]
            await channel.close()

        seen = [request.json()["chat_id"] for request in server.requests]
        assert len(seen) == len(set(seen))
        # RST may overtake the answer, and then nobody can tell; nothing may be called never sent.
        assert {type(outcome) for outcome in outcomes} <= {Delivered, Unknown}
        assert outcomes.count(Delivered((7,))) > 0

    async def test_a_redirect_is_not_followed(self) -> None:
        async with ScriptedServer(deliver) as other:

            async def point_elsewhere(connection: Connection) -> None:
                await connection.request()
                connection.raw(f"HTTP/1.1 307 To\r\nLocation: {other.base_url}/\r\nContent-Length: 0\r\n\r\n".encode())
                await connection.reader.read()

            async with ScriptedServer(point_elsewhere) as server:
                outcome = await send_once(server.base_url)

        assert_outcome(outcome, Unknown, "HTTP 307")
        assert other.requests == []


class TestAnswersWithoutEnd:
    @pytest.mark.parametrize("head", ["Content-Length: 1000000000000", "Transfer-Encoding: chunked", ""])
    async def test_no_more_than_a_bound_is_read_and_the_connection_is_given_up(self, head: str) -> None:
        written = 0

        async def pour(connection: Connection) -> None:
            nonlocal written
            if await connection.request() is None:
                return
            connection.raw(f"HTTP/1.1 200 OK\r\n{head}{head and chr(13) + chr(10)}\r\n".encode())
            block = b" " * 2**16
            if "chunked" in head:
                block = b"10000\r\n" + block + b"\r\n"
            try:
                while True:
                    connection.raw(block)
                    await connection.writer.drain()
                    written += len(block)
            except ConnectionError:
                connection.gone.set()

        async with ScriptedServer(pour) as server:
            channel = TelegramChannel(server.base_url, max_connections=1, pool_timeout=SHORT)
            # With one connection in the pool, the second shows that its place was given back.
            outcomes = [await send(channel), await send(channel)]
            for connection in server.connections:
                await soon(connection.gone.wait())
            await channel.close()

        for outcome in outcomes:
            assert outcome == Unknown("HTTP 200 with more than 1048576 bytes that are no answer of the Bot API", 200)
        assert len(server.requests) == 2
        # What was read and what the buffers of two sockets hold.
        assert written < 64 * 2**20

    async def test_an_answer_as_long_as_the_bound_in_pieces_is_read_whole(self) -> None:
        async def answer_in_pieces(connection: Connection) -> None:
            await connection.request()
            body = b'{"ok":true,"result":{"message_id":7}}'.ljust(2**20)
            connection.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 2**18):
                connection.raw(b"40000\r\n" + body[start : start + 2**18] + b"\r\n")
                await connection.writer.drain()
            connection.raw(b"0\r\n\r\n")
            await connection.reader.read()

        async with ScriptedServer(answer_in_pieces) as server:
            assert await send_once(server.base_url) == Delivered((7,))


class TestSecrecy:
    async def test_a_cancelled_send_raises_without_the_token(self) -> None:
        release = asyncio.Event()

        async def answer_when_released(connection: Connection) -> None:
            while await connection.request():
                await release.wait()
                connection.answer()

        async with ScriptedServer(answer_when_released) as server:
            channel = TelegramChannel(server.base_url, max_connections=1, pool_timeout=SHORT)
            sending = asyncio.create_task(send(channel))
            await soon(server.read_whole.wait())

            sending.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await sending
            meanwhile = await send(channel)
            release.set()

            assert_secret("".join(traceback.format_exception(caught.value)))
            assert_secret(repr(sending))
            # Their frames hold the client.
            del caught, sending
            # The client goes on with a request that was cancelled: its connection is not free before it ends.
            assert_outcome(meanwhile, Failed, "no connection became free")
            assert len(server.requests) == 1
            await soon(channel.close())
            await soon(server.connections[0].gone.wait())

    async def test_the_clients_own_log_is_heard_so_the_check_can_fail(self, heard: Heard) -> None:
        await send_once(f"http://127.0.0.1:{closed_port()}")
        flush_logs()

        assert "reqwest::connect" in {record.name for record in heard.records}

    async def test_the_clients_own_exception_holds_it_so_the_check_can_fail(self) -> None:
        client = ClientBuilder().no_proxy().build()
        with pytest.raises(Exception, match="connection error") as caught:
            await client.post(f"http://127.0.0.1:{closed_port()}/bot{TOKEN}/sendMessage").build().send()
        await client.close()

        assert SECRET in "".join(traceback.format_exception(caught.value))

    # With the second, half of the token stands before the cut.
    @pytest.mark.parametrize("padding", [0, 455])
    async def test_a_server_that_repeats_the_url_is_not_quoted(self, padding: int) -> None:
        async def repeat(connection: Connection) -> None:
            request = await connection.request()
            assert request is not None
            description = "Bad Request: " + "x" * padding + request.line
            connection.answer({"ok": False, "error_code": 400, "description": description}, status=400)
            await connection.reader.read()

        async with ScriptedServer(repeat) as server:
            outcome = await send_once(server.base_url)

        assert "Bad Request" in repr(outcome)
        assert SECRET[:8] not in repr(outcome)

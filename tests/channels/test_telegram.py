"""The channel when the network is well: what goes over the wire, and how connections are recycled and closed."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyreqwest.exceptions import BuilderError
from scripted_socket import Connection, ScriptedServer, closed_port, deliver, soon

from dovecote.channels.telegram import TelegramChannel, request_body
from dovecote.errors import InvalidConfiguration
from dovecote.model import (
    BotStopped,
    ClaimedNotification,
    Dead,
    Delivered,
    DeliveryPolicy,
    Outcome,
    Released,
    Snoozed,
)

if TYPE_CHECKING:
    from dovecote.ports import Channel

TOKEN = "7000001:AAverySecretPartOfATokenThatNobodySees"
TIMEOUT = timedelta(seconds=10)


def claimed(
    chat: str | None = "42", params: str = '{"text": "On its way"}', method: str = "sendMessage"
) -> ClaimedNotification:
    return ClaimedNotification(
        id=1,
        lease_token=1,
        bot_id=1,
        bot="shop",
        chat=chat,
        method=method,
        params=params,
        delivery=DeliveryPolicy.AT_LEAST_ONCE,
        attempt=1,
        failures=0,
        send_in=0.0,
        slot=None,
    )


async def send(channel: TelegramChannel, notification: ClaimedNotification | None = None) -> Outcome:
    outcome: Outcome = await soon(channel.send(notification or claimed(), TOKEN, timeout=TIMEOUT))
    return outcome


class TestRequest:
    async def test_it_is_a_json_post_to_the_method_with_the_chat_spliced_in(self) -> None:
        async with ScriptedServer(deliver) as server:
            channel = TelegramChannel(server.base_url)
            outcome = await send(channel, claimed("-100123", '{"text": "Grüße", "disable_notification": true}'))
            await channel.close()

        (request,) = server.requests
        assert outcome == Delivered((7,))
        assert request.line == f"POST /bot{TOKEN}/sendMessage HTTP/1.1"
        assert request.body.decode() == '{"chat_id":-100123,"text": "Grüße", "disable_notification": true}'
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("dovecote/")
        assert "expect" not in request.headers
        assert "accept-encoding" not in request.headers

    async def test_connections_are_kept_alive(self) -> None:
        async with ScriptedServer(deliver) as server:
            channel = TelegramChannel(server.base_url)
            for _ in range(5):
                await send(channel)
            await channel.close()

        assert len(server.requests) == 5
        assert len(server.connections) == 1

    async def test_a_server_under_a_path(self) -> None:
        async with ScriptedServer(deliver) as server:
            channel: Channel = TelegramChannel(f"{server.base_url}/telegram/")
            await channel.send(claimed(None, "{}", "getMe"), TOKEN, timeout=TIMEOUT)
            await channel.close()

        assert server.requests[0].line == f"POST /telegram/bot{TOKEN}/getMe HTTP/1.1"
        assert server.requests[0].body == b"{}"

    async def test_a_429_without_parameters_waits_as_its_header_says(self) -> None:
        async def refuse(connection: Connection) -> None:
            await connection.request()
            refusal = {"ok": False, "error_code": 429, "description": "Too Many Requests"}
            connection.answer(refusal, status=429, headers="Retry-After: 17\r\n")
            await connection.reader.read()

        async with ScriptedServer(refuse) as server:
            channel = TelegramChannel(server.base_url)
            outcome = await send(channel)
            await channel.close()

        assert outcome == Snoozed(timedelta(seconds=17), error="Too Many Requests")

    async def test_proxies_of_the_environment_are_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
        async with ScriptedServer(deliver) as server:
            channel = TelegramChannel(server.base_url)
            outcome = await send(channel)
            await channel.close()

        assert outcome == Delivered((7,))

    async def test_a_configured_proxy_is_used(self) -> None:
        async with ScriptedServer(deliver) as proxy:
            channel = TelegramChannel("http://api.invalid", proxy=proxy.base_url)
            outcome = await send(channel)
            await channel.close()

        assert outcome == Delivered((7,))
        assert proxy.requests[0].line == f"POST http://api.invalid/bot{TOKEN}/sendMessage HTTP/1.1"

    @pytest.mark.parametrize(
        ("notification", "words"),
        [
            (claimed(method="../logOut"), '"../logOut" is no name of a Bot API method'),
            (claimed(method=""), '"" is no name'),
            (claimed(params="[]"), "no JSON object"),
            (claimed(params=""), "no JSON object"),
            (claimed(params='{"text": "\ud800"}'), "surrogates not allowed"),
        ],
    )
    async def test_what_cannot_be_a_request_is_dead(self, notification: ClaimedNotification, words: str) -> None:
        channel = TelegramChannel(f"http://127.0.0.1:{closed_port()}")
        outcome = await send(channel, notification)
        await channel.close()

        assert type(outcome) is Dead
        assert words in outcome.error

    @pytest.mark.parametrize("token", ["", "1:abc/../getMe", "1:abc?x", "1:abc\n", "1:ab c", "1:abcé"])
    async def test_what_cannot_be_a_token_stops_the_bot(self, token: str) -> None:
        channel = TelegramChannel(f"http://127.0.0.1:{closed_port()}")
        outcome = await channel.send(claimed(), token, timeout=TIMEOUT)
        await channel.close()

        assert type(outcome) is BotStopped
        assert '"shop"' in outcome.error
        assert not token or token not in repr(outcome)

    async def test_a_timeout_that_is_none_is_the_callers_fault(self) -> None:
        channel = TelegramChannel()
        with pytest.raises(ValueError, match="positive, not 0:00:00"):
            await channel.send(claimed(), TOKEN, timeout=timedelta(0))
        await channel.close()

    def test_all_faults_of_the_settings_are_named_at_once(self) -> None:
        with pytest.raises(InvalidConfiguration) as caught:
            TelegramChannel(
                "ftp://x",
                max_connections=0,
                pool_timeout=timedelta(0),
                recycle_after=timedelta(seconds=-1),
                proxy="user:password@nowhere",
            )

        assert [fault.partition(":")[0] for fault in caught.value.faults] == [
            "base_url",
            "max_connections",
            "pool_timeout",
            "recycle_after",
            "proxy",
        ]
        assert "password" not in str(caught.value)


MEMBERS = st.dictionaries(
    st.text().filter(lambda name: name != "chat_id"),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)),
    max_size=4,
)


class TestBody:
    @given(params=MEMBERS, chat=st.none() | st.integers() | st.text(), indent=st.sampled_from([None, 2]))
    def test_the_chat_joins_the_params_and_nothing_else_changes(
        self, params: dict[str, Any], chat: int | str | None, indent: int | None
    ) -> None:
        text = json.dumps(params, indent=indent, ensure_ascii=False)

        body = json.loads(request_body(None if chat is None else str(chat), text))

        expected = dict(params)
        if chat is not None:
            # A text that happens to be a decimal number is one.
            digits = str(chat).removeprefix("-")
            is_number = digits.isascii() and digits.isdecimal() and str(int(digits)) == digits
            expected["chat_id"] = int(chat) if is_number else chat
        assert body == expected

    @pytest.mark.parametrize(
        ("chat", "params", "body"),
        [
            ("42", "{}", b'{"chat_id":42}'),
            ("42", " { \n} ", b'{"chat_id":42}'),
            ("-100123", '{"a":1}', b'{"chat_id":-100123,"a":1}'),
            ("@news", '{"a":1}', b'{"chat_id":"@news","a":1}'),
            ('@"news\\', "{}", b'{"chat_id":"@\\"news\\\\"}'),
            ("007", "{}", b'{"chat_id":"007"}'),
            (None, "{}", b"{}"),
            (None, '{"a":1}', b'{"a":1}'),
        ],
    )
    def test_by_hand(self, chat: str | None, params: str, body: bytes) -> None:
        assert request_body(chat, params) == body


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestRecycling:
    async def test_the_client_is_replaced_and_the_old_one_ends_after_its_last_request(self) -> None:
        clock = Clock()
        release = asyncio.Event()

        async def hold_the_first(connection: Connection) -> None:
            while request := await connection.request():
                if request.json()["chat_id"] == 1:
                    await release.wait()
                connection.answer()

        async with ScriptedServer(hold_the_first) as server:
            channel = TelegramChannel(server.base_url, recycle_after=timedelta(seconds=30), clock=clock)
            held = asyncio.create_task(send(channel, claimed("1")))
            await soon(server.read_whole.wait())
            await send(channel, claimed("2"))

            clock.now += 30
            after = await send(channel, claimed("3"))

            assert after == Delivered((7,))
            holding, idle, new = server.connections
            assert not holding.gone.is_set()
            release.set()
            assert await held == Delivered((7,))
            await soon(holding.gone.wait())
            await soon(idle.gone.wait())
            assert not new.gone.is_set()
            assert await send(channel, claimed("4")) == Delivered((7,))
            assert len(server.connections) == 3
            await channel.close()

    async def test_the_age_has_jitter_and_never_exceeds_the_setting(self) -> None:
        ages = set()
        async with ScriptedServer(deliver) as server:
            for seed in range(10):
                clock = Clock()
                channel = TelegramChannel(
                    server.base_url, recycle_after=timedelta(seconds=30), clock=clock, random=Random(seed)
                )
                before = len(server.connections)
                age = 0
                while len(server.connections) < before + 2:
                    await send(channel)
                    clock.now += 1
                    age += 1
                ages.add(age - 1)
                await channel.close()

        assert min(ages) >= 24
        assert max(ages) <= 30
        assert len(ages) > 2

    async def test_a_client_that_cannot_be_replaced_is_kept(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = Clock()

        def fail() -> None:
            raise BuilderError("builder error", {"causes": [{"message": "too many open files"}]})

        async with ScriptedServer(deliver) as server:
            channel = TelegramChannel(server.base_url, clock=clock)
            await send(channel)
            monkeypatch.setattr(channel, "_build", fail)
            clock.now += 30
            outcome = await send(channel)
            await channel.close()

        assert outcome == Delivered((7,))
        assert len(server.connections) == 1
        assert caplog.messages == ["the HTTP client could not be replaced and is kept: BuilderError"]


class TestClose:
    async def test_it_waits_for_what_is_in_flight_and_then_closes_every_connection(self) -> None:
        release = asyncio.Event()

        async def hold(connection: Connection) -> None:
            while await connection.request():
                await release.wait()
                connection.answer()

        async with ScriptedServer(hold) as server:
            channel = TelegramChannel(server.base_url)
            sending = asyncio.create_task(send(channel))
            await soon(server.read_whole.wait())

            closing = asyncio.create_task(channel.close())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(closing), 0.05)
            release.set()

            assert await sending == Delivered((7,))
            await soon(closing)
            await soon(server.connections[0].gone.wait())

    async def test_giving_up_the_wait_does_not_give_up_the_close(self) -> None:
        release = asyncio.Event()

        async def hold(connection: Connection) -> None:
            while await connection.request():
                await release.wait()
                connection.answer()

        async with ScriptedServer(hold) as server:
            channel = TelegramChannel(server.base_url)
            sending = asyncio.create_task(send(channel))
            await soon(server.read_whole.wait())

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(channel.close(), 0.05)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(channel.close(), 0.05)
            release.set()

            assert await sending == Delivered((7,))
            await soon(channel.close())
            await soon(server.connections[0].gone.wait())

    async def test_what_is_sent_after_it_was_never_tried(self) -> None:
        async with ScriptedServer(deliver) as server:
            channel = TelegramChannel(server.base_url)
            await channel.close()
            await channel.close()

            assert await send(channel) == Released()
            assert server.connections == []


@pytest.mark.parametrize("params", ['{"text":"x"}', '{"text":"x","disable_notification":false}', "{}"])
def test_what_is_silent_makes_no_sound_whatever_its_parameters_say(params: str) -> None:
    body = json.loads(request_body("42", params, silent=True), object_pairs_hook=list)

    assert [value for name, value in body if name == "disable_notification"] == [True]
    assert json.loads(request_body("42", params)) == {"chat_id": 42, **json.loads(params)}

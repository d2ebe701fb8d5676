"""The listener, over real HTTP: health, readiness, metrics, and who may change anything."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dovecote.errors import InvalidConfiguration, StoreUnavailable
from dovecote.model import ClaimedNotification, Delivered, DeliveryPolicy, Settlement, Stats
from dovecote.observability import listener as listener_module
from dovecote.observability.listener import Listener
from dovecote.observability.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

TOKEN = "correct-horse-battery-staple"
BOT_TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(url: str, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Answer:
    def blocking() -> Answer:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    return await asyncio.to_thread(blocking)


@asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[Listener]:
    listener = Listener(**{"metrics": Metrics(), "port": 0, **options})
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


async def ready() -> str | None:
    return None


def stats(due: int = 3) -> Stats:
    return Stats(due=due, scheduled=4, leased=5, oldest_due=6.5, delivered=7, dead=8, unknown=9)


class TestHealth:
    async def test_a_process_that_answers_is_alive(self) -> None:
        async with listening() as listener:
            answer = await ask(listener.url, "/healthz")

        assert (answer.status, answer.json) == (200, {"status": "alive"})
        assert "server" not in answer.headers

    async def test_head_is_answered_without_a_body(self) -> None:
        async with listening() as listener:
            answer = await ask(listener.url, "/healthz", "HEAD")

        assert (answer.status, answer.body) == (200, b"")


class TestReadiness:
    async def test_without_anything_missing_it_is_ready(self) -> None:
        async with listening(checks={"database": ready, "migrated": ready}) as listener:
            answer = await ask(listener.url, "/readyz")

        assert (answer.status, answer.json) == (
            200,
            {"ready": True, "checked": ["database", "migrated"], "not_ready": {}},
        )

    async def test_all_that_is_missing_is_named(self) -> None:
        async def unmigrated() -> str | None:
            return "the database has no Dovecote schema: run `dovecote migrate`."

        async def unreachable() -> str | None:
            raise StoreUnavailable(f"no answer from postgresql://dove:hunter2@db/shop for {BOT_TOKEN}")

        async with listening(checks={"fine": ready, "database": unreachable, "migrated": unmigrated}) as listener:
            answer = await ask(listener.url, "/readyz")

        assert answer.status == 503
        assert answer.json == {
            "ready": False,
            "checked": ["fine", "database", "migrated"],
            "not_ready": {
                "database": "no answer from postgresql://dove:***@db/shop for <bot token>",
                "migrated": "the database has no Dovecote schema: run `dovecote migrate`.",
            },
        }

    async def test_a_check_that_never_answers_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listener_module, "ANSWER_WITHIN", 0.01)

        async def stuck() -> str | None:
            await asyncio.Event().wait()
            return None

        async with listening(checks={"database": stuck}) as listener:
            answer = await ask(listener.url, "/readyz")

        assert answer.status == 503
        assert answer.json["not_ready"] == {"database": "no answer within 0.01 s"}

    async def test_a_check_that_breaks_means_not_ready_and_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def broken() -> str | None:
            raise LookupError("a detail for the log alone")

        async with listening(checks={"database": broken}) as listener:
            answer = await ask(listener.url, "/readyz")

        assert answer.status == 503
        assert answer.json["not_ready"] == {"database": "the check itself failed; the log says how"}
        assert "a detail for the log alone" in caplog.text

    async def test_information_is_told_and_decides_nothing(self) -> None:
        async def away() -> str | None:
            return "Redis at cache:6379/1 cannot be used just now"

        async with listening(checks={"database": ready}, information={"election": away, "other": ready}) as listener:
            answer = await ask(listener.url, "/readyz")

        assert answer.status == 200
        assert answer.json == {
            "ready": True,
            "checked": ["database"],
            "not_ready": {},
            "information": {"election": "Redis at cache:6379/1 cannot be used just now", "other": None},
        }


class TestMetricsPage:
    async def test_it_shows_counters_and_asks_for_the_state_of_the_outbox(self) -> None:
        metrics = Metrics()
        claimed = ClaimedNotification(
            1, 1, 1, "shop", "42", "sendMessage", "{}", DeliveryPolicy.AT_LEAST_ONCE, 1, 0, 0.0, None
        )
        metrics.settled([Settlement(claimed, Delivered((1,)))])

        async def provider() -> Stats:
            return stats()

        async with listening(metrics=metrics, stats=provider) as listener:
            answer = await ask(listener.url, "/metrics")

        assert answer.status == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = answer.body.decode().splitlines()
        assert 'dovecote_outcomes_total{bot="shop",outcome="delivered"} 1.0' in lines
        assert "dovecote_notifications_due 3.0" in lines
        assert "dovecote_oldest_due_seconds 6.5" in lines

    async def test_scrapes_within_a_second_cost_one_query(self) -> None:
        now = 100.0
        asked = 0

        async def provider() -> Stats:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0)
            return stats(due=asked)

        async with listening(stats=provider, clock=lambda: now) as listener:
            await asyncio.gather(*(ask(listener.url, "/metrics") for _ in range(4)))
            assert asked == 1
            now = 100.9
            assert b"dovecote_notifications_due 1.0" in (await ask(listener.url, "/metrics")).body
            now = 101.0
            assert b"dovecote_notifications_due 2.0" in (await ask(listener.url, "/metrics")).body

        assert asked == 2

    @pytest.mark.parametrize("error", [StoreUnavailable("the database is away"), LookupError("something new")])
    async def test_while_the_database_is_away_the_rest_is_still_shown(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        metrics = Metrics()
        metrics.set_stats(stats())

        async def provider() -> Stats:
            raise error

        async with listening(metrics=metrics, stats=provider) as listener:
            answer = await ask(listener.url, "/metrics")

        assert answer.status == 200
        assert b"dovecote_notifications_due NaN" in answer.body
        assert b"dovecote_claimed_total 0.0" in answer.body
        assert str(error) in caplog.text

    async def test_a_database_that_hangs_does_not_hang_the_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listener_module, "ANSWER_WITHIN", 0.01)

        async def provider() -> Stats:
            await asyncio.Event().wait()
            return stats()

        async with listening(stats=provider) as listener:
            answer = await ask(listener.url, "/metrics")

        assert b"dovecote_notifications_due NaN" in answer.body


async def change(_request: Request) -> Response:
    return JSONResponse({"changed": True})


ROUTES = [Route("/things", change, methods=["GET", "POST", "DELETE"])]
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class TestWhoMayChangeAnything:
    async def test_reading_needs_no_token(self) -> None:
        async with listening(routes=ROUTES, token=SecretStr(TOKEN)) as listener:
            assert (await ask(listener.url, "/things")).status == 200

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    async def test_with_the_token_it_is_done(self, method: str) -> None:
        async with listening(routes=ROUTES, token=SecretStr(TOKEN)) as listener:
            answer = await ask(listener.url, "/things", method, BEARER)

        assert (answer.status, answer.json) == (200, {"changed": True})

    @pytest.mark.parametrize("path", ["/things", "/healthz", "/nowhere"])
    async def test_without_it_everything_is_refused_on_every_path(self, path: str) -> None:
        wrong = ["", TOKEN, f"Basic {TOKEN}", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \xfc"]

        async with listening(routes=ROUTES, token=SecretStr(TOKEN)) as listener:
            answers = [await ask(listener.url, path, "POST", {"Authorization": given}) for given in wrong]
            answers.append(await ask(listener.url, path, "POST"))

        assert [answer.status for answer in answers] == [401] * 8
        for answer in answers:
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json == {"error": "this changes something: send http.token as Authorization: Bearer TOKEN."}

    async def test_where_no_token_is_set_the_refusal_says_how_to_set_one(self) -> None:
        async with listening(routes=ROUTES) as listener:
            answers = [
                await ask(listener.url, "/things", method, BEARER)
                for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")
            ]

        assert [answer.status for answer in answers] == [403] * 5
        for answer in answers:
            assert answer.json == {
                "error": "this changes something, and http.token is not set: set it (or DOVECOTE_HTTP_TOKEN) and send "
                "it as Authorization: Bearer TOKEN."
            }


class TestAnswersThatAreNone:
    async def test_an_unknown_path_and_a_wrong_method_are_told_in_json(self) -> None:
        async with listening(token=SecretStr(TOKEN)) as listener:
            unknown = await ask(listener.url, "/nowhere")
            wrong = await ask(listener.url, "/healthz", "POST", BEARER)

        assert (unknown.status, unknown.json) == (404, {"error": "Not Found"})
        assert (wrong.status, wrong.json) == (405, {"error": "Method Not Allowed"})
        assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}

    async def test_a_route_that_breaks_shows_nothing_of_why(self, caplog: pytest.LogCaptureFixture) -> None:
        async def broken(_request: Request) -> Response:
            raise LookupError("a detail for the log alone")

        async with listening(routes=[Route("/broken", broken)]) as listener:
            answer = await ask(listener.url, "/broken")
            assert (await ask(listener.url, "/healthz")).status == 200

        assert answer.status == 500
        assert b"detail" not in answer.body
        assert "a detail for the log alone" in caplog.text


class TestLife:
    async def test_it_listens_on_loopback_and_knows_its_port(self) -> None:
        listener = Listener(metrics=Metrics(), port=0)
        with pytest.raises(RuntimeError, match="no address before start"):
            _ = listener.url

        await listener.start()
        try:
            assert urlsplit(listener.url).hostname == "127.0.0.1"
            assert urlsplit(listener.url).port not in {None, 0, 8089}
        finally:
            await listener.stop()

    async def test_localhost_is_loopback(self) -> None:
        async with listening(host="localhost") as listener:
            assert urlsplit(listener.url).hostname == "127.0.0.1"
            assert (await ask(listener.url, "/healthz")).status == 200

    async def test_stopped_it_gives_the_port_back_and_can_start_again(self) -> None:
        async with listening() as first:
            port = urlsplit(first.url).port
        with pytest.raises(ConnectionRefusedError):
            await ask(first.url, "/healthz")

        async with listening(port=port) as second:
            assert second.url == first.url
            assert (await ask(second.url, "/healthz")).status == 200

    async def test_stopping_twice_or_before_the_start_is_harmless(self) -> None:
        listener = Listener(metrics=Metrics(), port=0)
        await listener.stop()
        await listener.start()
        await listener.stop()
        await listener.stop()

    async def test_starting_twice_is_refused(self) -> None:
        async with listening() as listener:
            with pytest.raises(RuntimeError, match="listening already"):
                await listener.start()
            assert (await ask(listener.url, "/healthz")).status == 200

    async def test_a_port_that_is_taken_is_a_fault_that_names_the_settings(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            with pytest.raises(InvalidConfiguration) as raised:
                await Listener(metrics=Metrics(), port=port).start()

        (fault,) = raised.value.faults
        assert fault == (
            f'http.host is "127.0.0.1" and http.port is {port}, where nothing can listen (Address already in use): '
            "stop what listens there, or set another http.port."
        )

    async def test_a_start_that_is_cancelled_leaves_nothing_listening(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = asyncio.Event()

        async def never_ready(_server: object, sockets: list[socket.socket]) -> None:
            assert sockets
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(listener_module._Server, "startup", never_ready)
        listener = Listener(metrics=Metrics(), port=0)
        starting = asyncio.create_task(listener.start())
        await begun.wait()

        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

        with pytest.raises(ConnectionRefusedError):
            await ask(listener.url, "/healthz")

    async def test_it_leaves_the_signals_alone(self) -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

        async with listening():
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    async def test_a_request_under_way_is_finished_while_stopping(self) -> None:
        entered, released = asyncio.Event(), asyncio.Event()

        async def slow(_request: Request) -> Response:
            entered.set()
            await released.wait()
            return JSONResponse({"done": True})

        async with listening(routes=[Route("/slow", slow)]) as listener:
            asking = asyncio.create_task(ask(listener.url, "/slow"))
            await entered.wait()
            stopping = asyncio.create_task(listener.stop())
            await asyncio.sleep(0)
            released.set()
            answer, _ = await asyncio.gather(asking, stopping)

        assert answer.json == {"done": True}

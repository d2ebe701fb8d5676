"""Faults on the way: by number and by chance, answers cut in half, connections that end; seen by plain sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
import uvloop
from emulator_client import TOKEN, Api, StoppedClock, running, until

from dovecote.emulator import TELEGRAM_AGE, Answer, Emulator, Match, Rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BODY = b'{"chat_id":42,"text":"x"}'
REQUEST = (
    f"POST /bot{TOKEN}/sendMessage HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def api(clock: StoppedClock) -> AsyncIterator[Api]:
    async with running(clock=clock, seed=7) as api:
        yield api


class Socket:
    """A connection that a test writes to and reads from itself. Five seconds bound every wait."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, bytes]:
        """Send a message and read its whole answer: the status and the body."""
        self.writer.write(REQUEST)
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
            body = await self.reader.readexactly(int(length.removeprefix(b"content-length: ")))
        return int(head.split(b" ")[1]), body

    async def cut(self) -> tuple[bytes, bool]:
        """Send a message and read until the connection ends: what came, and whether the end was a reset."""
        self.writer.write(REQUEST)
        return await self.end()

    async def end(self) -> tuple[bytes, bool]:
        """Read until the connection ends: what came, and whether the end was a reset."""
        received = b""
        async with asyncio.timeout(5):
            try:
                while chunk := await self.reader.read(1 << 16):
                    received += chunk
            except ConnectionResetError:
                return received, True
        return received, False


@contextlib.asynccontextmanager
async def connected(emulator: Emulator) -> AsyncIterator[Socket]:
    host, port = emulator.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Socket(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def statuses(api: Api, times: int, chat_id: int = 42) -> list[int]:
    return [(await api.raw("GET", f"/bot{TOKEN}/sendMessage?chat_id={chat_id}&text=x"))[0] for _ in range(times)]


class TestTurns:
    async def test_every_third(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502), every=3))

        assert await statuses(api, 9) == [200, 200, 502, 200, 200, 502, 200, 200, 502]

    async def test_every_second_after_three_and_twice(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502), after=3, every=2, times=2))

        assert await statuses(api, 9) == [200, 200, 200, 200, 502, 200, 502, 200, 200]
        assert (await api.control("GET", "script"))[1] == {"rules": []}

    async def test_the_nth_request_of_a_chat(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502), Match(chat_id=43), after=1, times=1))

        assert await statuses(api, 3, chat_id=42) == [200, 200, 200]
        assert await statuses(api, 3, chat_id=43) == [200, 502, 200]

    async def test_where_it_is_not_a_rules_turn_the_next_one_decides(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502), every=2), Rule(Answer(status=503)))

        assert await statuses(api, 4) == [503, 502, 503, 502]

    async def test_a_rate_is_kept_and_repeats_with_its_seed(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502), rate=0.2))
        first = await statuses(api, 500)

        await api.control("POST", "reset")
        api.emulator.script(Rule(Answer(status=502), rate=0.2))
        second = await statuses(api, 500)

        assert 70 <= first.count(502) <= 130
        assert first == second
        async with running(seed=8) as other:
            other.emulator.script(Rule(Answer(status=502), rate=0.2))
            assert await statuses(other, 500) != first

    async def test_rates_of_nothing_and_of_all(self, api: Api) -> None:
        rules = [{"rate": 0, "answer": {"status": 502}}, {"rate": 1, "answer": {"status": 503}}]
        await api.control("POST", "script", rules)

        assert await statuses(api, 20) == [503] * 20

    async def test_a_rules_chance_does_not_depend_on_the_others(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502), rate=0.5), Rule(Answer(status=503), Match(chat_id=43), rate=0.5))
        alone = await statuses(api, 50)
        await api.control("POST", "reset")
        api.emulator.script(Rule(Answer(status=502), rate=0.5), Rule(Answer(status=503), Match(chat_id=43), rate=0.5))

        mixed = []
        for _ in range(50):
            mixed += await statuses(api, 1)
            api.emulator.script(Rule(Answer(status=500), Match(chat_id=44), rate=0.5))

        assert mixed == alone


class TestAnswers:
    async def test_a_502_is_a_page(self, api: Api) -> None:
        api.emulator.script(Rule(Answer.bad_gateway(), times=1), Rule(Answer.bad_gateway(accept=True), times=1))

        status, headers, page = await api.raw("GET", f"/bot{TOKEN}/sendMessage?chat_id=42&text=x")

        assert (status, headers["content-type"]) == (502, "text/html")
        assert page.startswith(b"<html>\r\n<head><title>502 Bad Gateway</title></head>")
        assert list(api.emulator.accepted) == []
        assert await statuses(api, 1) == [502]
        assert [record.status for record in api.emulator.accepted] == [502]

    async def test_a_reset_comes_after_half_of_the_answer(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(mode="reset"), times=1))

        async with connected(api.emulator) as connection:
            received, was_reset = await connection.cut()

        head, _, body = received.partition(b"\r\n\r\n")
        assert was_reset
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body.startswith(b'{"ok":true,"result":{"message_id":1,')
        assert not body.endswith(b"}}")
        (record,) = api.emulator.accepted
        assert (record.status, record.message_ids) == (None, (1,))

    async def test_a_truncated_answer_ends_in_order(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(mode="truncate"), times=1))

        async with connected(api.emulator) as connection:
            received, was_reset = await connection.cut()

        head, _, body = received.partition(b"\r\n\r\n")
        assert not was_reset
        whole = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        assert len(body) == whole // 2
        assert len(api.emulator.accepted) == 1

    async def test_what_is_cut_may_be_a_scripted_answer(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502, body="<html>0123456789</html>", mode="truncate"), times=1))

        async with connected(api.emulator) as connection:
            received, _ = await connection.cut()

        assert received.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert received.endswith(b"\r\n\r\n<html>01234")
        assert list(api.emulator.accepted) == []
        assert api.emulator.counts()["refused"] == 1

    async def test_what_is_lost_can_be_counted(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(mode="drop"), every=2))

        seen = 0
        for _ in range(10):
            async with connected(api.emulator) as connection:
                with contextlib.suppress(asyncio.IncompleteReadError):
                    await connection.answer()
                    seen += 1

        assert seen == 5
        assert len(api.emulator.accepted) == 10
        assert len([record for record in api.emulator.accepted if record.status == 200]) == 5

    async def test_a_call_that_is_refused_and_then_lost_is_refused_once(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502, accept=True)))

        await api.raw("GET", f"/bot{TOKEN}/sendMessage?chat_id=42&text=")

        assert api.emulator.counts() == {"requests": 1, "accepted": 0, "refused": 1, "kept": 1}

    async def test_a_delay_is_in_the_emulators_seconds(self, api: Api, clock: StoppedClock) -> None:
        clock.scale = 1_000_000.0
        api.emulator.script(Rule(Answer(delay=3_600), times=1), Rule(Answer(mode="stall", delay=3_600), times=1))

        async with asyncio.timeout(5):
            assert await statuses(api, 1) == [200]
        async with connected(api.emulator) as connection:
            assert await connection.cut() == (b"", False)


class TestConnections:
    async def test_one_that_is_too_old_is_cut_at_its_next_request_and_nothing_is_accepted(
        self, api: Api, clock: StoppedClock
    ) -> None:
        api.emulator.connection_age = TELEGRAM_AGE

        async with connected(api.emulator) as connection:
            clock.advance(39.9)
            assert (await connection.answer())[0] == 200
            clock.advance(0.1)
            assert await connection.cut() == (b"", True)

        assert api.emulator.counts()["requests"] == 1
        async with connected(api.emulator) as connection:
            assert (await connection.answer())[0] == 200

    async def test_an_idle_one_is_closed_at_its_age(self, api: Api, clock: StoppedClock) -> None:
        clock.scale = 1_000.0
        async with connected(api.emulator) as connection:
            assert (await connection.answer())[0] == 200
            clock.advance(40)

            await api.control("POST", "connections", {})

            assert await connection.end() == (b"", False)

    async def test_a_busy_one_is_reset_at_its_age(self, api: Api, clock: StoppedClock) -> None:
        clock.scale = 1_000.0
        api.emulator.script(Rule(Answer(mode="stall")))
        async with connected(api.emulator) as connection:
            connection.writer.write(REQUEST)
            await until(lambda: api.emulator.requests)
            clock.advance(40)

            api.emulator.connection_age = 40

            assert await connection.end() == (b"", True)

    async def test_one_that_is_young_by_the_clock_goes_on_living(self, api: Api, clock: StoppedClock) -> None:
        clock.scale = 1_000_000.0
        api.emulator.connection_age = 40
        async with connected(api.emulator) as connection:
            for _ in range(3):
                # The loop's time runs past the age; the clock, which decides, does not.
                assert (await connection.answer())[0] == 200
                (alive,) = api.emulator._application.ages._alive
                before = alive._end
                await until(lambda before=before, alive=alive: alive._end is not before)  # type: ignore[misc]

            api.emulator.connection_age = None
            clock.advance(3600)
            assert (await connection.answer())[0] == 200

    async def test_one_can_be_closed_just_before_it_is_used_again(self, api: Api) -> None:
        rule = {"match": {"reused": True}, "every": 2, "answer": {"mode": "close"}}
        await api.control("POST", "script", rule)

        async with connected(api.emulator) as connection:
            assert (await connection.answer())[0] == 200
            assert (await connection.answer())[0] == 200
            assert (await connection.cut())[0] == b""

        assert api.emulator.counts()["requests"] == 3
        assert len(api.emulator.accepted) == 2
        assert (await statuses(api, 1)) == [200]

    async def test_the_control_api_sets_the_age(self, api: Api) -> None:
        assert await api.control("GET", "connections") == (200, {"age": None})
        assert await api.control("POST", "connections", {}) == (200, {"age": 40.0})
        assert await api.control("POST", "connections", {"age": 5}) == (200, {"age": 5.0})
        assert await api.control("DELETE", "connections") == (200, {"age": None})
        assert await api.control("POST", "connections", {"age": 0}) == (
            400,
            {"ok": False, "error": "connections: age 0.0: use more than 0 seconds, or null for no end."},
        )

    async def test_a_reset_brings_the_given_age_back(self, clock: StoppedClock) -> None:
        async with running(clock=clock, connection_age=50.0) as api:
            api.emulator.connection_age = None
            api.emulator.reset()

            assert api.emulator.connection_age == 50.0


def test_the_loop_of_the_emulators_own_process_cuts_as_well() -> None:
    async def cuts() -> tuple[bytes, bool]:
        async with running() as api:
            api.emulator.script(Rule(Answer(json={"ok": True, "result": "0123456789"}, mode="reset"), times=1))
            async with connected(api.emulator) as connection:
                return await connection.cut()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received, was_reset = runner.run(cuts())

    answer = json.dumps({"ok": True, "result": "0123456789"}, separators=(",", ":")).encode()
    assert was_reset
    assert received.endswith(b"\r\n\r\n" + answer[: len(answer) // 2])

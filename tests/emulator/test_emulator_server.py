"""Starting and stopping: in the loop, in a process, from the command line; and what is never logged."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import TOKEN, running

from dovecote.emulator import BotLimit, Emulator, EmulatorProcess, Limits
from dovecote.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator


def status_of(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the emulator's own address
        code: int = answer.status
        return code


def json_of(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the emulator's own address
        return json.load(answer)


async def test_it_leaves_nothing_in_the_loop() -> None:
    before = asyncio.all_tasks()

    async with running() as api:
        await api.result("sendMessage", chat_id=42, text="x")

    assert asyncio.all_tasks() == before


async def test_it_starts_again_on_the_same_port() -> None:
    async with running() as api:
        await api.result("getMe")
        port = int(api.emulator.url.rpartition(":")[2])

    async with running(port=port) as api:
        assert (await api.result("getMe"))["id"] == 4242


async def test_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    async with running() as api:
        took = []
        for _ in range(50):
            began = time.monotonic()
            await api.result("getMe")
            took.append(time.monotonic() - began)

    # A delayed acknowledgement takes 40 ms, each time after the first ones, which the kernel does not delay. On a busy
    # machine some take that long for other reasons.
    assert sorted(took[25:])[8] < 0.03


async def test_it_stops_once() -> None:
    emulator = Emulator()
    await emulator.start()

    await emulator.stop()
    await emulator.stop()


async def test_two_emulators_know_nothing_of_each_other() -> None:
    async with running() as one, running() as two:
        await one.result("sendMessage", chat_id=42, text="x")

        assert one.emulator.counts()["accepted"] == 1
        assert two.emulator.counts()["accepted"] == 0


async def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(
            InvalidConfiguration, match=f"port {port} of 127.0.0.1 cannot be had .* or 0 for a free one"
        ):
            await Emulator(port=port).start()


def test_a_capacity_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity 0: keep at least one record"):
        Emulator(capacity=0)


async def test_no_token_is_logged_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)

    async with running() as api:
        await api.post("sendMessage", chat_id=42, text="x")
        await api.post("sendPigeon")
        own = [record for record in caplog.records if record.name.startswith(("uvicorn", "dovecote", "asyncio"))]

    assert TOKEN not in "".join(record.getMessage() for record in own)
    assert [record for record in own if record.levelno > logging.DEBUG] == []


async def test_a_fault_of_the_emulator_is_a_500_without_a_token(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as api:
        monkeypatch.setattr(api.emulator._application._world.messages, "next_id", None)
        status, body = await api.post("sendMessage", chat_id=42, text="x")

    assert (status, body["description"]) == (500, "Internal Server Error")
    assert "the emulator failed in sendMessage" in caplog.text
    assert TOKEN not in caplog.text


class TestProcess:
    def test_it_serves_and_ends(self) -> None:
        with EmulatorProcess() as emulator:
            url, pid = emulator.url, emulator.pid

            assert status_of(f"{url}/bot{TOKEN}/getMe") == 200

        with pytest.raises(urllib.error.URLError):
            status_of(f"{url}/emulator/health")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    def test_it_can_have_a_core(self) -> None:
        core = min(os.sched_getaffinity(0))

        with EmulatorProcess(core=core) as emulator:
            assert os.sched_getaffinity(emulator.pid) == {core}

    def test_it_can_have_limits_and_a_clock_of_its_own(self) -> None:
        limits = Limits(bot=BotLimit(rate=1, capacity=2, retry_after=9))
        with EmulatorProcess(limits=limits, scale=1_000_000, seed=5, connection_age=3600.0) as emulator:
            url = f"{emulator.url}/bot{TOKEN}/sendMessage?chat_id=42&text=x"
            # At a million to one no bucket is ever empty, and the limits are there all the same.
            statuses = [status_of(url) for _ in range(5)]
            shown = json_of(f"{emulator.url}/emulator/limits")
            connections = json_of(f"{emulator.url}/emulator/connections")

        assert statuses == [200] * 5
        assert shown["bot"] == {"rate": 1.0, "capacity": 2.0, "retry_after": 9}
        assert shown["group"] is None
        assert connections == {"age": 3600.0}

    @pytest.mark.parametrize(
        ("option", "value", "error"),
        [
            ("--limits", '{"bot": {"rate": 0}}', "rate 0.0: use more than 0."),
            ("--limits", "{", "this is no JSON"),
            ("--scale", "0", "scale 0.0: use more than 0."),
            ("--connection-age", "-1", "age -1.0: use more than 0 seconds"),
        ],
    )
    def test_a_setting_that_cannot_be_is_told(self, option: str, value: str, error: str) -> None:
        command = [sys.executable, "-m", "dovecote.emulator", f"{option}={value}"]

        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

        assert ended.returncode != 0
        assert error in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_a_port_that_is_taken_is_an_error(self, capfd: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            with pytest.raises(RuntimeError, match="the emulator did not start"), EmulatorProcess(port=port):
                pass

        assert f"port {port} of 127.0.0.1 cannot be had" in capfd.readouterr().err

    def test_outside_of_with_it_has_no_address(self) -> None:
        with pytest.raises(RuntimeError, match="enter it with"):
            _ = EmulatorProcess().url

    @pytest.fixture
    def child(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "dovecote.emulator"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            yield process
            process.kill()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_in_order(self, child: subprocess.Popen[str], number: signal.Signals) -> None:
        child.send_signal(number)

        assert child.wait(10) == 0

    def test_it_ends_with_its_parent(self, child: subprocess.Popen[str]) -> None:
        assert child.stdin is not None
        child.stdin.close()

        assert child.wait(10) == 0

"""The Valkey that other tests stand on: it starts, survives what tests do to it, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from redis.exceptions import AuthenticationError, RedisError
from valkey_servers import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable

BOUND = 30.0


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project with this one's conftest.py."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest(Path(__file__).parent.parent.joinpath("conftest.py").read_text())
    return pytester


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, f"not so within {BOUND} s"
        time.sleep(0.01)


def test_a_killed_server_restarts_on_the_same_port_and_empty(own_valkey: ValkeyServer) -> None:
    with own_valkey.client() as client:
        client.set("key", "value")
        own_valkey.kill()
        with pytest.raises(RedisError):
            client.get("key")

        own_valkey.start()

        assert client.get("key") is None


def test_a_server_that_was_stopped_restarts(own_valkey: ValkeyServer) -> None:
    before = own_valkey.pid

    own_valkey.restart()

    with own_valkey.client() as client:
        assert client.ping()
    assert own_valkey.pid != before


def test_a_frozen_server_answers_when_it_is_thawed(own_valkey: ValkeyServer) -> None:
    own_valkey.freeze()
    with own_valkey.client(timeout=0.1) as client, pytest.raises(RedisError):
        client.ping()

    own_valkey.thaw()

    with own_valkey.client() as client:
        assert client.ping()


def test_a_password_is_asked_for_and_users_have_their_rights() -> None:
    with ValkeyServer(password="secret", users=["reader on >other ~* +get"]) as server:
        with server.client() as client:
            client.set("key", "value")
        reader = server.url_of("reader", "other", number=0)
        with server.client(reader) as client, pytest.raises(RedisError, match="no permissions"):
            client.set("key", "another")
        stranger = f"redis://127.0.0.1:{server.port}/1"
        with server.client(stranger) as client, pytest.raises(AuthenticationError):
            client.get("key")


def test_each_test_finds_its_database_empty(valkey: ValkeyServer, valkey_url: str) -> None:
    with valkey.client() as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
    valkey.flush()
    with valkey.client() as client:
        assert client.dbsize() == 0
    assert valkey_url.endswith("/1")


def test_a_server_named_by_the_environment_is_used_and_its_other_databases_are_left_alone(
    own_valkey: ValkeyServer, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOVECOTE_TEST_VALKEY", own_valkey.url_of(number=0))
    with own_valkey.client(own_valkey.url_of(number=0)) as client:
        client.set("somebody's", "own")
    project.makepyfile(
        f"""
        from valkey_servers import ValkeyServer

        def test_given(valkey, valkey_url):
            assert not isinstance(valkey, ValkeyServer)
            assert valkey_url == {own_valkey.url!r}
            with valkey.client() as client:
                assert client.dbsize() == 0
        """
    )

    project.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)

    with own_valkey.client(own_valkey.url_of(number=0)) as client:
        assert client.get("somebody's") == "own"


def test_a_server_that_cannot_be_had_is_an_error_and_no_skip(
    own_valkey: ValkeyServer, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = own_valkey.url
    own_valkey.kill()
    monkeypatch.setenv("DOVECOTE_TEST_VALKEY", url)
    project.makepyfile("def test_given(valkey_url): ...")

    project.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(errors=1)


def test_it_ends_with_the_process_that_started_it_even_when_that_is_killed() -> None:
    program = (
        "import sys, time\nfrom valkey_servers import ValkeyServer\nserver = ValkeyServer()\nserver.start()\n"
        "print(server.pid, server.directory, flush=True)\ntime.sleep(600)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert starter.stdout is not None
    with starter.stdout:
        pid, directory = starter.stdout.readline().split()
        assert psutil.pid_exists(int(pid))

        starter.send_signal(signal.SIGKILL)
        starter.wait(BOUND)

    wait_until(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)
    wait_until(lambda: not Path(directory).exists())

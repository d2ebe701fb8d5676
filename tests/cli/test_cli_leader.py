"""`leader`: who leads and who follows, with and without a Redis that answers; and deliveries that need none."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from command_line import ended, fetch, until

from dovecote.cli.leading import _state
from dovecote.model import Peer

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from command_line import CommandLine
    from servers import PostgresServer
    from valkey_servers import ValkeyServer

Start = Callable[..., "subprocess.Popen[str]"]
INSTANCE = {"id", "host", "pid", "version", "role", "started_at", "seen_at", "leads", "stale", "silent_for"}


@pytest.fixture
def start(dovecote: CommandLine) -> Iterator[Start]:
    """Start the program; what a test that failed leaves running is ended."""
    started = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        started.append(dovecote.start(*arguments))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def leadership(dovecote: CommandLine) -> Any:
    return dovecote.ok("leader", "--json").json


def settled(dovecote: CommandLine, count: int) -> bool:
    """Whether the instances are so many, and one of them leads."""
    found = leadership(dovecote)
    return len(found["instances"]) == count and found["leader"] is not None


def test_where_nothing_runs_nobody_leads(dovecote: CommandLine) -> None:
    dovecote.ok("init")

    assert dovecote.ok("leader").out == "Nobody leads.\n"
    assert leadership(dovecote) == {
        "leader": None,
        "term": None,
        "since": None,
        "elected_by": "database",
        "problem": None,
        "instances": [],
        "jobs": None,
    }


def test_it_shows_the_leader_and_who_follows_and_after_a_stop_the_next_one(dovecote: CommandLine, start: Start) -> None:
    dovecote.bot()
    first = start("worker")
    until(lambda: settled(dovecote, 1))
    second = start("worker")
    until(lambda: settled(dovecote, 2))

    found = leadership(dovecote)
    assert found["term"] == 1
    assert [set(each) for each in found["instances"]] == [INSTANCE, INSTANCE]
    assert [each["pid"] for each in found["instances"]] == [first.pid, second.pid]
    assert [(each["role"], each["leads"], each["stale"]) for each in found["instances"]] == [
        ("worker", True, False),
        ("worker", False, False),
    ]
    table = dovecote.ok("leader").out
    assert table.startswith(f"{found['leader']} leads in term 1, since 20")
    assert table.count(" leads ") == 2
    assert table.count(" follows ") == 1

    first.send_signal(signal.SIGTERM)
    assert ended(first).code == 0
    until(lambda: settled(dovecote, 1))
    assert leadership(dovecote)["term"] == 2
    second.send_signal(signal.SIGTERM)
    assert "the lease is handed over" in ended(second).err
    assert leadership(dovecote)["instances"] == []


def test_a_bot_that_was_killed_leads_again_as_soon_as_it_is_started(dovecote: CommandLine, start: Start) -> None:
    dovecote.bot()
    dovecote.variable("DOVECOTE_LEADERSHIP_LEASE", "10m")
    first = start("worker")
    until(lambda: settled(dovecote, 1))
    first.kill()
    ended(first)

    second = start("worker")

    until(lambda: leadership(dovecote)["term"] == 2)
    leader = leadership(dovecote)["instances"][0]
    assert (leader["pid"], leader["leads"]) == (second.pid, True)
    second.send_signal(signal.SIGTERM)
    assert ended(second).code == 0


def test_without_its_redis_deliveries_go_on_and_the_log_says_so_once(
    dovecote: CommandLine, start: Start, emulator: str, own_valkey: ValkeyServer
) -> None:
    dovecote.bot()
    own_valkey.kill()
    dovecote.variable("DOVECOTE_REDIS_URL", f"redis://:hunter2@127.0.0.1:{own_valkey.port}")
    dovecote.variable("DOVECOTE_LEADERSHIP_RENEW_INTERVAL", "1s")
    worker = start("worker")
    for text in ("one", "two"):
        dovecote.ok("send", "--bot", "shop", "--chat", "42", text)
    until(lambda: len(fetch(f"{emulator}/emulator/accepted")["records"]) == 2)

    shown = dovecote.ok("leader")
    assert shown.out.startswith("Nobody can tell who leads.")
    assert f"Redis at 127.0.0.1:{own_valkey.port}/1 cannot be used just now" in shown.err
    found = leadership(dovecote)
    assert (found["leader"], found["elected_by"], len(found["instances"])) == (None, "redis", 1)
    assert "cannot be used just now" in found["problem"]
    own_valkey.start()
    until(lambda: settled(dovecote, 1))

    worker.send_signal(signal.SIGTERM)
    answer = ended(worker)
    assert answer.code == 0, answer.err
    assert answer.err.count("deliveries go on, and no leader is elected until it is back") == 1
    assert answer.err.count("the lease store is back") == 1
    assert "hunter2" not in answer.err + shown.out + shown.err


def test_readiness_tells_of_a_redis_that_is_away_and_does_not_depend_on_it(
    dovecote: CommandLine, start: Start, own_valkey: ValkeyServer
) -> None:
    dovecote.bot()
    own_valkey.kill()
    dovecote.variable("DOVECOTE_REDIS_URL", own_valkey.url)
    dovecote.variable("DOVECOTE_HTTP_PORT", "0")
    process = start("run")
    until(lambda: settled_without_a_leader(dovecote))

    url = listening_at(process)
    until(lambda: fetch(f"{url}/readyz")["information"]["election"] is not None)
    page = fetch(f"{url}/readyz")

    assert page["ready"] is True
    assert "cannot be used just now" in page["information"]["election"]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


def settled_without_a_leader(dovecote: CommandLine) -> bool:
    return len(leadership(dovecote)["instances"]) == 1


def listening_at(process: Any) -> str:
    """The address that a process has logged."""
    for line in process.stderr:
        if "listening on " in line:
            found: str = line.partition("listening on ")[2].split()[0]
            return found
    raise AssertionError("it does not listen")


def test_on_postgresql_behind_redis_the_leader_is_the_one_that_redis_says(
    dovecote: CommandLine, start: Start, postgres: PostgresServer, postgres_url: str, valkey_url: str
) -> None:
    del postgres
    dovecote.variable("DOVECOTE_DATABASE_URL", postgres_url)
    dovecote.variable("DOVECOTE_REDIS_URL", valkey_url)
    dovecote.bot()
    worker = start("worker")
    until(lambda: settled(dovecote, 1))

    found = leadership(dovecote)

    assert (found["elected_by"], found["term"], found["problem"]) == ("redis", 1, None)
    worker.send_signal(signal.SIGTERM)
    assert ended(worker).code == 0
    assert leadership(dovecote)["leader"] is None


def test_without_the_extra_it_says_what_to_install(dovecote: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    dovecote.ok("init")
    dovecote.variable("DOVECOTE_REDIS_URL", "redis://localhost")
    monkeypatch.delitem(sys.modules, "dovecote.leases.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)

    for command in ("leader", "worker"):
        answer = dovecote(command)

        assert answer.code == 1
        assert (
            answer.err == "Error: Electing a leader by Redis or Valkey needs an extra: pip install 'dovecote[redis]'\n"
        )


@pytest.mark.parametrize(
    ("silent_for", "leads", "stale", "told"),
    [
        (0.0, False, False, "follows"),
        (6.0, False, False, "follows"),
        (7.0, False, False, "silent for 7 s"),
        (16.0, False, True, "stale"),
        (6.0, True, False, "leads"),
        (7.0, True, False, "leads, silent for 7 s"),
        (16.0, True, True, "leads, stale"),
    ],
)
def test_of_who_was_not_heard_of_no_more_is_told_than_that(
    silent_for: float, *, leads: bool, stale: bool, told: str
) -> None:
    then = datetime(2026, 1, 5, 12, tzinfo=UTC)
    peer = Peer("a", "web-1", 7, "1", "worker", then, then, leads=leads, stale=stale, silent_for=silent_for)

    assert _state(peer, 5.0, runs_jobs=False) == told

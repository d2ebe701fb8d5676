"""`demo` from end to end, as a newcomer runs it."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest
from command_line import TOKEN, ended, fetch, until

from dovecote.demo import Demo, DemoResult

if TYPE_CHECKING:
    from command_line import CommandLine

KEYS = {
    "enqueued",
    "delivered",
    "dead",
    "doubles",
    "rolled_back",
    "rolled_back_sent",
    "statements_per_notification",
    "pace_per_second",
    "seconds",
}
RIGHT = DemoResult(
    enqueued=300,
    delivered=300,
    dead=0,
    doubles=0,
    rolled_back=1,
    rolled_back_sent=0,
    statements_per_notification=0.1,
    pace_per_second=2000.0,
    seconds=1.0,
)


def check(document: dict[str, float]) -> None:
    assert set(document) == KEYS
    assert (document["enqueued"], document["delivered"]) == (300, 300)
    assert (document["dead"], document["doubles"]) == (0, 0)
    assert (document["rolled_back"], document["rolled_back_sent"]) == (1, 0)
    assert document["pace_per_second"] == 2000
    assert 0 < document["statements_per_notification"] < 1
    # 300 at the demonstration's pace take this long at least.
    assert document["seconds"] > 0.1


@pytest.mark.parametrize("pace", ["inf", "nan", "0", "1e9"])
def test_a_pace_that_cannot_be_is_refused_at_once(dovecote: CommandLine, pace: str) -> None:
    answer = dovecote("demo", "--pace", pace)

    assert (answer.code, answer.out) == (2, "")
    assert "--pace" in answer.err


def test_on_sqlite_it_prints_one_json_object_and_leaves_nothing_behind(dovecote: CommandLine) -> None:
    answer = ended(dovecote.start("demo", "--notifications", "300", "--json"))

    assert answer.code == 0, answer.err
    check(json.loads(answer.out))
    assert answer.out.count("\n") == 1
    assert list(dovecote.folder.iterdir()) == []


def test_on_postgresql_it_does_the_same_and_can_do_it_again(dovecote: CommandLine, postgres_url: str) -> None:
    for _ in range(2):
        answer = ended(dovecote.start("demo", "--notifications", "300", "--database", postgres_url, "--json"))

        assert answer.code == 0, answer.err
        check(json.loads(answer.out))


def test_people_get_a_table_a_sentence_and_progress_beside_it(dovecote: CommandLine) -> None:
    answer = ended(dovecote.start("demo", "--notifications", "40", "--pace", "400"))

    assert answer.code == 0, answer.err
    assert "Right: all 40 arrived, each once, and what was rolled back was not sent." in answer.out
    assert "Telegram allows about 30/s" in answer.out
    assert "40/40" in answer.err
    assert "40/40" not in answer.out


def test_it_stays_when_told_to_and_delivers_what_comes(dovecote: CommandLine) -> None:
    process = dovecote.start("demo", "--notifications", "20", "--stay", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    document = json.loads(process.stdout.readline())
    addresses: dict[str, str] = {}
    for line in process.stderr:
        name, _, value = line.partition(":")
        addresses[name] = value.strip()
        if name == "Metrics":
            break
    dovecote.variable("DOVECOTE_DATABASE_URL", addresses["The outbox"].split()[0].partition("=")[2])

    id_ = dovecote.ok("send", "--bot", "demo", "--chat", "1", "Hello", "--json").json["id"]

    assert document["delivered"] == 20
    while dovecote.ok("notification", "show", str(id_), "--json").json["state"] != "delivered":
        assert process.poll() is None
    assert len(fetch(addresses["What arrived"])["records"]) == 3
    process.send_signal(signal.SIGINT)
    answer = ended(process)
    assert answer.code == 0, answer.err
    assert answer.out == ""


def test_an_interrupt_ends_it_quietly(dovecote: CommandLine) -> None:
    process = dovecote.start("demo", "--notifications", "100000", "--pace", "30")
    # As soon as there is an emulator to be ended with it.
    until(lambda: bool(psutil.Process(process.pid).children()))

    process.send_signal(signal.SIGINT)

    answer = ended(process)
    assert answer.code == 130, answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_somebodys_outbox_is_left_alone(dovecote: CommandLine) -> None:
    dovecote.bot()
    dovecote.ok("send", "--bot", "shop", "--chat", "42", "x")

    answer = dovecote("demo", "--notifications", "1", "--database", f"sqlite:///{dovecote.folder}/dovecote.db")

    assert answer.code == 1
    assert "holds an outbox in use (bots: shop)" in answer.err
    assert dovecote.ok("stats", "--json").json["due"] == 1
    assert TOKEN not in answer.err


@pytest.mark.parametrize(
    "changed",
    [{"delivered": 299}, {"dead": 1, "delivered": 299}, {"doubles": 1}, {"rolled_back_sent": 1}],
)
def test_a_wrong_result_ends_with_1_and_says_so(
    dovecote: CommandLine, monkeypatch: pytest.MonkeyPatch, changed: dict[str, int]
) -> None:
    async def run(_demo: Demo, _on_progress: object) -> DemoResult:
        return replace(RIGHT, **changed)

    monkeypatch.setattr(Demo, "run", run)

    answer = dovecote("demo", "--notifications", "300")

    assert answer.code == 1
    assert "Wrong:" in answer.out


def test_a_url_that_is_none_is_told(dovecote: CommandLine) -> None:
    answer = dovecote("demo", "--database", "mysql://x:secret@y/z")

    assert answer.code == 1
    assert "--database" in answer.err
    assert "secret" not in answer.err

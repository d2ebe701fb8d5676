"""`worker`, `run`, `emulator` as processes, and the dead letters that a worker leaves."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from command_line import ended, fetch, until

from dovecote.cli import pages

if TYPE_CHECKING:
    from command_line import CommandLine

# Of the notification, not of its recipient, which would be disabled.
REFUSED = "Bad Request: message is too long"


def accepted(emulator: str) -> list[str]:
    return [record["parameters"]["text"] for record in fetch(f"{emulator}/emulator/accepted")["records"]]


def refuse(emulator: str) -> None:
    """Let every request be refused for good."""
    answer = {"status": 400, "json": {"ok": False, "error_code": 400, "description": REFUSED}}
    fetch(f"{emulator}/emulator/script", {"match": {}, "answer": answer})


def send(dovecote: CommandLine, *texts: str, chat: str = "42") -> None:
    for text in texts:
        dovecote.ok("send", "--bot", "shop", "--chat", chat, text)


class TestWorker:
    def test_sigterm_ends_it_with_0_when_what_it_held_is_delivered(self, dovecote: CommandLine, emulator: str) -> None:
        dovecote.bot()
        send(dovecote, "one", "two", "three")
        process = dovecote.start("worker")
        until(lambda: len(accepted(emulator)) == 3)

        process.send_signal(signal.SIGTERM)

        answer = ended(process)
        assert answer.code == 0, answer.err
        assert answer.out == ""
        assert "draining" in answer.err
        assert accepted(emulator) == ["one", "two", "three"]
        assert dovecote.ok("stats", "--json").json["delivered"] == 3

    def test_until_empty_it_ends_by_itself(self, dovecote: CommandLine, emulator: str) -> None:
        dovecote.bot()
        send(dovecote, "one", "two")

        dovecote.ok("worker", "--until-empty")

        assert accepted(emulator) == ["one", "two"]
        shown = dovecote.ok("notification", "show", "2", "--json").json
        assert shown["state"] == "delivered"
        (attempt,) = shown["attempts"]
        assert (attempt["number"], attempt["outcome"]) == (1, "delivered")
        assert len(attempt["message_ids"]) == 1
        assert attempt["ended_at"] == shown["settled_at"]
        assert shown["settled_at"].endswith("+00:00")
        assert "delivered" in dovecote.ok("notification", "show", "2").out

    def test_it_serves_metrics_where_it_is_told(self, dovecote: CommandLine, emulator: str) -> None:
        dovecote.bot()
        dovecote.variable("DOVECOTE_LOG_FORMAT", "json")
        process = dovecote.start("worker", "--http-port", "0")
        assert process.stderr is not None
        url = next(
            event.rpartition(" ")[2]
            for event in (json.loads(line)["event"] for line in process.stderr)
            if event.startswith("listening on")
        )

        assert fetch(f"{url}/healthz") == {"status": "alive"}
        assert fetch(f"{url}/readyz")["ready"] is True

        process.send_signal(signal.SIGINT)
        assert ended(process).code == 0
        assert accepted(emulator) == []

    def test_a_token_that_cannot_be_read_ends_it_before_it_begins(self, dovecote: CommandLine, emulator: str) -> None:
        dovecote.ok("init")
        dovecote.ok("bot", "add", "shop", "--token-variable", "NOT_SET")

        answer = dovecote("worker", "--until-empty")

        assert answer.code == 1
        assert "the variable NOT_SET, which should hold its token, is not set" in answer.err
        assert accepted(emulator) == []


class TestRun:
    def test_it_delivers_and_listens_in_one_process(self, dovecote: CommandLine, emulator: str) -> None:
        dovecote.bot()
        dovecote.variable("DOVECOTE_HTTP_PORT", "0")
        process = dovecote.start("run")
        assert process.stderr is not None
        url = next(line.partition("listening on ")[2].split()[0] for line in process.stderr if "listening on " in line)

        send(dovecote, "hello")

        until(lambda: accepted(emulator) == ["hello"])
        assert fetch(f"{url}/readyz")["ready"] is True
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 0


class TestDead:
    @pytest.fixture
    def letters(self, dovecote: CommandLine, emulator: str) -> str:
        """Three dead letters, and an emulator that takes everything again."""
        dovecote.bot()
        send(dovecote, "one", "two", "three")
        refuse(emulator)
        dovecote.ok("worker", "--until-empty")
        fetch(f"{emulator}/emulator/reset", {})
        return emulator

    def test_they_are_listed_newest_first_with_telegrams_words(self, dovecote: CommandLine, letters: str) -> None:
        listed = dovecote.ok("dead", "list", "--bot", "shop", "--json").json

        assert [(letter["id"], letter["error_code"], letter["error"]) for letter in listed] == [
            (3, 400, REFUSED),
            (2, 400, REFUSED),
            (1, 400, REFUSED),
        ]
        assert f"400 {REFUSED}" in dovecote.ok("dead", "list").out
        assert accepted(letters) == []

    def test_a_page_at_a_time(self, dovecote: CommandLine, letters: str) -> None:
        first = dovecote.ok("dead", "list", "--limit", "2", "--json")
        second = dovecote.ok("dead", "list", "--limit", "2", "--before", "2", "--json")

        assert [letter["id"] for letter in first.json] == [3, 2]
        assert first.err == "There are older ones: --before 2\n"
        assert [letter["id"] for letter in second.json] == [1]
        assert second.err == ""
        assert accepted(letters) == []

    def test_one_is_shown_and_another_is_no_dead_letter(self, dovecote: CommandLine, letters: str) -> None:
        assert f"error        400 {REFUSED}\n" in dovecote.ok("dead", "show", "2").out

        send(dovecote, "four")
        answer = dovecote("dead", "show", "4")

        assert answer.code == 1
        assert "notification 4 is no dead letter, it is due" in answer.err
        assert accepted(letters) == []

    def test_ids_beside_all_of_them_are_told(self, dovecote: CommandLine) -> None:
        dovecote.bot()
        answer = dovecote("dead", "replay", "17", "18", "--all")

        assert answer.code == 2
        assert "17 18 beside --all: name some ids of dead letters, or all." in answer.err

    def test_without_a_terminal_to_ask_on_nothing_is_replayed(self, dovecote: CommandLine, letters: str) -> None:
        answer = dovecote("dead", "replay", "--all", "--bot", "shop")

        assert answer.code == 1
        assert 'This makes 3 dead letters of the bot "shop" due again' in answer.err
        assert "--yes" in answer.err
        assert dovecote.ok("stats", "--json").json["dead"] == 3
        assert accepted(letters) == []

    def test_those_that_are_named_are_replayed_and_others_told(self, dovecote: CommandLine, letters: str) -> None:
        answer = dovecote("dead", "replay", "1", "3", "99", "--yes", "--json")

        assert answer.code == 1
        assert answer.json == {"replayed": [1, 3], "not_dead": [99], "without_payload": []}
        assert "no dead letters: 99" in answer.err
        dovecote.ok("worker", "--until-empty")
        assert accepted(letters) == ["one", "three"]
        assert dovecote.ok("stats", "--json").json["dead"] == 1

    def test_all_are_replayed_in_their_order_over_several_transactions(
        self, dovecote: CommandLine, letters: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pages, "BATCH", 2)
        monkeypatch.setattr(pages, "LONGEST_PAGE", 2)

        answer = dovecote.ok("dead", "replay", "--all", "--yes")

        assert answer.out == "3 dead letters are due again.\n"
        dovecote.ok("worker", "--until-empty")
        assert accepted(letters) == ["one", "two", "three"]
        assert dovecote.ok("dead", "list").out == "There are no dead letters.\n"

    @pytest.mark.parametrize("arguments", [[], ["1", "--all"], ["1", "--bot", "shop"], ["one"]])
    def test_what_to_replay_must_be_plain(self, dovecote: CommandLine, arguments: list[str]) -> None:
        assert dovecote("dead", "replay", *arguments).code == 2


class TestEmulator:
    def test_it_serves_until_it_is_interrupted(self, dovecote: CommandLine) -> None:
        process = dovecote.start("emulator", "--port", "0")
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        url = said[0].split()[4].rstrip(",")

        assert fetch(f"{url}/emulator/health") == {"ok": True}

        process.send_signal(signal.SIGINT)
        answer = ended(process)
        assert (answer.code, answer.out, answer.err) == (0, "", "")
        assert f"DOVECOTE_TELEGRAM_BASE_URL={url} dovecote run" in said[1]

    def test_it_has_telegrams_temper_where_it_is_told(self, dovecote: CommandLine) -> None:
        process = dovecote.start(
            "emulator", "--port", "0", "--limits", "--connection-age", "50", "--scale", "100", "--seed", "3"
        )
        assert process.stdout is not None
        url = process.stdout.readline().split()[4].rstrip(",")

        limits = fetch(f"{url}/emulator/limits")
        age = fetch(f"{url}/emulator/connections")

        process.send_signal(signal.SIGINT)
        assert ended(process).code == 0
        assert limits["bot"] == {"rate": 30.0, "capacity": 30.0, "retry_after": 1}
        assert limits["group"] == {"messages": 20, "seconds": 60.0, "retry_after": None}
        assert age == {"age": 50.0}

    def test_a_port_that_is_taken_is_told(self, dovecote: CommandLine, emulator: str) -> None:
        port = emulator.rpartition(":")[2]

        answer = dovecote("emulator", "--port", port)

        assert answer.code == 1
        assert f"port {port} of 127.0.0.1 cannot be had" in answer.err

    def test_an_empty_file_of_tokens_is_refused(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "tokens").touch()

        assert '"tokens" holds no token' in dovecote("emulator", "--tokens-file", "tokens").err
        assert '"none" cannot be read' in dovecote("emulator", "--tokens-file", "none").err

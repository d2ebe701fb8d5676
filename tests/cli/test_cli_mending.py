"""`unknown`, `recipient`, `chat unblock`, and why a notification waits: what an operator sees and mends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from command_line import fetch, until

from dovecote.cli import lives, pages
from dovecote.model import Selection, WaitReason

if TYPE_CHECKING:
    from command_line import CommandLine


def texts(emulator: str) -> list[str]:
    return [record["parameters"]["text"] for record in fetch(f"{emulator}/emulator/accepted")["records"]]


def answer(emulator: str, status: int, description: str, **parameters: object) -> None:
    """Let every request be answered so."""
    body = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
    fetch(f"{emulator}/emulator/script", {"match": {}, "answer": {"status": status, "json": body}})


def send(dovecote: CommandLine, *texts: str, chat: str = "42", options: tuple[str, ...] = ()) -> None:
    for text in texts:
        dovecote.ok("send", "--bot", "shop", "--chat", chat, *options, text)


def waits(dovecote: CommandLine, notification: str) -> str:
    shown = dovecote.ok("notification", "show", notification).out
    (line,) = [line for line in shown.splitlines() if line.startswith("waits")]
    return line.removeprefix("waits").strip()


class TestUnknown:
    @pytest.fixture
    def unsure(self, dovecote: CommandLine, emulator: str) -> str:
        """Three that are unknown, and an emulator that takes everything again."""
        dovecote.bot()
        send(dovecote, "one", "two", "three", options=("--at-most-once",))
        answer(emulator, 502, "Bad Gateway")
        dovecote.ok("worker", "--until-empty")
        fetch(f"{emulator}/emulator/reset", {})
        return emulator

    def test_they_are_listed_a_page_at_a_time(self, dovecote: CommandLine, unsure: str) -> None:
        first = dovecote.ok("unknown", "list", "--bot", "shop", "--limit", "2", "--json")
        second = dovecote.ok("unknown", "list", "--before", "2")

        assert [(each["id"], each["state"], each["error"]) for each in first.json] == [
            (3, "unknown", "Bad Gateway"),
            (2, "unknown", "Bad Gateway"),
        ]
        assert first.err == "There are older ones: --before 2\n"
        assert "502 Bad Gateway" in second.out
        assert texts(unsure) == []

    def test_what_was_delivered_is_recorded_so(self, dovecote: CommandLine, unsure: str) -> None:
        resolved = dovecote("unknown", "resolve", "1", "99", "--delivered", "--yes", "--json")

        assert resolved.code == 1
        assert resolved.json == {"delivered": [1], "not_unknown": [99]}
        assert "not unknown: 99." in resolved.err
        shown = dovecote.ok("notification", "show", "1", "--json").json
        assert shown["state"] == "delivered"
        assert "an operator said that it was delivered; before: Bad Gateway" in shown["attempts"][0]["error"]
        dovecote.ok("worker", "--until-empty")
        assert texts(unsure) == []

    def test_all_are_sent_again_in_their_order_over_several_transactions(
        self, dovecote: CommandLine, unsure: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pages, "BATCH", 2)
        monkeypatch.setattr(pages, "LONGEST_PAGE", 2)

        resolved = dovecote.ok("unknown", "resolve", "--all", "--bot", "shop", "--again", "--yes")

        assert resolved.out == "3 notifications are due again.\n"
        assert dovecote.ok("unknown", "list").out == "No outcome is unknown.\n"
        dovecote.ok("worker", "--until-empty")
        assert texts(unsure) == ["one", "two", "three"]

    def test_without_a_terminal_to_ask_on_nothing_is_changed(self, dovecote: CommandLine, unsure: str) -> None:
        refused = dovecote("unknown", "resolve", "--all", "--again")

        assert refused.code == 1
        assert "This sends 3 notifications of all bots again" in refused.err
        assert "--yes" in refused.err
        assert dovecote.ok("stats", "--json").json["unknown"] == 3
        assert texts(unsure) == []

    @pytest.mark.parametrize(
        "arguments",
        [
            ["1"],
            ["1", "--delivered", "--again"],
            ["--delivered"],
            ["1", "--all", "--again"],
            ["1", "--again", "--bot", "shop"],
        ],
    )
    def test_what_to_do_must_be_plain(self, dovecote: CommandLine, arguments: list[str]) -> None:
        assert dovecote("unknown", "resolve", *arguments).code == 2


class TestDeadLetters:
    @pytest.fixture
    def dead(self, dovecote: CommandLine, emulator: str) -> str:
        """Four that are dead, two of them of another kind, and an emulator that takes everything again."""
        dovecote.bot()
        for status, words, label in (
            (400, "Bad Request: no such sticker", "sale"),
            (403, "Forbidden: not here", "news"),
        ):
            answer(emulator, status, words)
            send(dovecote, f"{label} 1", f"{label} 2", options=("--label", label))
            dovecote.ok("worker", "--until-empty")
            fetch(f"{emulator}/emulator/reset", {})
        return emulator

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (("--error", "STICKER"), [2, 1]),
            (("--code", "403", "--error", "not HERE"), [4, 3]),
            (("--label", "sale"), [2, 1]),
            (("--since", "2026-01-01T00:00Z"), [4, 3, 2, 1]),
            (("--until", "2026-01-01T00:00Z"), []),
        ],
    )
    def test_they_are_listed_by_what_they_have(
        self, dovecote: CommandLine, dead: str, options: tuple[str, ...], expected: list[int]
    ) -> None:
        assert dead
        assert [each["id"] for each in dovecote.ok("dead", "list", *options, "--json").json] == expected

    def test_the_selected_ones_are_replayed_a_few_a_minute(self, dovecote: CommandLine, dead: str) -> None:
        answered = dovecote.ok("dead", "replay", "--all", "--label", "sale", "--per-minute", "1", "--yes", "--json")

        assert answered.json == {"replayed": [1, 2], "not_dead": [], "without_payload": []}
        assert dead
        states = [dovecote.ok("notification", "show", id_, "--json").json["state"] for id_ in ("1", "2")]
        assert states == ["due", "scheduled"]

    def test_the_selected_ones_are_purged(self, dovecote: CommandLine, dead: str) -> None:
        assert dead
        assert dovecote.ok("dead", "purge", "--all", "--code", "403", "--yes").out == "2 dead letters are forgotten.\n"
        refused = dovecote("dead", "purge", "1", "3", "--yes")

        assert refused.out == "1 dead letter is forgotten.\n"
        assert "no dead letters: 3" in refused.err
        assert [each["id"] for each in dovecote.ok("dead", "list", "--json").json] == [2]

    @pytest.mark.parametrize(
        ("selection", "everything", "which"),
        [
            (Selection(), False, ""),
            (Selection(), True, " of all bots"),
            (Selection(bot="shop"), True, ' of the bot "shop"'),
            (Selection(bot="shop", error="poll"), True, " that you have selected"),
        ],
    )
    def test_a_question_says_which_ones_are_meant(self, selection: Selection, everything: bool, which: str) -> None:  # noqa: FBT001 (a parameter)
        assert pages.of_which(selection, everything=everything) == which

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("purge", "7", "--code", "400"), "goes with --all only"),
            (("purge",), "name the ids of dead letters, or --all"),
            (("list", "--since", "yesterday"), '"yesterday" is no instant'),
            (("list", "--since", "2026-02-01T00:00Z", "--until", "2026-01-01T00:00Z"), "nothing lies between"),
            (("replay", "--all", "--per-minute", "0"), "--per-minute"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(
        self, dovecote: CommandLine, arguments: tuple[str, ...], words: str
    ) -> None:
        dovecote.ok("init")

        answered = dovecote("dead", *arguments)

        assert answered.code == 2
        assert words in answered.err


class TestRecipients:
    def test_one_that_blocked_the_bot_is_listed_and_enabled(self, dovecote: CommandLine, emulator: str) -> None:
        dovecote.bot()
        send(dovecote, "one")
        answer(emulator, 403, "Forbidden: bot was blocked by the user")
        dovecote.ok("worker", "--until-empty")
        fetch(f"{emulator}/emulator/reset", {})

        (listed,) = dovecote.ok("recipient", "list", "--bot", "shop", "--json").json
        assert (listed["bot"], listed["chat"], listed["reason"]) == ("shop", "42", "blocked")
        assert "blocked" in dovecote.ok("recipient", "list", "--bot", "shop").out
        send(dovecote, "two")
        dovecote.ok("worker", "--until-empty")
        enabled = dovecote.ok("recipient", "enable", "--bot", "shop", "--chat", "42")
        send(dovecote, "three")
        dovecote.ok("worker", "--until-empty")

        assert enabled.out == 'The recipient 42 of the bot "shop" is enabled.\n'
        assert texts(emulator) == ["three"]
        assert dovecote.ok("recipient", "enable", "--bot", "shop", "--chat", "42", "--json").json == {"enabled": False}
        assert (
            dovecote.ok("recipient", "list", "--bot", "shop", "--disabled").out
            == 'No recipient of the bot "shop" is disabled.\n'
        )

    def test_a_group_or_a_topic_is_disabled_for_a_reason(self, dovecote: CommandLine) -> None:
        dovecote.bot()
        disable = ("recipient", "disable", "--bot", "shop", "--reason", "opted_out", "--chat")

        first = dovecote.ok(*disable, "-1001234/5")
        again = dovecote.ok(*disable, "-1001234/5", "--json")
        dovecote.ok(*disable, "@Shop_News")

        assert first.out == 'The recipient -1001234/5 of the bot "shop" is disabled.\n'
        assert again.json == {"disabled": False}
        page = dovecote.ok("recipient", "list", "--bot", "shop", "--limit", "1", "--json")
        assert [one["chat"] for one in page.json] == ["@shop_news"]
        assert page.err == "There are more: --before @shop_news\n"
        rest = dovecote.ok("recipient", "list", "--bot", "shop", "--before", "@shop_news", "--json").json
        assert [(one["chat"], one["reason"]) for one in rest] == [("-1001234/5", "opted_out")]

    @pytest.mark.parametrize(
        ("chat", "reason", "words"),
        [
            ("shop_news", "x", 'write "@shop_news"'),
            ("42/5", "x", "'42/5' is no topic"),
            ("-1001234/x", "x", "is no topic"),
            ("42", " ", "is no reason"),
        ],
    )
    def test_what_cannot_be_a_recipient_is_refused(
        self, dovecote: CommandLine, chat: str, reason: str, words: str
    ) -> None:
        dovecote.bot()

        refused = dovecote("recipient", "disable", "--bot", "shop", "--chat", chat, "--reason", reason)

        assert refused.code == 1
        assert words in refused.err
        assert "fault of Dovecote's own" not in refused.err

    def test_an_unknown_bot_is_named(self, dovecote: CommandLine) -> None:
        dovecote.bot()

        for arguments in (["recipient", "list"], ["chat", "unblock", "--chat", "42"]):
            refused = dovecote(*arguments, "--bot", "shpo")
            assert refused.code == 1
            assert 'no bot is named "shpo"' in refused.err


class TestWaiting:
    def test_a_chat_that_waits_is_explained_and_unblocked(self, dovecote: CommandLine, emulator: str) -> None:
        dovecote.bot()
        send(dovecote, "one", "two", chat="-1001234")
        assert waits(dovecote, "1") == "for nothing: a worker's next claim takes it"
        answer(emulator, 429, "Too Many Requests: retry after 3600", retry_after=3600)
        process = dovecote.start("worker")
        until(lambda: bool(dovecote.ok("notification", "show", "1", "--json").json["attempts"]))
        process.terminate()
        process.communicate(timeout=60)
        fetch(f"{emulator}/emulator/reset", {})

        assert waits(dovecote, "1").startswith("told to wait until ")
        assert waits(dovecote, "1").endswith(" UTC: Too Many Requests: retry after 3600")
        assert waits(dovecote, "2").startswith("blocked by 1 of its chat, which is waiting until ")
        assert "; Telegram told its chat to wait until " in waits(dovecote, "2")
        held, halted = dovecote.ok("notification", "show", "2", "--json").json["waits_for"]
        assert halted["reason"] == "chat_halted"
        assert (held["reason"], held["behind"], held["detail"]) == ("blocked", 1, "waiting")
        unblocked = dovecote.ok("chat", "unblock", "--bot", "shop", "--chat", "-1001234", "--json").json
        assert 1 <= unblocked["due"] <= 2
        dovecote.ok("worker", "--until-empty")
        assert texts(emulator) == ["one", "two"]
        assert "waits" not in dovecote.ok("notification", "show", "2").out.split()
        assert dovecote.ok("chat", "unblock", "--bot", "shop", "--chat", "-1001234").out == (
            "0 notifications are due now.\n"
        )

    def test_every_reason_has_its_words(self) -> None:
        assert set(lives.WAITS) == set(WaitReason)

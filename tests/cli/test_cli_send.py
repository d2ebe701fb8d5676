"""`send` and `notification show`, `stats`: into the outbox and seen there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from command_line import CommandLine


@pytest.fixture(autouse=True)
def outbox(dovecote: CommandLine) -> None:
    dovecote.bot()


class TestSend:
    def test_it_enqueues_and_says_that_it_does_not_deliver(self, dovecote: CommandLine) -> None:
        answer = dovecote.ok("send", "--bot", "shop", "--chat", "42", "On its way")

        assert answer.out == (
            "Notification 1 is enqueued. A worker delivers it (`dovecote run`), this command does not.\n"
        )
        stats = dovecote.ok("stats", "--json").json
        assert stats.pop("now").keys() == {"outbox", "broadcasts", "leadership"}
        assert stats == {
            "bot": None,
            "due": 1,
            "scheduled": 0,
            "leased": 0,
            "oldest_due": pytest.approx(0, abs=60),
            "delivered": 0,
            "dead": 0,
            "unknown": 0,
            "stars_spent": 0.0,
        }

    def test_all_that_was_asked_for_is_kept(self, dovecote: CommandLine) -> None:
        id_ = dovecote.ok(
            *("send", "--bot", "shop", "--chat", "-1001234567890", "<b>Sale</b>", "--key", "sale-1"),
            *("--priority", "bulk", "--at", "2126-01-31T09:00+01:00", "--expires", "2126-01-31T18:00Z"),
            *("--parse-mode", "HTML", "--at-most-once", "--label", "promo", "--label", "winter", "--json"),
            *("--param", "disable_notification=true", "--param", 'reply_markup={"remove_keyboard": true}'),
        ).json["id"]

        shown = dovecote.ok("notification", "show", str(id_), "--json").json
        del shown["enqueued_at"]
        assert shown == {
            "attachments": [],
            "id": 1,
            "bot": "shop",
            "chat": "-1001234567890",
            "method": "sendMessage",
            "params": {
                "text": "<b>Sale</b>",
                "parse_mode": "HTML",
                "disable_notification": True,
                "reply_markup": {"remove_keyboard": True},
            },
            "priority": "bulk",
            "delivery": "at_most_once",
            "key": "sale-1",
            "labels": ["promo", "winter"],
            "category": None,
            "quiet": None,
            "state": "scheduled",
            "planned_at": "2126-01-31T08:00:00+00:00",
            "due_at": "2126-01-31T08:00:00+00:00",
            "expires_at": "2126-01-31T18:00:00+00:00",
            "settled_at": None,
            "lost_leases": 0,
            "attempts": [],
            "error_code": None,
            "error": None,
            "payload_removed_at": None,
            "waits_for": [
                {"reason": "scheduled", "until": "2126-01-31T08:00:00+00:00", "behind": None, "detail": ""},
            ],
        }

    def test_any_method_can_be_sent(self, dovecote: CommandLine) -> None:
        dovecote.ok(
            *("send", "--bot", "shop", "--chat", "@news"), *("--method", "sendPhoto", "--param", "photo=AgAC-x")
        )

        shown = dovecote.ok("notification", "show", "1", "--json").json
        assert (shown["method"], shown["chat"], shown["params"]) == ("sendPhoto", "@news", {"photo": "AgAC-x"})

    def test_a_known_key_answers_the_first_id(self, dovecote: CommandLine) -> None:
        send = ("send", "--bot", "shop", "--chat", "42", "text", "--key", "a")

        answers = [dovecote.ok(*send, "--json").json for _ in range(2)]

        assert answers == [{"id": 1, "known": False}, {"id": 1, "known": True}]
        assert dovecote.ok(*send).out == "Nothing is enqueued: the key is known already, it is notification 1.\n"
        assert dovecote.ok("stats", "--json").json["due"] == 1

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["--bot", "shpo", "--chat", "42", "x"], 1, 'no bot is named "shpo" (there are: "shop")'),
            (["--bot", "shop", "--chat", "42", ""], 1, "text:"),
            (["--bot", "shop", "--chat", "0", "x"], 1, "chat_id:"),
            (["--bot", "shop", "x"], 1, "chat_id:"),
            (["--bot", "shop", "--chat", "42", "x", "--at", "2126-01-31T09:00"], 2, "has no zone"),
            (["--bot", "shop", "--chat", "42", "x", "--at", "2126-01-31"], 2, "write 2126-01-31T00:00:00Z for UTC"),
            (["--bot", "shop", "--chat", "42", "x", "--at", "9999-12-31T00:00Z"], 1, "beyond the years 2000 to 9998"),
            (["--bot", "shop", "--chat", "42", "x", "--param", "a=" + "[" * 100_000], 2, "a is nested too deep"),
            (["--bot", "sh\udcffop", "--chat", "42", "x"], 2, 'the argument "sh\\udcffop" is not UTF-8'),
            (["--bot", "shop", "--chat", "42", "x", "--expires", "tomorrow"], 2, '"tomorrow" is no instant'),
            (["--bot", "shop", "--chat", "42", "x", "--param", "silent"], 2, "NAME=JSON"),
            (["--bot", "shop", "--chat", "42", "x", "--param", "a={1}"], 2, "a is no JSON"),
            (["--bot", "shop", "--chat", "42", "x", "--priority", "high"], 2, "--priority"),
            (["--chat", "42", "x"], 2, "--bot"),
            (
                ["--bot", "shop", "--chat", "42", "x", "--parse-mode", "Wiki"],
                2,
                '"Wiki" is none: give HTML, MarkdownV2',
            ),
            (
                ["--bot", "shop", "--chat", "42", "x", "--param", "allow_paid_broadcast=true"],
                1,
                "a bot's paid pace and its budget of Stars decide",
            ),
        ],
    )
    def test_what_cannot_be_is_refused_and_nothing_is_written(
        self, dovecote: CommandLine, arguments: list[str], code: int, words: str
    ) -> None:
        answer = dovecote("send", *arguments)

        assert answer.code == code
        assert words in answer.err
        assert answer.out == ""
        assert dovecote.ok("stats", "--json").json["due"] == 0


class TestNotificationShow:
    def test_people_read_it_as_it_is_and_no_control_characters(self, dovecote: CommandLine) -> None:
        dovecote.ok("send", "--bot", "shop", "--chat", "42", "[bold]\x1b[31mred[/bold]", "--key", "a\x1b[2J")

        out = dovecote.ok("notification", "show", "1").out

        assert "\x1b" not in out
        assert "[bold]" in out
        assert "key          a\\x1b[2J\n" in out
        assert "state        due\n" in out
        assert " UTC\n" in out

    def test_an_unknown_one_is_told(self, dovecote: CommandLine) -> None:
        answer = dovecote("notification", "show", "9")

        assert answer.code == 1
        assert "no notification has the id 9" in answer.err

    @pytest.mark.parametrize("id_", ["0", "9223372036854775808", "9" * 30])
    def test_one_that_no_database_could_hold_is_told_as_well(self, dovecote: CommandLine, id_: str) -> None:
        answer = dovecote("notification", "show", id_)

        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith(f"Error: no notification has the id {id_}:")
        replayed = dovecote("dead", "replay", id_, "--yes")
        assert replayed.code == 1
        assert f"no dead letters: {id_}." in replayed.err
        before = dovecote("dead", "list", "--before", id_)
        assert before.code == 2
        assert "--before" in before.err


class TestStats:
    def test_people_get_the_words_of_the_terms(self, dovecote: CommandLine) -> None:
        names = [line.split()[0] for line in dovecote.ok("stats").out.splitlines()]

        assert names == ["due", "scheduled", "leased", "delivered", "dead", "unknown", "Stars"]

    def test_one_bots_alone_are_counted(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "other", "--token-variable", "X")
        dovecote.ok("send", "--bot", "shop", "--chat", "42", "x")

        assert dovecote.ok("stats", "--bot", "shop", "--json").json["due"] == 1
        assert dovecote.ok("stats", "--bot", "other", "--json").json["due"] == 0
        assert 'no bot is named "x"' in dovecote("stats", "--bot", "x").err

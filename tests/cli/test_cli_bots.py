"""`bot`: tokens come in by any way but the command line, and never out."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from command_line import SECONDS, TOKEN

from dovecote.vault import generate_key

if TYPE_CHECKING:
    from command_line import CommandLine

OTHER = "987654321:ZZyyXXwwVVuuTTssRRqqPPooNNmmLLkkJJi"


@pytest.fixture(autouse=True)
def outbox(dovecote: CommandLine) -> None:
    dovecote.ok("init")


class TestAdd:
    def test_the_token_is_read_from_standard_input(self, dovecote: CommandLine) -> None:
        answer = dovecote.ok("bot", "add", "shop", given=f"  {TOKEN}\n")

        assert answer.out == (
            'The bot "shop" is added; its token is sealed. Pace 30/s, private chats 3/3s, groups 20/60s.\n'
        )
        assert dovecote.ok("bot", "show", "shop", "--json").json["token_fault"] is None

    def test_or_from_a_file(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "token").write_text(f"{TOKEN}\n")

        dovecote.ok("bot", "add", "shop", "--token-file", "token")

        assert dovecote.ok("bot", "show", "shop", "--json").json["token_fault"] is None

    def test_or_its_variable_is_named(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", "--token-variable", "SHOP_TOKEN")

        shown = dovecote.ok("bot", "show", "shop", "--json").json
        assert (shown["token"], shown["token_variable"]) == ("variable", "SHOP_TOKEN")
        assert "SHOP_TOKEN" in shown["token_fault"]
        dovecote.variable("SHOP_TOKEN", TOKEN)
        assert dovecote.ok("bot", "show", "shop", "--json").json["token_fault"] is None

    def test_or_asked_for_at_a_terminal_that_does_not_show_it(self, dovecote: CommandLine) -> None:
        terminal, inside = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "dovecote", "bot", "add", "shop"],
            cwd=dovecote.folder,
            stdin=inside,
            stdout=subprocess.PIPE,
            stderr=inside,
            text=True,
            start_new_session=True,  # without a terminal of its own, or the prompt would be on the tester's
        )
        os.close(inside)
        seen = b""
        while b"nothing is shown" not in seen:
            seen += os.read(terminal, 4096)

        os.write(terminal, f"{TOKEN}\n".encode())

        out, _ = process.communicate(timeout=SECONDS)
        seen += os.read(terminal, 4096)
        os.close(terminal)
        assert process.returncode == 0
        assert 'The bot "shop" is added' in out
        assert TOKEN not in out + seen.decode()
        assert dovecote.ok("bot", "show", "shop", "--json").json["token_fault"] is None

    def test_its_limits_are_as_given(self, dovecote: CommandLine) -> None:
        dovecote.ok(
            *("bot", "add", "shop", "--pace", "12.5", "--private-limit", "5/2s", "--group-limit", "off"), given=TOKEN
        )

        (bot,) = dovecote.ok("bot", "list", "--json").json
        assert (bot["pace"], bot["private_limit"], bot["group_limit"]) == (12.5, {"messages": 5, "seconds": 2.0}, None)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--pace", "0"),
            ("--pace", "-1"),
            ("--pace", "inf"),
            ("--pace", "fast"),
            ("--private-limit", "3"),
            ("--private-limit", "0/3s"),
            ("--private-limit", "3/0s"),
            ("--group-limit", "20/never"),
        ],
    )
    def test_a_limit_that_cannot_be_is_wrong_usage(self, dovecote: CommandLine, option: str, value: str) -> None:
        answer = dovecote("bot", "add", "shop", option, value, given=TOKEN)

        assert answer.code == 2
        assert option in answer.err
        assert f'"{value}"' in answer.err
        assert dovecote.ok("bot", "list", "--json").json == []

    def test_a_name_that_is_taken_is_refused_before_the_token_is_asked_for(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", given=TOKEN)

        answer = dovecote("bot", "add", "shop", given="no token at all")

        assert answer.code == 1
        assert 'there is a bot named "shop" already' in answer.err
        assert "dovecote bot token shop" in answer.err

    def test_a_name_that_cannot_be_is_refused(self, dovecote: CommandLine) -> None:
        answer = dovecote("bot", "add", "the shop", given=TOKEN)

        assert answer.code == 1
        assert "'the shop' cannot be a bot's name" in answer.err

    def test_what_is_no_token_is_refused_and_not_repeated(self, dovecote: CommandLine) -> None:
        answer = dovecote("bot", "add", "shop", given="12345:tooshort")

        assert answer.code == 1
        assert "this is no bot token" in answer.err
        assert "tooshort" not in answer.out + answer.err

    def test_a_file_that_is_not_there_is_named(self, dovecote: CommandLine) -> None:
        answer = dovecote("bot", "add", "shop", "--token-file", "nowhere")

        assert answer.code == 1
        assert '"nowhere" cannot be read' in answer.err

    def test_a_variable_that_would_be_a_setting_is_wrong_usage(self, dovecote: CommandLine) -> None:
        answer = dovecote("bot", "add", "shop", "--token-variable", "DOVECOTE_SHOP")

        assert answer.code == 2
        assert "DOVECOTE_TOKEN_" in answer.err

    def test_file_and_variable_together_are_wrong_usage(self, dovecote: CommandLine) -> None:
        answer = dovecote("bot", "add", "shop", "--token-file", "x", "--token-variable", "X")

        assert answer.code == 2

    def test_without_a_key_to_seal_with_it_names_the_settings(self, dovecote: CommandLine) -> None:
        (dovecote.folder / "bare.toml").write_text("")

        answer = dovecote("--config", "bare.toml", "bot", "add", "shop", given=TOKEN)

        assert answer.code == 1
        assert "encryption.keys" in answer.err


class TestOnTheCommandLine:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["bot", "add", "shop", TOKEN],
            ["bot", "add", TOKEN],
            ["bot", "add", "shop", "--token", TOKEN],
            ["bot", "add", "shop", f"--token={TOKEN}"],
            ["bot", "add", "shop", "--token-variable", TOKEN],
            ["bot", "token", "shop", TOKEN],
            ["send", "--bot", "shop", "--chat", "1", TOKEN],
            [TOKEN],
        ],
    )
    def test_a_token_is_refused_with_the_reason_and_not_repeated(
        self, dovecote: CommandLine, arguments: list[str]
    ) -> None:
        answer = dovecote(*arguments, given=TOKEN)

        assert answer.code == 2
        assert "history" in answer.err
        assert TOKEN[:20] not in answer.out + answer.err
        assert dovecote.ok("bot", "list", "--json").json == []

    @pytest.mark.parametrize("arguments", [["shop", "mistyped"], ["shop", "--token", "mistyped"]])
    def test_so_is_what_only_stands_where_one_would(self, dovecote: CommandLine, arguments: list[str]) -> None:
        for command in ("add", "token"):
            answer = dovecote("bot", command, *arguments, given=TOKEN)

            assert answer.code == 2
            assert "history" in answer.err
            assert "mistyped" not in answer.err


class TestToken:
    def test_it_is_replaced(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", "--token-variable", "NOT_SET")

        answer = dovecote.ok("bot", "token", "shop", given=OTHER)

        shown = dovecote.ok("bot", "show", "shop", "--json").json
        assert (shown["token"], shown["token_fault"]) == ("sealed", None)
        assert OTHER not in answer.out + answer.err

    def test_an_unknown_bot_is_named_with_those_that_there_are(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", given=TOKEN)

        for command in (["token", "shpo"], ["show", "shpo"], ["limits", "shpo", "--pace", "1"]):
            answer = dovecote("bot", *command, given="no token")

            assert answer.code == 1
            assert 'no bot is named "shpo" (there are: "shop")' in answer.err


class TestLimits:
    def test_what_is_not_named_stays(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", "--pace", "7", "--private-limit", "off", given=TOKEN)

        answer = dovecote.ok("bot", "limits", "shop", "--group-limit", "10/30s")

        assert answer.out == 'The bot "shop": pace 7/s, private chats off, groups 10/30s, paid broadcasts off.\n'

    def test_nothing_named_is_wrong_usage(self, dovecote: CommandLine) -> None:
        assert dovecote("bot", "limits", "shop").code == 2

    def test_a_paid_pace_and_its_budget(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", given=TOKEN)

        both = dovecote.ok("bot", "limits", "shop", "--paid-pace", "500", "--stars-per-day", "1000")
        pace = dovecote.ok("bot", "limits", "shop", "--paid-pace", "600")
        budget = dovecote.ok("bot", "limits", "shop", "--stars-per-day", "20")
        shown = dovecote.ok("bot", "show", "shop")
        as_json = dovecote.ok("bot", "show", "shop", "--json").json
        off = dovecote.ok("bot", "limits", "shop", "--paid-pace", "off")

        assert both.out.endswith("paid broadcasts 500/s for at most 1,000 Stars a day.\n")
        assert pace.out.endswith("paid broadcasts 600/s for at most 1,000 Stars a day.\n")
        assert budget.out.endswith("paid broadcasts 600/s for at most 20 Stars a day.\n")
        assert "600/s for at most 20 Stars a day; 0.0 spent since midnight UTC\n" in shown.out
        assert (as_json["paid_pace"], as_json["stars_per_day"], as_json["stars_spent"]) == (600, 20, 0)
        assert off.out.endswith("paid broadcasts off.\n")

    def test_both_paces_at_once_in_either_direction(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", "--pace", "30", given=TOKEN)
        limits = ("bot", "limits", "shop", "--stars-per-day", "9")

        dovecote.ok(*limits, "--paid-pace", "40")
        up = dovecote.ok(*limits, "--pace", "50", "--paid-pace", "500")
        down = dovecote.ok(*limits, "--pace", "10", "--paid-pace", "20")

        assert "pace 50/s," in up.out
        assert "paid broadcasts 500/s" in up.out
        assert "pace 10/s," in down.out
        assert "paid broadcasts 20/s" in down.out

    @pytest.mark.parametrize(
        ("options", "code", "words"),
        [
            (["--paid-pace", "500"], 2, "give both --paid-pace and --stars-per-day"),
            (["--stars-per-day", "5"], 2, "give both --paid-pace and --stars-per-day"),
            (["--paid-pace", "off", "--stars-per-day", "5"], 2, "that is off"),
            (["--paid-pace", "2000", "--stars-per-day", "5"], 1, "Telegram takes at most 1000/s"),
            (["--paid-pace", "20", "--stars-per-day", "5"], 1, "has to be above its pace"),
            (["--paid-pace", "fast", "--stars-per-day", "5"], 2, "give messages per second above 0"),
            (["--paid-pace", "500", "--stars-per-day", "0"], 2, "--stars-per-day"),
        ],
    )
    def test_what_cannot_be_paid_for(self, dovecote: CommandLine, options: list[str], code: int, words: str) -> None:
        dovecote.ok("bot", "add", "shop", given=TOKEN)

        answer = dovecote("bot", "limits", "shop", *options)

        assert (answer.code, words in answer.err) == (code, True), answer.err


class TestNamesakes:
    def test_two_bots_with_tokens_of_one_bot_are_warned_of(self, dovecote: CommandLine) -> None:
        dovecote.variable("NEWS_TOKEN", TOKEN)
        alone = dovecote.ok("bot", "add", "shop", given=TOKEN)
        again = dovecote.ok("bot", "add", "news", "--token-variable", "NEWS_TOKEN")
        other = dovecote.ok("bot", "add", "other", given="777:" + "B" * 35)
        changed = dovecote.ok("bot", "token", "other", given=TOKEN.partition(":")[0] + ":" + "Z" * 35)

        assert (alone.err, other.err) == ("", "")
        assert again.err.startswith('Warning: "shop" and "news" have tokens of one and the same bot of Telegram\'s.')
        assert changed.err.startswith('Warning: "news", "shop" and "other" have tokens of one and the same bot')

    def test_one_whose_token_cannot_be_read_here_is_passed_over(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", "--token-variable", "NOT_SET")

        assert dovecote.ok("bot", "add", "news", given=TOKEN).err == ""


class TestReseal:
    def test_after_a_rotation_the_new_key_is_enough(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", given=TOKEN)
        dovecote.ok("bot", "add", "other", "--token-variable", "OTHER")
        keys = dovecote.folder / "dovecote.keys"
        new = generate_key()
        old = keys.read_text()
        keys.write_text(f"{new}\n{old}")

        answer = dovecote.ok("bot", "reseal")

        assert answer.out.startswith("1 token sealed with the first key.")
        keys.write_text(new)
        assert dovecote.ok("bot", "show", "shop", "--json").json["token_fault"] is None
        keys.write_text(old)
        assert (
            "was not sealed with any of the 1 key" in dovecote.ok("bot", "show", "shop", "--json").json["token_fault"]
        )


class TestShow:
    def test_people_get_tables(self, dovecote: CommandLine) -> None:
        dovecote.ok("bot", "add", "shop", given=TOKEN)

        listed = dovecote.ok("bot", "list").out
        shown = dovecote.ok("bot", "show", "shop").out

        assert "shop" in listed
        assert "30/s" in listed
        assert "token            sealed; it can be read here\n" in shown
        assert "paid broadcasts  off\n" in shown

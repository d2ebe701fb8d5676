"""`dovecote recipient`: what is known of recipients, told, shown and listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from command_line import CommandLine

OF_42 = ("--bot", "shop", "--chat", "42")


def test_what_is_told_is_shown_and_listed(dovecote: CommandLine) -> None:
    dovecote.bot()
    none = dovecote.ok("recipient", "list", "--bot", "shop")

    told = dovecote.ok(
        *("recipient", "set", *OF_42, "--zone", "Europe/Berlin", "--language", "pt-br", "--label", "gold"),
        *(
            "--label",
            "vip",
            "--opted-out",
            "news",
            "--quiet-hours",
            "22:00-08:00 urgent",
            "--seen",
            "2026-01-05T12:00Z",
        ),
    )
    shown = dovecote.ok("recipient", "show", *OF_42, "--json").json

    assert none.out == 'No recipient of the bot "shop" is known.\n'
    assert "22:00-08:00 urgent" in told.out
    assert shown.pop("told_at") is not None
    assert shown == {
        "bot": "shop",
        "chat": "42",
        "disabled_at": None,
        "reason": None,
        "zone": "Europe/Berlin",
        "language": "pt-BR",
        "labels": ["gold", "vip"],
        "opted_out": ["news"],
        "quiet_hours": "22:00-08:00 urgent",
        "seen_at": "2026-01-05T12:00:00+00:00",
        "delivered_at": None,
        "blocked_at": None,
    }
    assert "gold, vip" in dovecote.ok("recipient", "list", "--bot", "shop").out
    assert dovecote.ok("recipient", "list", "--bot", "shop", "--disabled", "--json").json == []


def test_what_is_cleared_goes_and_the_rest_stays(dovecote: CommandLine) -> None:
    dovecote.bot()
    dovecote.ok("recipient", "set", *OF_42, "--language", "pt", "--label", "gold", "--opted-out", "news")

    known = dovecote.ok("recipient", "set", *OF_42, "--clear", "labels", "--clear", "opted-out", "--json").json

    assert (known["language"], known["labels"], known["opted_out"]) == ("pt", [], [])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("set", "--language", "?", "--zone", "x"), 1, ["is no language tag", "is no zone"]),
        (("set", "--quiet-hours", "8"), 1, ["as 22:00-08:00"]),
        (("set", "--seen", "yesterday"), 2, ["is no instant"]),
        (("set", "--label", "x", "--clear", "labels"), 2, ["labels: it is given as well"]),
        (("set", "--clear", "bot"), 2, ["'bot' is not one of"]),
        (("show",), 1, ["nothing is known of the recipient 42", "dovecote recipient set"]),
    ],
)
def test_what_cannot_be_is_refused(
    dovecote: CommandLine, arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    dovecote.bot()

    refused = dovecote("recipient", *arguments, *OF_42)

    assert refused.code == code
    for each in words:
        assert each in refused.err

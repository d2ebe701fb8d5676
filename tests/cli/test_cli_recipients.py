"""`dovecote recipient`: what is known of recipients, told, shown and listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dovecote.cli.lives import WAITS
from dovecote.model import WaitReason

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import CommandLine

OF_42 = ("--bot", "shop", "--chat", "42")
SET_42 = ("recipient", "set", *OF_42)


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


def test_what_is_exported_can_be_imported_and_bad_lines_are_named(dovecote: CommandLine, tmp_path: Path) -> None:
    dovecote.bot()
    dovecote.ok("bot", "add", "desk", "--token-variable", "DESK_TOKEN")
    dovecote.ok(
        *SET_42, "--zone", "Europe/Berlin", "--label", "a, b", "--label", "c", "--quiet-hours", "22:00-08:00 silent"
    )
    dovecote.ok("recipient", "disable", "--bot", "shop", "--chat", "-100", "--reason", "opted_out")
    known = dovecote.ok("recipient", "list", "--bot", "shop", "--json").json

    for format_ in ("csv", "jsonl"):
        file = tmp_path / f"all.{format_}"
        dovecote.ok("recipient", "export", "--bot", "shop", "--format", format_, "--output", str(file))
        assert dovecote.ok("recipient", "import", str(file), "--bot", "desk", "--json").json["taken"] == 2
    again = dovecote.ok("recipient", "list", "--bot", "desk", "--json").json
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"chat_id": 7, "language": "de"}\n{"chat_id": "x", "zone": "y"}\n{')
    refused = dovecote("recipient", "import", str(bad), "--bot", "desk")

    for one in [*known, *again]:
        del one["bot"], one["told_at"]
    assert again == known
    assert refused.code == 1
    assert refused.out == "1 recipient is told of, 2 lines are bad.\n"
    assert "line 2: chat_id: 'x' is no chat" in refused.err
    assert "line 3: it is no JSON" in refused.err


def test_a_person_is_erased(dovecote: CommandLine) -> None:
    dovecote.bot()
    dovecote.ok(*SET_42, "--label", "gold")
    dovecote.ok("send", *OF_42, "--category", "orders", "--quiet", "pass", "Dear Ada")
    asked = dovecote("recipient", "erase", *OF_42)

    erased = dovecote.ok("recipient", "erase", *OF_42, "--yes")

    assert (asked.code, "add --yes" in asked.err) == (1, True)
    assert erased.out.startswith("Erased: 1 that waited, 0 of the history")
    assert dovecote("recipient", "show", *OF_42).code == 1


def test_every_reason_to_wait_has_words() -> None:
    assert WAITS.keys() == set(WaitReason)


def test_a_draft_for_a_segment(dovecote: CommandLine) -> None:
    dovecote.bot()
    dovecote.ok(*SET_42, "--label", "gold", "--language", "pt-BR", "--seen", "now", "--opted-out", "polls")
    segment = ("--everybody", "--segment-label", "gold", "--segment-language", "pt", "--segment-category", "news")
    since = ("--segment-seen-since", "2020-01-01T00:00Z")
    create = ("broadcast", "create", "--bot", "shop", "--text", "x", "--category", "news", "--quiet", "silent")

    dovecote.ok(*create, "news", *segment, *since)
    refused = dovecote(*create, "two", "--segment-label", "gold")

    assert dovecote.ok("broadcast", "show", "news", "--json").json["counts"]["recipients"] == 1
    assert (refused.code, "it goes with --everybody only" in refused.err) == (2, True)


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

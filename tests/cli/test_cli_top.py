"""`top`: how the outbox stands, once, for programs, and again and again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from dovecote.app import Dovecote
from dovecote.broadcast import Broadcast
from dovecote.cli.top import follow
from dovecote.cli.top_view import shared, view
from dovecote.errors import StoreUnavailable

if TYPE_CHECKING:
    from command_line import CommandLine

    from dovecote.model import Situation


@pytest.fixture(autouse=True)
def _outbox(dovecote: CommandLine) -> None:
    dovecote.bot()
    dovecote.ok("bot", "limits", "shop", "--pace", "30")
    dovecote.ok("send", "--bot", "shop", "--chat", "42", "--priority", "urgent", "x")


def test_once_for_people(dovecote: CommandLine) -> None:
    shown = dovecote.ok("top", "--once").out

    for words in (
        "urgent 1 (oldest",
        "shop",
        "30/s",
        "works",
        "nobody leads",
        "oldest snapshot: none",
        "0.0 delivered",
    ):
        assert words in shown


def test_once_for_programs(dovecote: CommandLine) -> None:
    found = dovecote.ok("top", "--json").json

    assert found["outbox"]["due"]["urgent"] == {"due": 1, "oldest": pytest.approx(0, abs=60)}
    (bot,) = found["outbox"]["bots"]
    assert (bot["name"], bot["pace"], bot["pace_now"], bot["halted_for"]) == ("shop", 30.0, 30.0, 0.0)
    assert found["leadership"] == dovecote.ok("leader", "--json").json
    again = dovecote.ok("stats", "--json").json["now"]
    assert again["outbox"]["bots"][0]["due"]["urgent"]["due"] == 1


def test_without_a_terminal_it_says_what_to_do(dovecote: CommandLine) -> None:
    answer = dovecote("top")

    assert answer.code == 1
    assert answer.err == "Error: top needs a terminal to draw on: add --once, or --json for programs.\n"


def test_an_unknown_bot_is_refused(dovecote: CommandLine) -> None:
    assert 'no bot is named "x"' in dovecote("top", "--once", "--bot", "x").err


@pytest.mark.parametrize(
    ("wanted", "lines", "given"),
    [
        ((2, 1, 2), 30, [2, 1, 2]),
        # Bots take what the others leave.
        ((100, 2, 2), 18, [14, 2, 2]),
        ((100, 40, 20), 20, [7, 7, 6]),
        # No screen is too small for the first few.
        ((100, 40, 20), 1, [3, 3, 3]),
        ((5,), 2, [3]),
    ],
)
def test_a_screen_is_shared(wanted: tuple[int, ...], lines: int, given: list[int]) -> None:
    assert shared(wanted, lines) == given


def drawn(found: Situation, *, width: int, height: int) -> list[str]:
    page = io.StringIO()
    Console(file=page, width=width).print(view(found, height=height))
    return page.getvalue().splitlines()


async def test_a_small_screen_shows_of_each_the_most_telling_and_cuts_nothing_off(dovecote: CommandLine) -> None:
    async with Dovecote(f"sqlite:///{dovecote.folder}/dovecote.db") as outbox:
        for name in (*(f"quiet{number:02}" for number in range(40)), "a_name_that_is_too_long_for_the_screen"):
            await outbox.add_bot(name, token_variable="X")
        for name in ("news", "offer"):
            await outbox.broadcasts.create(Broadcast(name=name, bot="shop", text="x"), [1, 2])
            await outbox.broadcasts.start(name)
        found = await outbox.situation()

    lines = drawn(found, width=80, height=24)

    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    # Names are cut short, and numbers are not.
    assert lines[3].split() == ["bot", "pace", "429s", "due", "oldest", "delivered/s", "dead/s", "unknown/s", "state"]
    assert lines[5].split()[1:5] == ["30/s", "0", "1", lines[5].split()[4]]
    assert lines[5].startswith("shop ")
    assert "... and 28 more" in lines
    assert [line.split()[0] for line in lines[-2:]] == ["offer", "news"]
    assert len(drawn(found, width=80, height=100)) < 60


class Stop(Exception):
    """Ends what has no end."""


async def test_it_is_read_each_second_and_an_outage_leaves_the_last_numbers(dovecote: CommandLine) -> None:
    async with Dovecote(f"sqlite:///{dovecote.folder}/dovecote.db") as outbox:
        found = await outbox.situation()
    answers: list[Situation | StoreUnavailable] = [
        StoreUnavailable("no road"),
        found,
        StoreUnavailable("no way"),
        found,
    ]
    shown: list[tuple[Situation | None, str | None]] = []
    pauses: list[float] = []

    async def read() -> Situation:
        answer = answers.pop(0)
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if not answers:
            raise Stop

    with pytest.raises(Stop):
        await follow(read, lambda situation, problem: shown.append((situation, problem)), pause=pause)

    assert shown == [(None, "no road"), (found, None), (found, "no way"), (found, None)]
    assert pauses == [1.0] * 5
    page = io.StringIO()
    Console(file=page, width=160).print(view(found, "no way"))
    assert page.getvalue().startswith("The database does not answer, and this is how it was: no way")


def test_broadcasts_under_way_are_shown_with_their_progress(dovecote: CommandLine) -> None:
    for name in ("news", "draft"):
        dovecote.ok("broadcast", "create", name, "--bot", "shop", "--text", "x", "--chat", "1", "--chat", "2")
    dovecote.ok("broadcast", "start", "news", "--yes")
    dovecote.ok("broadcast", "pause", "news")

    assert dovecote.ok("top", "--json").json["broadcasts"] == [
        {
            "name": "news",
            "bot": "shop",
            "state": "paused",
            "reason": "by hand",
            "settled": 0,
            "recipients": 2,
            "rate": None,
            "ends_in": None,
        }
    ]
    dovecote.ok("bot", "add", "other", "--token-variable", "X")
    assert dovecote.ok("top", "--json", "--bot", "other").json["broadcasts"] == []
    assert "paused: by hand" in dovecote.ok("top", "--once").out

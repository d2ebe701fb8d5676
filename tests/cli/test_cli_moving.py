"""`adopt`, `compare`, `switch`, and `--shadow`."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from command_line import TOKEN

if TYPE_CHECKING:
    from command_line import CommandLine

DESCRIBED = """
bot = "shop"
table = "old"
[columns]
id = "id"
chat_id = "chat"
text = "body"
[waiting]
where = "state = 'new'"
afterwards = "mark"
mark = { state = "adopted" }
[sent]
where = "state = 'sent'"
sent_at = "sent_at"
"""


@pytest.fixture
def old(dovecote: CommandLine) -> sqlite3.Connection:
    """An old table with three rows that wait, beside an outbox with a bot."""
    dovecote.bot()
    (dovecote.folder / "old.toml").write_text(DESCRIBED)
    connection = sqlite3.connect(dovecote.folder / "dovecote.db", isolation_level=None)
    connection.execute("CREATE TABLE old (id INTEGER PRIMARY KEY, chat INTEGER, body TEXT, state TEXT, sent_at TEXT)")
    connection.executemany("INSERT INTO old VALUES (?, 42, ?, 'new', NULL)", [(1, "one"), (2, ""), (3, "three")])
    return connection


def test_rows_are_adopted_and_those_that_cannot_be_are_named(dovecote: CommandLine, old: sqlite3.Connection) -> None:
    first = dovecote("adopt", "old.toml")
    old.execute("UPDATE old SET body = 'two' WHERE id = 2")
    second = dovecote.ok("adopt", "old.toml", "--after", "1", "--json")
    old.close()

    assert first.code == 1
    assert first.out.splitlines()[0] == "Adopted: 2 rows."
    assert first.out.splitlines()[1].startswith("Left as it is: the row 2: ")
    assert "2 adopted so far, up to the id 3" in first.err
    assert second.json == {"adopted": 1, "refused": [], "last": 2}
    assert dovecote.ok("stats", "--json").json["due"] == 3


def test_both_paths_are_compared(dovecote: CommandLine, emulator: str, old: sqlite3.Connection) -> None:
    assert emulator
    old.execute("UPDATE old SET state = 'sent', sent_at = '2026-01-05T12:00:00+00:00'")
    old.execute("UPDATE old SET body = 'two' WHERE id = 2")
    for text in ("one", "two", "four"):
        dovecote.ok("send", "--bot", "shop", "--chat", "42", text)
    dovecote.ok("worker", "--shadow", "--until-empty")

    differs = dovecote("compare", "old.toml")
    listed = dovecote("compare", "old.toml", "--json").json
    old.execute("UPDATE old SET body = 'four' WHERE id = 3")
    agrees = dovecote.ok("compare", "old.toml")
    old.close()

    assert differs.code == 1
    assert differs.out.splitlines()[0] == "2 the same, 1 missing, 1 extra."
    assert '{"text": "three"}' in differs.out
    assert listed == {
        "agrees": False,
        "same": 2,
        "missing": [{"chat": "42", "method": "sendMessage", "params": '{"text": "three"}'}],
        "extra": [{"chat": "42", "method": "sendMessage", "params": '{"text": "four"}'}],
        "reordered": [],
    }
    assert agrees.out == "3 the same, 0 missing, 0 extra.\n"


def test_an_instant_needs_a_zone(dovecote: CommandLine, old: sqlite3.Connection) -> None:
    old.close()
    for since, words in (("yesterday", "is no instant"), ("2026-01-05T12:00:00", "has no zone")):
        answer = dovecote("compare", "old.toml", "--since", since)

        assert answer.code == 1
        assert words in answer.err


@pytest.mark.parametrize("command", [["worker", "--shadow"], ["run", "--shadow"]])
def test_a_shadow_without_an_emulator_does_not_begin(dovecote: CommandLine, command: list[str]) -> None:
    dovecote.bot()
    dovecote.variable("DOVECOTE_TELEGRAM_BASE_URL", "http://127.0.0.1:1")

    answer = dovecote(*command)

    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: nobody answers at http://127.0.0.1:1: ")


def test_shares_are_set_and_listed(dovecote: CommandLine) -> None:
    dovecote.bot()
    dovecote.ok("bot", "add", "news", given=TOKEN)
    assert dovecote.ok("switch").out == "No bot was ever switched: every chat takes the old path.\n"

    dovecote.ok("switch", "shop", "12.5")
    shown = dovecote.ok("switch", "news", "100")

    assert "12.5 %" in shown.out
    assert dovecote.ok("switch", "--json").json == {"news": 1.0, "shop": 0.125}
    assert dovecote("switch", "shop").code == 2
    assert dovecote("switch", "shop", "101").code == 2
    assert 'no bot is named "shpo"' in dovecote("switch", "shpo", "5").err

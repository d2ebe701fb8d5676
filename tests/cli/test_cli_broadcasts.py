"""`broadcast`: from the command line, from the draft to the export, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from dovecote.cli.broadcast_views import _harmless

if TYPE_CHECKING:
    from command_line import CommandLine


@pytest.fixture
def shop(dovecote: CommandLine) -> CommandLine:
    dovecote.bot()
    return dovecote


def test_from_a_draft_to_the_export(shop: CommandLine, emulator: str) -> None:
    shop.variable("DOVECOTE_TELEGRAM_BASE_URL", emulator)
    (shop.folder / "people.csv").write_text("chat_id,name,locale\n1,Ana,pt\nx,y,\n2,Eva,de\n3,,de\n")
    texts = ("--text", "Hello {{ name }}", "--locale", 'pt={"text": "Olá {{ name }}"}', "--template")

    created = shop.ok("broadcast", "create", "news", "--bot", "shop", *texts, "--from", "people.csv", "--label", "x")
    assert created.out.splitlines() == [
        'The broadcast "news" is a draft with 3 recipients.',
        "3 recipients added, 1 bad.",
    ]
    assert created.err.startswith("line 3: chat_id: 'x' is no chat")
    assert shop.ok("broadcast", "add", "news", "--chat", "3", "--chat", "4").out == (
        "1 recipient added, 1 were there already.\n"
    )

    shown = shop.ok("broadcast", "preview", "news", "--chat", "1").out
    assert "Olá Ana" in shown
    checked = shop("broadcast", "check", "news", "--json")
    assert (checked.code, checked.json["refused"], checked.json["looked_at"]) == (1, 1, 4)
    assert checked.json["refusals"][0]["problem"] == "template: 'name' is undefined."
    assert "Enqueued as 1:" in shop.ok("broadcast", "test", "news", "--chat", "2").out

    refused = shop("broadcast", "start", "news")
    assert (refused.code, refused.out) == (1, "4 recipients, as fast as the server answers.\n")
    assert 'Start "news"? There is no terminal to ask on: add --yes.' in refused.err
    assert "is running" in shop.ok("broadcast", "start", "news", "--yes").out
    assert "is paused: 0.0%" in shop.ok("broadcast", "pause", "news").out
    assert "paused (by hand)" in shop.ok("broadcast", "show", "news").out
    assert "is running" in shop.ok("broadcast", "resume", "news").out
    shop.ok("worker", "--until-empty")

    record = shop.ok("broadcast", "show", "news", "--json").json
    assert (record["state"], record["counts"]["delivered"], record["counts"]["dead"]) == ("finished", 3, 1)
    assert "finished" in shop.ok("broadcast", "list").out
    rows = list(csv.DictReader(io.StringIO(shop.ok("broadcast", "export", "news").out)))
    assert [(row["chat"], row["state"]) for row in rows] == [
        ("1", "delivered"),
        ("2", "delivered"),
        ("3", "delivered"),
        ("4", "dead"),
    ]
    assert rows[0]["message_ids"]
    assert rows[3]["error"] == "its text cannot be made: template: 'name' is undefined."
    options = ("--format", "jsonl", "--state", "dead", "--output", "dead.jsonl")
    assert shop.ok("broadcast", "export", "news", *options).err == '1 recipients are in "dead.jsonl".\n'
    assert json.loads((shop.folder / "dead.jsonl").read_text())["chat"] == "4"
    assert [each["chat"] for each in shop.ok("dead", "list", "--broadcast", "news", "--json").json] == ["4"]
    assert "no broadcast is named" in shop("dead", "list", "--broadcast", "nws").err
    assert shop.ok("dead", "list", "--code", "429").out == "The options select none. Without them all are listed.\n"

    assert "news-edit" in shop.ok("broadcast", "edit", "news", "--text", "Bye {{ name }}", "--yes").out
    again = shop("broadcast", "edit", "news", "--text", "Good bye", "--yes")
    assert 'named "news-edit" already, and it is running: give this one another name' in again.err
    assert "--as NAME" in again.err
    assert (
        '"second" is running'
        in shop.ok("broadcast", "edit", "news", "--text", "Good bye", "--as", "second", "--yes").out
    )
    assert shop.ok("broadcast", "recall", "news", "--yes", "--json").json["kind"] == "recall"
    shop.ok("worker", "--until-empty")
    assert shop.ok("broadcast", "show", "news-recall", "--json").json["counts"]["delivered"] == 3
    assert "recall of   news" in shop.ok("broadcast", "show", "news-recall").out
    shop.ok("broadcast", "delete", "news", "--yes")
    assert "no broadcast is named" in shop("broadcast", "show", "news").err


def test_recipients_from_a_query_and_everybody(shop: CommandLine) -> None:
    shop.ok("broadcast", "create", "news", "--bot", "shop", "--text", "x")
    shop.ok("recipient", "zone", "--bot", "shop", "--chat", "7", "--zone", "Europe/Berlin")
    shop.ok("recipient", "zone", "--bot", "shop", "--chat", "8")

    query = ("--sql", "SELECT id + 41 AS chat_id, name FROM dovecote_bot")
    added = shop.ok("broadcast", "add", "news", *query, "--everybody", "--zone", "Europe/Berlin", "--json").json

    assert [each["added"] for each in added] == [1, 1]
    exported = shop.ok("broadcast", "export", "news", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["chat"] for line in exported] == ["42", "7"]
    assert "is cancelled: 0 of 2 delivered." in shop.ok("broadcast", "cancel", "news", "--yes").out


def test_one_recipient_is_told_as_one(shop: CommandLine) -> None:
    created = shop.ok("broadcast", "create", "news", "--bot", "shop", "--text", "x", "--chat", "42")

    assert created.out == 'The broadcast "news" is a draft with 1 recipient.\n1 recipient added.\n'
    assert shop.ok("broadcast", "check", "news").out == "The text can be sent.\n"
    shop.ok("bot", "limits", "shop", "--pace", "30")
    assert shop("broadcast", "start", "news").out == "1 recipient, less than a second.\n"


def test_a_query_that_answers_no_chat_is_refused_as_a_whole(shop: CommandLine) -> None:
    shop.ok("broadcast", "create", "news", "--bot", "shop", "--text", "x")

    answer = shop("broadcast", "add", "news", "--sql", "SELECT id, name FROM dovecote_bot", "--key", "id")

    assert (answer.code, answer.out) == (1, "")
    assert "query: it answers no chat_id, only id, name: write SELECT ... AS chat_id." in answer.err


def test_words_of_others_are_no_formula_in_an_export() -> None:
    assert _harmless('=HYPERLINK("x")') == '\'=HYPERLINK("x")'
    assert _harmless("-1001234") == "-1001234"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "news", "--bot", "shpo", "--text", "x"), 1, 'no bot is named "shpo"'),
        (("create", "a b", "--bot", "shop", "--text", "x"), 1, "name: 'a b'"),
        (("create", "news", "--bot", "shop", "--text", "{{ x", "--template"), 1, "text: line 1"),
        (("create", "news", "--bot", "shop", "--text", "x", "--locale", "pt=x"), 2, "write it as pt="),
        (("create", "news", "--bot", "shop", "--text", "x", "--brake-blocks", "much"), 2, "write a share"),
        (("create", "news", "--bot", "shop", "--text", "x", "--brake-errors", "2"), 1, "brake.errors: 2.0 is no share"),
        (("create", "news", "--bot", "shop", "--text", "x", "--zone", "UTC"), 2, "--everybody only"),
        (("create", "news", "--bot", "shop", "--text", "x", "--from", "none.csv"), 1, '"none.csv" cannot be read'),
        (("create", "news", "--bot", "shop"), 1, "text: None is no text, and sendMessage is nothing without it"),
        (("add", "news"), 2, "name a source"),
        (("start", "news", "--yes"), 1, 'no broadcast is named "news"'),
        (("export", "news", "--state", "lost"), 2, "write one of waiting"),
    ],
)
def test_what_is_refused_is_told_in_words(shop: CommandLine, arguments: tuple[str, ...], code: int, said: str) -> None:
    answer = shop("broadcast", *arguments)

    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err

"""`prune`: what is past its time is removed, and said."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import TYPE_CHECKING

from command_line import TOKEN

if TYPE_CHECKING:
    from command_line import CommandLine

DAY = 86_400 * 1_000_000
YEAR = 365 * DAY
NOTHING = {"dead": 0, "unknown": 0, "payloads": 0, "broadcasts": 0, "occurrences": 0, "keys": 0, "chat_waits": 0}


def test_what_is_past_its_time_goes_and_the_rest_stays(dovecote: CommandLine, emulator: str) -> None:
    del emulator
    dovecote.bot()
    for text in ("one", "two"):
        dovecote.ok("send", "--bot", "shop", "--chat", "42", text)
    dovecote.ok("worker", "--until-empty")
    with sqlite3.connect(dovecote.folder / "dovecote.db") as database:
        database.execute("UPDATE dovecote_history SET settled_at = settled_at - ? WHERE id = 1", [YEAR])

    pruned = json.loads(dovecote.ok("prune", "--json").out)

    of_shop = [{"bot": "shop", "outcome": "delivered", "notifications": 1, "payloads": 0}]
    assert pruned == {"delivered": 1, **NOTHING, "history": of_shop}
    assert json.loads(dovecote.ok("stats", "--json").out)["delivered"] == 1
    assert dovecote.ok("prune").out == (
        "Pruned: 0 delivered, 0 dead letters, 0 unknown, 0 payloads of others, the variables of 0 broadcasts,"
        " 0 occurrences, 0 keys, 0 waits of chats.\n"
    )


def test_a_bots_own_times_are_kept_to_and_a_dry_run_says_what_would_go(dovecote: CommandLine, emulator: str) -> None:
    del emulator
    dovecote.bot()
    dovecote.ok("bot", "add", "support", given=TOKEN)
    for bot in ("shop", "support"):
        dovecote.ok("send", "--bot", bot, "--chat", "42", "one")
    dovecote.ok("worker", "--until-empty")
    with sqlite3.connect(dovecote.folder / "dovecote.db") as database:
        database.execute("UPDATE dovecote_history SET settled_at = settled_at - ?", [3 * DAY])
    dovecote.ok("bot", "retention", "support", "--delivered", "2d", "--dead", "180d")
    dovecote.ok("bot", "retention", "support", "--delivered", "default", "--delivered-payload", "1d")

    due = dovecote.ok("prune", "--dry-run").out
    assert re.search(r"support +│ delivered +│ 0 +│ 1 ", due)
    assert "Would be pruned: 0 delivered, 0 dead letters, 0 unknown, 1 payloads of others" in due
    of_support = [{"bot": "support", "outcome": "delivered", "notifications": 0, "payloads": 1}]
    answer = {**NOTHING, "delivered": 0, "payloads": 1, "history": of_support}
    assert json.loads(dovecote.ok("prune", "--dry-run", "--json").out) == answer
    assert json.loads(dovecote.ok("prune", "--json").out) == answer

    shown = dovecote.ok("notification", "show", "2").out
    assert re.search(r"parameters +removed at 20.* UTC; it cannot be sent again", shown)
    assert json.loads(dovecote.ok("notification", "show", "1", "--json").out)["payload_removed_at"] is None


def test_what_a_bot_keeps_is_shown_with_what_is_its_own(dovecote: CommandLine) -> None:
    dovecote.bot()
    dovecote.ok("bot", "retention", "shop", "--dead", "7d", "--unknown-payload", "36h")

    shown = dovecote.ok("bot", "retention", "shop").out
    assert re.search(r"delivered +│ 30d +│ 7d ", shown)
    assert re.search(r"dead +│ 7d, its own +│ 30d, and so as long as it stays ", shown)
    assert re.search(r"unknown +│ 90d +│ 36h, its own ", shown)
    assert json.loads(dovecote.ok("bot", "retention", "shop", "--json").out)["dead"] == {
        "seconds": 604_800,
        "own": True,
        "payload_seconds": 2_592_000,
        "payload_own": False,
    }
    refused = dovecote("bot", "retention", "shop", "--dead", "59m")
    assert refused.code == 1
    assert "dead is 3540s: the limits per chat are counted in the history" in refused.err
    assert dovecote("bot", "retention", "shop", "--dead", "soon").code == 2
    assert 'no bot is named "shpo"' in dovecote("bot", "retention", "shpo").err


def test_a_dead_letter_without_its_payload_is_not_replayed_and_that_is_said(dovecote: CommandLine) -> None:
    dovecote.bot()
    with sqlite3.connect(dovecote.folder / "dovecote.db") as database:
        for number, outcome in ((1, "dead"), (2, "dead"), (3, "unknown")):
            database.execute(
                "INSERT INTO dovecote_history (id, bot_id, chat, method, params, priority, at_most_once, enqueued_at,"
                " planned_at, attempts, outcome, settled_at, error, erased_at)"
                " VALUES (?, 1, '42', 'sendMessage', '{}', 1, 0, 0, 0, 1, ?, 1, 'no', ?)",
                [number, outcome, None if number == 1 else 5],
            )

    refused = dovecote("dead", "replay", "2", "--yes")
    assert refused.code == 1
    assert "1 cannot be sent again, since its payload was removed by retention, or with the" in refused.err
    all_of_them = dovecote.ok("dead", "replay", "--all", "--yes", "--json")
    assert json.loads(all_of_them.out) == {"replayed": [1], "not_dead": [], "without_payload": [2]}
    assert "1 cannot be sent again" in all_of_them.err
    assert "1 cannot be sent again" in dovecote("unknown", "resolve", "3", "--again", "--yes").err
    assert dovecote.ok("unknown", "resolve", "3", "--delivered", "--yes").out == (
        "1 notification is recorded as delivered.\n"
    )

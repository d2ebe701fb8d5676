"""`prune`: what is past its time is removed, and said."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from command_line import CommandLine

YEAR = 365 * 86_400 * 1_000_000


def test_what_is_past_its_time_goes_and_the_rest_stays(dovecote: CommandLine, emulator: str) -> None:
    del emulator
    dovecote.bot()
    for text in ("one", "two"):
        dovecote.ok("send", "--bot", "shop", "--chat", "42", text)
    dovecote.ok("worker", "--until-empty")
    with sqlite3.connect(dovecote.folder / "dovecote.db") as database:
        database.execute("UPDATE dovecote_history SET settled_at = settled_at - ? WHERE id = 1", [YEAR])

    pruned = json.loads(dovecote.ok("prune", "--json").out)

    assert pruned == {"delivered": 1, "dead": 0, "unknown": 0, "occurrences": 0, "keys": 0, "chat_waits": 0}
    assert json.loads(dovecote.ok("stats", "--json").out)["delivered"] == 1
    assert (
        dovecote.ok("prune").out
        == "Pruned: 0 delivered, 0 dead letters, 0 unknown, 0 occurrences, 0 keys, 0 waits of chats.\n"
    )

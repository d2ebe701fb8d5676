"""`restored`: what a restored backup would send again waits for a decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from command_line import CommandLine


def test_what_waits_is_made_unknown_and_said(dovecote: CommandLine) -> None:
    dovecote.bot()
    dovecote.ok("send", "--bot", "shop", "--chat", "42", "x")
    now = datetime.now(UTC)

    assert "later than now" in dovecote("restored", "--backup", (now + timedelta(days=1)).isoformat(), "--yes").err
    assert "add --yes" in dovecote("restored", "--backup", now.isoformat()).err
    assert dovecote("restored", "--backup", "yesterday", "--yes").code == 2
    said = dovecote.ok("restored", "--backup", now.isoformat(), "--yes").out

    assert said == "1 made unknown. Decide with `dovecote unknown list` and `dovecote unknown resolve`.\n"
    assert dovecote.ok("restored", "--backup", now.isoformat(), "--yes", "--json").json == {"unknown": 0}
    stats = dovecote.ok("stats", "--json").json
    assert (stats["due"], stats["unknown"]) == (0, 1)

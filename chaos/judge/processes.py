"""Processes: none ends by itself, save one that cannot begin while the database is away."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaos.judge.truth import Truth
    from chaos.judge.verdict import Verdict

AWAY = ("database", "network", "machine")
END = 40.0
"""Seconds that a process is given to end when it is told to; then it is killed."""
AFTER = 10.0
"""Seconds after such a fault in which a process may end that tried to begin in it."""


def judge_processes(truth: Truth, verdict: Verdict) -> None:
    """Judge every end of a process."""
    for row in truth.campaign:
        if row["event"] != "ended":
            continue
        verdict.seen[f"ends of a process by {row['why']}"] += 1
        if row["why"] == "itself" and (
            row["begun_working"] or not truth.troubled(row["at"], row["at"], AWAY, after=AFTER)
        ):
            verdict.find("process", row["name"], f"it ended by itself with {row['code']}, see {row['log']}")
        elif row["why"] == "order" and row["begun_working"] and row["code"] != 0:
            if row["code"] == -signal.SIGKILL and truth.troubled(row["at"] - END, row["at"], ("machine",)):
                verdict.seen["processes that had no time to end on a machine that stood still"] += 1
                continue
            verdict.find("process", row["name"], f"told to stop, it ended with {row['code']}, see {row['log']}")
    for row in truth.campaign:
        if row["event"] == "fault":
            verdict.seen[f"faults: {row['kind']}"] += 1

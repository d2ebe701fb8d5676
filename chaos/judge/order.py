"""Order within a chat, by commit: what is older and not less urgent arrives first.

Older is (`planned_at`, id), where `planned_at` is the moment of enqueuing, or the later `due_at` that was asked for.
That the record's `planned_at` is true is judged by the application's log. Two transactions that may have overlapped are
in no order: those whose commit the application was not told of, and one that is committed in the moment in which a
newer one becomes due (a claim that runs just then may see the newer alone). Of copies, the first counts. A request that
was given up as unknown, or left a frozen worker, may arrive when its notification has been settled: nobody waits for it
any more.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaos.judge.evidence import Row
    from chaos.judge.truth import Item, Truth
    from chaos.judge.verdict import Verdict

CLAIM = 0.5
"""Seconds that a claim may take from the picture that it has of the database to its reading of the clock."""
CLOCKS = 0.05
"""Seconds by which two readings of the machine's one clock, in two programs, may differ."""


def judge_order(truth: Truth, verdict: Verdict) -> None:
    """Judge every chat that the application writes to."""
    chats: dict[str, list[tuple[Item, Row]]] = defaultdict(list)
    for item in truth.items:
        row = truth.history.get(item.id or 0)
        if row is not None:
            chats[item.identity[0]].append((item, row))
            _judge_planned(verdict, item, row)
    for chat, members in chats.items():
        _judge_chat(truth, verdict, chat, members)


def _judge_planned(verdict: Verdict, item: Item, row: Row) -> None:
    begun, ended = item.between[0] - CLOCKS, item.between[1] + CLOCKS
    if not begun <= row["enqueued_at"] <= ended:
        verdict.find("order", item.identity, f"enqueued at {row['enqueued_at']}, and not within {item.between}")
    planned = row["enqueued_at"] if item.due_at is None else max(item.due_at, row["enqueued_at"])
    if abs(row["planned_at"] - planned) > CLOCKS:
        verdict.find("order", item.identity, f"planned at {row['planned_at']}, and not at {planned}")


def _judge_chat(truth: Truth, verdict: Verdict, chat: str, members: list[tuple[Item, Row]]) -> None:
    in_order = sorted(members, key=lambda member: (member[1]["planned_at"], member[0].id))
    for position, (item, row) in enumerate(in_order):
        arrivals = truth.accepted.get(item.identity)
        if not arrivals:
            continue
        for older, older_row in in_order[:position]:
            earlier = truth.accepted.get(older.identity)
            if not earlier or older.priority > item.priority or older.in_doubt or item.in_doubt:
                continue
            together = older.between == item.between
            if not together and older.between[1] > row["planned_at"] - (0 if item.due_at is None else CLAIM):
                verdict.seen["commits in the moment in which a newer one became due"] += 1
                continue
            verdict.seen["pairs in order"] += 1
            if earlier[0].at <= arrivals[0].at:
                continue
            if older_row["settled_at"] <= arrivals[0].at and older_row["outcome"] == "unknown":
                verdict.seen["arrived after it was given up"] += 1
                continue
            verdict.find(
                "order",
                f"chat {chat}",
                f"{item.identity[1]!r} (id {item.id}) arrived {earlier[0].at - arrivals[0].at:.3f} s before"
                f" {older.identity[1]!r} (id {older.id}), which is older",
            )
        _judge_flight(truth, verdict, item, row)


def _judge_flight(truth: Truth, verdict: Verdict, item: Item, row: Row) -> None:
    """Nothing arrives before it was planned."""
    first = truth.accepted[item.identity][0].at
    if first < row["planned_at"] - CLOCKS:
        verdict.find("order", item.identity, f"sent {row['planned_at'] - first:.3f} s before its time")

"""Limits: what the server that stands for Telegram refused, and what the arrivals say by the judge's own count.

A network that holds requests back and lets them go at once, and a worker that is frozen with requests on their way,
make a burst that no sender can help. Those times are left out, and what was refused in them is counted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from chaos.judge.truth import SCRIPTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.judge.truth import Arrival, Truth
    from chaos.judge.verdict import Verdict

TOO_MANY = 429
HELD_BACK = ("network", "processes", "machine")
SETTLING = 5.0
"""Seconds after such a time in which its burst is over."""
HORIZON = 2.0
"""Seconds in which other workers finish what they have claimed, and a 429 gets into the database."""
CLOCKS = 0.05
WAIT = re.compile(r"retry after (\d+)")


def judge_limits(truth: Truth, verdict: Verdict) -> None:
    """Judge each bot's rate, each chat's, and the waits that a 429 asked for."""
    bots: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in truth.arrivals:
        bots[arrival.bot].append(arrival)
    for bot, arrivals in bots.items():
        arrivals.sort(key=lambda arrival: arrival.at)
        _judge_refusals(truth, verdict, bot, arrivals)
        _judge_bucket(truth, verdict, bot, arrivals)
        _judge_waits(truth, verdict, bot, arrivals)
    _judge_chats(truth, verdict)


def _judge_refusals(truth: Truth, verdict: Verdict, bot: int, arrivals: Sequence[Arrival]) -> None:
    """Every 429 that the campaign did not ask for is the limiter's own word that the rate was broken."""
    for arrival in arrivals:
        if arrival.status != TOO_MANY or SCRIPTED in arrival.description:
            continue
        if truth.troubled(arrival.at, arrival.at, HELD_BACK, after=SETTLING):
            verdict.seen["429 in a burst of held-up requests"] += 1
        else:
            verdict.find("limit", f"bot {bot}", f"answered 429 at {arrival.at:.3f} s: {arrival.description}")


def _judge_bucket(truth: Truth, verdict: Verdict, bot: int, arrivals: Sequence[Arrival]) -> None:
    """A bucket of the judge's own: all that arrives takes from it, and it is never empty."""
    rate, capacity = truth.setting["bot_limit"]
    full_at = 0.0
    for arrival in arrivals:
        if arrival.status == TOO_MANY:
            continue
        full_at = max(full_at, arrival.at) + 1 / rate
        if full_at - arrival.at <= capacity / rate + CLOCKS:
            continue
        full_at = arrival.at
        if not truth.troubled(arrival.at, arrival.at, HELD_BACK, after=SETTLING):
            verdict.find("limit", f"bot {bot}", f"more than {capacity} at once beyond {rate}/s at {arrival.at:.3f} s")


def _judge_waits(truth: Truth, verdict: Verdict, bot: int, arrivals: Sequence[Arrival]) -> None:
    """While a 429 runs, and after what had been claimed is finished, nothing of the bot's arrives."""
    for told in arrivals:
        found = WAIT.search(told.description) if told.status == TOO_MANY else None
        # A group's 429 means the group alone.
        if found is None or told.identity[0].startswith("-"):
            continue
        begins, ends = told.at + HORIZON, told.at + int(found[1]) - CLOCKS
        late = [arrival for arrival in arrivals if begins < arrival.at < ends]
        verdict.seen["waits told by a 429"] += 1
        if late and not truth.troubled(told.at, ends, ("database", *HELD_BACK), after=SETTLING):
            verdict.find("limit", f"bot {bot}", f"{len(late)} requests while the 429 of {told.at:.3f} s ran")


def _judge_chats(truth: Truth, verdict: Verdict) -> None:
    """At most so many in so many seconds to one chat; copies, and what may not have arrived, are seen by nobody."""
    chats: dict[str, list[Arrival]] = defaultdict(list)
    for identity, arrivals in truth.accepted.items():
        chats[identity[0]] += arrivals
    for chat, arrivals in chats.items():
        limit = truth.setting["group_limit" if chat.startswith(("-", "@")) else "private_limit"]
        if limit is None:
            continue
        count, seconds = limit
        arrivals.sort(key=lambda arrival: arrival.at)
        for first, last in zip(arrivals, arrivals[count:], strict=False):
            verdict.seen["windows of a chat's limit"] += 1
            if last.at - first.at >= seconds - CLOCKS or _has_unanswered(arrivals, first.at, last.at):
                continue
            if not truth.troubled(first.at, last.at, HELD_BACK, after=SETTLING):
                verdict.find(
                    "limit", f"chat {chat}", f"{count + 1} in {last.at - first.at:.3f} s, and not in {seconds} s"
                )


def _has_unanswered(arrivals: Sequence[Arrival], begins: float, ends: float) -> bool:
    """Whether one of those was answered by nothing, or by nonsense: its sender did not know of it."""
    return any(begins <= arrival.at <= ends and arrival.status != 200 for arrival in arrivals)  # noqa: PLR2004

"""What the shape of a backlog costs, and how much of a limit is used: whether limits hold, and what they cost.

Rates are by the database's clock, from the first delivery to the last; what is used of a limit is by the clock of the
emulator, which keeps it.
"""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

from bench.database import fresh_database
from bench.processes import MeasurementFailed, measure
from bench.work import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servers import PostgresServer

    from bench.peer import Peer

BOTS = 1000
# Of the first second a part goes into the start of the worker.
WARM_UP_SECONDS = 1.0


def backlogs(
    server: PostgresServer, peer: Peer, notifications: int, say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Many bots with little each, one bot with much, one chat with much in front of a spread."""
    each = max(1, notifications // BOTS)
    shapes: dict[str, tuple[str, dict[str, Any]]] = {
        "many_bots": (
            f"{BOTS:,} bots x {each} waiting, each at 30/s",
            {"bots": BOTS, "each": each, "in_one_chat": 0, "pace": 30.0},
        ),
        "one_bot": (
            f"one bot x {notifications:,}",
            {"bots": 1, "each": notifications, "in_one_chat": 0, "pace": None},
        ),
        "one_chat": (
            f"one chat x {notifications:,} in front of {notifications:,} spread",
            {"bots": 1, "each": notifications, "in_one_chat": notifications, "pace": None},
        ),
    }
    found = {}
    for name, (title, shape) in shapes.items():
        with fresh_database(server) as url:
            measure("dovecote_run", action="backlog", url=url, paid_pace=None, **shape)
            wanted = shape["bots"] * shape["each"]
            run = measure("dovecote_run", action="deliver_others", url=url, peer=peer.url, notifications=wanted)
        if run["delivered"] != wanted:
            raise MeasurementFailed(f"{title}: {run['delivered']} of {wanted} were delivered")
        say(f"{title}: the first after {run['began_after_seconds']:.2f} s, then {run['rate']:,.0f}/s")
        found[name] = {"title": title, **run}
    return found


def shares(server: PostgresServer, seconds: float, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """How much of 30/s, and of 1,000/s that Stars pay for, is used against an emulator that keeps these limits."""
    return {
        "used_of_30": _share(server, 30, None, seconds, say),
        "used_of_1000": _share(server, 1000, 1000.0, seconds, say),
    }


def _share(
    server: PostgresServer, rate: int, paid_pace: float | None, seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    from dovecote.emulator import BotLimit, EmulatorProcess, Limits, PaidLimit  # noqa: PLC0415 (a server of its own)

    limits = Limits(bot=BotLimit(), paid=None if paid_pace is None else PaidLimit())
    with EmulatorProcess(limits=limits) as emulator, fresh_database(server) as url:
        waiting = int(rate * (seconds + WARM_UP_SECONDS) * 1.5) + 500
        measure(
            "dovecote_run",
            action="backlog",
            url=url,
            bots=1,
            each=waiting,
            in_one_chat=0,
            pace=30.0,
            paid_pace=paid_pace,
        )
        measure(
            "dovecote_run",
            action="deliver_others",
            url=url,
            peer=emulator.url,
            notifications=waiting,
            seconds=seconds + 2 * WARM_UP_SECONDS,
        )
        records = _get(f"{emulator.url}/emulator/accepted?limit={waiting}")["records"]
        bot = _get(f"{emulator.url}/emulator/counts")["bots"][TOKEN.partition(":")[0]]
    at = sorted(record["monotonic"] for record in records)
    begin = at[0] + WARM_UP_SECONDS
    used = sum(begin <= one < begin + seconds for one in at) / (rate * seconds)
    say(f"{rate:,}/s for {seconds:g} s: {used:.1%} used, {bot['limited']} answered 429, {bot['stars']} Stars")
    return {"rate": rate, "seconds": seconds, "used": used, "limited": bot["limited"], "stars": bot["stars"]}


def _get(url: str) -> Mapping[str, Any]:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 (the emulator's, over HTTP)
        document: Mapping[str, Any] = json.load(answer)
        return document

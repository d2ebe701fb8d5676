"""What goes wrong and when, drawn from a seed before anything begins.

Faults come in lanes, which overlap: within a lane one follows another. A lane deals its kinds like cards, all of them
before any comes again, so that a campaign that is long enough has every kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: seconds after the beginning, how many it lasts, and a number between 0 and 1 for what else is drawn."""

    at: float
    lane: str
    kind: str
    lasts: float
    chance: float


SHORT: Range = (0.2, 1.0)
"""Seconds of what is soon over."""
LONG: Range = (1.0, 4.0)
AT_ONCE: Range = (0.0, 0.0)

PROCESSES: dict[str, Range] = {
    "kill a worker": SHORT,
    "freeze a worker": LONG,
    "freeze a worker beyond its lease": (10.0, 14.0),
    "kill the leader": SHORT,
    "freeze the leader": (2.0, 6.0),
    "kill a scheduler": SHORT,
    "freeze a scheduler": LONG,
    "replace all one by one": AT_ONCE,
    "start a worker with a wrong clock": AT_ONCE,
    "kill the application": SHORT,
    "kill all workers": LONG,
}
POSTGRESQL: dict[str, Range] = {
    "kill the database": LONG,
    "restart the database": SHORT,
    "freeze the database": LONG,
    "make the database read-only": LONG,
    "use up the connections": LONG,
    "slow the database down": LONG,
    "fill the database's disk": LONG,
}
POOLER: dict[str, Range] = {
    "kill the pooler": SHORT,
    "freeze the pooler": LONG,
}
SQLITE: dict[str, Range] = {
    "lock the file": LONG,
    "fill the disk": LONG,
}
NETWORK: dict[str, Range] = {
    f"{verb} {network}": lasts
    for network in ("the Bot API", "the database", "Valkey", "the S3 server")
    for verb, lasts in {"hang": LONG, "reset": AT_ONCE, "cut": SHORT, "delay": LONG}.items()
}
TELEGRAM: dict[str, Range] = {
    "answer late": LONG,
    "lose answers": LONG,
    "storm of 429": LONG,
    "errors 500": LONG,
    "pages 502": LONG,
    "cut answers": LONG,
    "close connections": LONG,
}
VALKEY: dict[str, Range] = {
    "kill Valkey": LONG,
    "flush Valkey": AT_ONCE,
    "freeze Valkey": LONG,
}
STORAGE: dict[str, Range] = {
    "kill the S3 server": LONG,
}


def lanes(database: str, *, valkey: bool, s3: bool, pooler: bool = False) -> dict[str, dict[str, Range]]:
    """The kinds of each lane, for what there is."""
    network = {
        kind: lasts
        for kind, lasts in NETWORK.items()
        if (valkey or "Valkey" not in kind)
        and (s3 or "S3" not in kind)
        and (database == "postgresql" or "database" not in kind)
    }
    # SQLite's clock is that of its one machine: a process with another one is nothing that can be there.
    processes = PROCESSES if database == "postgresql" else {k: v for k, v in PROCESSES.items() if "clock" not in k}
    found = {
        "processes": processes,
        "database": {**POSTGRESQL, **(POOLER if pooler else {})} if database == "postgresql" else SQLITE,
        "network": network,
        "telegram": TELEGRAM,
    }
    if valkey:
        found["valkey"] = VALKEY
    if s3:
        found["storage"] = STORAGE
    return found


def plan(
    seed: int,
    seconds: float,
    kinds: Mapping[str, Mapping[str, Range]],
    *,
    begins: float = 3.0,
    pause: Range = (1.0, 6.0),
) -> list[Fault]:
    """The faults of a campaign of so many seconds, in the order of their times: the same again for the same seed."""
    faults = [fault for lane in kinds for fault in _lane(seed, seconds, lane, kinds[lane], begins, pause)]
    return sorted(faults, key=lambda fault: (fault.at, fault.lane))


def _lane(seed: int, seconds: float, lane: str, kinds: Mapping[str, Range], begins: float, pause: Range) -> list[Fault]:
    # A lane by itself, so that one more kind in another changes nothing here.
    random = Random(f"{seed} {lane}")  # noqa: S311 - faults, no secrets
    deck: list[str] = []
    faults: list[Fault] = []
    at = begins + random.uniform(*pause)
    while at < seconds:
        deck = deck or _shuffled(random, kinds)
        kind = deck.pop()
        fault = Fault(at, lane, kind, random.uniform(*kinds[kind]), random.random())
        if at + fault.lasts <= seconds:
            faults.append(fault)
        at += fault.lasts + random.uniform(*pause)
    return faults


def _shuffled(random: Random, kinds: Mapping[str, Range]) -> list[str]:
    deck: Sequence[str] = sorted(kinds)
    return random.sample(deck, len(deck))

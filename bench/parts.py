"""The parts of a benchmark: what each measures, how long it takes, and how it is run."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.backlogs import backlogs, shares
from bench.broadcast import broadcast
from bench.delivery import deliveries, ratio, ratios, whole
from bench.files import files
from bench.growth import growth, snapshot, workers
from bench.killed import killed
from bench.others import enqueues, latencies, memory
from bench.peers.race import others, peers
from bench.processes import measure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from servers import PostgresServer

    from bench.peer import Peer

PEER_REQUESTS = 60_000
PEER_CONNECTIONS = 64
BARE_CONCURRENCY = 64
WAITING_SHARE = 3
"""Of the notifications, so many wait before the latency is taken at half of the load."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a part is given: the servers, the options of the command line, and how to say what it does."""

    server: PostgresServer
    peer: Peer
    options: argparse.Namespace
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One of them. `minutes` is about how long it takes on two cores with the counts that are the default."""

    what: str
    minutes: int
    run: Callable[[Around], dict[str, Any]]
    repeats: bool = True
    """Whether it runs `--repeat` times; otherwise once."""


def _peer(around: Around) -> dict[str, Any]:
    """How fast the peer is: a load over plain sockets that costs a fraction of the measured clients."""
    own, bare = [], []
    requests = min(PEER_REQUESTS, 2 * around.options.notifications)
    for _ in range(around.options.repeat):
        own.append(
            measure("raw_load", peer=around.peer.url, requests=requests, connections=PEER_CONNECTIONS)["rate"],
        )
        bare.append(
            measure(
                "bare_loop",
                peer=around.peer.url,
                notifications=around.options.notifications,
                concurrency=BARE_CONCURRENCY,
            )["rate"]
        )
    return {
        "server": around.peer.name,
        "rate": statistics.median(own),
        "bare_loop_rate": statistics.median(bare),
        "ratio_bare_loop": ratio({"rates": own}, {"rates": bare}),
    }


def _delivery(around: Around) -> dict[str, Any]:
    runs = deliveries(around.server, around.peer, around.options.notifications, around.options.repeat, around.say)
    found = whole(around.server, around.peer, around.options.notifications, around.say)
    return {**ratios(runs), **found, "runs": runs}


def _limits(around: Around) -> dict[str, Any]:
    found = shares(around.server, around.options.seconds, around.say)
    return {**{name: run["used"] for name, run in found.items()}, "runs": found}


def _peers(around: Around) -> dict[str, Any]:
    given = around.options
    return peers(
        around.server, around.peer, others(given.peers), given.notifications, repeat=given.repeat, say=around.say
    )


def _latency(around: Around) -> dict[str, Any]:
    given = around.options
    return latencies(around.server, given.samples, given.notifications // WAITING_SHARE, around.say)


def _enqueue(around: Around) -> dict[str, Any]:
    given = around.options
    return enqueues(around.server, given.enqueued, given.singles, given.repeat, around.say)


def _growth(around: Around) -> dict[str, Any]:
    given = around.options
    return growth(
        around.server,
        around.peer,
        given.backlogs,
        notifications=given.notifications,
        repeat=given.repeat,
        say=around.say,
    )


PARTS = {
    "peer": Part("how fast the HTTP peer is by itself, beside the bare loop of Dovecote's client", 1, _peer),
    "delivery": Part("table to answer, beside PgQueuer and bare loops", 6, _delivery),
    "peers": Part("table to answer, beside every other system and bare loops", 40, _peers),
    "enqueue": Part("enqueuing in bulk and one by one, beside a plain INSERT of the same rows", 5, _enqueue),
    "latency": Part("commit to request, when idle and at half load", 2, _latency, repeats=False),
    "workers": Part(
        "1, 2 and 4 workers on one backlog",
        6,
        lambda around: workers(around.server, around.peer, around.options.many, around.options.repeat, around.say),
    ),
    "backlogs": Part(
        "1,000 bots, one bot, and one chat with much in front of others",
        2,
        lambda around: backlogs(around.server, around.peer, around.options.notifications, around.say),
        repeats=False,
    ),
    "snapshot": Part(
        "while a transaction holds a snapshot open",
        2,
        lambda around: snapshot(around.server, around.peer, around.options.many, around.say),
        repeats=False,
    ),
    "memory": Part(
        "a worker's memory while it delivers much",
        1,
        lambda around: memory(around.server, around.peer, around.options.many, around.say),
        repeats=False,
    ),
    "limits": Part("how much of 30/s and of 1,000/s is used", 1, _limits, repeats=False),
    "growth": Part("backlogs of 10 thousand to 5 million", 15, _growth),
    "killed": Part(
        "a broadcast that is killed in the middle, beside tgcast and aiogram-broadcaster",
        5,
        lambda around: killed(around.server, around.options.chats, around.options.seed, around.say),
        repeats=False,
    ),
    "storage": Part(
        "files in an S3 store, beside obstore and aiobotocore, and 2 GB sent",
        10,
        lambda around: files(around.options.repeat, around.say),
    ),
    "broadcast": Part(
        "a broadcast to a million from a CSV file",
        10,
        lambda around: broadcast(around.server, around.peer, around.options.recipients, around.say),
        repeats=False,
    ),
}
"""In the order in which they run: what one wants to know first comes first."""

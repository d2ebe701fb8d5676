"""`python -m bench`: start the servers, measure, print, write `bench.json`. Exit code 1 if a target was missed."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.backlogs import backlogs, shares
from bench.broadcast import RECIPIENTS, broadcast
from bench.database import postgresql, scalar
from bench.delivery import deliveries, ratios
from bench.files import files
from bench.killed import killed
from bench.others import enqueues, latencies, memory
from bench.peer import Peer, peer
from bench.peers.race import others, peers
from bench.processes import ROOT, MeasurementFailed, measure
from bench.report import machine, measured, show, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from servers import PostgresServer

PARTS = ("delivery", "backlogs", "limits", "enqueue", "latency", "memory", "broadcast", "storage", "peers", "killed")
DEFAULT_PARTS = PARTS[:-2]
"""The others install packages of other systems, so one has to ask for them."""
PEER_REQUESTS = 60_000
PEER_CONNECTIONS = 64
BARE_CONCURRENCY = 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    options = _options().parse_args(arguments)
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        sys.stderr.write(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}\n")
        return 2
    # So that being told to end, like Ctrl-C, unwinds everything that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if set(parts) == {"storage"}:
            result = {"machine": machine(None), "repeat": options.repeat}
        else:
            with postgresql() as server, peer(options.peer) as running_peer:
                result = _measure(server, running_peer, parts, options)
        if "storage" in parts:
            result["storage"] = files(options.repeat, _saying())
    except MeasurementFailed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; everything that was started is stopped\n")
        return 130
    write(result, options.output)
    show(result)
    return 0 if all(target.met(value) for target, value in measured(result)) else 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Dovecote beside its peers on this machine.",
        epilog="Example: python -m bench --only delivery --notifications 10000 --repeat 1",
    )
    parser.add_argument("--notifications", type=int, default=30_000, help="how many each contender delivers")
    parser.add_argument("--enqueued", type=int, default=100_000, help="how many one call enqueues")
    parser.add_argument("--samples", type=int, default=500, help="how many commits the latency is taken from")
    parser.add_argument("--remembered", type=int, default=100_000, help="how many a worker delivers for its memory")
    parser.add_argument("--recipients", type=int, default=RECIPIENTS, help="to how many is broadcast, once")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the use of each limit is measured")
    parser.add_argument("--chats", type=int, default=2_000, help="of a broadcast that is killed in the middle")
    parser.add_argument("--seed", type=int, default=1, help="which answers are lost of that broadcast")
    parser.add_argument("--repeat", type=int, default=3, help="how often everything runs; the best run stands")
    parser.add_argument("--only", default=",".join(DEFAULT_PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--peers", default="all", help="which other systems, by the names of locks/peers; all of them")
    parser.add_argument("--peer", choices=("auto", "granian", "nginx"), default="auto", help="the HTTP peer")
    parser.add_argument("--output", type=Path, default=ROOT / "bench.json", help="where the figures go")
    return parser


def _saying() -> Callable[[str], None]:
    """Writes lines with the seconds since now."""
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {line}\n")

    return say


def _measure(
    server: PostgresServer, running_peer: Peer, parts: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    say = _saying()
    result: dict[str, Any] = {
        "machine": machine(scalar(server.url, "SHOW server_version")),
        "repeat": options.repeat,
        "peer": _peer_figures(running_peer, options),
    }
    if "delivery" in parts:
        runs = deliveries(server, running_peer, options.notifications, options.repeat, say)
        result["delivery"] = {**ratios(runs), "runs": runs}
        fastest = max(result["peer"]["bare_loop_rate"], runs["bare_loop"]["rate"])
        result["peer"] |= {"bare_loop_rate": fastest, "ratio_bare_loop": result["peer"]["rate"] / fastest}
    if "backlogs" in parts:
        result["backlogs"] = backlogs(server, running_peer, options.notifications, say)
    if "limits" in parts:
        found = shares(server, options.seconds, say)
        result["limits"] = {**{name: run["used"] for name, run in found.items()}, "runs": found}
    if "enqueue" in parts:
        result["enqueue"] = enqueues(server, options.enqueued, options.repeat, say)
    if "latency" in parts:
        result["latency"] = latencies(server, options.samples, say)
    if "memory" in parts:
        result["memory"] = memory(server, running_peer, options.remembered, say)
    if "broadcast" in parts:
        result["broadcast"] = broadcast(server, running_peer, options.recipients, say)
    if "peers" in parts:
        systems = others(options.peers)
        result["peers"] = peers(server, running_peer, systems, options.notifications, repeat=options.repeat, say=say)
    if "killed" in parts:
        result["killed"] = killed(server, options.chats, options.seed, say)
    return result


def _peer_figures(running_peer: Peer, options: argparse.Namespace) -> dict[str, Any]:
    """How fast the peer is: a load over plain sockets that costs a fraction of the measured clients."""
    own, bare = [], []
    for _ in range(options.repeat):
        own.append(
            measure("raw_load", peer=running_peer.url, requests=PEER_REQUESTS, connections=PEER_CONNECTIONS)["rate"]
        )
        bare.append(
            measure(
                "bare_loop",
                peer=running_peer.url,
                notifications=options.notifications,
                concurrency=BARE_CONCURRENCY,
            )["rate"]
        )
    return {
        "server": running_peer.name,
        "rate": max(own),
        "bare_loop_rate": max(bare),
        "ratio_bare_loop": max(own) / max(bare),
    }


if __name__ == "__main__":
    sys.exit(main())

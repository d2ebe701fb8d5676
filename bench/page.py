"""Writes `docs/benchmarks.md` from a `bench.json`: what was measured on which machine, and how to measure it again.

    python -m bench.page [bench.json] [--output docs/benchmarks.md]

A part that the run did not have is left out of the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HEAD = """# Benchmarks

Written by `python -m bench.page` from a `bench.json`, the figures of one run on one machine: {cores} cores
({processor}), {memory_gb} GB, Linux {kernel}, Python {python}{postgresql}. The worker, the database and the HTTP
peer share these cores, so that a system's figure is what it, its store and the peer get out of them together. Other
machines have other figures; the ratios travel better. Everything ran {repeat} times in turns, and the best run stands:
what else happens on a machine can only make a run slower. `make bench` and `python -m bench --only peers` measure
yours.
"""
PEERS = """## Beside other systems

{notifications:,} notifications from table or queue to the answer of the same HTTP peer, one worker process each
(Celery's pool of processes is what it is). PostgreSQL is durable (`fsync` and `synchronous_commit` on); Redis, here its
fork Valkey, keeps its queue in memory alone, as it comes. Each system runs in an environment of its own with its best
driver; of the settings that its documentation recommends for bulk, which are tried first on a part of the work, the
best is measured. A run counts only when the peer has seen as many requests as there are notifications and the system
itself has recorded all of them as done. "µs" are of processor time for each notification; "statements" are commands
where the store is Redis.
"""
DELIVERY = """## Beside bare loops

{notifications:,} notifications. A bare loop keeps nothing: no table, no record, no limits.
"""
KILLED = """## A broadcast that is killed in the middle

One text to {recipients:,} chats. Of the Bot API's answers {share:.0%} are lost: the message is accepted, and then the
connection closed. With half of the messages accepted the process gets SIGKILL, is started again, and runs until it says
that it is done. Counted is what the emulator accepted (seed {seed}); on the right is what the system itself says.
"""
ABSENT = "What they do not do, or only so:"


def page(result: Mapping[str, Any]) -> str:
    """The whole page. Raises ValueError when `result` has none of the parts that it tells of."""
    machine = result["machine"]
    database = f", PostgreSQL {machine['postgresql']}" if machine["postgresql"] else ""
    blocks = [HEAD.format(**machine | {"postgresql": database}, repeat=result["repeat"])]
    if "peers" in result:
        blocks += _peers(result["peers"])
    if "delivery" in result:
        runs = result["delivery"]["runs"]
        blocks += [DELIVERY.format(notifications=runs["dovecote"]["notifications"]), _rates(runs)]
    if "killed" in result:
        blocks += _killed(result["killed"])
    if len(blocks) == 1:
        raise ValueError(
            "there is none of the parts `peers`, `delivery` and `killed` in it: run `python -m bench --only peers`"
        )
    return "\n".join(blocks)


def _peers(peers: Mapping[str, Any]) -> Iterator[str]:
    runs = peers["runs"]
    yield PEERS.format(notifications=runs["dovecote"]["notifications"])
    yield _rates(runs)
    yield f"{ABSENT}\n"
    yield _table(
        ["who", "order in a chat", "limits", "after a kill"],
        [[run["title"], run["order"], run["limits"], run["resume"]] for run in runs.values()],
    )
    yield "".join(f"No figure for {name}: {why}.\n" for name, why in peers["unmeasured"].items())


def _killed(killed: Mapping[str, Any]) -> Iterator[str]:
    yield KILLED.format(**killed, share=killed["lost_answers"])
    yield _table(
        ["who", "missed", "got one", "got two or more", "answers lost", "it says itself"],
        [
            [
                run["title"],
                *(f"{run[name]:,}" for name in ("missed", "once", "more_than_once", "lost")),
                ", ".join(f"{name} {value}" for name, value in run["told"].items()),
            ]
            for run in killed["runs"].values()
        ],
    )


def _rates(runs: Mapping[str, Mapping[str, Any]]) -> str:
    ours = runs["dovecote"]
    return _table(
        ["who", "settings", "per s", "Dovecote is", "µs", "µs in the store", "statements", "WAL bytes", "peak MB"],
        [
            [
                run["title"] + _if_fewer(run, ours),
                ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in run["setting"].items()) or "default",
                f"{run['rate']:,.0f}",
                f"{ours['rate'] / run['rate']:.2f} x",
                f"{run['cpu_us']:.0f}",
                _figure(run, "database_cpu_us", ".0f"),
                _figure(run, "statements_per_notification", ".4f"),
                _figure(run, "wal_bytes_per_notification", ",.0f"),
                f"{run['peak_rss_mb']:.0f}",
            ]
            for run in sorted(runs.values(), key=lambda run: -float(run["rate"]))
        ],
    )


def _if_fewer(run: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    return "" if run["notifications"] == ours["notifications"] else f" ({run['notifications']:,} only)"


def _figure(run: Mapping[str, Any], name: str, form: str) -> str:
    return format(run[name], form) if name in run else "-"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page. Exit code 2 if there is nothing to write it from."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description="Write a page from a bench.json.")
    parser.add_argument("figures", nargs="?", type=Path, default=ROOT / "bench.json", help="what a run has written")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="where the page goes")
    options = parser.parse_args(arguments)
    try:
        text = page(json.loads(options.figures.read_text(encoding="utf-8")))
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"{options.figures}: {problem}\n")
        return 2
    options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

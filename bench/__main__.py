"""`python -m bench`: start the servers, measure, print, and write `bench.json` after each part.

Exit code 1 if a target was missed or a part failed, which the others do not wait for.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.broadcast import RECIPIENTS
from bench.database import postgresql, scalar
from bench.growth import BACKLOGS
from bench.parts import PARTS, Around
from bench.peer import peer
from bench.processes import ROOT, MeasurementFailed
from bench.record import Record, load
from bench.report import machine, measured, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    options = _options().parse_args(arguments)
    names = list(PARTS) if options.only == "all" else options.only.split(",")
    if unknown := set(names) - set(PARTS):
        sys.stderr.write(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}\n")
        return 2
    # So that being told to end, like Ctrl-C, unwinds everything that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        record, failures = _measure([name for name in PARTS if name in names], options)
    except (MeasurementFailed, ValueError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; everything that was started is stopped\n")
        return 130
    show(record.document)
    for name, why in failures.items():
        sys.stderr.write(f"{name} failed: {why}\n")
    met = all(target.met(value) for target, value in measured(record.document) if target.section in names)
    return 0 if met and not failures else 1


def _measure(names: Sequence[str], options: argparse.Namespace) -> tuple[Record, dict[str, str]]:
    """Run these parts, each whatever became of the others; answers what is known now, and what failed, and why."""
    say = _saying()
    failures: dict[str, str] = {}
    with postgresql() as server, peer(options.peer) as here:
        around = Around(server, here, options, say)
        record = Record(options.output, machine(scalar(server.url, "SHOW server_version")), say)
        for name in names:
            part = PARTS[name]
            say(f"{name}: {part.what}, about {part.minutes} min with the counts that are the default")
            began, busy = time.monotonic(), load()
            try:
                figures = part.run(around)
            except MeasurementFailed as failure:
                failures[name] = str(failure)
                say(f"{name} failed, and nothing is written of it: {failure}")
            else:
                repeat = options.repeat if part.repeats else 1
                record.keep(name, figures, began=began, load=busy, repeat=repeat)
    return record, failures


def _options() -> argparse.ArgumentParser:
    parts = "".join(f"  {name:<10} {part.minutes:>3} min  {part.what}\n" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Dovecote beside its peers on this machine, and write the figures into bench.json.\n"
        "A part that is measured again replaces what stood there; the other parts stay.",
        epilog=f"parts, and about how long they take:\n{parts}\n"
        "Example: python -m bench --only delivery --notifications 10000 --repeat 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", default="all", help="some of the parts below, with commas; all of them")
    add("--repeat", type=int, default=3, help="how often everything runs (3)")
    add("--notifications", type=int, default=30_000, help="how many each contender delivers (30,000)")
    add("--many", type=int, default=100_000, help="how many for memory, workers and snapshot (100,000)")
    add("--backlogs", type=_numbers, default=BACKLOGS, help="the backlogs of `growth`, with commas")
    add("--enqueued", type=int, default=100_000, help="how many one call enqueues (100,000)")
    add("--singles", type=int, default=3_000, help="how many are enqueued one by one (3,000)")
    add("--samples", type=int, default=500, help="how many commits the latency is taken from (500)")
    add("--recipients", type=int, default=RECIPIENTS, help="to how many is broadcast, once (1,000,000)")
    add("--seconds", type=float, default=10.0, help="how long the use of each limit is measured (10)")
    add("--chats", type=int, default=2_000, help="of a broadcast that is killed in the middle (2,000)")
    add("--seed", type=int, default=1, help="which answers are lost of that broadcast (1)")
    add("--peers", default="all", help="which other systems, by the names of locks/peers; all of them")
    add("--peer", choices=("auto", "granian", "nginx"), default="auto", help="the HTTP peer")
    add("--output", type=Path, default=ROOT / "bench.json", help="where the figures go")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part.replace("_", "")) for part in text.split(","))


def _saying() -> Callable[[str], None]:
    """Writes lines with the seconds since now."""
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {line}\n")

    return say


if __name__ == "__main__":
    sys.exit(main())

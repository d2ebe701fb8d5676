"""What a broadcast to many recipients takes: memory, the longest transaction, how long progress and numbers take.

    python -m bench.broadcast [RECIPIENTS] [--pace N] [--seconds N]

On PostgreSQL 18: a CSV file with some bad lines is read, a template is rendered for each recipient, one process
delivers to the HTTP peer, without a pace unless one is given, and another asks for the progress and the numbers all
the time. Soon after the start it is paused: told is how long afterwards the last request arrives. At the end the cost
of the last recipients is compared with that of the first. With --seconds it is cancelled after so long, for a look at
a list that would take too long to deliver. Exit code 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from bench.database import fresh_database, postgresql
from bench.peer import peer
from bench.processes import answer_of, started
from bench.report import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import PostgresServer

    from bench.peer import Peer

RECIPIENTS = 1_000_000
# For a million on a machine that does other things as well.
LONGEST_SECONDS = 6 * 3600.0


def broadcast(
    server: PostgresServer,
    here: Peer,
    recipients: int,
    say: Callable[[str], None],
    *,
    pace: float | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """One broadcast to so many in a process and a database of its own."""
    say(f"broadcast: {recipients:,} recipients")
    with (
        fresh_database(server) as url,
        started(
            "broadcast_run",
            url=url,
            server=server.pid,
            peer=(here.name, here.url),
            recipients=recipients,
            pace=pace,
            seconds=seconds,
        ) as process,
    ):
        figures = answer_of(process, LONGEST_SECONDS)
    figures["load_average"] = os.getloadavg()[1]
    return figures


def main() -> int:
    """Measure, print, and compare with the targets."""
    parser = argparse.ArgumentParser(prog="python -m bench.broadcast", description="Measure a broadcast.")
    parser.add_argument("recipients", type=int, nargs="?", default=RECIPIENTS, help="how many")
    parser.add_argument("--pace", type=float, help="messages a second; without it as fast as it goes")
    parser.add_argument("--seconds", type=float, help="cancel it after so long")
    options = parser.parse_args()
    # So that being told to end, like Ctrl-C, unwinds everything that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with postgresql() as server, peer("auto") as here:
        figures = broadcast(
            server,
            here,
            options.recipients,
            lambda line: print(line, file=sys.stderr),
            pace=options.pace,
            seconds=options.seconds,
        )
    print(json.dumps(figures, indent=2))
    missed = [
        f"missed: {target.name} is {figures[target.name]:.3f}, and the target is {target}"
        for target in TARGETS
        if target.section == "broadcast" and not target.met(figures[target.name])
    ]
    print(*missed, sep="\n", end="\n" if missed else "")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

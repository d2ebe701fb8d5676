"""`python -m dovecote.emulator`: the emulator as the child of EmulatorProcess. People use `dovecote emulator`."""

from __future__ import annotations

import argparse
import os
import sys

from dovecote.emulator.connection import Connections
from dovecote.emulator.documents import InvalidDocument, parsed
from dovecote.emulator.limits import Limits, parse_limits
from dovecote.emulator.records import DEFAULT_CAPACITY
from dovecote.emulator.server import run_emulator
from dovecote.emulator.world import Clock, ScaledClock
from dovecote.errors import InvalidConfiguration


def _announce(url: str) -> None:
    # Unbuffered: what a closed pipe does not take must not be tried again at exit.
    os.write(sys.stdout.fileno(), f"{url}\n".encode())


def _limits(text: str) -> Limits:
    try:
        return parse_limits(parsed(text.encode(), "the limits as an object"))
    except InvalidDocument as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _age(text: str) -> float | None:
    try:
        return Connections(float(text)).age
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _clock(text: str) -> Clock:
    try:
        scale = float(text)
        return Clock() if scale == 1 else ScaledClock(scale)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main() -> int:
    """Serve until the parent closes standard input, or a signal; the first line of output is the URL."""
    parser = argparse.ArgumentParser(prog="python -m dovecote.emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--capacity", type=int, default=DEFAULT_CAPACITY)
    parser.add_argument("--core", type=int, help="the one CPU core to run on (Linux)")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--limits", type=_limits, metavar="JSON", help='as for the control API: {"bot": {}, ...}')
    parser.add_argument("--connection-age", type=_age, metavar="SECONDS")
    parser.add_argument("--local", metavar="FOLDER", help="be a local Bot API server, whose files are there")
    parser.add_argument("--scale", type=_clock, dest="clock", metavar="N", help="how many times as fast its clock runs")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    try:
        run_emulator(
            arguments.host,
            arguments.port,
            capacity=arguments.capacity,
            clock=arguments.clock,
            seed=arguments.seed,
            limits=arguments.limits,
            connection_age=arguments.connection_age,
            local=arguments.local,
            on_ready=_announce,
            until_input_ends=True,
        )
    except InvalidConfiguration as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except BrokenPipeError:
        # Whoever started it has ended before it was up, and there is nobody to tell.
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

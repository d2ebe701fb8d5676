"""`python -m dovecote.emulator`: the emulator as the child of EmulatorProcess. People use `dovecote emulator`."""

from __future__ import annotations

import argparse
import os
import sys

from dovecote.emulator.records import DEFAULT_CAPACITY
from dovecote.emulator.server import run_emulator
from dovecote.errors import InvalidConfiguration


def _announce(url: str) -> None:
    # Unbuffered: what a closed pipe does not take must not be tried again at exit.
    os.write(sys.stdout.fileno(), f"{url}\n".encode())


def main() -> int:
    """Serve until the parent closes standard input, or a signal; the first line of output is the URL."""
    parser = argparse.ArgumentParser(prog="python -m dovecote.emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--capacity", type=int, default=DEFAULT_CAPACITY)
    parser.add_argument("--core", type=int, help="the one CPU core to run on (Linux)")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    try:
        run_emulator(
            arguments.host,
            arguments.port,
            capacity=arguments.capacity,
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

"""The program `dovecote`, also as `python -m dovecote`."""

import sys
from typing import NoReturn


def run() -> NoReturn:
    """Import the command line and run it. Ctrl-C ends it quietly from the first moment on."""
    try:
        from dovecote.cli.main import run as command_line  # noqa: PLC0415 (it takes most of a short command's time)
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    run()

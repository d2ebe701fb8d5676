"""`manage.py dovecote ...`: the program `dovecote` with the settings of the project."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand

from dovecote.cli.main import main
from dovecote.integrations.django.configuration import tables


class Command(BaseCommand):
    """Passes its arguments on."""

    help = (
        "Dovecote: `manage.py dovecote worker` delivers, `manage.py dovecote bot add shop` adds a bot, and so on; the"
        " settings are the project's. `manage.py dovecote` alone lists the commands."
    )
    # A worker needs no URLs and no templates.
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take everything from the first word on."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="a command of dovecote, with its options")

    def handle(self, *_: Any, arguments: list[str], **__: Any) -> None:
        """Do it; a code other than 0 ends the process with it."""
        code = main(arguments, settings=tables(), program="manage.py dovecote")
        if code:
            sys.exit(code)

"""Where a bot's token comes from: a file, the name of a variable, a prompt that shows nothing, standard input."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from getpass import getpass
from typing import TYPE_CHECKING

import typer

from dovecote.cli.context import Refused

if TYPE_CHECKING:
    from pathlib import Path

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# A token fits in fifty characters; a file of another kind is not read to its end.
LONGEST_TOKEN = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenToken:
    """Exactly one of the two: the token itself, or the name of the variable that holds it."""

    token: str | None = field(default=None, repr=False)
    variable: str | None = None


def read_token(bot: str, file: Path | None, variable: str | None) -> GivenToken:
    """The token as it was given. Raises InvalidToken for what is none, Refused for a file that cannot be read."""
    from dovecote.vault import check_token

    if file is not None and variable is not None:
        raise typer.BadParameter("give only one of --token-file and --token-variable.")
    if variable is not None:
        return GivenToken(variable=_variable(variable))
    if file is not None:
        return GivenToken(token=check_token(_content(file)))
    if sys.stdin.isatty():
        return GivenToken(token=check_token(getpass(f'Token of the bot "{bot}" (nothing is shown): ', sys.stderr)))
    return GivenToken(token=check_token(sys.stdin.read(LONGEST_TOKEN)))


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        # It is not repeated: it may be what should have stayed secret.
        raise typer.BadParameter(
            "that is no name of a variable: give the name, such as SHOP_TOKEN, and not the token.",
            param_hint="--token-variable",
        )
    if name.startswith("DOVECOTE_") and not name.startswith("DOVECOTE_TOKEN_"):
        raise typer.BadParameter(
            f"{name} would be taken for a setting: name it DOVECOTE_TOKEN_..., or without DOVECOTE_.",
            param_hint="--token-variable",
        )
    return name


def _content(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(LONGEST_TOKEN)
    except UnicodeDecodeError:
        reason = "it is no text"
    except OSError as error:
        reason = str(error.strerror)
    raise Refused(f'"{file}" cannot be read ({reason}): name a file that holds the token and nothing else.') from None

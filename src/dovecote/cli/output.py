"""What a command prints: the answer on standard output, everything else on standard error.

Nothing leaves here with a bot token or a URL's password in it, and nothing that was written by others (a message of
Telegram's, the text of a notification) reaches the terminal with control characters.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

import typer

from dovecote.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

WIDTH_OF_A_PIPE = 160
NONE = "-"


def say(text: str) -> None:
    """Print a sentence of the answer."""
    typer.echo(clean(text))


def note(text: str) -> None:
    """Tell the person something that is not the answer."""
    typer.echo(clean(text), err=True)


def say_json(value: object) -> None:
    """Print the answer as one JSON document: instants in ISO 8601 and UTC, priorities by name, secrets taken out."""
    typer.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Print rows under their columns."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(clean, row))
    console().print(table)


def say_facts(facts: Mapping[str, str]) -> None:
    """Print names and values, one below the other."""
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {clean(value)}")


def console(*, stderr: bool = False) -> Console:
    """Rich's console without its own ideas of what brackets and colons in a text mean."""
    from rich.console import Console

    # A pipe has no width; Rich would take 80 columns and fold what a program or a grep wants on one line.
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else WIDTH_OF_A_PIPE
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)


def clean(text: str) -> str:
    """`text` fit for a terminal: no secrets, and control characters other than line breaks shown as escapes."""
    text = redact(text)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )


def plain(value: object) -> Any:
    """`value` as `json` takes it."""
    if isinstance(value, Enum):
        return value.name.lower() if isinstance(value, IntEnum) else value.value
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def moment(instant: datetime | None) -> str:
    """An instant for people, in UTC to the millisecond."""
    if instant is None:
        return NONE
    return instant.astimezone(UTC).isoformat(" ", "milliseconds").replace("+00:00", " UTC")


def number(value: float) -> str:
    """A number for people: 5,000, 0.25, 5 rather than 5.0."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"

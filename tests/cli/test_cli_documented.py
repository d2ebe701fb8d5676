"""`docs/cli.md` and the program know the same commands, arguments and options; every help has an example."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from dovecote.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command_line import CommandLine

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
HEADING = re.compile(r"^#{2,3} `(dovecote[^`]*)`$", re.MULTILINE)
OPTION = re.compile(r"^\| `(--[a-z-]+)[^`]*` \|", re.MULTILINE)


def commands(command: Any, path: str = "dovecote") -> Iterator[tuple[str, Any]]:
    """Every command by its path, groups with options of their own included."""
    children = getattr(command, "commands", {})
    if not children or path == "dovecote":
        yield path, command
    for name, child in children.items():
        yield from commands(child, f"{path} {name}")


def heading(path: str, command: Any) -> str:
    """A command as its heading writes it: with its arguments."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    words = [
        (f"{name}" if argument.required else f"[{name}]") + ("..." if argument.nargs == -1 else "")
        for argument in arguments
        for name in [argument.metavar]
    ]
    return " ".join([path, *words])


def options(command: Any) -> set[str]:
    return {
        name
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.hidden and parameter.name != "help"
        for name in parameter.opts
    }


def documented() -> dict[str, str]:
    """The text below each command's heading."""
    parts = HEADING.split(DOCUMENT.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


COMMANDS = dict(commands(get_command(app)))


def test_the_document_and_the_program_have_the_same_commands_and_arguments() -> None:
    assert sorted(documented()) == sorted(heading(path, command) for path, command in COMMANDS.items())


@pytest.mark.parametrize("path", COMMANDS)
def test_they_have_the_same_options(path: str) -> None:
    command = COMMANDS[path]

    listed = OPTION.findall(documented()[heading(path, command)])

    assert len(listed) == len(set(listed))
    assert set(listed) == options(command)


def test_the_commands_are_these() -> None:
    """Guards the tests above: they compare nothing where the walk finds nothing."""
    assert {"dovecote", "dovecote bot reseal", "dovecote dead replay", "dovecote demo"} <= set(COMMANDS)
    assert len(COMMANDS) >= 27


@pytest.mark.parametrize("path", [path for path in COMMANDS if path != "dovecote"])
def test_every_help_has_an_example_of_that_command_and_so_has_the_document(dovecote: CommandLine, path: str) -> None:
    _, *words = path.split()

    shown = dovecote.ok(*words, "--help").out

    example = re.search(r"Example: dovecote (.*)", shown)
    assert example is not None
    assert " ".join(words) in example[1]
    below = documented()[heading(path, COMMANDS[path])]
    assert re.search(rf"^Example: `dovecote (?:--config \S+ )?{' '.join(words)}\b", below, re.MULTILINE)

"""The command line: one program, nouns then verbs.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted. The answer alone is on standard output; an
error is one message on standard error, with a traceback only under --debug.
"""

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.main import get_command

from dovecote.cli import (
    bots,
    broadcasts,
    dead,
    demonstration,
    examining,
    files,
    jobs,
    leading,
    moving,
    pruning,
    recipients,
    restoring,
    schedules,
    sending,
    serving,
    setup,
    top,
    unknown,
    watching,
)
from dovecote.cli.context import Globals, globals_of
from dovecote.cli.output import note, say
from dovecote.errors import DovecoteError
from dovecote.redaction import REDACTED_TOKEN, redact
from dovecote.version import __version__

if TYPE_CHECKING:
    from dovecote.config import Tables

REFUSED = 1
WRONG_USAGE = 2
ON_THE_COMMAND_LINE = (
    "a bot token stands on the command line. It would stay in the shell's history and show in the list of processes:"
    " give it at the prompt, on standard input, with --token-file or with --token-variable. If it is a real one, it is"
    " no secret any more: revoke it at @BotFather."
)

app = typer.Typer(
    name="dovecote",
    help="Delivers notifications for Telegram bots from a transactional outbox: once, on time, within the limits.",
    epilog="Begin with: dovecote demo\n\nOn your own bot: dovecote init",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 (Typer calls it so)
    if wanted:
        say(f"dovecote {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The settings file, in place of dovecote.toml or DOVECOTE_CONFIG."
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything, and show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    del version
    chosen = globals_of(context)
    chosen.config = config or chosen.config
    chosen.debug = debug


for part in (
    setup,
    bots,
    sending,
    serving,
    watching,
    top,
    leading,
    examining,
    dead,
    unknown,
    recipients,
    files,
    jobs,
    schedules,
    broadcasts,
    pruning,
    restoring,
    moving,
    demonstration,
):
    part.register(app)


def run() -> NoReturn:
    """The program `dovecote`."""
    # What is imported now is no garbage, and to look for some there takes a tenth of a short command's time.
    gc.set_threshold(100_000)
    sys.exit(main())


def main(arguments: Sequence[str] | None = None, *, settings: "Tables | None" = None, program: str = "dovecote") -> int:
    """Do what `arguments` (by default the process's) ask for, and answer the exit code.

    `program` is what it is called, and `settings` are its settings, where it is a command of another one.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = Globals(config=settings)
    try:
        code = _carry_out(given, chosen, program)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the answer has seen enough. What is still buffered must not fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 (the last place before the person)
        _tell(error, debug=chosen.debug)
        return REFUSED
    return code


def _carry_out(arguments: list[str], chosen: Globals, program: str) -> int:
    if any(REDACTED_TOKEN in redact(argument) for argument in arguments):
        note(f"Error: {ON_THE_COMMAND_LINE}")
        return WRONG_USAGE
    for argument in arguments:
        if not _is_text(argument):
            note(f'Error: the argument "{argument}" is not UTF-8, so it names nothing: write it anew.')
            return WRONG_USAGE
    try:
        answer = _command().main(arguments, prog_name=program, standalone_mode=False, obj=chosen)
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        message = error.format_message()
        context: typer.Context | None = getattr(error, "ctx", None)
        if context is not None and message:
            note(f"{context.get_usage()}\nTry '{context.command_path} --help'.\n")
        # There is none where the help was shown in its place.
        if message:
            note(f"Error: {message}")
        return error.exit_code
    # An int is the code of a typer.Exit; commands themselves answer nothing.
    return answer if isinstance(answer, int) else 0


@cache
def _command() -> Any:
    """The tree of commands. To make it takes longer than most commands do, and a process may run many."""
    command = get_command(app)
    _show_no_type_of_switches(command)
    return command


def _show_no_type_of_switches(command: Any) -> None:
    """Let the help say nothing of the type of an option that takes no value: "<bool>" would look like one."""
    context = typer.Context(command, **command.context_settings)
    for parameter in (*command.params, command.get_help_option(context)):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    for child in getattr(command, "commands", {}).values():
        _show_no_type_of_switches(child)


def _is_text(argument: str) -> bool:
    """Whether it can be written as UTF-8. Bytes that are none come in as halves of surrogate pairs."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tell(error: Exception, *, debug: bool) -> None:
    if debug:
        note("".join(traceback.format_exception(error)))
    elif isinstance(error, DovecoteError):
        note(f"Error: {error}")
    else:
        note(f"Error: {type(error).__name__}: {error}\nThis is a fault of Dovecote's own: --debug shows where.")

"""What every command shares: the global options, the settings, one way to work on the outbox, refusals.

A command imports what it needs when it runs, so that `dovecote --help` does not wait for a database toolkit.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dovecote.errors import DovecoteError, InvalidConfiguration, NotMigrated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    import typer

    from dovecote.app import Dovecote
    from dovecote.config import Settings, Tables

T = TypeVar("T")

URL_VARIABLE = "DOVECOTE_DATABASE_URL"


class Refused(DovecoteError):
    """A command will not do what it was asked; the message says why and what would help."""


@dataclass(slots=True)
class Globals:
    """The options that stand before the command.

    `config` is the settings file, or the settings of the program that this one is a command of, such as Django's.
    """

    config: Path | Tables | None = None
    debug: bool = False


def globals_of(context: typer.Context) -> Globals:
    """The global options of this call."""
    found = context.find_root().obj
    assert isinstance(found, Globals)  # noqa: S101 (`main` hands it over)
    return found


def settings_of(context: typer.Context) -> Settings:
    """The settings. Raises InvalidConfiguration with every fault."""
    from dovecote.config import load_settings

    return load_settings(globals_of(context).config)


def on_outbox(context: typer.Context, action: Callable[[Dovecote], Awaitable[T]]) -> T:
    """Do `action` on the configured outbox and close it again.

    Raises whatever the action does, and NotMigrated for a SQLite file that is not there: opening it would make one.
    """
    settings = settings_of(context)
    check_file(settings)
    return on_database(context, settings, action)


def check_file(settings: Settings) -> None:
    """Raise NotMigrated for a SQLite file that is not there, and InvalidConfiguration for no URL of a database."""
    from dovecote.stores.database import outbox_url

    url = outbox_url(settings.database.url)
    if url.get_backend_name() == "sqlite" and not exists(Path(str(url.database))):
        raise NotMigrated(
            f'there is no file "{url.database}", which database.url names: make the outbox with `dovecote migrate`'
            " (`dovecote init` where there are no settings yet), or mend the name."
        )


def exists(file: Path) -> bool:
    """Whether there is such a file. Raises Refused for a name that no file can have."""
    try:
        return file.exists()
    except OSError as error:
        raise Refused(f'"{file}" cannot be looked for ({error.strerror}): name another one.') from None


def on_database(context: typer.Context, settings: Settings, action: Callable[[Dovecote], Awaitable[T]]) -> T:
    """Do `action` on the outbox of `settings`, whether or not there is one yet."""
    from dovecote.app import Dovecote

    configure_quiet_logging(context, settings)

    async def act() -> T:
        async with Dovecote(settings=settings) as dovecote:
            return await action(dovecote)

    return run_async(act())


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in an event loop of its own, uvloop's where there is one."""
    if sys.platform == "win32":
        import asyncio

        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)


def configure_quiet_logging(context: typer.Context, settings: Settings) -> None:
    """Let a command that only answers log no more than warnings; with --debug, everything."""
    from dovecote.observability.logs import configure_logging

    quiet = "warning" if settings.log.level == "info" else settings.log.level
    configure_logging(format=settings.log.format, level="debug" if globals_of(context).debug else quiet)


def check_url(database: str | None) -> None:
    """Raise InvalidConfiguration for a `--database` that is no outbox's URL, before anything is done with it."""
    from dovecote.config import configuration_faults
    from dovecote.config.reading import CONFIG_VARIABLE

    if database is None:
        return
    # By itself: what else is set, well or badly, is not what is asked here.
    faults = configuration_faults(environ={CONFIG_VARIABLE: os.devnull, URL_VARIABLE: database})
    if faults:
        raise InvalidConfiguration([fault.replace(URL_VARIABLE, "--database") for fault in faults])


@contextmanager
def users_values() -> Iterator[None]:
    """Turn a ValueError about what the user gave into a refusal."""
    try:
        yield
    except DovecoteError:
        raise
    except ValueError as error:
        raise Refused(str(error)) from error


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal, unless `yes`. Raises Refused for anything but y, and where there is nobody to ask."""
    import typer

    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} There is no terminal to ask on: add --yes.")
    if not typer.confirm(question, err=True):
        raise Refused("nothing was changed.")

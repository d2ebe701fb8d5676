"""`init`, `migrate`, `config check`: from an empty folder to an outbox."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import URL_VARIABLE, Refused, check_url, exists, globals_of, on_database, settings_of
from dovecote.cli.output import note, say, say_json

if TYPE_CHECKING:
    from dovecote.app import Dovecote
    from dovecote.config import Settings

KEYS_FILE = "dovecote.keys"
KEY_VARIABLES = ("DOVECOTE_ENCRYPTION_KEYS", "DOVECOTE_ENCRYPTION_KEYS_FILE")
PRIVATE = 0o600

config_app = typer.Typer(help="The settings.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command(epilog="Example: dovecote init --directory shop --database postgresql://localhost/shop")(init)
    app.command(epilog="Example: dovecote migrate")(migrate)
    config_app.command("check", epilog="Example: dovecote --config production.toml config check")(check)
    app.add_typer(config_app, name="config")


def init(
    context: typer.Context,
    *,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The database of the outbox; without it, sqlite:///dovecote.db."),
    ] = None,
    bot: Annotated[str | None, typer.Option(metavar="NAME", help="The bot of the example; without it, shop.")] = None,
    directory: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write it all; it is made where there is none.")
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Write settings and key and make the outbox, and nothing else.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Write anew what an earlier init has written. A key file is kept."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: what is not given has its default.")] = False,
) -> None:
    """Make a project folder: settings, an encryption key, the outbox, an example, a systemd unit."""
    from dovecote.cli.project import check_bot_name
    from dovecote.config.reading import CONFIG_VARIABLE, DEFAULT_FILE

    chosen = globals_of(context).config
    if not isinstance(chosen, Path | None):
        raise Refused(f"the settings are in {chosen.name}: change them there; `migrate` makes the outbox.")
    named = chosen or os.environ.get(CONFIG_VARIABLE)
    if named and directory is not None:
        raise Refused(f'the settings file is "{named}": leave --directory, or do not name a settings file.')
    if bot is not None:
        check_bot_name(bot)
    check_url(database)
    _check_variable(database)
    with _in(directory):
        file = Path(named or DEFAULT_FILE)
        if exists(file) and not force:
            raise Refused(f'there is a file "{file}" already: keep it and run `dovecote migrate`, or add --force.')
        # What has a settings file of its own name is laid out by its owner.
        bare = bare or bool(named)
        if sys.stdin.isatty() and not yes:
            database = database or _asked_database()
            bot = bot or (None if bare else _asked_bot())
        _write(file, database)
        settings = settings_of(context)
        on_database(context, settings, lambda dovecote: dovecote.migrate())
        bot = bot or "shop"
        told = [] if bare else _write_project(bot, settings, force=force)
    say("\n".join([f"Ready. The settings are in {file}, the outbox is {_shown(settings.database.url)}.", *told]))
    say(
        "Next:\n"
        + ("" if directory is None else f"  cd {shlex.quote(str(directory))}\n")
        + f"  {f'dovecote bot add {bot}':<46}  give a bot's token, at a prompt\n"
        f"  {f'dovecote send --bot {bot} --chat CHAT_ID Hello':<46}  put a notification into the outbox\n"
        f"  {'dovecote run':<46}  deliver"
    )


@contextmanager
def _in(directory: Path | None) -> Iterator[None]:
    """Work in that folder. Raises Refused for one that cannot be made."""
    if directory is None:
        yield
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        changed = chdir(directory)
        changed.__enter__()
    except OSError as error:
        raise Refused(f'"{directory}" cannot be used ({error.strerror}): choose another --directory.') from error
    try:
        yield
    finally:
        changed.__exit__(None, None, None)


def _asked_database() -> str | None:
    from dovecote.config import SETTINGS

    if os.environ.get(URL_VARIABLE, "").strip():
        return None
    default = str(SETTINGS["database.url"].default)
    answer: str = typer.prompt("Database of the outbox", default=default, err=True)
    check_url(answer)
    return None if answer == default else answer


def _asked_bot() -> str:
    from dovecote.cli.project import check_bot_name

    answer: str = typer.prompt("A name for your bot", default="shop", err=True)
    check_bot_name(answer)
    return answer


def _write(file: Path, database: str | None) -> None:
    """The settings file, and a key beside it unless the environment has one."""
    values: dict[str, object] = {}
    if database is not None:
        values["database.url"] = database
    keys = None if any(os.environ.get(variable, "").strip() for variable in KEY_VARIABLES) else file.parent / KEYS_FILE
    if keys is not None:
        # A path is relative to the working directory, from wherever the settings file itself was named.
        values["encryption.keys_file"] = str(keys if file.parent == Path() else keys.absolute())
        _make_keys(keys)
    _write_settings(file, values)


def _write_project(bot: str, settings: "Settings", *, force: bool) -> list[str]:
    """The rest of the project, in the working directory; answers what is to be told."""
    from dovecote.cli.project import project_files, write_project

    written, kept = write_project(Path(), project_files(bot, settings, Path.cwd()), force=force)
    _ignore(Path(".env"))
    told = [f"Written beside it: {', '.join(written)}."] if written else []
    return told + ([f"Kept as they were: {', '.join(kept)}."] if kept else [])


def migrate(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make the outbox, or bring its schema to this version's. Harmless twice and from many instances at once."""
    settings = settings_of(context)
    before, after = on_database(context, settings, _migrate)
    if as_json:
        say_json({"database": _shown(settings.database.url), "from": before, "to": after})
    elif before == after:
        say(f"{_shown(settings.database.url)} is at revision {after} already.")
    else:
        say(f"{_shown(settings.database.url)} is at revision {after} now; it was at {before or 'none'}.")


def check(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List every fault of the settings at once."""
    from dovecote.config import configuration_faults, schedule_faults

    chosen = globals_of(context).config
    faults = configuration_faults(chosen) + schedule_faults(chosen)
    if as_json:
        say_json({"ok": not faults, "faults": list(faults)})
    elif faults:
        say("\n".join(faults))
    else:
        say("OK: the settings have no faults.")
    if faults:
        raise typer.Exit(1)


async def _migrate(dovecote: "Dovecote") -> tuple[str | None, str | None]:
    before, _ = await dovecote.database.revision()
    await dovecote.migrate()
    after, _ = await dovecote.database.revision()
    return before, after


def _check_variable(database: str | None) -> None:
    given = os.environ.get(URL_VARIABLE, "").strip()
    if database is not None and given not in {"", database}:
        raise Refused(
            f"{URL_VARIABLE} is set to {_shown(given)} and wins over the file: unset it, or leave --database."
        )


def _make_keys(file: Path) -> None:
    from dovecote.vault import generate_key

    try:
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE)
    except FileExistsError:
        note(f"{file} is kept: with another key the stored tokens could not be read.")
    except OSError as error:
        raise Refused(f'"{file}" cannot be written ({error.strerror}): choose another folder with --config.') from error
    else:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(
                f"# The key that bots' tokens are encrypted with. Keep it apart from the database.\n{generate_key()}\n"
            )
        note(f"{file} holds the encryption key, for your eyes only: back it up, apart from the database.")
    _ignore(file)


def _write_settings(file: Path, values: Mapping[str, object]) -> None:
    from dovecote.config import template

    try:
        file.unlink(missing_ok=True)
        # The URL may hold a password.
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE)
    except OSError as error:
        raise Refused(f'"{file}" cannot be written ({error.strerror}): choose another place with --config.') from error
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(template(values))


def _ignore(secret: Path) -> None:
    """Keep a file out of the Git repository that its folder is in, if it is in one."""
    folder = secret.parent.absolute()
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return
    ignored = secret.parent / ".gitignore"
    lines = ignored.read_text(encoding="utf-8").splitlines() if ignored.exists() else []
    if secret.name not in lines:
        ignored.write_text("\n".join([*lines, secret.name, ""]), encoding="utf-8")
        note(f"{ignored} names {secret.name} now.")


def _shown(url: str) -> str:
    from dovecote.config.values import masked_url

    return masked_url(url)

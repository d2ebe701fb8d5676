"""`worker`, `run`, `emulator`: what goes on until it is told to stop."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import Refused, check_file, globals_of, run_async, settings_of
from dovecote.cli.output import say

if TYPE_CHECKING:
    from dovecote.config import Settings

HIGHEST_PORT = 65_535
INTERRUPTED = 130

Shadow = Annotated[
    bool, typer.Option("--shadow", help="Refuse to begin unless an emulator stands where everything is sent to.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command(epilog="Example: dovecote worker --http-port 9100")(worker)
    app.command("run", epilog="Example: dovecote run")(run_everything)
    app.command(epilog="Example: dovecote emulator --port 8081")(emulator)


def worker(
    context: typer.Context,
    *,
    http_port: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, max=HIGHEST_PORT, help="Serve health and metrics on this port; 0: a free one."
        ),
    ] = None,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="Fire what is due, deliver, and end when nothing is waiting.")
    ] = False,
    shadow: Shadow = False,
) -> None:
    """Deliver until SIGTERM or Ctrl-C, then finish what is in flight. Run as many as you like."""
    settings = settings_of(context)
    if http_port is not None:
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": http_port})})
    _serve(context, settings, http=http_port is not None, until_empty=until_empty, shadow=shadow)


def run_everything(context: typer.Context, *, shadow: Shadow = False) -> None:
    """Everything in one process: a worker, and the listener for health and metrics."""
    _serve(context, settings_of(context), http=True, role="run", shadow=shadow)


def emulator(
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=HIGHEST_PORT, help="The port to listen on; 0 takes a free one.")
    ] = 8081,
    capacity: Annotated[int, typer.Option(metavar="N", min=1, help="How many requests are kept at most.")] = 2_000_000,
    tokens_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The tokens of the bots that there are, one a line; without it, any token."),
    ] = None,
    limits: Annotated[
        bool, typer.Option("--limits", help="Keep Telegram's limits, and make the wait longer for who sends on.")
    ] = False,
    connection_age: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.001, help="Cut every connection at this age. Telegram's is about 40."),
    ] = None,
    local: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Be a local Bot API server: uploads of 2000 MB, and its files are there."),
    ] = None,
    scale: Annotated[
        float, typer.Option(metavar="N", min=0.001, help="Let the emulator's clock run N times as fast.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Make dice and faults by rate repeatable.")] = None,
) -> None:
    """Serve Telegram's Bot API on this machine, for tests and trials, until Ctrl-C. No message leaves it."""
    from dovecote.emulator import Clock, Limits, ScaledClock, run_emulator

    run_emulator(
        host,
        port,
        tokens=None if tokens_file is None else _tokens(tokens_file),
        capacity=capacity,
        clock=Clock() if scale == 1 else ScaledClock(scale),
        seed=seed,
        limits=Limits.telegram() if limits else None,
        connection_age=connection_age,
        local=local,
        on_ready=_announce,
    )


def _serve(
    context: typer.Context,
    settings: "Settings",
    *,
    http: bool,
    until_empty: bool = False,
    role: str = "worker",
    shadow: bool = False,
) -> None:
    from dovecote.app import Dovecote
    from dovecote.config import load_schedules
    from dovecote.observability.logs import configure_logging
    from dovecote.service import Service, delivery_only

    check_file(settings)
    schedules = load_schedules(globals_of(context).config)
    configure_logging(format=settings.log.format, level="debug" if globals_of(context).debug else settings.log.level)

    async def serve() -> None:
        if shadow:
            from dovecote.moving.shadow import check_emulator

            await check_emulator(settings.telegram.base_url)
        async with Dovecote(settings=settings) as dovecote:
            delivery_only()
            await Service(dovecote, http=http, role=role, schedules=schedules).run(until_empty=until_empty)

    try:
        run_async(serve())
    except asyncio.CancelledError:
        # Told to stop twice.
        raise typer.Exit(INTERRUPTED) from None


def _announce(url: str) -> None:
    say(
        f"The emulator listens on {url}, until Ctrl-C. Any token of the right form is a bot.\n"
        f"Let Dovecote send there:  DOVECOTE_TELEGRAM_BASE_URL={url} dovecote run\n"
        f"See what has arrived:     {url}/emulator/requests"
    )


def _tokens(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refused(f'"{file}" cannot be read ({reason}): name a file of tokens, one a line.') from None
    tokens = [line.strip() for line in lines if line.strip()]
    if not tokens:
        raise Refused(f'"{file}" holds no token: write one a line, or leave --tokens-file.')
    return tokens

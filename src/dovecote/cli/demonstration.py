"""`demo`: the whole way on this machine, with numbers that a person can check."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import check_url, configure_quiet_logging, run_async
from dovecote.cli.output import console, note, number, say, say_table

if TYPE_CHECKING:
    from dovecote.demo import Demo, DemoResult

MOST = 1_000_000
TELEGRAMS_PACE = 30.0
FASTEST_PACE = 100_000.0


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command(
        epilog="Example: dovecote demo --notifications 20000\n\nExample: dovecote demo --pace 30 --notifications 300"
    )(demo)


def demo(
    context: typer.Context,
    *,
    notifications: Annotated[int, typer.Option(metavar="N", min=1, max=MOST, help="How many to deliver.")] = 5_000,
    pace: Annotated[
        float,
        typer.Option(metavar="P", min=0.1, max=FASTEST_PACE, help="Messages per second; Telegram allows about 30."),
    ] = 2_000.0,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An empty database to use, in place of a SQLite file for the time."),
    ] = None,
    stay: Annotated[
        bool, typer.Option("--stay", help="Go on until Ctrl-C, to look at the emulator and the outbox.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Deliver thousands of notifications to a Bot API emulator, from one transaction, and count what arrived.

    It needs no token and no service, and leaves nothing behind.
    """
    from dovecote.config import Settings
    from dovecote.demo import Demo

    # No range refuses a nan.
    if math.isnan(pace):
        raise typer.BadParameter("nan is no number of messages per second: give one such as 30.", param_hint="--pace")
    check_url(database)
    configure_quiet_logging(context, Settings())
    with Demo(notifications=notifications, pace=pace, database=database) as demonstration:
        result = run_async(_with_progress(demonstration))
        if as_json:
            say(result.as_json())
        else:
            _summarise(result)
        if stay:
            run_async(demonstration.stay(lambda metrics: _tell_addresses(demonstration, metrics)))
    if not result.is_right:
        raise typer.Exit(1)


async def _with_progress(demonstration: "Demo") -> "DemoResult":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True)) as progress:
        task = progress.add_task("delivering", total=demonstration.notifications)
        return await demonstration.run(lambda delivered: progress.update(task, completed=delivered))


def _summarise(result: "DemoResult") -> None:
    rate = result.delivered / result.seconds if result.seconds else 0.0
    say_table(
        ["", "", "how it is known"],
        [
            ["enqueued", number(result.enqueued), "in one transaction of the application"],
            ["delivered", number(result.delivered), "recorded by the outbox"],
            ["dead", number(result.dead), "given up"],
            ["doubles", number(result.doubles), "counted from what the emulator accepted"],
            ["rolled back", number(result.rolled_back), "enqueued in a transaction that was rolled back"],
            ["of these sent", number(result.rolled_back_sent), "counted from what the emulator accepted"],
            ["pace", f"{number(result.pace_per_second)}/s", _about_pace(result.pace_per_second)],
            ["statements", f"{result.statements_per_notification:g}", "of a worker, per notification"],
            ["seconds", number(result.seconds), f"{rate:,.0f} notifications per second, enqueuing included"],
        ],
        title="What happened",
    )
    if result.is_right:
        say(f"Right: all {result.enqueued:,} arrived, each once, and what was rolled back was not sent.")
    else:
        say("Wrong: what was committed and what arrived are not the same. The table shows where.")
    say("Look for yourself: `dovecote demo --stay` keeps the emulator and the outbox until Ctrl-C.")


def _about_pace(pace: float) -> str:
    if pace > TELEGRAMS_PACE:
        return f"the demonstration's own; Telegram allows about {TELEGRAMS_PACE:g}/s, which --pace 30 shows"
    return f"within the {TELEGRAMS_PACE:g}/s or so that Telegram allows"


def _tell_addresses(demonstration: "Demo", metrics: str) -> None:
    emulator, database = demonstration.emulator.url, demonstration.shown_database
    note(
        "It goes on until Ctrl-C, and a worker delivers what is enqueued.\n"
        f"What arrived:  {emulator}/emulator/accepted?limit=3\n"
        f"The outbox:    DOVECOTE_DATABASE_URL={database} dovecote stats\n"
        f"Send more:     DOVECOTE_DATABASE_URL={database} dovecote send --bot demo --chat 1 Hello\n"
        f"Metrics:       {metrics}/metrics"
    )

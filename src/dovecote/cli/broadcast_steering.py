"""Starting, pausing, undoing and exporting broadcasts."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovecote.cli.broadcast_views import (
    broadcast_json,
    estimate_text,
    progress_text,
    write_csv,
    write_json_lines,
)
from dovecote.cli.context import confirm, on_outbox
from dovecote.cli.output import note, number, say, say_json
from dovecote.cli.pages import AsJson, Yes, written
from dovecote.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dovecote.app import Dovecote
    from dovecote.model import BroadcastRecord


class FormatChoice(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


def text_option(help_: str, metavar: str = "TEXT", *, name: str | None = None) -> Any:
    """An option with a text for its value."""
    names = () if name is None else (name,)
    return typer.Option(*names, metavar=metavar, help=help_, show_default=False)


Name = Annotated[str, typer.Argument(metavar="NAME", help="The broadcast's name.", show_default=False)]
AsName = Annotated[str | None, text_option("The name of the broadcast that does it.", "NAME", name="--as")]


def start(context: typer.Context, name: Name, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Say whom it reaches, how long it takes and what it may cost, ask, and begin to send."""
    estimate = on_outbox(context, lambda dovecote: dovecote.broadcasts.estimate(name))
    if not as_json:
        say(estimate_text(estimate))
    confirm(f'Start "{name}"?', yes=yes)
    record = on_outbox(context, lambda dovecote: dovecote.broadcasts.start(name))
    if as_json:
        say_json({**broadcast_json(record), "estimate": _estimate_json(estimate)})
    else:
        say(f'The broadcast "{name}" is running, wherever `dovecote run` or `dovecote worker` runs.')


def _estimate_json(estimate: Any) -> dict[str, Any]:
    takes = None if estimate.takes is None else estimate.takes.total_seconds()
    names = ("recipients", "suppressed", "stars", "stars_per_day")
    return {"takes": takes, **{name: getattr(estimate, name) for name in names}}


def pause(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Send nothing more for now; what a worker has in hand is still sent."""
    _steer(context, lambda dovecote: dovecote.broadcasts.pause(name), "is paused", as_json=as_json)


def resume(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Go on with a paused one."""
    _steer(context, lambda dovecote: dovecote.broadcasts.resume(name), "is running", as_json=as_json)


def cancel(context: typer.Context, name: Name, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """End it: what is not sent by now is never sent. What was sent stays; `broadcast recall` deletes that."""
    confirm(f'Cancel "{name}" for good?', yes=yes)
    _steer(context, lambda dovecote: dovecote.broadcasts.cancel(name), "is cancelled", as_json=as_json)


def recall(
    context: typer.Context, name: Name, *, as_name: AsName = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Delete what it sent in the last 48 hours: a broadcast NAME-recall, which begins at once."""
    confirm(f'Delete what "{name}" has sent, in every chat?', yes=yes)
    with progress("recipients") as show:
        record = on_outbox(
            context, lambda d: d.broadcasts.recall(name, as_name=as_name, told=lambda done: show(done, None))
        )
    _tell(record, "is running", as_json=as_json)


def edit(
    context: typer.Context,
    name: Name,
    *,
    text: Annotated[str, text_option("The new text, or caption.", name="--text")],
    as_name: AsName = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give what it has sent another text, in every chat: a broadcast NAME-edit, which begins at once."""
    confirm(f'Change what "{name}" has sent, in every chat?', yes=yes)
    with progress("recipients") as show:
        record = on_outbox(
            context, lambda d: d.broadcasts.edit(name, text=text, as_name=as_name, told=lambda done: show(done, None))
        )
    _tell(record, "is running", as_json=as_json)


def _steer(
    context: typer.Context,
    action: "Callable[[Dovecote], Awaitable[BroadcastRecord]]",
    became: str,
    *,
    as_json: bool,
) -> None:
    _tell(on_outbox(context, action), became, as_json=as_json)


def _tell(record: "BroadcastRecord", became: str, *, as_json: bool) -> None:
    if as_json:
        say_json(broadcast_json(record))
    else:
        say(f'The broadcast "{record.broadcast.name}" {became}: {progress_text(record)}.')


def export(
    context: typer.Context,
    name: Name,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write it there.", show_default=False)
    ] = None,
    format_: Annotated[FormatChoice, typer.Option("--format", metavar="F", help="csv or jsonl.")] = FormatChoice.CSV,
    state: Annotated[list[str] | None, text_option("Only recipients in this state; may be repeated.", "STATE")] = None,
) -> None:
    """Write the record: who got it and when, who did not and why."""
    from dovecote.model import RecipientState

    known = {each.value: each for each in RecipientState}
    if wrong := set(state or ()) - known.keys():
        raise typer.BadParameter(f"{', '.join(sorted(wrong))}: write one of {', '.join(known)}.", param_hint="--state")
    states = [known[each] for each in state or ()]
    write = write_csv if format_ is FormatChoice.CSV else write_json_lines

    async def act(dovecote: "Dovecote") -> int:
        await dovecote.broadcasts.get(name)
        found = dovecote.broadcasts.record(name, states=states)
        return await written(output, lambda file: write(found, file))

    count = on_outbox(context, act)
    if output is not None:
        note(f'{number(count)} recipients are in "{output}".')


def delete(context: typer.Context, name: Name, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Forget a draft or an ended broadcast, with its record."""
    confirm(f'Forget "{name}" with its record?', yes=yes)
    on_outbox(context, lambda dovecote: dovecote.broadcasts.delete(name))
    if as_json:
        say_json({"deleted": name})
    else:
        say(f'The broadcast "{name}" is forgotten.')

"""`bot retention`: what a bot keeps for how long."""

from dataclasses import fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dovecote.cli.context import on_outbox, users_values
from dovecote.cli.output import say_json, say_table

if TYPE_CHECKING:
    from dovecote.app import Dovecote
    from dovecote.model import BotRetention, Retention

DEFAULT: Final = "default"
"""What is written for a time that is not the bot's own."""
OUTCOMES: Final = ("delivered", "dead", "unknown")

_Time = str | None


def _option(name: str, about: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(f"--{name}", metavar="TIME|default", help=about)
    return option


def retention(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The bot's name.", show_default=False)],
    *,
    delivered: Annotated[_Time, _option("delivered", "How long delivered notifications stay.")] = None,
    delivered_payload: Annotated[_Time, _option("delivered-payload", "How long their payloads do.")] = None,
    dead: Annotated[_Time, _option("dead", "How long dead letters stay.")] = None,
    dead_payload: Annotated[_Time, _option("dead-payload", "How long their payloads do.")] = None,
    unknown: Annotated[_Time, _option("unknown", "How long unknown outcomes stay.")] = None,
    unknown_payload: Annotated[_Time, _option("unknown-payload", "How long their payloads do.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a bot keeps for how long, or give it times of its own in place of those of the settings."""
    given = {
        "delivered": delivered,
        "delivered_payload": delivered_payload,
        "dead": dead,
        "dead_payload": dead_payload,
        "unknown": unknown,
        "unknown_payload": unknown_payload,
    }
    changes = {setting: _read(setting, text) for setting, text in given.items() if text is not None}

    async def act(dovecote: "Dovecote") -> "tuple[Retention, BotRetention]":
        from dovecote.errors import UnknownBot
        from dovecote.model import BotRetention, Retention

        bots = [bot.name for bot in await dovecote.bots()]
        if name not in bots:
            raise UnknownBot(name, bots)
        own = (await dovecote.retentions()).get(name, BotRetention())
        if changes:
            own = replace(own, **changes)
            with users_values():
                await dovecote.set_retention(name, own)
        chosen = dovecote.settings.retention
        of_all = Retention(**{each.name: getattr(chosen, each.name) for each in fields(Retention)})
        return of_all.for_bot(own), own

    kept, own = on_outbox(context, act)
    if as_json:
        say_json({"bot": name, **_as_json(kept, own)})
        return
    say_table(
        ["outcome", "stays", "its payload"],
        [[outcome, _text(kept, own, outcome), _text(kept, own, f"{outcome}_payload")] for outcome in OUTCOMES],
        title=f'The bot "{name}" keeps',
    )


def _read(setting: str, text: str) -> timedelta | None:
    from dovecote.config import parse_duration

    if text.lower() == DEFAULT:
        return None
    try:
        return parse_duration(text)
    except ValueError:
        raise typer.BadParameter(
            f'"{text}": give a time such as 12h or 30d, 3650 days at most, or default.',
            param_hint=f"--{setting.replace('_', '-')}",
        ) from None


def _text(kept: "Retention", own: "BotRetention", setting: str) -> str:
    from dovecote.model import State

    text = duration_text(getattr(kept, setting))
    outcome = State(setting.removesuffix("_payload"))
    if setting.endswith("_payload") and getattr(kept, setting) > kept.of(outcome).payload:
        text += ", and so as long as it stays"
    return text if getattr(own, setting) is None else f"{text}, its own"


def _as_json(kept: "Retention", own: "BotRetention") -> dict[str, object]:
    return {
        outcome: {
            "seconds": getattr(kept, outcome).total_seconds(),
            "own": getattr(own, outcome) is not None,
            "payload_seconds": getattr(kept, f"{outcome}_payload").total_seconds(),
            "payload_own": getattr(own, f"{outcome}_payload") is not None,
        }
        for outcome in OUTCOMES
    }


def duration_text(time: timedelta) -> str:
    """A time as it is written: in the largest unit that it is whole in."""
    seconds = time.total_seconds()
    for unit, of_seconds in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % of_seconds == 0:
            return f"{seconds / of_seconds:g}{unit}"
    return f"{seconds:g}s"

"""`bot`: the senders, their tokens and their limits. A token comes in by any way but the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import on_outbox, users_values
from dovecote.cli.limits import limit_text, pace_text, read_limit, read_pace
from dovecote.cli.output import NONE, moment, note, say, say_facts, say_json, say_table
from dovecote.cli.paid import completed, paid_text, read_paid, set_all
from dovecote.cli.retaining import retention
from dovecote.cli.secrets import GivenToken, read_token

if TYPE_CHECKING:
    from dovecote.app import Dovecote
    from dovecote.model import Bot

bot_app = typer.Typer(help="The bots: their tokens and their limits.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The bot's name.", show_default=False)]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="Read the token from this file, and keep it sealed.")
]
TokenVariable = Annotated[
    str | None,
    typer.Option(
        "--token-variable",
        metavar="VAR",
        help="The environment variable that holds the token wherever a worker runs. The token itself is not stored.",
    ),
]
# Only there to be refused with the reason: see `refuse_token`.
TAKES_TOO_MUCH = {"allow_extra_args": True}
TokenOption = Annotated[str | None, typer.Option("--token", hidden=True)]
Pace = Annotated[
    str | None, typer.Option("--pace", metavar="N|off", help="Messages per second over all chats and workers.")
]
PrivateLimit = Annotated[
    str | None,
    typer.Option("--private-limit", metavar="N/TIME|off", help="Messages to one private chat in a time, as 3/3s."),
]
GroupLimit = Annotated[
    str | None,
    typer.Option("--group-limit", metavar="N/TIME|off", help="Messages to one group or channel in a time, as 20/60s."),
]
PaidPace = Annotated[
    str | None,
    typer.Option("--paid-pace", metavar="N|off", help="Messages per second while Stars pay for it, at most 1000."),
]
StarsPerDay = Annotated[
    int | None,
    typer.Option(
        "--stars-per-day", metavar="N", min=1, help="What paid messages may cost in a day (UTC), 0.1 Stars each."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    bot_app.command("add", context_settings=TAKES_TOO_MUCH, epilog="Example: dovecote bot add shop --pace 25")(add)
    bot_app.command("list", epilog="Example: dovecote bot list")(list_all)
    bot_app.command("show", epilog="Example: dovecote bot show shop")(show)
    bot_app.command(
        "token", context_settings=TAKES_TOO_MUCH, epilog="Example: dovecote bot token shop < new-token.txt"
    )(token)
    bot_app.command("limits", epilog="Example: dovecote bot limits shop --pace 20 --group-limit 15/60s")(limits)
    bot_app.command("retention", epilog="Example: dovecote bot retention shop --delivered-payload 1d --dead 180d")(
        retention
    )
    bot_app.command("zone", epilog="Example: dovecote bot zone shop Europe/Berlin")(zone)
    bot_app.command("reseal", epilog="Example: dovecote bot reseal")(reseal)
    app.add_typer(bot_app, name="bot")


def add(
    context: typer.Context,
    name: Name,
    *,
    token: TokenOption = None,
    token_file: TokenFile = None,
    token_variable: TokenVariable = None,
    pace: Pace = "30",
    private_limit: PrivateLimit = "3/3s",
    group_limit: GroupLimit = "20/60s",
) -> None:
    """Add a bot. Its token is asked for at a prompt, or read from standard input where there is no terminal."""
    refuse_token(context, token)
    chosen_pace = read_pace(str(pace), "--pace")
    private = read_limit(str(private_limit), "--private-limit")
    group = read_limit(str(group_limit), "--group-limit")

    async def act(dovecote: "Dovecote") -> "Bot":
        from dovecote.errors import BotExists

        # Before the prompt: nobody likes to type a token for a name that is taken.
        known = await dovecote.bots()
        with users_values():
            if any(bot.name == name for bot in known):
                raise BotExists(name)
            given = read_token(name, token_file, token_variable)
            added = await dovecote.add_bot(
                name,
                token=given.token,
                token_variable=given.variable,
                pace=chosen_pace,
                private_limit=private,
                group_limit=group,
            )
        await _warn_of_namesakes(dovecote, name)
        return added

    bot = on_outbox(context, act)
    say(
        f'The bot "{bot.name}" is added; its token is {_token_text(bot)}. Pace {pace_text(bot.pace)}, private chats'
        f" {limit_text(bot.private_limit)}, groups {limit_text(bot.group_limit)}."
    )


def list_all(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the bots."""
    bots = on_outbox(context, lambda dovecote: dovecote.bots())
    if as_json:
        say_json([_as_json(bot) for bot in bots])
    elif bots:
        say_table(
            ["name", "token", "pace", "private", "groups", "paid", "state"],
            [
                [
                    bot.name,
                    _token_text(bot),
                    pace_text(bot.pace),
                    limit_text(bot.private_limit),
                    limit_text(bot.group_limit),
                    paid_text(bot),
                    _state(bot),
                ]
                for bot in bots
            ],
        )
    else:
        say("There are no bots. Add one with `dovecote bot add NAME`.")


def show(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Show a bot, and whether its token can be read here. The token itself is never shown."""
    bot, fault = on_outbox(context, lambda dovecote: _examine(dovecote, name))
    if as_json:
        say_json({**_as_json(bot), "token_fault": fault})
        return
    say_facts(
        {
            "name": bot.name,
            "state": _state(bot),
            "token": f"{_token_text(bot)}; {fault or 'it can be read here'}",
            "pace": pace_text(bot.pace),
            "private chats": limit_text(bot.private_limit),
            "groups": limit_text(bot.group_limit),
            "paid broadcasts": paid_text(bot, spent=True),
            "zone": bot.zone or NONE,
            "added": moment(bot.created_at),
            "slots given": f"{bot.slots_given:,}",
        }
    )


def token(
    context: typer.Context,
    name: Name,
    *,
    token: TokenOption = None,
    token_file: TokenFile = None,
    token_variable: TokenVariable = None,
) -> None:
    """Replace a bot's token, and start the bot again if Telegram had refused the old one."""
    refuse_token(context, token)

    async def act(dovecote: "Dovecote") -> GivenToken:
        await _bot(dovecote, name)
        with users_values():
            given = read_token(name, token_file, token_variable)
            await dovecote.set_token(name, token=given.token, token_variable=given.variable)
        await _warn_of_namesakes(dovecote, name)
        return given

    given = on_outbox(context, act)
    kept = "sealed" if given.variable is None else f"in the variable {given.variable}"
    say(f'The bot "{name}" has another token, {kept}. Running workers keep to the old one until Telegram refuses it.')


def limits(
    context: typer.Context,
    name: Name,
    *,
    pace: Pace = None,
    private_limit: PrivateLimit = None,
    group_limit: GroupLimit = None,
    paid_pace: PaidPace = None,
    stars_per_day: StarsPerDay = None,
) -> None:
    """Replace limits of a bot; those that are not named stay. Workers keep to them from their next claim."""
    new_paid = read_paid(paid_pace, stars_per_day)
    if pace is None and private_limit is None and group_limit is None and new_paid is None:
        raise typer.BadParameter(
            "name at least one of --pace, --private-limit, --group-limit, --paid-pace and --stars-per-day."
        )
    new_pace = None if pace is None else read_pace(pace, "--pace")
    private = None if private_limit is None else read_limit(private_limit, "--private-limit")
    group = None if group_limit is None else read_limit(group_limit, "--group-limit")

    async def act(dovecote: "Dovecote") -> "Bot":
        bot = await _bot(dovecote, name)
        paid = None
        if new_paid is not None:
            paid = completed(bot, new_paid, switched_off=paid_pace is not None and new_paid.pace is None)
        with users_values():
            await set_all(
                dovecote,
                bot,
                paid,
                pace=bot.pace if pace is None else new_pace,
                private_limit=bot.private_limit if private_limit is None else private,
                group_limit=bot.group_limit if group_limit is None else group,
            )
        return await _bot(dovecote, name)

    bot = on_outbox(context, act)
    say(
        f'The bot "{bot.name}": pace {pace_text(bot.pace)}, private chats {limit_text(bot.private_limit)}, groups'
        f" {limit_text(bot.group_limit)}, paid broadcasts {paid_text(bot)}."
    )


def zone(
    context: typer.Context,
    name: Name,
    zone: Annotated[
        str | None, typer.Argument(metavar="ZONE", help="As Europe/Berlin; without it, none.", show_default=False)
    ] = None,
) -> None:
    """Set the zone of recipients whose own nobody knows, for schedules by local time."""
    on_outbox(context, lambda dovecote: dovecote.set_bot_zone(name, zone))
    say(f'The bot "{name}": recipients whose zone nobody knows ' + (f"live in {zone}." if zone else "live in no zone."))


def reseal(context: typer.Context) -> None:
    """Seal every stored token with the first key of the ring, after a new key was put in front."""
    count = on_outbox(context, lambda dovecote: dovecote.reseal_tokens())
    say(f"{count} token{'' if count == 1 else 's'} sealed with the first key. The other keys are not needed any more.")


def refuse_token(context: typer.Context, token: str | None) -> None:
    """Raise BadParameter for whatever was meant as a token on the command line, without repeating it."""
    if context.args or token is not None:
        raise typer.BadParameter(
            "a token on the command line would stay in the shell's history and show in the list of processes. Give it"
            " at the prompt, on standard input, with --token-file or with --token-variable.",
            param_hint="the token",
        )


async def _warn_of_namesakes(dovecote: "Dovecote", name: str) -> None:
    others = await dovecote.namesakes(name)
    if others:
        named = ", ".join(f'"{other}"' for other in others)
        note(
            f'Warning: {named} and "{name}" have tokens of one and the same bot of Telegram\'s. Each keeps to its'
            " limits without knowing of the other, and Telegram counts both: enqueue for one of them only."
        )


async def _bot(dovecote: "Dovecote", name: str) -> "Bot":
    from dovecote.errors import UnknownBot

    bots = await dovecote.bots()
    found = next((bot for bot in bots if bot.name == name), None)
    if found is None:
        raise UnknownBot(name, [bot.name for bot in bots])
    return found


async def _examine(dovecote: "Dovecote", name: str) -> "tuple[Bot, str | None]":
    from dovecote.errors import TokenUnreadable

    bot = await _bot(dovecote, name)
    try:
        dovecote.unseal(bot)
    except TokenUnreadable as error:
        return bot, str(error)
    return bot, None


def _token_text(bot: "Bot") -> str:
    return "sealed" if bot.token_variable is None else f"in the variable {bot.token_variable}"


def _state(bot: "Bot") -> str:
    if bot.stopped_reason is not None:
        return f"stopped: {bot.stopped_reason}. `dovecote bot token {bot.name}` starts it again."
    return "sending" if bot.halted_until is None else f"sending, not before {moment(bot.halted_until)}"


def _as_json(bot: "Bot") -> dict[str, object]:
    def limit(value: tuple[int, float] | None) -> dict[str, float] | None:
        return None if value is None else {"messages": value[0], "seconds": value[1]}

    return {
        "name": bot.name,
        "token": "sealed" if bot.token_variable is None else "variable",
        "token_variable": bot.token_variable,
        "pace": bot.pace,
        "private_limit": limit(bot.private_limit),
        "group_limit": limit(bot.group_limit),
        "paid_pace": bot.paid_pace,
        "stars_per_day": bot.stars_per_day,
        "stars_spent": bot.stars_spent,
        "created_at": bot.created_at,
        "halted_until": bot.halted_until,
        "stopped_reason": bot.stopped_reason,
        "slots_given": bot.slots_given,
        "zone": bot.zone,
    }

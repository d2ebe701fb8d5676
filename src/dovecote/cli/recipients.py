"""`recipient`, `chat`: what is known of recipients, who takes nothing more, and letting go on what waits for one."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovecote.cli.context import Refused, confirm, on_outbox, users_values
from dovecote.cli.output import note, number, say, say_facts, say_json, say_table
from dovecote.cli.pages import AsJson, Limit, Yes, written
from dovecote.cli.progress import progress
from dovecote.cli.recipient_views import (
    FormatChoice,
    erased_text,
    left_to_you,
    recipient_facts,
    recipient_json,
    recipient_row,
    write_csv,
    write_json_lines,
)
from dovecote.cli.sending import given_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dovecote.app import Dovecote
    from dovecote.model import Imported, Recipient

recipient_app = typer.Typer(help="Recipients: what is known of them, who takes nothing more.", no_args_is_help=True)
chat_app = typer.Typer(help="Single chats.", no_args_is_help=True)

OfBot = Annotated[str, typer.Option("--bot", metavar="NAME", help="The bot.")]


class Clearable(StrEnum):
    """What may be known of a recipient, and be taken back."""

    ZONE = "zone"
    LANGUAGE = "language"
    LABELS = "labels"
    OPTED_OUT = "opted-out"
    QUIET_HOURS = "quiet-hours"


# An option, since the numbers of groups begin with a minus.
Chats = Annotated[
    str, typer.Option("--chat", metavar="ID", help="The chat's number, @channel, or a topic as -1001234/5.")
]
Chat = Annotated[str, typer.Option("--chat", metavar="ID", help="The chat's number, or @channel.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    commands: dict[str, tuple[Callable[..., None], str]] = {
        "list": (list_page, "list --bot shop"),
        "show": (show, "show --bot shop --chat 42"),
        "set": (set_known, "set --bot shop --chat 42 --language pt-BR --label gold --quiet-hours 22:00-08:00"),
        "import": (import_file, "import customers.csv --bot shop"),
        "export": (export, "export --bot shop --output customers.csv"),
        "erase": (erase, "erase --bot shop --chat 42"),
        "zone": (zone, "zone --bot shop --chat 42 --zone Europe/Berlin"),
        "enable": (enable, "enable --bot shop --chat 42"),
        "disable": (disable, "disable --bot shop --chat 42 --reason opted_out"),
    }
    for name, (command, example) in commands.items():
        recipient_app.command(name, epilog=f"Example: dovecote recipient {example}")(command)
    app.add_typer(recipient_app, name="recipient")
    chat_app.command("unblock", epilog="Example: dovecote chat unblock --bot shop --chat -1001234")(unblock)
    app.add_typer(chat_app, name="chat")


def list_page(
    context: typer.Context,
    *,
    bot: OfBot,
    disabled: Annotated[bool, typer.Option("--disabled", help="Only those that take nothing more.")] = False,
    limit: Limit = 50,
    before: Annotated[
        str | None, typer.Option("--before", metavar="CHAT", help="The last chat of the page before.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the recipients of a bot of which anything is known; with --disabled those that take nothing more."""

    # One more than asked for tells whether there is another page.
    async def act(dovecote: "Dovecote") -> "Sequence[Recipient]":
        pages = dovecote.disabled_recipients if disabled else dovecote.recipients
        return await pages(bot=bot, before_chat=before, limit=limit + 1)

    found = on_outbox(context, act)
    page = found[:limit]
    if as_json:
        say_json([recipient_json(one) for one in page])
    elif page:
        say_table(["chat", "disabled", "reason", "zone", "language", "labels", "opted out"], map(recipient_row, page))
    else:
        say(f'No recipient of the bot "{bot}" is {"disabled" if disabled else "known"}.')
    if len(found) > limit:
        note(f"There are more: --before {page[-1].chat}")


def show(context: typer.Context, *, bot: OfBot, chat: Chats, as_json: AsJson = False) -> None:
    """Show what is known of a recipient."""
    found = on_outbox(context, lambda dovecote: dovecote.recipient(bot, chat))
    if as_json:
        say_json(recipient_json(found))
    else:
        say_facts(recipient_facts(found))


def set_known(
    context: typer.Context,
    *,
    bot: OfBot,
    chat: Chat,
    zone: Annotated[str | None, typer.Option("--zone", metavar="ZONE", help="Where it lives.")] = None,
    language: Annotated[str | None, typer.Option("--language", metavar="TAG", help="Its language, as pt-BR.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="TEXT", help="A label; may be repeated, and replaces all.")
    ] = None,
    opted_out: Annotated[
        list[str] | None,
        typer.Option("--opted-out", metavar="CATEGORY", help="It gets nothing of it; may be repeated, replaces all."),
    ] = None,
    quiet_hours: Annotated[
        str | None,
        typer.Option("--quiet-hours", metavar="HOURS", help='As 22:00-08:00, or "22:00-08:00 silent urgent".'),
    ] = None,
    seen: Annotated[str | None, typer.Option("--seen", metavar="TIME", help="When it was heard of, or now.")] = None,
    clear: Annotated[
        list[Clearable] | None, typer.Option("--clear", metavar="FIELD", help="What is known no more; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what is known of a recipient; what is not named stays. It is one of those for everybody from now on."""
    cleared = {each.value.replace("-", "_") for each in clear or ()}
    given: dict[str, Any] = {"zone": zone, "language": language, "labels": label, "opted_out": opted_out}
    given = {name: value for name, value in {**given, "quiet_hours": quiet_hours}.items() if value is not None}
    if both := sorted(cleared & given.keys()):
        raise typer.BadParameter(f"{', '.join(both)}: it is given as well; do one of the two.", param_hint="--clear")
    given |= {name: [] if name in {"labels", "opted_out"} else None for name in cleared}
    if seen is not None:
        given["seen"] = True if seen == "now" else given_instant(seen, "--seen")

    async def act(dovecote: "Dovecote") -> "Recipient":
        await dovecote.set_recipient(bot, chat, **given)
        return await dovecote.recipient(bot, chat)

    found = on_outbox(context, act)
    if as_json:
        say_json(recipient_json(found))
    else:
        say_facts(recipient_facts(found))


def import_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .jsonl file.", show_default=False)],
    *,
    bot: OfBot,
    as_json: AsJson = False,
) -> None:
    """Tell of many recipients: bad lines are named and the others kept. Exit code 1 where there are bad ones."""

    async def act(dovecote: "Dovecote") -> "Imported":
        with progress("recipients") as shown:
            return await dovecote.import_recipients(bot, file, told=lambda done: shown(done, None))

    found = on_outbox(context, act)
    if as_json:
        say_json(found)
    else:
        told_of = "1 recipient is" if found.taken == 1 else f"{number(found.taken)} recipients are"
        bad = "1 line is" if found.bad == 1 else f"{number(found.bad)} lines are"
        say(f"{told_of} told of, {bad} bad.")
        for line in found.bad_lines:
            note(f"line {line.line}: {line.problem}")
    if found.bad:
        raise typer.Exit(1)


def export(
    context: typer.Context,
    *,
    bot: OfBot,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write it there.", show_default=False)
    ] = None,
    format_: Annotated[FormatChoice, typer.Option("--format", metavar="F", help="csv or jsonl.")] = FormatChoice.CSV,
) -> None:
    """Write down all that is known of a bot's recipients, as `recipient import` takes it."""
    write = write_csv if format_ is FormatChoice.CSV else write_json_lines

    async def act(dovecote: "Dovecote") -> int:
        found = dovecote.export_recipients(bot=bot)
        return await written(output, lambda file: write(found, file))

    count = on_outbox(context, act)
    if output is not None:
        note(f'{number(count)} recipients are in "{output}".')


def erase(context: typer.Context, *, bot: OfBot, chat: Chat, yes: Yes = False, as_json: AsJson = False) -> None:
    """Forget a person: nothing that was known of it or sent to it is left. Exit code 1 while something is in flight."""
    confirm(f'Erase all that is known of {chat} and was sent to it by the bot "{bot}"?', yes=yes)
    erased = on_outbox(context, lambda dovecote: dovecote.erase_recipient(bot, chat))
    if as_json:
        say_json(erased)
    else:
        say(erased_text(erased))
        for line in left_to_you(erased):
            note(line)
    if erased.in_flight:
        raise Refused(f"{erased.in_flight} of it a worker has in hand: erase again when that is sent.")


def enable(context: typer.Context, *, bot: OfBot, chat: Chats, as_json: AsJson = False) -> None:
    """Send to a recipient again. What died meanwhile stays dead: `dovecote dead replay` sends it."""
    enabled = on_outbox(context, lambda dovecote: dovecote.enable_recipient(bot, chat))
    if as_json:
        say_json({"enabled": enabled})
    else:
        became = "is enabled" if enabled else "was not disabled"
        say(f'The recipient {chat} of the bot "{bot}" {became}.')


def disable(
    context: typer.Context,
    *,
    bot: OfBot,
    chat: Chats,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; dead letters tell it.")],
    as_json: AsJson = False,
) -> None:
    """Send nothing more to a recipient: what waits for it becomes dead letters at its next claim."""

    async def act(dovecote: "Dovecote") -> bool:
        with users_values():
            return await dovecote.disable_recipient(bot, chat, reason=reason)

    disabled = on_outbox(context, act)
    if as_json:
        say_json({"disabled": disabled})
    else:
        became = "is disabled" if disabled else "was disabled already; the reason is replaced"
        say(f'The recipient {chat} of the bot "{bot}" {became}.')


def zone(
    context: typer.Context,
    *,
    bot: OfBot,
    chat: Chat,
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="ZONE", help="Its zone, as Europe/Berlin; without it, nobody knows.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell where a recipient lives. Schedules for everybody go to whoever was told of, with a zone or without."""
    on_outbox(context, lambda dovecote: dovecote.set_recipient_zone(bot, chat, zone))
    if as_json:
        say_json({"bot": bot, "chat": chat, "zone": zone})
    else:
        where = "lives where nobody knows" if zone is None else f"lives in {zone}"
        say(f'The recipient {chat} of the bot "{bot}" {where}.')


def unblock(context: typer.Context, *, bot: OfBot, chat: Chat, as_json: AsJson = False) -> None:
    """Make due now what waits in a chat for a retry, a 429 or its turn. Order, limits and schedules still hold."""
    count = on_outbox(context, lambda dovecote: dovecote.unblock_chat(bot, chat))
    if as_json:
        say_json({"due": count})
    else:
        say(f"{count:,} notification{' is' if count == 1 else 's are'} due now.")

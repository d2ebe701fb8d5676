"""`recipient`, `chat`: who takes nothing more, and letting go on what waits for one."""

from typing import TYPE_CHECKING, Annotated

import typer

from dovecote.cli.context import on_outbox, users_values
from dovecote.cli.output import moment, note, say, say_json, say_table
from dovecote.cli.pages import AsJson, Limit

if TYPE_CHECKING:
    from dovecote.app import Dovecote

recipient_app = typer.Typer(help="Recipients: who takes nothing more, and why.", no_args_is_help=True)
chat_app = typer.Typer(help="Single chats.", no_args_is_help=True)

OfBot = Annotated[str, typer.Option("--bot", metavar="NAME", help="The bot.")]
# An option, since the numbers of groups begin with a minus.
Recipient = Annotated[
    str, typer.Option("--chat", metavar="ID", help="The chat's number, @channel, or a topic as -1001234/5.")
]
Chat = Annotated[str, typer.Option("--chat", metavar="ID", help="The chat's number, or @channel.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    recipient_app.command("list", epilog="Example: dovecote recipient list --bot shop")(list_page)
    recipient_app.command("enable", epilog="Example: dovecote recipient enable --bot shop --chat 42")(enable)
    recipient_app.command(
        "disable", epilog="Example: dovecote recipient disable --bot shop --chat 42 --reason opted_out"
    )(disable)
    recipient_app.command("zone", epilog="Example: dovecote recipient zone --bot shop --chat 42 --zone Europe/Berlin")(
        zone
    )
    app.add_typer(recipient_app, name="recipient")
    chat_app.command("unblock", epilog="Example: dovecote chat unblock --bot shop --chat -1001234")(unblock)
    app.add_typer(chat_app, name="chat")


def list_page(
    context: typer.Context,
    *,
    bot: OfBot,
    limit: Limit = 50,
    before: Annotated[
        str | None, typer.Option("--before", metavar="CHAT", help="The last chat of the page before.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the disabled recipients of a bot, with reason and time."""
    # One more than asked for tells whether there is another page.
    found = on_outbox(
        context, lambda dovecote: dovecote.disabled_recipients(bot=bot, before_chat=before, limit=limit + 1)
    )
    page = found[:limit]
    if as_json:
        say_json(page)
    elif page:
        say_table(["chat", "disabled", "reason"], [[one.chat, moment(one.disabled_at), one.reason] for one in page])
    else:
        say(f'No recipient of the bot "{bot}" is disabled.')
    if len(found) > limit:
        note(f"There are more: --before {page[-1].chat}")


def enable(context: typer.Context, *, bot: OfBot, chat: Recipient, as_json: AsJson = False) -> None:
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
    chat: Recipient,
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

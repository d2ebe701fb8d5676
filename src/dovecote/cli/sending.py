"""`send`: one notification into the outbox, from a shell."""

import json
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovecote.cli.context import on_outbox
from dovecote.cli.output import say, say_json
from dovecote.model import Quiet

if TYPE_CHECKING:
    from dovecote.app import Dovecote


# Telegram reads them so, in whatever case they are written.
PARSE_MODES = {"html", "markdownv2", "markdown"}
# Digits of a file's id: more than any has.
LONGEST = 19


class Urgency(StrEnum):
    """The priorities by name."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command(epilog='Example: dovecote send --bot shop --chat 42 --key order-17-shipped "On its way"')(send)


def send(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="The text.", show_default=False)] = None,
    *,
    bot: Annotated[str, typer.Option(metavar="NAME", help="The bot that sends it.")],
    chat: Annotated[str | None, typer.Option(metavar="ID", help="The chat's number, or @channel.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency: the same key again changes nothing.")] = None,
    priority: Annotated[Urgency, typer.Option(help="How urgent it is.")] = Urgency.NORMAL,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Not before, as 2026-01-31T09:00+01:00.")] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="Not after, as 2026-01-31T18:00Z.")] = None,
    parse_mode: Annotated[str | None, typer.Option(metavar="MODE", help="HTML or MarkdownV2.")] = None,
    at_most_once: Annotated[
        bool, typer.Option("--at-most-once", help="Rather not at all than twice, when a connection breaks.")
    ] = False,
    label: Annotated[
        list[str] | None, typer.Option(metavar="L", help="A label to find it by; may be repeated.")
    ] = None,
    category: Annotated[
        str | None, typer.Option(metavar="CATEGORY", help="What it is, as news; who opted out of it gets nothing.")
    ] = None,
    quiet: Annotated[
        Quiet | None, typer.Option(help="What quiet hours mean for it; else what the recipient says.")
    ] = None,
    method: Annotated[str, typer.Option(metavar="M", help="The Bot API method.")] = "sendMessage",
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=JSON", help="A parameter of the method; may be repeated. Text needs no quotes."),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ID", help="A stored file as a parameter, as photo=17; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Put a notification into the outbox. It does not send by itself: `dovecote worker` or `dovecote run` does."""
    from dovecote.model import Attachment, DeliveryPolicy, Notification, Priority

    params = dict(given_param(given) for given in param or [])
    params.update((name, Attachment(id_)) for name, id_ in map(given_file, file or []))
    if parse_mode is not None:
        params["parse_mode"] = _parse_mode(parse_mode)
    notification = Notification(
        bot=bot,
        chat_id=chat,
        text=text,
        method=method,
        params=params,
        key=key,
        priority=Priority[priority.name],
        due_at=None if at is None else given_instant(at, "--at"),
        expires_at=None if expires is None else given_instant(expires, "--expires"),
        delivery=DeliveryPolicy.AT_MOST_ONCE if at_most_once else DeliveryPolicy.AT_LEAST_ONCE,
        labels=tuple(label or ()),
        category=category,
        quiet=quiet,
    )

    async def act(dovecote: "Dovecote") -> tuple[int, bool]:
        known = None if key is None else await dovecote.notification_of_key(bot, key)
        async with dovecote.transaction() as connection:
            id_ = await dovecote.enqueue(connection, notification)
        return id_, id_ == known

    id_, is_known = on_outbox(context, act)
    if as_json:
        say_json({"id": id_, "known": is_known})
    elif is_known:
        say(f"Nothing is enqueued: the key is known already, it is notification {id_}.")
    else:
        say(f"Notification {id_} is enqueued. A worker delivers it (`dovecote run`), this command does not.")


def given_instant(text: str, option: str) -> datetime:
    """An instant that was written with its zone. Raises BadParameter, which names `option`."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f'"{text}" is no instant: write it as 2026-01-31T09:00+01:00, or with Z for UTC.', param_hint=option
        ) from None
    if instant.tzinfo is None:
        # A date alone is its midnight, and takes no zone without a time.
        whole = instant.isoformat()
        raise typer.BadParameter(f'"{text}" has no zone: write {whole}Z for UTC, or {whole}+01:00.', param_hint=option)
    return instant


def _parse_mode(given: str) -> str:
    if given.lower() not in PARSE_MODES:
        raise typer.BadParameter(f'"{given}" is none: give HTML, MarkdownV2 or Markdown.', param_hint="--parse-mode")
    return given


def given_file(given: str) -> tuple[str, int]:
    """A stored file that was written as NAME=ID. Raises BadParameter."""
    name, _, id_ = given.partition("=")
    if not name or not id_.isdecimal() or not id_.isascii() or not 0 < len(id_) < LONGEST or int(id_) == 0:
        raise typer.BadParameter(
            f'"{given}": write NAME=ID, as photo=17, with an id of `dovecote file list`.', param_hint="--file"
        )
    return name, int(id_)


def given_param(given: str) -> tuple[str, Any]:
    """A parameter that was written as NAME=JSON. Raises BadParameter."""
    name, equals, value = given.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f'"{given}": write NAME=JSON, as disable_notification=true.', param_hint="--param")
    try:
        return name, json.loads(value)
    except RecursionError:
        raise typer.BadParameter(f"{name} is nested too deep: flatten it.", param_hint="--param") from None
    except ValueError as error:
        # What begins like JSON and is none was not meant as text.
        if value[:1] in {"{", "[", '"'}:
            raise typer.BadParameter(f"{name} is no JSON ({error}): mend it.", param_hint="--param") from None
        return name, value

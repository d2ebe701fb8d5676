"""`broadcast`: one content for many recipients, and everything that is done with it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovecote.cli import broadcast_steering as steering
from dovecote.cli.broadcast_steering import Name, text_option
from dovecote.cli.broadcast_views import (
    added_text,
    broadcast_facts,
    broadcast_json,
    error_rows,
    progress_text,
    recipients_text,
    rendering_rows,
)
from dovecote.cli.context import on_outbox
from dovecote.cli.output import note, number, say, say_facts, say_json, say_table
from dovecote.cli.pages import LAST_ID, AsJson, Limit
from dovecote.cli.progress import progress
from dovecote.cli.sending import given_file, given_instant, given_param
from dovecote.model import Quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dovecote.app import Dovecote
    from dovecote.model import Added, Brake, BroadcastRecord

broadcast_app = typer.Typer(help="Broadcasts: one content for many recipients.", no_args_is_help=True)


class PriorityChoice(StrEnum):
    """The priorities by name."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"


OfBot = Annotated[str, text_option("The bot that sends.", "NAME", name="--bot")]
TextOption = Annotated[str | None, text_option("What is said.", name="--text")]
Method = Annotated[str, typer.Option("--method", metavar="M", help="The Bot API method.")]
Param = Annotated[list[str] | None, text_option("A parameter of the method; may be repeated.", "NAME=JSON")]
File = Annotated[
    list[str] | None, text_option("A stored file, as photo=17; may be repeated.", "NAME=ID", name="--file")
]
Locale = Annotated[
    list[str] | None, text_option('What is other in a locale, as pt={"text": "..."}; may be repeated.', "LOCALE=JSON")
]
Template = Annotated[bool, typer.Option("--template", help="The texts are Jinja2 templates.")]
Expires = Annotated[str | None, text_option("What is not sent by then is not sent.", "TIME")]
Category = Annotated[str | None, text_option("What it is, as news; who opted out of it gets nothing.", "CATEGORY")]
QuietChoice = Annotated[
    Quiet | None, typer.Option("--quiet", help="What quiet hours mean for it; else what each recipient says.")
]
Label = Annotated[list[str] | None, text_option("A label of its notifications; may be repeated.", "TEXT")]
AtMostOnce = Annotated[bool, typer.Option("--at-most-once", help="Rather not at all than twice.")]
BrakeShare = Annotated[str, typer.Option(metavar="SHARE", help="Pause at this share of blocks, as 0.5, or off.")]
ErrorShare = Annotated[str, typer.Option(metavar="SHARE", help="Pause at this share of one same error, or off.")]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Recipients from a .csv or .jsonl file.", show_default=False),
]
Chat = Annotated[list[str] | None, text_option("A chat; may be repeated.", "ID", name="--chat")]
Chats = Annotated[list[str], text_option("A chat; may be repeated.", "ID", name="--chat")]
Everybody = Annotated[bool, typer.Option("--everybody", help="Every recipient of the bot that was told of.")]
Zone = Annotated[list[str] | None, text_option("With --everybody: who lives in this zone; may be repeated.", "ZONE")]
SegmentLabel = Annotated[
    list[str] | None,
    text_option("With --everybody: who has this label; may be repeated.", "TEXT", name="--segment-label"),
]
SegmentLanguage = Annotated[
    list[str] | None,
    text_option("With --everybody: who reads it, pt-BR for pt too; may be repeated.", "TAG", name="--segment-language"),
]
SegmentCategory = Annotated[
    str | None, text_option("With --everybody: who has not opted out of it.", "CATEGORY", name="--segment-category")
]
SegmentSeen = Annotated[
    str | None, text_option("With --everybody: who was seen then or later.", "TIME", name="--segment-seen-since")
]
Sql = Annotated[str | None, text_option("Recipients from a query that answers a chat_id.", "QUERY")]
Key = Annotated[str, typer.Option("--key", metavar="COLUMN", help="The unique column that the query is read by.")]
SqlDatabase = Annotated[str | None, text_option("The database of the query, if it is not the outbox's.", "URL")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    commands: dict[str, tuple[Callable[..., None], str]] = {
        "create": (create, 'create news --bot shop --text "We are open on Sunday" --from customers.csv'),
        "add": (add, "add news --from more.jsonl"),
        "list": (list_page, "list"),
        "show": (show, "show news"),
        "preview": (preview, "preview news --chat 42"),
        "check": (check, "check news"),
        "test": (send_test, "test news --chat 42"),
        "start": (steering.start, "start news"),
        "pause": (steering.pause, "pause news"),
        "resume": (steering.resume, "resume news"),
        "cancel": (steering.cancel, "cancel news --yes"),
        "recall": (steering.recall, "recall news --yes"),
        "edit": (steering.edit, 'edit news --text "We are open on Saturday" --yes'),
        "export": (steering.export, "export news --output news.csv"),
        "delete": (steering.delete, "delete news --yes"),
    }
    for name, (command, example) in commands.items():
        broadcast_app.command(name, epilog=f"Example: dovecote broadcast {example}")(command)
    app.add_typer(broadcast_app, name="broadcast")


def create(
    context: typer.Context,
    name: Name,
    *,
    bot: OfBot,
    text: TextOption = None,
    method: Method = "sendMessage",
    param: Param = None,
    file: File = None,
    locale: Locale = None,
    template: Template = False,
    priority: Annotated[PriorityChoice, typer.Option("--priority", metavar="P", help="How urgent.")] = (
        PriorityChoice.BULK
    ),
    at_most_once: AtMostOnce = False,
    label: Label = None,
    category: Category = None,
    quiet: QuietChoice = None,
    expires: Expires = None,
    brake_blocks: BrakeShare = "0.5",
    brake_errors: ErrorShare = "0.2",
    source: From = None,
    chat: Chat = None,
    everybody: Everybody = False,
    zone: Zone = None,
    segment_label: SegmentLabel = None,
    segment_language: SegmentLanguage = None,
    segment_category: SegmentCategory = None,
    segment_seen_since: SegmentSeen = None,
    sql: Sql = None,
    key: Key = "chat_id",
    sql_database: SqlDatabase = None,
    as_json: AsJson = False,
) -> None:
    """Make a draft. Nothing is sent before `broadcast start`."""
    from dovecote.model import Broadcast, DeliveryPolicy, Priority

    broadcast = Broadcast(
        name=name,
        bot=bot,
        text=text,
        method=method,
        params=_params(param or (), file or ()),
        locales=_locales(locale or ()),
        template=template,
        priority=Priority[priority.name],
        delivery=DeliveryPolicy.AT_MOST_ONCE if at_most_once else DeliveryPolicy.AT_LEAST_ONCE,
        labels=tuple(label or ()),
        category=category,
        quiet=quiet,
        expires_at=None if expires is None else given_instant(expires, "--expires"),
        brake=_brake(brake_blocks, brake_errors),
    )
    segment = _segment(zone, segment_label, segment_language, segment_category, segment_seen_since, everybody=everybody)
    sources = _sources(source, chat, sql, key, sql_database, segment=segment)

    async def act(dovecote: "Dovecote") -> "tuple[BroadcastRecord, list[Added]]":
        await dovecote.broadcasts.create(broadcast)
        added = [await _add(dovecote, name, each) for each in sources]
        return await dovecote.broadcasts.get(name), added

    record, added = on_outbox(context, act)
    if as_json:
        say_json({**broadcast_json(record), "added": added})
        return
    say(f'The broadcast "{name}" is a draft with {recipients_text(record.counts.recipients)}.')
    _say_added(added)


def add(
    context: typer.Context,
    name: Name,
    *,
    source: From = None,
    chat: Chat = None,
    everybody: Everybody = False,
    zone: Zone = None,
    segment_label: SegmentLabel = None,
    segment_language: SegmentLanguage = None,
    segment_category: SegmentCategory = None,
    segment_seen_since: SegmentSeen = None,
    sql: Sql = None,
    key: Key = "chat_id",
    sql_database: SqlDatabase = None,
    as_json: AsJson = False,
) -> None:
    """Add recipients to a draft. Who is there already is not added again; bad lines are named and the others kept."""
    segment = _segment(zone, segment_label, segment_language, segment_category, segment_seen_since, everybody=everybody)
    sources = _sources(source, chat, sql, key, sql_database, segment=segment)
    if not sources:
        raise typer.BadParameter("name a source: --from, --chat, --everybody or --sql.")
    added = on_outbox(context, lambda dovecote: _all_of(dovecote, name, sources))
    if as_json:
        say_json(added)
    else:
        _say_added(added)


async def _all_of(dovecote: "Dovecote", name: str, sources: "Sequence[Any]") -> "list[Added]":
    return [await _add(dovecote, name, each) for each in sources]


async def _add(dovecote: "Dovecote", name: str, source: Any) -> "Added":
    with progress("recipients") as show:
        if isinstance(source, dict):
            return await dovecote.broadcasts.add_query(name, **source, told=lambda done: show(done, None))
        return await dovecote.broadcasts.add_recipients(name, source, told=lambda done: show(done, None))


def _say_added(added: "Sequence[Added]") -> None:
    for each in added:
        say(added_text(each))
        for line in each.bad_lines:
            note(f"line {line.line}: {line.problem}")
        if each.bad > len(each.bad_lines):
            note(f"and {number(each.bad - len(each.bad_lines))} bad lines more")


def _segment(
    zones: "Sequence[str] | None",
    labels: "Sequence[str] | None",
    languages: "Sequence[str] | None",
    category: str | None,
    seen_since: str | None,
    *,
    everybody: bool,
) -> Any:
    from dovecote.model import Segment

    options = {"--zone": zones, "--segment-label": labels, "--segment-language": languages}
    options |= {"--segment-category": category, "--segment-seen-since": seen_since}
    given = [name for name, value in options.items() if value]
    if given and not everybody:
        raise typer.BadParameter("it goes with --everybody only.", param_hint=given[0])
    if not everybody:
        return None
    seen = None if seen_since is None else given_instant(seen_since, "--segment-seen-since")
    return Segment(zones, tuple(labels or ()), tuple(languages or ()), category, seen)


def _sources(
    path: Path | None,
    chats: "Sequence[str] | None",
    sql: str | None,
    key: str,
    url: str | None,
    *,
    segment: Any,
) -> list[Any]:
    query = None if sql is None else {"query": sql, "key": key, "url": url}
    return [source for source in (path, chats, query, segment) if source]


def _params(params: "Sequence[str]", files: "Sequence[str]") -> dict[str, Any]:
    from dovecote.model import Attachment

    given = dict(map(given_param, params))
    return given | {name: Attachment(id_) for name, id_ in map(given_file, files)}


def _locales(given: "Sequence[str]") -> dict[str, Any]:
    found = dict(map(given_param, given))
    for locale, params in found.items():
        if not isinstance(params, dict):
            raise typer.BadParameter(f'{locale}: write it as {locale}={{"text": "..."}}.', param_hint="--locale")
    return found


def _brake(blocks: str, errors: str) -> "Brake":
    from dovecote.model import Brake

    def share(given: str, option: str) -> float | None:
        try:
            return None if given == "off" else float(given)
        except ValueError:
            raise typer.BadParameter(f'"{given}": write a share, as 0.5, or off.', param_hint=option) from None

    return Brake(blocks=share(blocks, "--brake-blocks"), errors=share(errors, "--brake-errors"))


def list_page(
    context: typer.Context,
    *,
    limit: Limit = 50,
    before: Annotated[
        int | None,
        typer.Option("--before", metavar="ID", min=1, max=LAST_ID, help="The last id of the page before."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the broadcasts, the newest first, with their progress."""
    found = on_outbox(context, lambda dovecote: dovecote.broadcasts.list(before_id=before, limit=limit + 1))
    page = found[:limit]
    if as_json:
        say_json([broadcast_json(record) for record in page])
    elif page:
        say_table(
            ["id", "name", "bot", "state", "recipients", "delivered", "progress"],
            [
                [
                    str(record.id),
                    record.broadcast.name,
                    record.broadcast.bot,
                    str(record.state),
                    number(record.counts.recipients),
                    number(record.counts.delivered),
                    progress_text(record),
                ]
                for record in page
            ],
        )
    else:
        say("There are no broadcasts. Make one with `dovecote broadcast create`.")
    if len(found) > limit:
        note(f"There are older ones: --before {page[-1].id}")


def show(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Show a broadcast: state, counts by outcome, rate, how long the rest takes, the commonest errors."""
    record = on_outbox(context, lambda dovecote: dovecote.broadcasts.get(name))
    if as_json:
        say_json(broadcast_json(record))
        return
    say_facts(broadcast_facts(record))
    if record.errors:
        say_table(["recipients", "error"], error_rows(record))


def preview(context: typer.Context, name: Name, *, chat: Chats, as_json: AsJson = False) -> None:
    """Show what these recipients would get."""
    found = on_outbox(context, lambda dovecote: dovecote.broadcasts.preview(name, chat))
    if as_json:
        say_json(found)
    else:
        say_table(["chat", "locale", "text"], rendering_rows(found))


def check(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Make the text for every recipient, send nothing, and name those whose would be refused. Exit code 1 if any."""

    async def act(dovecote: "Dovecote") -> Any:
        record = await dovecote.broadcasts.get(name)
        with progress("texts") as shown:
            return await dovecote.broadcasts.check(name, told=lambda done: shown(done, record.counts.recipients))

    found = on_outbox(context, act)
    if as_json:
        say_json(found)
    elif found.refused:
        say_table(["chat", "locale", "text"], rendering_rows(found.refusals))
        say(f"{number(found.refused)} of {number(found.looked_at)} would be refused.")
    else:
        say("The text can be sent." if found.looked_at == 1 else f"All {number(found.looked_at)} texts can be sent.")
    if found.refused:
        raise typer.Exit(1)


def send_test(context: typer.Context, name: Name, *, chat: Chats, as_json: AsJson = False) -> None:
    """Send it to these chats alone, now. It is not recorded with the broadcast."""
    ids = on_outbox(context, lambda dovecote: dovecote.broadcasts.test(name, chat))
    if as_json:
        say_json({"ids": list(ids)})
    else:
        say(f"Enqueued as {', '.join(map(str, ids))}: `dovecote notification show {ids[0]}` tells what became of it.")

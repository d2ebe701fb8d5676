"""`schedule`: what is sent again and again, and everything that is done with it by hand."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovecote.cli.context import Refused, confirm, globals_of, on_outbox
from dovecote.cli.output import moment, note, say, say_facts, say_json, say_table
from dovecote.cli.pages import AsJson, Limit, Yes
from dovecote.cli.sending import given_file, given_instant, given_param
from dovecote.cli.timetables import (
    cost_text,
    next_text,
    occurrence_row,
    preview_json,
    schedule_facts,
    schedule_json,
    to_text,
    when_text,
    zone_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dovecote.app import Dovecote
    from dovecote.model import Occurrence, Preview, Schedule, ScheduleRecord

# The options of `add` and `edit` that are called as the keys of a table in the settings file.
SAME = (
    *("bot", "cron", "every", "anchor", "zone", "start", "end", "jitter", "skipped_hour", "repeated_hour"),
    *("everybody", "text", "method", "priority"),
    *("window", "catch_up", "catch_up_window", "catch_up_cap", "grace", "overlap"),
)

schedule_app = typer.Typer(help="Schedules: what is sent again and again.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)]


class MissedChoice(StrEnum):
    """What to do with the fire times of a pause."""

    SKIP = "skip"
    CATCH_UP = "catch-up"


def _text(help_: str, metavar: str = "TEXT", *, name: str | None = None) -> Any:
    names = () if name is None else (name,)
    return typer.Option(*names, metavar=metavar, help=help_, show_default=False)


Cron = Annotated[str | None, _text('By local time, as "0 9 * * MON-FRI" or @daily.', "CRON")]
EveryOption = Annotated[str | None, _text("By elapsed time, as 15m or 12h.", "TIME", name="--every")]
Anchor = Annotated[str | None, _text("With --every: a local time to count from.", "TIME")]
At = Annotated[list[str] | None, _text("Once, at this local time; may be repeated.", "TIME")]
Zone = Annotated[str | None, _text("The zone of local times, as Europe/Berlin. UTC by default.", "ZONE")]
Start = Annotated[str | None, _text("No fire time before this local time.", "TIME")]
End = Annotated[str | None, _text("No fire time after this local time.", "TIME")]
Jitter = Annotated[str | None, _text("Delay each fire time by up to so much, as 5m.", "TIME")]
SkippedHour = Annotated[str | None, _text("For a local time that a clock change leaves out: shift or skip.", "RULE")]
RepeatedHour = Annotated[
    str | None, _text("For a local time that a clock change repeats: first, second or both.", "RULE")
]
LocalTime = Annotated[
    bool | None, typer.Option("--local-time/--one-time", help="Fire where each recipient lives, by its zone.")
]
OfBot = Annotated[str | None, _text("The bot that sends.", "NAME", name="--bot")]
Chat = Annotated[list[str] | None, _text("A recipient; may be repeated.", "ID")]
Everybody = Annotated[bool, typer.Option("--everybody", help="To every recipient of the bot that was told of.")]
TextOption = Annotated[str | None, _text("What is said.", name="--text")]
Method = Annotated[str | None, _text("The Bot API method.", "M")]
Param = Annotated[list[str] | None, _text("A parameter of the method; may be repeated.", "NAME=JSON")]
File = Annotated[list[str] | None, _text("A stored file as a parameter, as photo=17; may be repeated.", "NAME=ID")]
Priority = Annotated[str | None, _text("urgent, normal or bulk.", "P")]
AtMostOnce = Annotated[
    bool | None,
    typer.Option("--at-most-once/--at-least-once", help="Rather not at all than twice, when a connection breaks."),
]
Window = Annotated[str | None, _text("How long after its fire time it may still be sent, as 2h.", "TIME")]
CatchUp = Annotated[str | None, _text("For fire times found late: none, latest or all.", "POLICY")]
CatchUpWindow = Annotated[str | None, _text("How far back is caught up, as 1d.", "TIME")]
CatchUpCap = Annotated[int | None, typer.Option(metavar="N", help="How many are caught up.", show_default=False)]
Grace = Annotated[str | None, _text("What is late by less counts as on time, as 1m.", "TIME")]
Overlap = Annotated[str | None, _text("While the occurrence before is unfinished: allow or skip.", "POLICY")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    commands: dict[str, tuple[Callable[..., None], str]] = {
        "add": (add, 'add digest --bot shop --chat 42 --cron "0 9 * * *" --zone Europe/Berlin --text "Good morning"'),
        "list": (list_page, "list"),
        "show": (show, "show digest"),
        "preview": (preview, "preview digest --count 10"),
        "pause": (pause, "pause digest"),
        "resume": (resume, "resume digest --missed catch-up"),
        "edit": (edit, 'edit digest --text "Good evening" --cron "0 18 * * *"'),
        "delete": (delete, "delete digest --yes"),
        "trigger": (trigger, "trigger digest"),
        "backfill": (backfill, "backfill digest --since 2026-01-30T00:00Z --until 2026-01-31T00:00Z"),
        "apply": (apply, "apply"),
    }
    for name, (command, example) in commands.items():
        schedule_app.command(name, epilog=f"Example: dovecote schedule {example}")(command)
    app.add_typer(schedule_app, name="schedule")


def add(
    context: typer.Context,
    name: Name,
    *,
    bot: OfBot = None,
    cron: Cron = None,
    every: EveryOption = None,
    anchor: Anchor = None,
    at: At = None,
    zone: Zone = None,
    start: Start = None,
    end: End = None,
    jitter: Jitter = None,
    skipped_hour: SkippedHour = None,
    repeated_hour: RepeatedHour = None,
    local_time: LocalTime = None,
    chat: Chat = None,
    everybody: Everybody = False,
    text: TextOption = None,
    method: Method = None,
    param: Param = None,
    file: File = None,
    priority: Priority = None,
    at_most_once: AtMostOnce = None,
    window: Window = None,
    catch_up: CatchUp = None,
    catch_up_window: CatchUpWindow = None,
    catch_up_cap: CatchUpCap = None,
    grace: Grace = None,
    overlap: Overlap = None,
    as_json: AsJson = False,
) -> None:
    """Add a schedule. It fires from now on, wherever `dovecote run` or `dovecote worker` runs."""
    from dovecote.config import schedule_of, table_faults

    table = {"name": name, **_given(locals())}
    faults = table_faults(table)
    if faults:
        raise Refused("\n".join(faults))
    record = on_outbox(context, lambda dovecote: dovecote.schedules.add(schedule_of(table)))
    _say_record(record, f'The schedule "{name}" is added', as_json=as_json)


def edit(
    context: typer.Context,
    name: Name,
    *,
    bot: OfBot = None,
    cron: Cron = None,
    every: EveryOption = None,
    anchor: Anchor = None,
    at: At = None,
    zone: Zone = None,
    start: Start = None,
    end: End = None,
    jitter: Jitter = None,
    skipped_hour: SkippedHour = None,
    repeated_hour: RepeatedHour = None,
    local_time: LocalTime = None,
    chat: Chat = None,
    everybody: Everybody = False,
    text: TextOption = None,
    method: Method = None,
    param: Param = None,
    file: File = None,
    priority: Priority = None,
    at_most_once: AtMostOnce = None,
    window: Window = None,
    catch_up: CatchUp = None,
    catch_up_window: CatchUpWindow = None,
    catch_up_cap: CatchUpCap = None,
    grace: Grace = None,
    overlap: Overlap = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named, from the next fire time on; the rest stays."""
    from dovecote.config import edited_schedule

    given = _given(locals())
    if not given:
        raise typer.BadParameter("name at least one thing to change.")

    async def act(dovecote: "Dovecote") -> "ScheduleRecord":
        record = await dovecote.schedules.get(name)
        return await dovecote.schedules.edit(edited_schedule(record.schedule, given))

    _say_record(on_outbox(context, act), f'The schedule "{name}" is changed', as_json=as_json)


def list_page(
    context: typer.Context,
    *,
    limit: Limit = 50,
    after: Annotated[str | None, _text("The last name of the page before.", "NAME")] = None,
    as_json: AsJson = False,
) -> None:
    """List the schedules by name."""

    async def act(dovecote: "Dovecote") -> "tuple[Sequence[ScheduleRecord], dict[str, str | None]]":
        return await dovecote.schedules.list(after_name=after, limit=limit + 1), await _zones(dovecote)

    found, zones = on_outbox(context, act)
    page = found[:limit]
    if as_json:
        say_json([schedule_json(record) for record in page])
    elif page:
        say_table(
            ["name", "when", "zone", "bot", "to", "next fire time"],
            [
                [
                    record.schedule.name,
                    when_text(record.schedule),
                    zone_text(record.schedule, zones),
                    record.schedule.notification.bot,
                    to_text(record.schedule),
                    next_text(record),
                ]
                for record in page
            ],
        )
    else:
        say("There are no schedules. Add one with `dovecote schedule add`, or in the settings file.")
    if len(found) > limit:
        note(f"There are more: --after {page[-1].schedule.name}")


def show(context: typer.Context, name: Name, *, limit: Limit = 10, as_json: AsJson = False) -> None:
    """Show a schedule, and what became of its last fire times."""

    async def act(dovecote: "Dovecote") -> "tuple[ScheduleRecord, list[Occurrence], dict[str, str | None]]":
        record = await dovecote.schedules.get(name)
        return record, list(await dovecote.schedules.occurrences(name, limit=limit)), await _zones(dovecote)

    record, occurrences, zones = on_outbox(context, act)
    if as_json:
        say_json({**schedule_json(record), "occurrences": occurrences})
        return
    say_facts(schedule_facts(record, zones))
    if occurrences:
        say_table(
            ["fire time", "part", "happened", "until", "written", "notifications", "reason"],
            [occurrence_row(occurrence) for occurrence in occurrences],
        )


def preview(
    context: typer.Context,
    name: Name,
    *,
    count: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many fire times.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Show its next fire times, in its own time and in UTC, and how long one of them takes to send."""

    async def act(dovecote: "Dovecote") -> "tuple[Schedule, Preview]":
        return (await dovecote.schedules.get(name)).schedule, await dovecote.schedules.preview(name, count=count)

    schedule, found = on_outbox(context, act)
    if as_json:
        say_json(preview_json(found))
        return
    if found.fires:
        jitter = bool(schedule.timing.jitter)
        say_table(
            ["local time", "zone", "in UTC", *(["due, with its jitter"] if jitter else [])],
            [
                [each.local.isoformat(" "), each.zone, moment(each.at), *([moment(each.due_at)] if jitter else [])]
                for each in found.fires
            ],
        )
    else:
        say("It does not fire any more.")
    say(cost_text(schedule, found))


def pause(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Let it fire no more until it is resumed."""
    record = on_outbox(context, lambda dovecote: dovecote.schedules.pause(name))
    _say_record(record, f'The schedule "{name}" is paused', as_json=as_json)


def resume(
    context: typer.Context,
    name: Name,
    *,
    missed: Annotated[
        MissedChoice, typer.Option(help="Fire times of the pause: skip them, or let its catch-up policy decide.")
    ] = MissedChoice.SKIP,
    as_json: AsJson = False,
) -> None:
    """Let it fire again."""
    from dovecote.model import Missed

    chosen = Missed[missed.name]
    record = on_outbox(context, lambda dovecote: dovecote.schedules.resume(name, missed=chosen))
    _say_record(record, f'The schedule "{name}" goes on', as_json=as_json)


def delete(context: typer.Context, name: Name, *, yes: Yes = False) -> None:
    """Forget a schedule and what became of its fire times. What is enqueued stays enqueued."""

    async def act(dovecote: "Dovecote") -> None:
        await dovecote.schedules.get(name)
        confirm(f'Delete the schedule "{name}" and the record of its occurrences?', yes=yes)
        await dovecote.schedules.delete(name)

    on_outbox(context, act)
    say(f'The schedule "{name}" is deleted.')


def trigger(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Fire it now, out of turn; its regular fire times stay."""
    planned = on_outbox(context, lambda dovecote: dovecote.schedules.trigger(name))
    if as_json:
        say_json({"fire_at": planned.fire.at, "expires_at": planned.expires_at})
    else:
        say(f'The schedule "{name}" has fired at {moment(planned.fire.at)}.')


def backfill(
    context: typer.Context,
    name: Name,
    *,
    since: Annotated[str, typer.Option(metavar="TIME", help="From this instant, as 2026-01-30T00:00Z.")],
    until: Annotated[str, typer.Option(metavar="TIME", help="To this instant; not in the future.")],
    as_json: AsJson = False,
) -> None:
    """Fire the fire times of a range that have not fired. Again it does nothing."""
    begun, ended = given_instant(since, "--since"), given_instant(until, "--until")
    fired = on_outbox(context, lambda dovecote: dovecote.schedules.backfill(name, begun, ended))
    if as_json:
        say_json({"fired": fired})
    else:
        say(f"{fired:,} fire time{' has' if fired == 1 else 's have'} fired.")


def apply(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Let the schedules of the settings file be what it says now; `run` and `worker` do so when they start."""
    from dovecote.config import load_schedules

    wanted = load_schedules(globals_of(context).config)
    if wanted is None:
        raise Refused("there is no settings file here, so nothing to apply: `dovecote init` makes one.")
    applied = on_outbox(context, lambda dovecote: dovecote.schedules.apply(wanted))
    if as_json:
        say_json(applied)
        return
    for verb, names in (("added", applied.added), ("changed", applied.changed), ("removed", applied.removed)):
        if names:
            say(f"{verb}: {', '.join(names)}")
    say(f"{len(applied.unchanged)} unchanged.")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options of `add` and `edit` as a table of the settings file has them."""
    from dovecote.model import DeliveryPolicy

    given = {key: options[key] for key in SAME if options[key] is not None and options[key] is not False}
    if options["local_time"] is not None:
        given["local_time"] = options["local_time"]
    if options["chat"]:
        given["chats"] = options["chat"]
    if options["at"]:
        given |= {"at": options["at"][0]} if len(options["at"]) == 1 else {"dates": options["at"]}
    if options["at_most_once"] is not None:
        given["delivery"] = DeliveryPolicy.AT_MOST_ONCE if options["at_most_once"] else DeliveryPolicy.AT_LEAST_ONCE
    if options["param"]:
        given["params"] = dict(given_param(each) for each in options["param"])
    if options["file"]:
        given["files"] = dict(given_file(each) for each in options["file"])
    return given


async def _zones(dovecote: "Dovecote") -> dict[str, str | None]:
    return {bot.name: bot.zone for bot in await dovecote.bots()}


def _say_record(record: "ScheduleRecord", sentence: str, *, as_json: bool) -> None:
    if as_json:
        say_json(schedule_json(record))
    else:
        say(f"{sentence}. Next fire time: {next_text(record)}.")

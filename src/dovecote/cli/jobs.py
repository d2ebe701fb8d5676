"""`job`: the jobs of APScheduler, their runs, and the way over from APScheduler's own job store."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovecote.cli.context import Refused, on_outbox
from dovecote.cli.output import NONE, moment, note, say, say_facts, say_json, say_table
from dovecote.cli.pages import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.app import Dovecote
    from dovecote.integrations.apscheduler.pickles import Imported
    from dovecote.model import JobRun, StoredJob, Stranger

TRUST = (
    "to import a pickled job is to run whatever its pickle says, as you, on this machine. Whoever could ever write to"
    " that Redis can have put anything there. If you trust all of them, say so with --i-trust-these-pickles; otherwise"
    " let your program add its jobs anew."
)

job_app = typer.Typer(help="Jobs of APScheduler: what there is, and what ran.", no_args_is_help=True)

Store = Annotated[
    str | None, typer.Option("--store", metavar="KEY", help="Only this job store, by its jobs_key.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    job_app.command("list", epilog="Example: dovecote job list")(list_jobs)
    job_app.command("show", epilog="Example: dovecote job show digest")(show)
    job_app.command(
        "import",
        epilog="Example: dovecote job import redis://localhost:6379/0\n\n"
        "Example: dovecote job import redis://localhost:6379/0 --i-trust-these-pickles",
    )(import_jobs)
    app.add_typer(job_app, name="job")


def list_jobs(context: typer.Context, *, store: Store = None, as_json: AsJson = False) -> None:
    """List the jobs: when each runs next, how its last run went, whether the leader can run it."""

    async def read(
        dovecote: "Dovecote",
    ) -> "tuple[Sequence[tuple[StoredJob, JobRun | None]], Sequence[Stranger]]":
        return await dovecote.jobs.jobs(), await dovecote.jobs.strangers()

    found, strangers = on_outbox(context, read)
    found = [pair for pair in found if store in {None, pair[0].store}]
    strangers = [each for each in strangers if store in {None, each.store}]
    if as_json:
        say_json(
            {
                "jobs": [{**_job(job), "last_run": None if run is None else _run(run)} for job, run in found],
                "strangers": list(strangers),
            }
        )
        return
    if not found:
        say("There are no jobs.")
    else:
        say_table(
            ("store", "id", "function", "next run", "last run", "outcome", "problem"),
            [
                (
                    job.store,
                    job.id,
                    str(_definition(job).get("function", NONE)),
                    moment(job.next_run_at),
                    moment(None if run is None else run.fire_at),
                    NONE if run is None else run.state.value,
                    job.problem or NONE,
                )
                for job, run in found
            ],
        )
    if strangers:
        say_table(
            ("store", "id", "why it is not run", "seen"),
            [(each.store, each.id, each.reason, moment(each.seen_at)) for each in strangers],
            title="In Redis and in no database; kept there, and never run:",
        )


def show(
    context: typer.Context,
    job: Annotated[str, typer.Argument(metavar="ID", help="The job's id.", show_default=False)],
    *,
    store: Store = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many runs at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show a job: its definition, its problem if it has one, and its runs, the latest first."""
    found, runs = on_outbox(context, lambda dovecote: dovecote.jobs.job(job, store=store, limit=limit))
    if as_json:
        say_json({"jobs": [_job(each) for each in found], "runs": [_run(run) for run in runs]})
        return
    for each in found:
        _show(each)
    if not found:
        say(f'The job "{job}" has been removed, or has nothing left to do; these are its runs.')
    if runs:
        say_table(
            ("fire time", "state", "attempts", "stands for", "ended", "error"),
            [
                (
                    moment(run.fire_at),
                    run.state.value,
                    str(run.attempts),
                    NONE if not run.coalesced else f"{run.coalesced:,} more since {moment(run.coalesced_from)}",
                    moment(run.ended_at),
                    run.error or NONE,
                )
                for run in runs
            ],
        )
    else:
        say("It has not run yet.")


def import_jobs(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The Redis database of the old job store.", show_default=False)
    ],
    *,
    jobs_key: Annotated[
        str, typer.Option("--jobs-key", metavar="KEY", help="The key of the old job store's jobs.")
    ] = "apscheduler.jobs",
    store: Annotated[
        str, typer.Option("--store", metavar="KEY", help="The job store that takes them over, by its jobs_key.")
    ] = "dovecote.jobs",
    trust: Annotated[
        bool, typer.Option("--i-trust-these-pickles", help="Unpickle them: it runs whatever they say.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take over the pickled jobs of APScheduler's own job store. The old ones stay where they are."""
    from dovecote.integrations.apscheduler.pickles import entries, take_over

    async def act(dovecote: "Dovecote") -> "tuple[int, list[Imported] | None]":
        raw = await entries(url, jobs_key)
        if not trust:
            return len(raw), None
        jobs, _ = dovecote.jobs_of(store)
        return len(raw), await take_over(raw, jobs)

    count, done = on_outbox(context, act)
    if done is None:
        raise Refused(f"{count:,} job{'' if count == 1 else 's'} stand{'s' if count == 1 else ''} there: {TRUST}")
    kept = [each for each in done if each.problem is None]
    left = [each for each in done if each.problem is not None]
    if as_json:
        say_json({"imported": kept, "left": left})
    else:
        say(f"{len(kept):,} job{'' if len(kept) == 1 else 's'} taken over.")
    for each in left:
        note(f'"{each.id}" was left: {each.problem}')
    if left:
        raise Refused(
            f"{len(left):,} of {count:,} could not be taken over: mend them in your program, and add them there."
        )


def _definition(job: "StoredJob") -> dict[str, Any]:
    """The definition as far as it can be read; a newer version's may hold anything."""
    try:
        found = json.loads(job.definition)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _job(job: "StoredJob") -> dict[str, Any]:
    return {
        "store": job.store,
        "id": job.id,
        "definition": _definition(job) or job.definition,
        "next_run_at": job.next_run_at,
        "finished": job.finished,
        "created_at": job.created_at,
        "changed_at": job.changed_at,
        "problem": job.problem,
    }


def _run(run: "JobRun") -> dict[str, Any]:
    hidden = {"lease_token"}
    return {name: getattr(run, name) for name in run.__slots__ if name not in hidden}


def _show(job: "StoredJob") -> None:
    definition = _definition(job)
    facts: dict[str, str] = {"id": job.id, "store": job.store}
    facts |= {name: json.dumps(value, ensure_ascii=False) for name, value in definition.items() if name != "format"}
    if not definition:
        facts["definition"] = job.definition
    facts["next run"] = _or_paused(job.next_run_at)
    facts["changed"] = moment(job.changed_at)
    facts["problem"] = job.problem or NONE
    say_facts(facts)


def _or_paused(instant: datetime | None) -> str:
    return "paused, or ended" if instant is None else moment(instant)

"""`dovecote job`: what there is, what ran, and the way over from APScheduler's own store."""

from __future__ import annotations

import asyncio
import pickle
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import job_functions
import pytest
from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from redis import Redis

from dovecote.app import Dovecote
from dovecote.config import Settings
from dovecote.model import Plan, PlannedRun, RunEnd, RunKey, RunPolicy, RunState, Stranger

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from command_line import CommandLine
    from valkey_servers import ValkeyServer

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
DEFINITION = '{"format":1,"function":"shop.reports:digest","args":[7]}'


def write(folder: Path) -> None:
    """Two jobs, one of which has run, another that the leader cannot run, and a stranger."""

    async def act() -> None:
        async with Dovecote(f"sqlite:///{folder}/dovecote.db", settings=Settings()) as dovecote:
            jobs, runs = dovecote.jobs_of("dovecote.jobs")
            await jobs.add("digest", DEFINITION, AT)
            await jobs.add("newer", "who knows", None)
            await jobs.note(
                {"newer": "it is no JSON"},
                [Stranger(store="dovecote.jobs", id="planted", reason="it stands in no database", seen_at=AT)],
            )
            planned = PlannedRun(
                fire_at=AT, policy=RunPolicy.AT_MOST_ONCE, coalesced=2, coalesced_from=AT - timedelta(hours=2)
            )
            plan = Plan(job_id="digest", revision=1, due_at=AT, next_run_at=AT + timedelta(hours=1), runs=(planned,))
            await runs.plan([plan], instance="here", term=3)
            key = RunKey("digest", AT)
            await runs.start([key], token=5, lease=timedelta(seconds=15), instance="here", term=3)
            await runs.settle([RunEnd(key=key, state=RunState.FAILED, token=5, error="RuntimeError: no paper")])

    in_a_thread(act())


def in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    thread = threading.Thread(target=asyncio.run, args=(work,))
    thread.start()
    thread.join()


def test_without_jobs_it_says_so(dovecote: CommandLine) -> None:
    dovecote.ok("init")

    assert dovecote.ok("job", "list").out == "There are no jobs.\n"
    assert dovecote.ok("job", "list", "--json").json == {"jobs": [], "strangers": []}


def test_the_list_has_next_run_last_run_outcome_and_problem(dovecote: CommandLine) -> None:
    dovecote.ok("init")
    write(dovecote.folder)

    shown = dovecote.ok("job", "list").out
    (digest, newer) = dovecote.ok("job", "list", "--json").json["jobs"]

    for words in ("shop.reports:digest", "2026-01-05 13:00:00.000 UTC", "failed", "it is no JSON", "planted"):
        assert words in shown
    assert digest["next_run_at"] == "2026-01-05T13:00:00+00:00"
    assert (digest["last_run"]["state"], digest["last_run"]["fire_at"]) == ("failed", "2026-01-05T12:00:00+00:00")
    assert (newer["definition"], newer["problem"], newer["last_run"]) == ("who knows", "it is no JSON", None)
    assert dovecote.ok("job", "list", "--json", "--store", "other").json == {"jobs": [], "strangers": []}


def test_a_job_shows_its_definition_and_its_runs(dovecote: CommandLine) -> None:
    dovecote.ok("init")
    write(dovecote.folder)

    shown = dovecote.ok("job", "show", "digest").out
    found = dovecote.ok("job", "show", "digest", "--json").json

    for words in ('"shop.reports:digest"', "2 more since", "2026-01-05 12:00:00.000 UTC", "no paper"):
        assert words in shown
    (run,) = found["runs"]
    assert (run["term"], run["instance"], run["attempts"], run["coalesced"]) == (3, "here", 1, 2)
    assert "lease_token" not in run
    assert found["jobs"][0]["definition"]["args"] == [7]


def test_a_job_that_has_ended_says_so_and_one_that_is_paused_too(dovecote: CommandLine) -> None:
    dovecote.ok("init")

    async def act() -> None:
        async with Dovecote(f"sqlite:///{dovecote.folder}/dovecote.db", settings=Settings()) as opened:
            jobs, runs = opened.jobs_of("dovecote.jobs")
            await jobs.add("once", DEFINITION, AT)
            await jobs.add("paused", DEFINITION, None)
            planned = PlannedRun(fire_at=AT, policy=RunPolicy.AT_MOST_ONCE)
            plan = Plan(job_id="once", revision=1, due_at=AT, next_run_at=None, runs=(planned,))
            await runs.plan([plan], instance="here", term=3)
            key = RunKey("once", AT)
            await runs.start([key], token=5, lease=timedelta(seconds=15), instance="here", term=3)
            await runs.settle([RunEnd(key=key, state=RunState.DONE, token=5)])

    in_a_thread(act())

    once, paused = dovecote.ok("job", "show", "once").out, dovecote.ok("job", "show", "paused").out

    assert "none: it has ended" in once
    assert "done" in once
    assert "paused" not in once
    assert "none: it is paused" in paused
    assert dovecote.ok("job", "show", "once", "--json").json["jobs"][0]["finished"] is True


def test_an_unknown_job_is_refused(dovecote: CommandLine) -> None:
    dovecote.ok("init")

    answer = dovecote("job", "show", "nothing")

    assert (answer.code, answer.out) == (1, "")
    assert 'no job has the id "nothing"' in answer.err


class Mark:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


def pickled(job_id: str, *args: object) -> bytes:
    """A job as APScheduler's own store keeps it."""
    job = Job(
        AsyncIOScheduler(timezone=UTC),
        id=job_id,
        func=job_functions.note,
        args=args,
        kwargs={},
        trigger=CronTrigger(hour=9, timezone="Europe/Berlin"),
        executor="default",
        misfire_grace_time=60,
        coalesce=True,
        max_instances=1,
        next_run_time=AT,
    )
    return pickle.dumps(job.__getstate__())


@pytest.fixture
def old_store(valkey_url: str, tmp_path: Path) -> Any:
    client = Redis.from_url(valkey_url)
    client.hset("apscheduler.jobs", "nine", pickled("nine", 5, AT))
    client.hset("apscheduler.jobs", "odd", pickled("odd", Mark(tmp_path / "mark")))
    yield client
    client.close()


def test_pickles_are_not_read_without_trust(
    dovecote: CommandLine, valkey_url: str, old_store: Any, tmp_path: Path
) -> None:
    dovecote.ok("init")

    answer = dovecote("job", "import", valkey_url)

    assert (answer.code, answer.out) == (1, "")
    assert "2 jobs stand there: to import a pickled job is to run whatever its pickle says" in answer.err
    assert not (tmp_path / "mark").exists()
    assert old_store.hlen("apscheduler.jobs") == 2


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_trusted_pickles_are_taken_over_and_stay(dovecote: CommandLine, valkey_url: str, old_store: Any) -> None:
    dovecote.ok("init")

    answer = dovecote("job", "import", valkey_url, "--i-trust-these-pickles")
    again = dovecote("job", "import", valkey_url, "--i-trust-these-pickles", "--json")

    assert (answer.code, answer.out) == (1, "1 job taken over.\n")
    assert '"odd" was left: args[0] is <_io.TextIOWrapper' in answer.err
    assert "1 of 2 could not be taken over" in answer.err
    assert again.json["imported"] == []
    assert again.json["left"][0]["problem"] == "there is a job of that id already"
    (job,) = dovecote.ok("job", "list", "--json").json["jobs"]
    assert job["next_run_at"] == "2026-01-05T12:00:00+00:00"
    assert job["definition"]["args"][0] == 5
    assert job["definition"]["function"] == "job_functions:note"
    assert old_store.hlen("apscheduler.jobs") == 2


def test_a_redis_that_is_not_there_is_told_of(dovecote: CommandLine) -> None:
    dovecote.ok("init")

    answer = dovecote("job", "import", "redis://127.0.0.1:1/0")

    assert answer.code == 1
    assert "Redis cannot be reached" in answer.err


def test_a_key_of_another_kind_is_no_redis_that_is_not_there(
    dovecote: CommandLine, valkey: ValkeyServer, valkey_url: str
) -> None:
    dovecote.ok("init")
    with valkey.client() as client:
        client.rpush("apscheduler.jobs", "a list")

    answer = dovecote("job", "import", valkey_url)

    assert answer.code == 1
    assert "a key in Redis that has the job store's name is something else's (WRONGTYPE" in answer.err
    assert "cannot be reached" not in answer.err

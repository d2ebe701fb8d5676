"""Redis holds a copy that is never believed: what is planted there never runs, what is lost there comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import job_functions
import pytest
from deliveries import until
from elected_nodes import node
from job_functions import CALLS, digest, note, note_until_it_succeeds
from redis import Redis
from sqlalchemy import text

from dovecote.app import Dovecote
from dovecote.config import Settings
from dovecote.errors import StoreUnavailable
from dovecote.integrations.apscheduler import keeper, redis_copy
from dovecote.integrations.apscheduler.redis_copy import RedisCopy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from valkey_servers import ValkeyServer

    from dovecote.integrations.apscheduler.redis_copy import Entry
    from dovecote.model import Stranger

# Every fire time by itself, however busy the machine is.
EACH: dict[str, Any] = {"coalesce": False, "misfire_grace_time": None, "max_instances": 1000}
JOBS, RUN_TIMES = "dovecote.jobs", "dovecote.run_times"


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Any]:
    """A client of the attacker's, or of an operator's."""
    client = Redis.from_url(valkey_url)
    yield client
    client.close()


@pytest.fixture
def _audited_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_copy, "AUDIT_SECONDS", 0.1)


def copy_of(
    memory: Mapping[str, Entry], valkey_url: str, *, kept: AbstractSet[str] | None = frozenset()
) -> tuple[RedisCopy, list[Sequence[Stranger]]]:
    """The copy of a leader with this memory, whose database has `kept` besides; and what it reports."""
    reports: list[Sequence[Stranger]] = []

    async def asked(ids: Sequence[str]) -> set[str] | None:
        return None if kept is None else {job_id for job_id in ids if job_id in memory or job_id in kept}

    url = urlsplit(valkey_url)
    copy = RedisCopy(
        redis_copy.connected({"host": url.hostname, "port": url.port}, 1),
        store=JOBS,
        run_times=RUN_TIMES,
        term=lambda: 1,
        entries=lambda ids: {each: memory[each] for each in (memory if ids is None else ids) if each in memory},
        kept=asked,
        hint=lambda _: None,
        report=reports.append,
    )
    return copy, reports


class Planted:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


async def test_the_copy_is_json_and_has_the_next_run(url: str, valkey_url: str, redis: Any) -> None:
    async with node(url, valkey_url) as leader:
        job = leader.scheduler.add_job(note, "interval", hours=1, args=[5], id="hourly")
        await until(lambda: bool(redis.hexists(JOBS, "hourly")))

        assert json.loads(redis.hget(JOBS, "hourly"))["function"] == "job_functions:note"
        assert redis.zscore(RUN_TIMES, "hourly") == pytest.approx(job.next_run_time.timestamp())

        leader.scheduler.remove_job("hourly")
        await until(lambda: not redis.hexists(JOBS, "hourly"))
        assert redis.zscore(RUN_TIMES, "hourly") is None


@pytest.mark.usefixtures("_audited_often")
async def test_what_is_planted_is_never_run_and_never_removed(
    url: str, valkey_url: str, redis: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marks = tmp_path / "pickle", tmp_path / "json"
    planted = {
        "format": 1,
        "function": "os:system",
        "args": [f"touch {marks[1]}"],
        "kwargs": {},
        "trigger": {"kind": "date", "run_date": {"$datetime": "2026-01-01T00:00:00+00:00", "zone": "UTC"}},
        "executor": "default",
        "name": "planted",
        "misfire_grace_time": None,
        "coalesce": True,
        "max_instances": 1,
    }
    async with node(url, valkey_url) as leader:
        leader.scheduler.add_job(note, "interval", hours=1, id="known")
        await until(lambda: bool(redis.hexists(JOBS, "known")))

        redis.hset(JOBS, "pickled", pickle.dumps(Planted(marks[0])))
        redis.hset(JOBS, "json", json.dumps(planted))
        redis.hset(JOBS, "known", json.dumps(planted))
        for job_id in ("pickled", "json", "known"):
            redis.zadd(RUN_TIMES, {job_id: 1.0})
        redis.publish(f"{JOBS}:changed", json.dumps(["pickled", "json", "known"]))
        redis.publish(f"{JOBS}:changed", b"\x80\x04N.")

        async def seen() -> bool:
            return [each.id for each in await leader.dovecote.jobs.strangers()] == ["json", "pickled"]

        # The audit has been there twice: what was altered is as it was, what is of nobody's is reported, once.
        await until(seen)
        await until(lambda: json.loads(redis.hget(JOBS, "known"))["function"] == "job_functions:note")
        redis.hset(JOBS, "third", "x")

        async def seen_again() -> bool:
            return len(await leader.dovecote.jobs.strangers()) == 3

        await until(seen_again)
        assert redis.hget(JOBS, "json") == json.dumps(planted).encode()
        assert pickle.dumps(Planted(marks[0])) == redis.hget(JOBS, "pickled")
        assert [mark.exists() for mark in marks] == [False, False]
        assert CALLS == []
        told = [record.getMessage() for record in caplog.records if "is not run" in record.getMessage()]
        assert len([each for each in told if each.startswith("'pickled' in dovecote.jobs of Redis")]) == 1
        assert leader.scheduler.get_job("json") is None
        assert [job.id for job in leader.scheduler.get_jobs()] == ["known"]


@pytest.mark.usefixtures("_audited_often")
async def test_of_jobs_that_run_at_once_no_copy_is_left(url: str, valkey_url: str, redis: Any) -> None:
    async with node(url, valkey_url) as leader, node(url, valkey_url, term=None) as follower:
        for number in range(10):
            leader.scheduler.add_job(note, "date", id=f"mine {number}")
            follower.scheduler.add_job(note, "date", id=f"other {number}")
        leader.scheduler.add_job(note, "interval", hours=1, id="stays")
        for number in range(10):
            await leader.until_states(f"mine {number}", "done")
            await leader.until_states(f"other {number}", "done")

        await until(lambda: redis.hkeys(JOBS) == [b"stays"])
        # An audit that begins after this one is planted has seen all of them.
        redis.hset(JOBS, "planted", "x")

        async def seen() -> list[str]:
            return [each.id for each in await leader.dovecote.jobs.strangers()]

        async def audited() -> bool:
            return bool(await seen())

        await until(audited)
        assert await seen() == ["planted"]
        assert set(redis.hkeys(JOBS)) == {b"stays", b"planted"}
        assert redis.zrange(RUN_TIMES, 0, -1) == [b"stays"]


async def test_what_is_written_is_what_memory_has_when_it_is_written(redis: Any, valkey_url: str) -> None:
    """A job ended between the note that it was added and the writing of it."""
    memory = {"once": ("{}", 1.0), "stays": ("{}", 2.0)}
    copy, _ = copy_of(memory, valkey_url)
    await copy.audit()
    copy.changed("once")
    copy.changed("stays")
    del memory["once"]

    await copy.close()

    assert (redis.hkeys(JOBS), redis.zrange(RUN_TIMES, 0, -1)) == ([b"stays"], [b"stays"])


async def test_a_copy_that_outlived_its_job_is_removed_and_not_reported(
    redis: Any, valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The leader was lost, or Redis was away, when the job ended; the next one knows nothing of it."""
    memory = {"once": ("{}", 1.0), "altered": ("{}", 1.0), "unheard": ("{}", 1.0), "stays": ("{}", 2.0)}
    lost, _ = copy_of(memory, valkey_url)
    await lost.audit()
    await lost.close()
    assert redis.hlen(JOBS) == 4
    redis.hset(JOBS, "altered", "[]")

    next_one, reports = copy_of({"stays": memory["stays"]}, valkey_url, kept={"unheard"})
    await next_one.audit()
    await next_one.close()

    # What somebody has written since is not ours; what the database has is only not known here yet.
    assert set(redis.hkeys(JOBS)) == {b"altered", b"unheard", b"stays"}
    assert [[each.id for each in report] for report in reports] == [["altered"]]
    assert "'once'" not in caplog.text


async def test_nobody_is_judged_while_the_database_cannot_be_asked(redis: Any, valkey_url: str) -> None:
    redis.hset(JOBS, "planted", "x")
    copy, reports = copy_of({"stays": ("{}", 2.0)}, valkey_url, kept=None)

    await copy.audit()
    await copy.close()

    assert (set(redis.hkeys(JOBS)), reports) == ({b"planted", b"stays"}, [])


async def test_a_flushed_redis_is_filled_again_and_nothing_is_missed(url: str, valkey_url: str, redis: Any) -> None:
    async with node(url, valkey_url) as leader:
        leader.scheduler.add_job(digest, "interval", seconds=0.2, id="often", **EACH)
        leader.scheduler.add_job(note, "interval", hours=1, id="seldom")
        await until(lambda: len(CALLS) >= 2 and bool(redis.hexists(JOBS, "seldom")))

        redis.flushdb()

        await until(lambda: {b"often", b"seldom"} <= set(redis.hkeys(JOBS)))
        seen = len(CALLS)
        await until(lambda: len(CALLS) > seen + 2)
        leader.scheduler.remove_job("often")
        runs = await leader.runs("often")
        assert {round((b.fire_at - a.fire_at).total_seconds(), 6) for a, b in pairwise(runs)} == {0.2}


async def test_without_redis_jobs_are_added_and_run_and_the_log_says_so_once(
    url: str, own_valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dovecote")
    async with node(url, own_valkey.url) as leader, node(url, own_valkey.url, term=None) as follower:
        leader.scheduler.add_job(note, "interval", hours=1, id="before")
        own_valkey.kill()

        follower.scheduler.add_job(note, "date", args=["while it is gone"], id="while", misfire_grace_time=30)
        await leader.until_states("while", "done")

        own_valkey.start()
        client = Redis.from_url(own_valkey.url)
        await until(lambda: bool(client.hexists(JOBS, "before")))
        client.close()
        await until(lambda: "Redis is back" in caplog.text)
        gone = [record for record in caplog.records if "Redis cannot be reached" in record.getMessage()]
        # Each of the two processes says so once.
        assert len(gone) == 2


async def test_a_frozen_redis_holds_nobody_up(url: str, own_valkey: ValkeyServer) -> None:
    async with node(url, own_valkey.url) as leader:
        leader.scheduler.add_job(digest, "interval", seconds=0.2, id="often", **EACH)
        await until(lambda: len(CALLS) >= 2)
        own_valkey.freeze()
        try:
            began = time.monotonic()
            leader.scheduler.add_job(note, "date", args=["x"], id="added")
            assert time.monotonic() - began < 2
            await leader.until_states("added", "done")
            seen = len(CALLS)
            await until(lambda: len(CALLS) >= seen + 3)
        finally:
            own_valkey.thaw()


async def test_a_job_of_newer_code_is_kept_and_told_of(
    url: str, valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Dovecote(url, settings=Settings()) as dovecote:
        jobs, _ = dovecote.jobs_of(JOBS)
        await jobs.add("newer", '{"format": 9, "what": "nobody knows yet"}', datetime.now(UTC))
        await jobs.add("unknown", '{"format": 1, "function": "job_functions:not_yet_written"}', datetime.now(UTC))
        await jobs.add("text", "\x80 no JSON", datetime.now(UTC))

    async with node(url, valkey_url) as leader:

        async def noted() -> bool:
            return all(job.problem for job, _ in await leader.dovecote.jobs.jobs())

        await until(noted)
        problems = {job.id: str(job.problem) for job, _ in await leader.dovecote.jobs.jobs()}
        assert "its format is 9" in problems["newer"]
        assert "this process does not have that function" in problems["unknown"]
        assert [await leader.states(job_id) for job_id in problems] == [[], [], []]
        assert leader.scheduler.get_jobs() == []

    told = [record.getMessage() for record in caplog.records if 'the job "newer" is kept' in record.getMessage()]
    assert len(told) == 1


async def test_an_executor_that_a_process_does_not_have_removes_no_job(url: str, valkey_url: str) -> None:
    async with node(url, valkey_url, term=None, executors={"mail": {"type": "threadpool"}}) as newer:
        newer.scheduler.add_job(note, "date", id="mailed", executor="mail", misfire_grace_time=None)

    async with node(url, valkey_url) as older:

        async def noted() -> bool:
            ((job, _),) = await older.dovecote.jobs.jobs()
            return job.problem == 'there is no executor "mail" in this process'

        await until(noted)
        assert CALLS == []

    async with node(url, valkey_url, executors={"mail": {"type": "asyncio"}}) as newer:
        await newer.until_states("mailed", "done")


async def test_a_database_that_breaks_in_any_call_leaves_the_timer_alive(
    url: str, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(url, valkey_url) as leader:
        leader.scheduler.add_job(digest, "interval", seconds=0.2, id="often", **EACH)
        # This one's end is recorded by itself.
        leader.scheduler.add_job(note_until_it_succeeds, "interval", seconds=0.2, id="other", **EACH)
        await until(lambda: len(CALLS) >= 4)
        for name in ("plan", "start", "settle", "sweep"):
            broken = asyncio.Event()

            async def fail(*_: Any, broken: asyncio.Event = broken, **__: Any) -> Any:
                broken.set()
                raise StoreUnavailable("the connection broke")

            kept = leader.store._keeper
            assert kept is not None
            with monkeypatch.context() as patch:
                patch.setattr(kept.runs, name, fail)
                await until(broken.is_set)
            seen = len(CALLS)
            await until(lambda seen=seen: len(CALLS) > seen + 2)  # type: ignore[misc]
        leader.scheduler.remove_all_jobs()

        async def ended() -> bool:
            return set(await leader.states("often")) | set(await leader.states("other")) <= {"done", "cancelled"}

        await until(ended)
        runs = await leader.runs("often")
        assert {round((b.fire_at - a.fire_at).total_seconds(), 6) for a, b in pairwise(runs)} == {0.2}
        assert {call[1] for call in CALLS if call} >= {run.fire_at for run in runs if run.state == "done"}


async def test_tampered_tables_are_the_databases_matter(
    url: str, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counterpart of what is planted in Redis: what stands in the database is believed, by its text alone."""
    monkeypatch.setattr(keeper, "COMPARED_SECONDS", 0.1)
    async with node(url, valkey_url) as leader:
        leader.scheduler.add_job(note, "interval", hours=1, id="hourly")
        table = "dovecote.job" if leader.dovecote.database.is_postgresql else "dovecote_job"
        await leader.dovecote.database.run(
            lambda c: c.execute(text(f"DELETE FROM {table}")),  # noqa: S608 (a name of ours)
            write=True,
        )

        await until(lambda: leader.scheduler.get_job("hourly") is None)
    assert job_functions.CALLS == []

"""Real processes on a real PostgreSQL and Valkey: whatever is killed, frozen or lost, each fire time is committed once.

The lease is a second. Each test ends with the checker's verdict on every fire time between the first and the last.
"""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from campaigns import campaign
from databases import connect
from fire_times import verdict
from migrated import migrate
from redis import Redis
from worker_processes import TESTS, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from servers import PostgresServer
    from valkey_servers import ValkeyServer

SECONDS = 60.0
HOURS = [3600.0, -3600.0]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


class Cluster:
    """Processes that run the same jobs. `points` is where a test makes them stand still."""

    def __init__(self, url: str, valkey: ValkeyServer, folder: Path, stack: ExitStack) -> None:
        self.url, self.valkey, self.folder, self._stack = url, valkey, folder, stack
        self.processes: list[WorkerProcess] = []

    def start(self, count: int = 1, **given: Any) -> list[WorkerProcess]:
        """Start so many more, and return when they follow or lead."""
        argument = {
            "url": self.url,
            "redis": ["127.0.0.1", self.valkey.port],
            "jobs": {"exact": "exact", "once": "once"},
            "lease": 1.0,
            "points": str(self.folder),
            **given,
        }
        started = []
        for _ in range(count):
            log = self.folder / f"log{len(self.processes)}"
            process = WorkerProcess([str(TESTS / "job_process.py"), json.dumps(argument)], log)
            self._stack.enter_context(process)
            self.processes.append(process)
            started.append(process)
        for process in started:
            assert process.process.stdout is not None
            assert process.process.stdout.readline() == "started\n", process.log
        return started

    def fired(self, job_id: str = "exact") -> int:
        """How many fire times have had their effect."""
        if job_id == "once":
            return len(self.lines())
        with connect(self.url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM dovecote.notification WHERE params->>'text' LIKE %s", [f"{job_id} %"]
            ).fetchone()
        assert row is not None
        return int(row[0])

    def lines(self) -> list[str]:
        path = self.folder / "once"
        return path.read_text().splitlines() if path.exists() else []

    def until_more(self, count: int, job_id: str = "exact") -> None:
        """Wait for so many more."""
        seen = self.fired(job_id)
        until(lambda: self.fired(job_id) >= seen + count)

    def leader(self) -> WorkerProcess:
        """The process that planned last."""
        with connect(self.url) as connection:
            row = connection.execute(
                "SELECT instance FROM dovecote.job_run ORDER BY planned_at DESC, fire_at DESC LIMIT 1"
            ).fetchone()
        assert row is not None
        pid = int(row[0].split(":")[1])
        (found,) = [process for process in self.processes if process.process.pid == pid]
        return found

    def stand_at(self, name: str) -> WorkerProcess:
        """Let whoever gets there first stand still at a point, and answer who it is."""
        reached = self.folder / f"{name}.reached"
        (self.folder / name).write_text("")
        until(lambda: reached.exists() and bool(reached.read_text()))
        pid = int(reached.read_text())
        (found,) = [process for process in self.processes if process.process.pid == pid]
        return found

    def go_on(self, name: str) -> None:
        """Let nobody stand still there any more."""
        (self.folder / name).unlink()

    def end(self, *job_ids: str) -> None:
        """Let the jobs end, and what is planned of them."""
        with connect(self.url) as connection:
            for job_id in job_ids or ("exact", "once"):
                connection.execute(
                    "UPDATE dovecote.job SET next_run_at = NULL, revision = revision + 1 WHERE id = %s", [job_id]
                )

            def ended() -> bool:
                row = connection.execute("SELECT count(*) FROM dovecote.job_run WHERE due_at IS NOT NULL").fetchone()
                return row == (0,)

            until(ended)

    def states(self, job_id: str) -> set[str]:
        with connect(self.url) as connection:
            rows = connection.execute(
                "SELECT DISTINCT state FROM dovecote.job_run WHERE job_id = %s", [job_id]
            ).fetchall()
        return {state for (state,) in rows}

    def problem(self, job_id: str) -> str:
        """What the leader says of a job; nothing, if it can run it."""
        with connect(self.url) as connection:
            row = connection.execute(
                "SELECT coalesce(problem, '') FROM dovecote.job WHERE id = %s", [job_id]
            ).fetchone()
        assert row is not None
        return str(row[0])

    def check(self) -> None:
        """Every fire time was committed once, and called at most once where it has effects of its own."""
        found = verdict(self.url, "exact")
        assert (found.missed, found.extra, found.early) == ([], [], []), str(found)
        assert found.expected >= 4
        with connect(self.url) as connection:
            row = connection.execute("SELECT count(*) FROM dovecote.job_run WHERE job_id = 'once'").fetchone()
        assert row is not None
        assert len(self.lines()) <= row[0]


@contextmanager
def cluster(postgres: Any, valkey: ValkeyServer, folder: Path) -> Iterator[Cluster]:
    url = postgres.create_database(postgres.template("migrated", migrate))
    with connect(url) as connection:
        connection.execute(
            "INSERT INTO dovecote.bot (name, token_variable, created_at, next_slot_at)"
            " VALUES ('shop', 'T', now(), now())"
        )
    with ExitStack() as stack:
        yield Cluster(url, valkey, folder, stack)
    postgres.drop_database(url)


@pytest.fixture
def jobs(postgres: Any, own_valkey: ValkeyServer, tmp_path: Path) -> Iterator[Cluster]:
    with cluster(postgres, own_valkey, tmp_path) as made:
        yield made


@pytest.mark.parametrize("count", campaign([1, 2, 4], always=[4]))
def test_each_fire_time_is_committed_once(jobs: Cluster, count: int) -> None:
    jobs.start(count)

    jobs.until_more(8)

    jobs.end()
    jobs.check()
    assert jobs.states("exact") == jobs.states("once") == {"done"}
    assert len(jobs.lines()) == len(verdict(jobs.url, "once", []).missed)


@pytest.mark.chaos
def test_a_leader_that_stops_in_order_hands_over_at_once(jobs: Cluster) -> None:
    jobs.start(2)
    jobs.until_more(3)

    jobs.leader().tell_to_stop()

    jobs.until_more(4)
    jobs.end()
    jobs.check()
    assert verdict(jobs.url, "exact").late[0] < 5


POINTS = ["before the plan", "after the plan", "before the record", "after the record", "before the transaction"]
POINTS += ["in the function", "before the commit", "after the commit", "before the renewal"]


def every_count(cases: Sequence[str], *, always: str) -> list[Any]:
    """The campaign of these cases with 1, 2 and 4 processes; one case with two of them runs always."""
    return campaign([(case, count) for count in (2, 1, 4) for case in cases], always=[(always, 2)])


@pytest.mark.parametrize(("point", "count"), every_count(POINTS, always="before the commit"))
def test_a_leader_that_is_killed(jobs: Cluster, point: str, count: int) -> None:
    jobs.start(count)
    jobs.until_more(2)

    jobs.stand_at(point).kill()
    jobs.go_on(point)
    if count == 1:
        jobs.start(1)

    jobs.until_more(4)
    jobs.end()
    jobs.check()
    # What had begun and had effects of its own is not begun again.
    assert jobs.states("once") <= {"done", "unknown"}


@pytest.mark.parametrize(("point", "count"), every_count(POINTS, always="before the record"))
def test_a_leader_that_is_frozen_beyond_its_lease(jobs: Cluster, point: str, count: int) -> None:
    jobs.start(count)
    jobs.until_more(2)

    frozen = jobs.stand_at(point)
    frozen.process.send_signal(signal.SIGSTOP)
    jobs.go_on(point)
    if count == 1:
        time.sleep(2.5)  # nobody else is there who could be waited for
    else:
        # Another leads, and goes on with everything but what the frozen one holds by a lock.
        jobs.until_more(4)
    frozen.thaw()
    jobs.until_more(3)

    jobs.end()
    jobs.check()
    assert frozen.runs, frozen.log


@pytest.mark.parametrize(("fault", "count"), every_count(["killed", "flushed", "paused"], always="killed"))
def test_redis_fails_and_comes_back(jobs: Cluster, fault: str, count: int) -> None:
    jobs.start(count)
    jobs.until_more(2)

    if fault == "flushed":
        client = Redis.from_url(jobs.valkey.url)
        client.flushall()
        client.close()
    elif fault == "killed":
        jobs.valkey.kill()
        until(lambda: any("lease was not renewed in time" in process.log for process in jobs.processes))
        jobs.valkey.start()
    else:
        jobs.valkey.freeze()
        until(lambda: any("lease was not renewed in time" in process.log for process in jobs.processes))
        jobs.valkey.thaw()

    jobs.until_more(4)
    jobs.end()
    jobs.check()


@pytest.mark.parametrize("count", campaign([1, 2, 4], always=[2]))
def test_the_database_is_restarted(
    own_postgres: PostgresServer, own_valkey: ValkeyServer, tmp_path: Path, count: int
) -> None:
    with cluster(own_postgres, own_valkey, tmp_path) as jobs:
        jobs.start(count)
        jobs.until_more(2)

        own_postgres.restart()
        jobs.until_more(4)
        own_postgres.kill()
        own_postgres.start()
        jobs.until_more(4)

        jobs.end()
        jobs.check()


@pytest.mark.parametrize(
    ("ahead", "count"), campaign([(ahead, count) for count in (1, 2, 4) for ahead in HOURS], always=[(HOURS[0], 2)])
)
def test_nodes_whose_clocks_are_an_hour_off(jobs: Cluster, ahead: float, count: int) -> None:
    # Who adds an interval without a start lets it begin by its own clock, so the jobs are added by one that is right.
    (right,) = jobs.start(1, grace=40)
    jobs.until_more(2)
    if count == 1:
        right.tell_to_stop()
        wrong = jobs.start(1, ahead=ahead, jobs={})
    else:
        wrong = jobs.start(count - 1, ahead=ahead, jobs={})
        right.tell_to_stop()

    jobs.until_more(6)
    assert jobs.leader() in wrong
    jobs.end()
    jobs.check()
    assert verdict(jobs.url, "exact").late[0] < 20
    assert jobs.states("exact") == {"done"}


@pytest.mark.parametrize("count", campaign([2, 4], always=[2]))
def test_processes_of_one_host_name_and_one_process_id(jobs: Cluster, count: int) -> None:
    """As containers have them: one leads, is killed, and another leads."""
    jobs.start(count, twin=True)
    jobs.until_more(2)

    jobs.stand_at("before the commit").kill()
    jobs.go_on("before the commit")

    jobs.until_more(4)
    jobs.end()
    jobs.check()


@pytest.mark.parametrize("count", campaign([2, 4], always=[2]))
def test_a_rolling_deploy_in_which_old_code_does_not_know_a_new_job(jobs: Cluster, count: int) -> None:
    (old,) = jobs.start(1, knows=["exact", "once"])
    jobs.until_more(2)
    jobs.start(count - 1, jobs={"newer": "newer"})
    until(lambda: 'the job \\"newer\\" is kept, and not run by this process' in old.log)
    assert jobs.leader() is old
    assert jobs.fired("newer") == 0

    until(lambda: "does not have that function" in jobs.problem("newer"))

    old.tell_to_stop()

    jobs.until_more(4, "newer")
    until(lambda: jobs.problem("newer") == "")
    jobs.end("exact", "once", "newer")
    jobs.check()
    found = verdict(jobs.url, "newer")
    assert (found.missed, found.extra) == ([], []), str(found)

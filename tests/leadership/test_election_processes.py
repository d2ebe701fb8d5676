"""Elections between real processes, over real stores, with a lease of a second: killed, frozen, stopped, cut off.

What each process believed is on disk, by the clock that they share. Whatever was done to them, no two of them believed
at one time; and somebody led again in time.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest
from deliveries import until
from migrated import migrate
from worker_processes import WorkerProcess

from dovecote.app import Dovecote
from dovecote.config import Leadership, Redis, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import PostgresServer
    from valkey_servers import ValkeyServer

    from dovecote.model import LeadershipReport

SCRIPT = Path(__file__).parent / "standing.py"
LEASE = 1.0
LONG_LEASE = 60.0
SLACK = 8.0
"""Seconds that a busy machine may need beyond what was promised."""
PATIENCE = 60.0
HOUR = 3600


class Tenure(NamedTuple):
    """When somebody believed, without a break, that it leads in a term."""

    began_at: float
    ended_at: float
    term: int
    name: str


class Standing(WorkerProcess):
    """`standing.py`, running."""

    def __init__(self, election: Election, name: str, *, clock_off: int, lease: float) -> None:
        self.name = name
        self.beliefs = election.directory / f"{name}.beliefs"
        self.beliefs.touch()
        given = {
            "url": election.url,
            "redis": election.redis,
            "beliefs": str(self.beliefs),
            "clock_off": clock_off,
            "lease": f"{lease:g}s",
        }
        super().__init__([str(SCRIPT), json.dumps(given)], election.directory / f"{name}.log")

    def tenures(self) -> list[Tenure]:
        lines = [line.split() for line in self.beliefs.read_text().splitlines() if line.count(" ") == 1]
        believed = [(float(at), int(term)) for at, term in lines]
        found = []
        for term, group in groupby(believed, key=lambda line: line[1]):
            instants = [at for at, _ in group]
            found.append(Tenure(instants[0], instants[-1], term, self.name))
        return found

    def leads_since(self, instant: float) -> bool:
        """Whether it has believed so after that instant."""
        return any(tenure.ended_at > instant for tenure in self.tenures())


class Election:
    """Processes on one outbox and, where given, one Redis."""

    def __init__(self, directory: Path, url: str, redis: str | None) -> None:
        self.directory = directory
        self.url = url
        self.redis = redis
        self.everybody: list[Standing] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def begin(self, name: str, *, clock_off: int = 0, lease: float = LEASE) -> Standing:
        made = self._stack.enter_context(Standing(self, name, clock_off=clock_off, lease=lease))
        self.everybody.append(made)
        return made

    async def leader(self, *candidates: Standing) -> Standing:
        """Wait until one of them leads, from now on."""
        now = time.monotonic()
        await until(lambda: any(each.leads_since(now) for each in candidates), bound=PATIENCE)
        return max(candidates, key=lambda each: [tenure.ended_at for tenure in each.tenures()][-1:])

    def freeze(self, standing: Standing) -> None:
        """Freeze it where it holds no file: in the middle of a transaction, SQLite lets nobody else write."""
        standing.freeze()
        while self._is_locked():
            standing.thaw()
            standing.freeze()

    def _is_locked(self) -> bool:
        if not self.url.startswith("sqlite"):
            return False
        with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=0.5)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.rollback()
            return False

    async def report(self) -> LeadershipReport:
        settings = Settings(
            redis=Redis(url=self.redis),
            leadership=Leadership.model_validate({"lease": "1s", "renew_interval": "300ms", "poll_interval": "1s"}),
        )
        async with Dovecote(self.url, settings=settings) as dovecote:
            return await dovecote.leadership()

    def tenures(self) -> list[Tenure]:
        """Everybody's, in their order."""
        return sorted(tenure for each in self.everybody for tenure in each.tenures())

    def check(self) -> None:
        """No two believed at one time, and each term was one process's, in the order of their numbers."""
        self.check_terms()
        for earlier, later in pairwise(self.tenures()):
            assert earlier.ended_at < later.began_at, f"{earlier} and {later} are at one time"

    def check_terms(self) -> None:
        """Each term was one process's, and later ones began later."""
        terms = [tenure.term for tenure in self.tenures()]
        assert terms == sorted(set(terms))


@pytest.fixture(params=["redis", "postgresql", "sqlite"])
def election(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Election]:
    """An election over each kind of lease."""
    redis = request.getfixturevalue("valkey_url") if request.param == "redis" else None
    url = request.getfixturevalue("lite_url" if request.param == "sqlite" else "server_url")
    with Election(tmp_path, url, redis) as made:
        yield made


async def test_killed_and_frozen_with_clocks_an_hour_off(election: Election) -> None:
    candidates = [
        election.begin("right"),
        election.begin("ahead", clock_off=HOUR),
        election.begin("behind", clock_off=-HOUR),
    ]
    await until(lambda: is_known(election, 3), bound=PATIENCE)

    # Killed: another leads when the lease has run out.
    first = await election.leader(*candidates)
    killed_at = time.monotonic()
    first.kill()
    candidates.remove(first)
    second = await election.leader(*candidates)
    (other,) = [each for each in candidates if each is not second]
    assert second.tenures()[0].began_at - killed_at <= LEASE + SLACK

    # Frozen beyond its lease: the other leads, and this one follows from the moment it wakes.
    election.freeze(second)
    frozen_at = time.monotonic()
    await election.leader(other)
    woken_at = time.monotonic()
    second.thaw()
    await until(lambda: "leads no longer" in second.log)
    assert not [tenure for tenure in second.tenures() if tenure.began_at > frozen_at]
    assert second.tenures()[-1].ended_at < woken_at

    election.check()


async def test_whoever_is_stopped_in_order_is_followed_at_once(election: Election) -> None:
    # By a lease that nobody waits out: a busy machine needs seconds, the lease would take a minute.
    candidates = [election.begin(name, lease=LONG_LEASE) for name in ("one", "two")]
    first = await election.leader(*candidates)
    (other,) = [each for each in candidates if each is not first]

    told_at = time.monotonic()
    first.tell_to_stop()
    await election.leader(other)

    ended_at, took_over_at = first.tenures()[-1].ended_at, other.tenures()[0].began_at
    assert ended_at - told_at <= SLACK
    assert took_over_at - ended_at <= SLACK
    assert first.end()[0] == 0, first.log
    assert "the lease is handed over" in first.log
    election.check()


async def is_known(election: Election, count: int) -> bool:
    """Whether so many instances are known, all of this one host, and one of them leads."""
    found = await election.report()
    assert len({peer.host for peer in found.instances}) <= 1
    return len(found.instances) == count and [peer.leads for peer in found.instances].count(True) == 1


@pytest.fixture
def over_own_servers(own_valkey: ValkeyServer, server_url: str, tmp_path: Path) -> Iterator[Election]:
    """An election over a Valkey that may be stopped."""
    with Election(tmp_path, server_url, own_valkey.url) as made:
        yield made


async def test_a_redis_that_is_killed_and_comes_back(over_own_servers: Election, own_valkey: ValkeyServer) -> None:
    election = over_own_servers
    candidates = [election.begin(name) for name in ("one", "two")]
    await election.leader(*candidates)

    own_valkey.kill()
    killed_at = time.monotonic()
    await until(lambda: all("cannot be used just now" in each.log for each in candidates))
    found = await election.report()
    assert found.leader is None
    assert found.problem is not None
    assert "cannot be used just now" in found.problem
    await until(lambda: time.monotonic() - killed_at > LEASE)
    assert election.tenures()[-1].ended_at - killed_at < LEASE
    own_valkey.start()
    await election.leader(*candidates)
    # Time enough for whoever did not lead to notice.
    await until(lambda: all("the lease store is back" in each.log for each in candidates))

    # Each outage is told once, not with each request. A busy machine may see a second one, when an answer is late.
    for each in candidates:
        outages = each.log.count("no leader is elected until it is back")
        ends = each.log.count("the lease store is back")
        assert ends <= outages <= ends + 1 <= 3, each.log
    election.check()


@pytest.mark.chaos
async def test_a_redis_that_stands_still_and_goes_on(over_own_servers: Election, own_valkey: ValkeyServer) -> None:
    election = over_own_servers
    candidates = [election.begin(name) for name in ("one", "two")]
    leader = await election.leader(*candidates)

    own_valkey.freeze()
    frozen_at = time.monotonic()
    await until(lambda: "leads no longer" in leader.log)
    await until(lambda: time.monotonic() - frozen_at > 2 * LEASE)
    assert election.tenures()[-1].ended_at - frozen_at < LEASE
    own_valkey.thaw()
    await election.leader(*candidates)

    election.check()


async def test_a_redis_that_was_flushed_lets_a_newer_term_fence_the_older(
    over_own_servers: Election, own_valkey: ValkeyServer
) -> None:
    election = over_own_servers
    candidates = [election.begin(name) for name in ("one", "two")]
    leader = await election.leader(*candidates)
    (follower,) = [each for each in candidates if each is not leader]

    # Until the follower has asked between a flush and the next renewal.
    async def taken_over() -> bool:
        own_valkey.flush()
        return bool(follower.tenures())

    await until(taken_over)
    await until(lambda: "leads no longer" in leader.log)

    terms = [tenure.term for tenure in election.tenures()]
    assert len(terms) == len(set(terms))
    for earlier, later in pairwise(election.tenures()):
        assert earlier.term < later.term
        # Two led for a moment, in different terms, and no longer than to the next renewal or heartbeat.
        assert earlier.ended_at - later.began_at < LEASE


async def test_a_database_that_is_restarted_under_a_row(own_postgres: PostgresServer, tmp_path: Path) -> None:
    url = own_postgres.create_database()
    migrate(url)
    with Election(tmp_path, url, None) as election:
        candidates = [election.begin(name) for name in ("one", "two")]
        await election.leader(*candidates)

        own_postgres.kill()
        killed_at = time.monotonic()
        await until(lambda: all("no leader is elected until it is back" in each.log for each in candidates))
        await until(lambda: time.monotonic() - killed_at > LEASE)
        assert election.tenures()[-1].ended_at - killed_at < LEASE
        own_postgres.start()
        await election.leader(*candidates)

        election.check()

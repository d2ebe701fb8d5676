"""Hundreds of elections over a bad network, or thousands, each drawn from a seed that a failure prints.

In each, two to four instances stand for election for a minute while requests and answers are lost, come
late, or are carried out after everybody has given up on them; while servers go away, processes stand still, are killed,
stop in order and begin anew; while clocks run at rates that differ by up to three in a hundred; and, in half of them,
while the lease server forgets what it knows. Whenever anything has happened it is checked that

- no two instances ever trust the same term, and a term belongs to one instance for ever;
- every trust ends before the lease that was granted for it does, by the lease server's clock;
- unless the server forgot, no two instances trust themselves at one time, whatever their terms;
- when the faults have ended, one instance leads soon and goes on leading, and all others know that they do not.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest
from elections import Candidate, LeaseServer, Network, TermTable, Trip, now
from virtual_time import VirtualTimeLoop

from dovecote.leadership import ElectionSettings
from dovecote.model import Term

RUNS = int(os.environ.get("DOVECOTE_TEST_ELECTIONS", "200"))
"""How many by default; DOVECOTE_TEST_ELECTIONS asks for more."""
FAULTY_SECONDS = 60.0
SETTINGS = ElectionSettings(
    lease=timedelta(seconds=15), renew_interval=timedelta(seconds=5), poll_interval=timedelta(seconds=2)
)
LEASE = SETTINGS.lease.total_seconds()
SOON = 2 * LEASE + 5
A_MICROSECOND = 1e-6


@dataclass
class Simulation:
    """One election. `elected` is how many terms were led in, so that a run in which nothing happens is noticed."""

    random: Random
    forgets: bool
    leases: LeaseServer = field(default_factory=LeaseServer)
    terms: TermTable = field(default_factory=TermTable)
    candidates: list[Candidate] = field(default_factory=list)
    owners: dict[int, str] = field(default_factory=dict)
    born: int = 0
    is_faulty: bool = True

    async def run(self) -> None:
        """Raises AssertionError where a promise is broken."""
        for network in (self.leases.network, self.terms.network):
            network.trip = lambda _: self._trip()
        for _ in range(self.random.randint(2, 4)):
            self._bear()
        ends_at = now() + FAULTY_SECONDS
        while now() < ends_at:
            await asyncio.sleep(self.random.expovariate(1 / 6))
            await self._something_happens()
        self.is_faulty = self.leases.network.is_down = self.terms.network.is_down = False
        await asyncio.sleep(SOON)
        leading = self._trusting()
        assert len(leading) == 1, f"{len(leading)} lead {SOON} s after the last fault"
        term = leading[0].term
        await asyncio.sleep(LEASE)
        assert [candidate.term for candidate in self._trusting()] == [term], "leadership does not stay"
        await asyncio.gather(*(candidate.stop() for candidate in self.candidates))
        assert self._trusting() == []

    async def _something_happens(self) -> None:
        match self.random.choice(["nothing", "kill", "stop", "lease server", "database", "forget", "begin"]):
            case "kill" if len(self.candidates) > 1:
                victim = self._any()
                self.candidates.remove(victim)
                await victim.kill()
                self._bear()
            case "stop" if len(self.candidates) > 1:
                leaving = self._any()
                await leaving.stop()
                self.candidates.remove(leaving)
                self._bear()
            case "lease server":
                await self._outage(self.leases.network)
            case "database":
                await self._outage(self.terms.network)
            case "forget" if self.forgets:
                self.leases.flush()
            case "begin" if len(self.candidates) < 6:
                self._bear()
        self._check()

    async def _outage(self, network: Network) -> None:
        network.is_down = True
        await asyncio.sleep(self.random.uniform(0.5, 25))
        network.is_down = False

    def _any(self) -> Candidate:
        return self.random.choice(self.candidates)

    def _bear(self) -> None:
        self.born += 1
        candidate = Candidate(
            f"i{self.born}",
            self.leases,
            self.terms,
            settings=SETTINGS,
            rate=self.random.uniform(0.97, 1.03),
            random=Random(self.random.random()),
        )
        self.candidates.append(candidate)

    def _trip(self) -> Trip:
        # Whatever comes of this request is looked at as soon as its client has heard of it.
        asyncio.get_running_loop().call_soon(self._check)
        drawn = self.random.random()
        if not self.is_faulty or drawn < 0.6:
            trip = Trip(self.random.uniform(0, 0.05), self.random.uniform(0, 0.05))
        elif drawn < 0.7:
            trip = Trip(lost=True)
        elif drawn < 0.8:
            trip = Trip(there=self.random.uniform(0, 0.1), back=99)
        elif drawn < 0.88:
            trip = Trip(there=self.random.uniform(3, 20), back=99)
        elif drawn < 0.95:
            trip = Trip(self.random.uniform(0, 1.4), self.random.uniform(0, 1.4))
        else:
            trip = Trip(0.01, 0.01, frozen=self.random.uniform(1, 30))
        heard_after = trip.there + trip.back + trip.frozen
        asyncio.get_running_loop().call_later(heard_after + A_MICROSECOND, self._check)
        return trip

    def _trusting(self) -> list[Candidate]:
        return [candidate for candidate in self.candidates if candidate.term is not None]

    def _check(self) -> None:
        trusting = self._trusting()
        for candidate in trusting:
            tenure = candidate.elector._tenure
            assert tenure is not None
            owner = self.owners.setdefault(tenure.term, candidate.name)
            assert owner == candidate.name, f"term {tenure.term} is {owner}'s and {candidate.name}'s"
            granted = self.leases.granted[candidate.name, tenure.token]
            ends_at = tenure.trusted_until / candidate.rate
            assert ends_at <= granted, f"{candidate.name} trusts until {ends_at}, and its lease ends at {granted}"
        if not self.forgets:
            names = [candidate.name for candidate in trusting]
            assert len(names) <= 1, f"{names} trust themselves at {now()}"


def simulate(seed: str, *, forgets: bool) -> Simulation:
    """Run one election to its end. Raises AssertionError, also for what was found within a callback."""
    found: list[BaseException] = []

    def keep(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        found.append(error if isinstance(error, BaseException) else AssertionError(context["message"]))

    simulation = Simulation(Random(seed), forgets)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.get_loop().set_exception_handler(keep)
        runner.run(simulation.run())
    if found:
        raise found[0]
    return simulation


@pytest.mark.parametrize("forgets", [False, True], ids=["a server that remembers", "a server that forgets"])
def test_no_promise_is_broken(seed: Random, caplog: pytest.LogCaptureFixture, *, forgets: bool) -> None:
    caplog.set_level("CRITICAL")
    terms = 0
    for _ in range(RUNS // 2):
        drawn = str(seed.getrandbits(64))
        try:
            simulation = simulate(drawn, forgets=forgets)
        except AssertionError as error:
            raise AssertionError(f"simulate({drawn!r}, forgets={forgets}) breaks a promise: {error}") from error
        terms += len(simulation.owners)
    assert terms > RUNS // 2, "hardly anybody was ever elected: the faults leave nothing to check"


class TestTheCheckItself:
    """A simulation that could find nothing would prove nothing: each of these faults is found."""

    @pytest.mark.parametrize(
        ("fault", "complaint"),
        [
            ("trust from the answer", "and its lease ends at"),
            ("trust beyond the lease", "and its lease ends at"),
            ("one number for all", "is i"),
            ("a lease for everybody", "trust themselves at"),
        ],
    )
    def test_it_finds_an_elector_or_a_store_that_is_wrong(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str, complaint: str
    ) -> None:
        caplog.set_level("CRITICAL")
        break_it(monkeypatch, fault)

        complaints = []
        for number in range(60):
            try:
                simulate(f"{fault} {number}", forgets=fault == "one number for all")
            except AssertionError as error:
                complaints.append(str(error))

        assert any(complaint in each for each in complaints), complaints


def break_it(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Put a fault into the parts of an election."""
    extend = Candidate.__init__.__globals__["Elector"]._extend
    match fault:
        case "trust from the answer":
            monkeypatch.setattr(
                "dovecote.leadership.Elector._extend", lambda self, tenure, _: extend(self, tenure, self._now())
            )
        case "trust beyond the lease":
            monkeypatch.setattr("dovecote.leadership.trusted", lambda lease: lease + timedelta(seconds=2))
        case "one number for all":

            async def begin(self: TermTable, instance: str) -> int:
                self.terms.append(Term(1, instance, self._now()))
                return 1

            monkeypatch.setattr(TermTable, "begin", begin)
        case "a lease for everybody":
            monkeypatch.setattr(LeaseServer, "_current", lambda _: None)

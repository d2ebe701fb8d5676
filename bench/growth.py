"""Whether the pace stays: with a backlog that grows, with more workers, and while somebody holds a snapshot open.

Rates are by the requests that arrive at the HTTP peer, from the tenth part of a stretch to its end, so that neither
the start of a process nor its end is in them.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.database import connect, counted, fresh_database
from bench.processes import MeasurementFailed, measure, started, stop

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

    from servers import PostgresServer

    from bench.peer import Peer

BACKLOGS = (10_000, 100_000, 1_000_000, 5_000_000)
WORKERS = (1, 2, 4)
LOOK_SECONDS = 0.02
LONGEST_SECONDS = 1800.0
WARM_UP_SHARE = 10
"""The first tenth of a stretch is not counted."""


class Arrived(NamedTuple):
    """How many requests had arrived at which second of the monotonic clock."""

    at: float
    requests: int


def growth(
    server: PostgresServer,
    peer: Peer,
    backlogs: Sequence[int],
    *,
    notifications: int,
    repeat: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The rate of one worker in front of each backlog, over as many of each: `notifications`, or the least backlog.

    The best of `repeat` stretches stands, which follow one another in one backlog while enough is left of it.
    `ratio` is the highest of the rates by the lowest.
    """
    runs: dict[str, dict[str, Any]] = {}
    stretch = min(notifications, *backlogs)
    for backlog in backlogs:
        rates: list[float] = []
        while len(rates) < repeat:
            here = min(repeat - len(rates), max(1, backlog // stretch // 2))
            with _backlog(server, backlog, say) as url, _workers(url, peer, 1) as crew:
                for _ in range(here):
                    rates.append(_rate(_watched(peer, stretch, crew)))
                    say(f"backlog of {backlog:,}: {rates[-1]:,.0f}/s over {stretch:,}")
        runs[str(backlog)] = {"backlog": backlog, "measured_over": stretch, "rate": max(rates), "rates": rates}
    every = [run["rate"] for run in runs.values()]
    return {"ratio": max(every) / min(every), "runs": runs}


def workers(
    server: PostgresServer, peer: Peer, notifications: int, repeat: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """The rate of one, two and four worker processes on one backlog, and what of it is beside the rate of one."""
    runs: dict[str, dict[str, Any]] = {}
    for count in WORKERS:
        rates: list[float] = []
        for _ in range(repeat):
            with _backlog(server, notifications, say) as url, _workers(url, peer, count) as crew:
                rates.append(_rate(_watched(peer, notifications, crew)))
            say(f"{count} workers: {rates[-1]:,.0f}/s")
        runs[str(count)] = {"workers": count, "rate": max(rates), "rates": rates}
    one = runs["1"]["rate"]
    return {**{f"ratio_{name}_workers": run["rate"] / one for name, run in runs.items() if name != "1"}, "runs": runs}


def snapshot(server: PostgresServer, peer: Peer, notifications: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The rate while a transaction holds a snapshot open, so that no dead tuple can be removed, and without one.

    `ratio` is that of the rates; `last_of_first` compares, while it is held, the last fifth with the first after the
    warm-up: what is left behind grows, and must not slow down whoever looks for what is due.
    """
    runs: dict[str, dict[str, Any]] = {}
    for name, held in (("without", False), ("held", True)):
        with _backlog(server, notifications, say) as url, contextlib.ExitStack() as stack:
            if held:
                connection = stack.enter_context(connect(url))
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                connection.execute("SELECT count(*) FROM pg_class")
            with _workers(url, peer, 1) as crew:
                seen = _watched(peer, notifications, crew)
        fifth = notifications // 5
        runs[name] = {
            "rate": _rate(seen),
            "rate_first": _rate(seen[: _index(seen, 2 * fifth) + 1], since=fifth),
            "rate_last": _rate(seen, since=notifications - fifth),
        }
        say(f"{notifications:,}, snapshot {name}: {runs[name]['rate']:,.0f}/s")
    return {
        "notifications": notifications,
        "ratio": runs["held"]["rate"] / runs["without"]["rate"],
        "last_of_first": runs["held"]["rate_last"] / runs["held"]["rate_first"],
        "runs": runs,
    }


@contextlib.contextmanager
def _backlog(server: PostgresServer, notifications: int, say: Callable[[str], None]) -> Iterator[str]:
    """A database in which so many wait, vacuumed, with its dirty pages written."""
    with fresh_database(server) as url:
        began = time.monotonic()
        measure("dovecote_run", action="fill", url=url, notifications=notifications)
        with counted(server, url):
            say(f"{notifications:,} wait, after {time.monotonic() - began:.0f} s")
        yield url


@contextlib.contextmanager
def _workers(url: str, peer: Peer, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many workers, each a process of its own, until the end of the body."""
    with contextlib.ExitStack() as stack:
        crew = [
            stack.enter_context(started("dovecote_run", action="work", url=url, peer=peer.url)) for _ in range(count)
        ]
        yield crew
        for worker in crew:
            stop(worker)


def _watched(peer: Peer, notifications: int, crew: Sequence[subprocess.Popen[str]]) -> list[Arrived]:
    """Look at what arrives until so many have, from now on. Raises MeasurementFailed when a worker has ended."""
    already = peer.arrived()
    seen = [Arrived(time.monotonic(), 0)]
    ends_at = seen[0].at + LONGEST_SECONDS
    while seen[-1].requests < notifications:
        for worker in crew:
            if worker.poll() is not None:
                raise MeasurementFailed(f"a worker ended too early:\n{worker.communicate()[1][-4000:]}")
        if seen[-1].at > ends_at:
            raise MeasurementFailed(f"{seen[-1].requests:,} of {notifications:,} arrived in {LONGEST_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)
        # The clock on both sides of the question, which a busy peer answers late.
        before, count = time.monotonic(), peer.arrived() - already
        seen.append(Arrived((before + time.monotonic()) / 2, count))
    return seen


def _index(seen: Sequence[Arrived], count: int) -> int:
    return next(index for index, one in enumerate(seen) if one.requests >= count)


def _rate(seen: Sequence[Arrived], since: int | None = None) -> float:
    """From the first look at which `since` had arrived, or a tenth of all, to the last look."""
    last = seen[-1]
    first = seen[_index(seen, last.requests // WARM_UP_SHARE if since is None else since)]
    if first.requests >= last.requests:
        raise MeasurementFailed(f"all {last.requests:,} arrived between two looks: take more of them")
    return (last.requests - first.requests) / (last.at - first.at)

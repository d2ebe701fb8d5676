"""From table or queue to answer: the other systems and Dovecote, in turns against one HTTP peer.

One worker process each, on two cores with the store and the HTTP peer. A run counts only when the HTTP peer has seen
each notification once, and when the system itself has recorded each as done.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.database import Counts, counted, fresh_database
from bench.delivery import TRIAL_SHARE, contenders, delivered
from bench.peers.environments import python_of, version_of
from bench.peers.systems import DOVECOTE, SYSTEMS, UNMEASURED
from bench.processes import MeasurementFailed, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from servers import PostgresServer

    from bench.delivery import Setting
    from bench.peer import Peer
    from bench.peers.systems import System

from valkey_servers import ValkeyServer


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every run uses: PostgreSQL, Redis (its fork Valkey), and the HTTP peer."""

    postgresql: PostgresServer
    redis: ValkeyServer
    http_peer: Peer


def others(names: str) -> list[System]:
    """The systems of a list with commas, all for "all". Raises MeasurementFailed for a name that there is not."""
    known = {system.name: system for system in SYSTEMS}
    wanted = list(known) if names == "all" else names.split(",")
    if unknown := [name for name in wanted if name not in known]:
        raise MeasurementFailed(f"--peers: {', '.join(unknown)} is none of {', '.join(known)}")
    return [known[name] for name in wanted]


def peers(
    postgresql: PostgresServer,
    http_peer: Peer,
    systems: Sequence[System],
    notifications: int,
    *,
    repeat: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure `systems` and Dovecote `repeat` times in turns; answers the best run of each, and a ratio for each."""
    pythons = {system.name: python_of(system.place, say) for system in systems}
    (ours,) = (contender for contender in contenders() if contender.name == "dovecote")
    best: dict[str, dict[str, Any]] = {}
    with ValkeyServer() as valkey:
        around = Surroundings(postgresql, valkey, http_peer)

        def one_run(system: System, setting: Setting, count: int) -> dict[str, Any]:
            return delivered_by(system, pythons[system.name], setting, around, count)

        chosen = {system.name: _best_setting(system, notifications, one_run, say) for system in systems}
        for turn in range(1, repeat + 1):
            run = delivered(postgresql, http_peer, ours, {}, notifications)
            say(f"Dovecote: run {turn} of {repeat}, {run['rate']:,.0f}/s")
            _keep_best(best, "dovecote", run | {"title": "Dovecote", "setting": {}, **DOVECOTE})
            for system in systems:
                run = one_run(system, chosen[system.name], notifications)
                say(f"{system.title}: run {turn} of {repeat}, {run['rate']:,.0f}/s")
                _keep_best(best, system.name, run | _said_of(system, chosen[system.name]))
    return {
        **{f"ratio_{name}": best["dovecote"]["rate"] / run["rate"] for name, run in best.items() if name != "dovecote"},
        "unmeasured": UNMEASURED,
        "runs": best,
    }


def _keep_best(best: dict[str, dict[str, Any]], name: str, run: dict[str, Any]) -> None:
    if name not in best or run["rate"] > best[name]["rate"]:
        best[name] = run


def _said_of(system: System, setting: Setting) -> dict[str, Any]:
    return {
        "title": f"{system.title} {version_of(system.package, system.place)}",
        "setting": dict(setting),
        "order": system.order,
        "limits": system.limits,
        "resume": system.resume,
    }


def _best_setting(
    system: System,
    notifications: int,
    one_run: Callable[[System, Setting, int], dict[str, Any]],
    say: Callable[[str], None],
) -> Setting:
    if len(system.settings) == 1:
        return system.settings[0]
    trial = max(1, notifications // TRIAL_SHARE)
    say(f"{system.title}: which of {len(system.settings)} settings is best, with {trial:,}")
    return max(system.settings, key=lambda setting: float(one_run(system, setting, trial)["rate"]))


def delivered_by(
    system: System, python: str, setting: Setting, around: Surroundings, notifications: int
) -> dict[str, Any]:
    """One run on an empty store. Raises MeasurementFailed unless the peer has seen each notification once."""
    notifications = min(notifications, system.at_most or notifications)
    already = around.http_peer.arrived()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(_empty_store(system, around))
        measure(system.module, python=python, action="fill", url=url, notifications=notifications)
        with _counted(system, around, url) as counts:
            run = measure(
                system.module,
                python=python,
                action="deliver",
                url=url,
                peer=around.http_peer.url,
                notifications=notifications,
                **setting,
            )
    arrived = around.http_peer.arrived() - already
    if arrived != notifications:
        raise MeasurementFailed(f"{system.title}: {arrived} requests arrived for {notifications} notifications")
    if system.store != "file":
        run["statements_per_notification"] = counts.statements / notifications
        run["database_cpu_us"] = counts.cpu_seconds / notifications * 1e6
    if system.store == "postgresql":
        run["wal_bytes_per_notification"] = counts.wal_bytes / notifications
    return run


@contextlib.contextmanager
def _empty_store(system: System, around: Surroundings) -> Iterator[str]:
    """A fresh database, an emptied Redis, or a file that is not there yet; answers its URL or path."""
    match system.store:
        case "postgresql":
            with fresh_database(around.postgresql) as url:
                yield url
        case "redis":
            around.redis.flush()
            yield around.redis.url_of(number=0)
        case "file":
            with tempfile.TemporaryDirectory(prefix="dovecote-bench-") as folder:
                yield str(Path(folder) / "store")


@contextlib.contextmanager
def _counted(system: System, around: Surroundings, url: str) -> Iterator[Counts]:
    """Count what the body of the `with` asks of the store: statements of PostgreSQL, commands of Redis."""
    match system.store:
        case "postgresql":
            with counted(around.postgresql, url) as counts:
                yield counts
        case "redis":
            counts = Counts()
            commands, seconds = _redis_so_far(around.redis)
            yield counts
            commands_after, seconds_after = _redis_so_far(around.redis)
            counts.statements, counts.cpu_seconds = commands_after - commands, seconds_after - seconds
        case "file":
            yield Counts()


def _redis_so_far(valkey: ValkeyServer) -> tuple[int, float]:
    with valkey.client() as client:
        commands = int(client.info("stats")["total_commands_processed"])
    times = psutil.Process(valkey.pid).cpu_times()
    return commands, times.user + times.system

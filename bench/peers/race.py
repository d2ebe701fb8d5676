"""From table or queue to answer: the other systems, the bare loops and Dovecote, in turns against one HTTP peer.

One worker process each, beside the store and the HTTP peer. A run counts only when the HTTP peer has seen as many
requests as there are notifications, and when the system itself has recorded each as done. A system that fails, or that
cannot be installed, gets no figure, and its own words stand where the figure would.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.database import Counts, counted, fresh_database
from bench.delivery import TRIAL_SHARE, contenders, delivered, middle, ratio
from bench.peers.environments import python_of, version_of
from bench.peers.systems import DOVECOTE, NOTHING_KEPT, SYSTEMS
from bench.processes import MeasurementFailed, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from servers import PostgresServer

    from bench.delivery import Setting
    from bench.peer import Peer
    from bench.peers.systems import System

from valkey_servers import ValkeyServer

BARE_LOOPS = ("bare_loop", "aiogram_loop")


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
    """Measure `systems` and Dovecote `repeat` times in turns; answers the middle run of each, and a ratio for each."""
    race = _Race(postgresql, http_peer, say)
    with ValkeyServer() as valkey:
        race.prepare(systems, valkey, notifications)
        for turn in range(1, repeat + 1):
            say(f"run {turn} of {repeat}")
            race.run_once(notifications)
    runs = {name: middle(runs) for name, runs in race.runs.items()}
    ratios = {name: ratio(runs["dovecote"], run) for name, run in runs.items() if name != "dovecote"}
    in_postgresql = [ratios[system.name] for system in race.systems if system.store == "postgresql"]
    return {
        **{f"ratio_{name}": value for name, value in ratios.items()},
        **({"ratio_best_in_postgresql": min(in_postgresql)} if in_postgresql else {}),
        "unmeasured": race.unmeasured,
        "runs": runs,
    }


class _Race:
    """Who takes part, in which setting, and the runs of each so far."""

    def __init__(self, postgresql: PostgresServer, http_peer: Peer, say: Callable[[str], None]) -> None:
        self._postgresql, self._http_peer, self._say = postgresql, http_peer, say
        self._ours = [one for one in contenders() if one.name in {"dovecote", *BARE_LOOPS}]
        self._runners: dict[str, Callable[[Setting, int], dict[str, Any]]] = {}
        self._settings: dict[str, Setting] = {}
        self.systems: list[System] = []
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.unmeasured: dict[str, str] = {}

    def prepare(self, systems: Sequence[System], valkey: ValkeyServer, notifications: int) -> None:
        """Make each system's environment, and find out which of its settings is best."""
        around = Surroundings(self._postgresql, valkey, self._http_peer)
        for system in systems:
            with self._unless_it_fails(system):
                python = python_of(system.place, self._say, system.needs)
                runner = partial(delivered_by, system, python, around)
                self._settings[system.name] = _best_setting(system, notifications, runner, self._say)
                self._runners[system.name] = runner
                self.systems.append(system)

    def run_once(self, notifications: int) -> None:
        """Everybody once."""
        for contender in self._ours:
            said = DOVECOTE if contender.has_table else NOTHING_KEPT
            setting = contender.settings[0]
            run = delivered(self._postgresql, self._http_peer, contender, setting, notifications)
            self._keep(contender.name, run | {"title": contender.title, "setting": dict(setting), **said})
        for system in list(self.systems):
            with self._unless_it_fails(system):
                setting = self._settings[system.name]
                run = self._runners[system.name](setting, notifications)
                self._keep(system.name, run | _said_of(system, setting))

    def _keep(self, name: str, run: dict[str, Any]) -> None:
        self._say(f"{run['title']}: {run['rate']:,.0f}/s")
        self.runs.setdefault(name, []).append(run)

    @contextlib.contextmanager
    def _unless_it_fails(self, system: System) -> Iterator[None]:
        try:
            yield
        except MeasurementFailed as failure:
            self._say(f"{system.title}: {failure}")
            self.unmeasured[system.name] = str(failure).strip().splitlines()[-1]
            self.systems = [one for one in self.systems if one is not system]
            self.runs.pop(system.name, None)


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
    one_run: Callable[[Setting, int], dict[str, Any]],
    say: Callable[[str], None],
) -> Setting:
    if len(system.settings) == 1:
        return system.settings[0]
    trial = max(1, notifications // TRIAL_SHARE)
    say(f"{system.title}: which of {len(system.settings)} settings is best, with {trial:,}")
    return max(system.settings, key=lambda setting: float(one_run(setting, trial)["rate"]))


def delivered_by(
    system: System, python: str, around: Surroundings, setting: Setting, notifications: int
) -> dict[str, Any]:
    """One run on an empty store. Raises MeasurementFailed unless as many requests as notifications arrived."""
    notifications = min(notifications, system.at_most or notifications)
    already = around.http_peer.arrived()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(_empty_store(system, around))
        measure(system.module, python, action="fill", url=url, notifications=notifications)
        with _counted(system, around, url) as counts:
            run = measure(
                system.module,
                python,
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
        run["dead_tuples_per_notification"] = counts.dead_tuples / notifications
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

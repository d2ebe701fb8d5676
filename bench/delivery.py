"""From table to answer: Dovecote, PgQueuer, and the bare loops of two HTTP clients, in turns against one peer.

A contender that has a choice of settings first tries each of them on a part of the work; the best one is measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.database import counted, fresh_database
from bench.processes import MeasurementFailed, measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import PostgresServer

    from bench.peer import Peer

Setting = Mapping[str, Any]
TRIAL_SHARE = 3
OURS = (
    "statements_per_notification",
    "wal_bytes_per_notification",
    "dead_tuples_per_notification",
    "cpu_us",
    "database_cpu_us",
    "peak_rss_mb",
)
"""Figures of Dovecote's middle run that stand beside the ratios as well."""


@dataclass(slots=True)
class Contender:
    """Somebody who delivers: the module that is its process, whether it keeps a table, and its possible settings."""

    name: str
    title: str
    module: str
    has_table: bool = field(kw_only=True)
    settings: Sequence[Setting]
    runs: list[dict[str, Any]] = field(default_factory=list)


def contenders() -> list[Contender]:
    """Everybody, fresh.

    PgQueuer and aiogram are here twice: as their own documentation has it, which is what people run, and at the best
    that could be had from them with the same work.
    """
    return [
        Contender(
            "bare_loop",
            "bare loop of the same client",
            "bare_loop",
            [{"concurrency": concurrency} for concurrency in (64, 128)],
            has_table=False,
        ),
        Contender("dovecote", "Dovecote", "dovecote_run", [{}], has_table=True),
        # 25 is the batch size of its performance guide for short jobs, with a connection of its own as here.
        Contender(
            "pgqueuer",
            "PgQueuer, by its guide",
            "pgqueuer_run",
            [{"batch_size": 25, "concurrency": 128}],
            has_table=True,
        ),
        Contender(
            "pgqueuer_tuned",
            "PgQueuer, tuned",
            "pgqueuer_run",
            [{"batch_size": size, "concurrency": 128} for size in (100, 250, 500, 1000)],
            has_table=True,
        ),
        # `for chat in chats: await bot.send_message(...)`
        Contender("aiogram_loop", "bare loop of aiogram", "aiogram_loop", [{"concurrency": 1}], has_table=False),
        Contender(
            "aiogram_concurrent",
            "aiogram, many at a time",
            "aiogram_loop",
            [{"concurrency": concurrency} for concurrency in (16, 32, 64)],
            has_table=False,
        ),
    ]


def deliveries(
    server: PostgresServer, peer: Peer, notifications: int, repeat: int, say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Measure every contender `repeat` times in turns; answers the middle run of each by name."""
    everybody = contenders()
    for contender in everybody:
        if len(contender.settings) > 1:
            trial = notifications // TRIAL_SHARE
            say(f"{contender.title}: which of {len(contender.settings)} settings is best, with {trial:,}")
            tried = [(delivered(server, peer, contender, one, trial)["rate"], one) for one in contender.settings]
            contender.settings = [max(tried, key=lambda pair: pair[0])[1]]
    for turn in range(1, repeat + 1):
        for contender in everybody:
            (setting,) = contender.settings
            run = delivered(server, peer, contender, setting, notifications)
            say(f"{contender.title}: run {turn} of {repeat}, {run['rate']:,.0f}/s")
            contender.runs.append(run | {"title": contender.title, "setting": dict(setting)})
    return {contender.name: middle(contender.runs) for contender in everybody}


def middle(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The run in the middle by its rate (the slower one of two), and `rates`, those of all turns in their order."""
    rates = [run["rate"] for run in runs]
    return {**runs[rates.index(sorted(rates)[(len(rates) - 1) // 2])], "rates": rates}


def ratios(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """What `bench.json` is read for."""
    ours = runs["dovecote"]
    return {
        **{f"ratio_{name}": ratio(ours, theirs) for name, theirs in runs.items() if theirs is not ours},
        **{name: ours[name] for name in OURS},
    }


def ratio(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """The middle one of the turns' ratios.

    The speed of a machine wanders by a third within a minute, and of the best runs the short ones profit: it is easier
    for two seconds than for ten to fall into a fast moment whole. What ran in one turn ran close together.
    """
    turns = (one / other for one, other in zip(ours["rates"], theirs["rates"], strict=True))
    return float(statistics.median(turns))


def delivered(
    server: PostgresServer, peer: Peer, contender: Contender, setting: Setting, notifications: int
) -> dict[str, Any]:
    """One run on a fresh database. Raises MeasurementFailed unless the peer has seen each notification once."""
    already = peer.arrived()
    if contender.has_table:
        with fresh_database(server) as url:
            measure(contender.module, action="fill", url=url, notifications=notifications)
            with counted(server, url) as counts:
                run = measure(
                    contender.module,
                    action="deliver",
                    url=url,
                    peer=peer.url,
                    notifications=notifications,
                    **setting,
                )
        run["statements_per_notification"] = counts.statements / notifications
        run["wal_bytes_per_notification"] = counts.wal_bytes / notifications
        run["dead_tuples_per_notification"] = counts.dead_tuples / notifications
        run["database_cpu_us"] = counts.cpu_seconds / notifications * 1e6
    else:
        run = measure(contender.module, peer=peer.url, notifications=notifications, **setting)
    arrived = peer.arrived() - already
    if arrived != notifications:
        raise MeasurementFailed(f"{contender.title}: {arrived} requests arrived for {notifications} notifications")
    return run


def whole(server: PostgresServer, peer: Peer, notifications: int, say: Callable[[str], None]) -> dict[str, float]:
    """What a notification asks of PostgreSQL from enqueue to history, in one stretch with one checkpoint before it."""
    already = peer.arrived()
    with fresh_database(server) as url:
        measure("dovecote_run", action="install", url=url)
        with counted(server, url) as counts:
            measure("dovecote_run", action="enqueue_all", url=url, notifications=notifications)
            measure("dovecote_run", action="deliver", url=url, peer=peer.url, notifications=notifications)
    arrived = peer.arrived() - already
    if arrived != notifications:
        raise MeasurementFailed(f"from enqueue to history: {arrived} requests for {notifications} notifications")
    found = {
        "whole_statements_per_notification": counts.statements / notifications,
        "whole_wal_bytes_per_notification": counts.wal_bytes / notifications,
        "whole_dead_tuples_per_notification": counts.dead_tuples / notifications,
        "whole_database_cpu_us": counts.cpu_seconds / notifications * 1e6,
    }
    say("from enqueue to history: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
    return found

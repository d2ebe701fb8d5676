"""What a run says: tables for people, and whether the targets were met."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGE_MB = 64
PACKAGES = ("pyreqwest", "asyncpg", "uvloop", "aiogram", "aiohttp", "pgqueuer", "granian", "obstore", "aiobotocore")


@dataclass(frozen=True, slots=True)
class Target:
    """A number that must be at least, or at most, so large."""

    section: str
    name: str
    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Whether `value` is good enough."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


TARGETS = (
    Target("peer", "ratio_bare_loop", 1.5, at_least=True),
    Target("delivery", "ratio_bare_loop", 0.8, at_least=True),
    Target("delivery", "ratio_pgqueuer", 6, at_least=True),
    Target("delivery", "ratio_aiogram_loop", 9, at_least=True),
    Target("delivery", "whole_statements_per_notification", 0.01, at_least=False),
    Target("delivery", "whole_wal_bytes_per_notification", 2048, at_least=False),
    Target("peers", "ratio_best_in_postgresql", 6, at_least=True),
    Target("growth", "ratio", 1.3, at_least=False),
    Target("limits", "used_of_30", 0.98, at_least=True),
    Target("limits", "used_of_1000", 0.95, at_least=True),
    Target("enqueue", "ratio_plain_insert", 0.5, at_least=True),
    Target("latency", "commit_to_request_p99_ms", 20, at_least=False),
    Target("memory", "worker_rss_growth", 0.1, at_least=False),
    Target("broadcast", "rss_mb", 300, at_least=False),
    Target("broadcast", "longest_transaction", 5, at_least=False),
    Target("broadcast", "progress_p99_ms", 100, at_least=False),
    Target("broadcast", "stats_p99_ms", 100, at_least=False),
    Target("broadcast", "paused_after", 1, at_least=False),
    Target("broadcast", "cost_last_of_first", 1.25, at_least=False),
    Target("storage", "small_ratio_obstore", 0.85, at_least=True),
    Target("storage", "small_ratio_aiobotocore", 3, at_least=True),
    Target("storage", "stream_ratio_obstore", 0.85, at_least=True),
    Target("storage", "rss_ratio_obstore", 1.5, at_least=False),
    Target("storage", "huge_growth_mb", 100, at_least=False),
    Target("storage", "large_rss_over_base_mb", 100, at_least=False),
    Target("storage", "large_longest_block_ms", 50, at_least=False),
)


def machine(postgresql: str | None) -> dict[str, Any]:
    """What it ran on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": postgresql,
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def show(result: Mapping[str, Any]) -> None:
    """Print the tables."""
    console = Console()
    here = result["machine"]
    peer = ""
    if "peer" in result:
        peer = (
            f"PostgreSQL {here['postgresql']}; the peer is {result['peer']['server']}, {result['peer']['rate']:,.0f}/s "
            "by itself over plain sockets; "
        )
    console.print(
        f"{here['cores']} cores ({here['processor']}), {here['memory_gb']} GB, Python {here['python']}; {peer}"
        "what is compared ran in turns, and the middle run stands."
    )
    if "delivery" in result:
        console.print(_deliveries(result["delivery"]["runs"]))
    if "peers" in result:
        console.print(_deliveries(result["peers"]["runs"]))
        console.print(_missing(result["peers"]))
    if "storage" in result:
        console.print(_files(result["storage"]["runs"]))
    if "backlogs" in result:
        console.print(_backlogs(result["backlogs"]))
    if "limits" in result:
        console.print(_limits(result["limits"]["runs"]))
    if "broadcast" in result:
        console.print(_broadcast(result["broadcast"]))
    console.print(_targets(result))


def _backlogs(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(
        title="What a backlog's shape costs",
        caption="of those outside of the one chat: seconds until the first is delivered, and the rate from there on",
    )
    table.add_column("what waits")
    for heading in ("first after s", "per s", "per s from the start"):
        table.add_column(heading, justify="right")
    for run in runs.values():
        table.add_row(
            run["title"], f"{run['began_after_seconds']:.2f}", f"{run['rate']:,.0f}", f"{run['overall_rate']:,.0f}"
        )
    return table


def _limits(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title="How much of a limit is used, against an emulator that keeps it")
    table.add_column("limit")
    for heading in ("used", "answered 429", "Stars"):
        table.add_column(heading, justify="right")
    for run in runs.values():
        table.add_row(
            f"{run['rate']:,}/s for {run['seconds']:g} s",
            f"{run['used']:.1%}",
            f"{run['limited']}",
            f"{run['stars']:g}",
        )
    return table


def _broadcast(run: Mapping[str, Any]) -> Table:
    table = Table(
        title=f"A broadcast to {run['recipients']:,}, with a template, from a CSV file",
        caption=f"first and last: {run['slice']:,} recipients each; ms: 99 of a hundred answers came within",
    )
    names = ("loaded", "dry run", "first", "last", "all")
    for heading in (*(f"{name} per s" for name in names), "progress ms", "stats ms", "peak MB"):
        table.add_column(heading, justify="right")
    rates = (
        "load_rate",
        "dry_run_rate",
        "rate_first",
        "rate_last",
        "rate",
        "progress_p99_ms",
        "stats_p99_ms",
        "rss_mb",
    )
    table.add_row(*(f"{run[name]:,.0f}" for name in rates))
    return table


def _deliveries(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    some = next(iter(runs.values()))
    table = Table(
        title=f"From table to answer: {some['notifications']:,} notifications, and what each of them took",
        caption="µs are of processor time, in the client's process and in PostgreSQL's",
    )
    table.add_column("who")
    for heading in ("per s", "µs", "µs in db", "statements", "WAL bytes", "peak MB"):
        table.add_column(heading, justify="right")
    for run in runs.values():
        settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in run["setting"].items())
        table.add_row(
            f"{run['title']}\n[dim]{settings or 'default settings'}[/dim]",
            f"{run['rate']:,.0f}",
            f"{run['cpu_us']:.0f}",
            _or_none(run, "database_cpu_us", "{:.0f}"),
            _or_none(run, "statements_per_notification", "{:.4f}"),
            _or_none(run, "wal_bytes_per_notification", "{:,.0f}"),
            f"{run['peak_rss_mb']:.0f}",
        )
    return table


def _missing(peers: Mapping[str, Any]) -> Table:
    table = Table(
        title="What they do not do, or only so",
        caption="\n".join(f"no figure for {name}: {why}" for name, why in peers["unmeasured"].items()),
    )
    for heading in ("who", "order in a chat", "limits", "after a kill"):
        table.add_column(heading)
    for run in peers["runs"].values():
        table.add_row(run["title"], run["order"], run["limits"], run["resume"])
    return table


def _files(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(
        title="Files in an S3 store: 2,000 of 1 KiB, 32 at a time, and 4 of 64 MiB as streams",
        caption="µs are of processor time in the client's process, for each call",
    )
    table.add_column("who")
    for heading in ("put per s", "get per s", "µs", "up MB/s", "down MB/s", "µs per MB", "peak MB"):
        table.add_column(heading, justify="right")
    for run in runs.values():
        small, stream = run["small"], run["stream"]
        table.add_row(
            run["title"],
            f"{small['put_rate']:,.0f}",
            f"{small['get_rate']:,.0f}",
            f"{small['cpu_us']:.0f}",
            f"{stream['up_mb_per_s']:,.0f}",
            f"{stream['down_mb_per_s']:,.0f}",
            f"{stream['cpu_us'] / LARGE_MB:,.0f}",
            f"{stream['peak_rss_mb']:.0f}",
        )
    return table


def _or_none(run: Mapping[str, Any], name: str, form: str) -> str:
    return form.format(run[name]) if name in run else ""


def _targets(result: Mapping[str, Any]) -> Table:
    table = Table(title="Targets")
    table.add_column("figure")
    for heading in ("measured", "target", ""):
        table.add_column(heading, justify="right")
    for target, value in measured(result):
        mark = "[green]met[/green]" if target.met(value) else "[red]missed[/red]"
        table.add_row(f"{target.section}: {target.name}", f"{value:.4g}", str(target), mark)
    return table


def measured(result: Mapping[str, Any]) -> Iterator[tuple[Target, float]]:
    """Every target that this run has a figure for, with the figure."""
    for target in TARGETS:
        value = result.get(target.section, {}).get(target.name)
        if value is not None:
            yield target, value

"""What the benchmarks' page says of each part: a few words, and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PEERS = """## Beside other systems

{notifications:,} notifications from table or queue to the answer of the same HTTP peer, one worker process each
(Celery's pool of processes is what it is). PostgreSQL is durable (`fsync` and `synchronous_commit` on); Redis, here its
fork Valkey, keeps its queue in memory alone, as it comes. Each system runs in an environment of its own with its best
driver; of the settings that its documentation recommends for bulk, which are tried first on a part of the work, the
best is measured. A run counts only when the peer has seen as many requests as there are notifications and the system
itself has recorded all of them as done. "µs" are of processor time for each notification; "statements" are commands
where the store is Redis.
"""
DELIVERY = """## Beside bare loops

{notifications:,} notifications. A bare loop keeps nothing: no table, no record, no limits.
"""
KILLED = """## A broadcast that is killed in the middle

One text to {recipients:,} chats. Of the Bot API's answers {share:.0%} are lost: the message is accepted, and then the
connection closed. With half of the messages accepted the process gets SIGKILL, is started again, and runs until it says
that it is done. Counted is what the emulator accepted (seed {seed}); on the right is what the system itself says.
Dovecote's brake may pause the broadcast, since what a killed process had in hand ends with one same error; it is then
resumed, as an operator would do. What it calls unknown may or may not have arrived: at most once, it is not sent again.
"""
ABSENT = "What they do not do, or only so:"
ENQUEUE = """## Enqueuing

In bulk {notifications:,} in one call and one transaction, with keys and without; one by one each in a transaction of
its own, durable. Beside it is a plain INSERT of the same rows into tables with the same columns and indexes: what they
cost when nothing is checked and nothing is built.
"""
LATENCY = """## From commit to request

Milliseconds from the return of an application's commit to the arrival of the request at the Bot API; {samples}
commits, each of one notification. At half load another process enqueues {load:,.0f}/s meanwhile, the worker having
just delivered {capacity:,.0f}/s from a backlog.
"""
WORKERS = """## More workers

Each is a process of its own, on one backlog, on the same cores as the database and the HTTP peer.
"""
BACKLOGS = """## The shape of a backlog

Of those outside of the one chat: seconds until the first is delivered, and the rate from there on.
"""
SNAPSHOT = """## While a snapshot is held open

A transaction in REPEATABLE READ stands open all the time, as a backup does it, so that no dead tuple can be removed.
{notifications:,} notifications; the last fifth beside the second tells whether what is left behind slows down.
"""
GROWTH = """## A backlog that grows

The rate of one worker in front of a backlog, over as many of each. The highest by the lowest is
{ratio:.2f}.
"""
PICTURE = "![{text}](benchmarks/{name}.svg)\n"


def _peers(peers: Mapping[str, Any]) -> Iterator[str]:
    runs = peers["runs"]
    yield PEERS.format(notifications=runs["dovecote"]["notifications"])
    yield PICTURE.format(text="Notifications a second of each system", name="peers")
    yield _rates(runs)
    yield f"{ABSENT}\n"
    yield table(
        ["who", "order in a chat", "limits", "after a kill"],
        [[run["title"], run["order"], run["limits"], run["resume"]] for run in runs.values()],
    )
    yield "".join(f"No figure for {name}: {why}\n" for name, why in peers["unmeasured"].items())


def _delivery(delivery: Mapping[str, Any]) -> Iterator[str]:
    runs = delivery["runs"]
    yield DELIVERY.format(notifications=runs["dovecote"]["notifications"])
    yield _rates(runs)
    yield (
        f"From enqueue to history: {delivery['whole_statements_per_notification']:.4f} statements and"
        f" {delivery['whole_wal_bytes_per_notification']:,.0f} bytes of WAL for each notification.\n"
    )


def _enqueue(enqueue: Mapping[str, Any]) -> Iterator[str]:
    yield ENQUEUE.format(notifications=enqueue["notifications"])
    yield table(
        ["how", "per s", "plain INSERT per s", "ratio", "statements", "WAL bytes", "µs", "µs in PostgreSQL"],
        [
            [
                title,
                f"{run['rate']:,.0f}",
                f"{run['plain_insert_rate']:,.0f}",
                f"{run['ratio_plain_insert']:.2f}",
                f"{run['statements_per_notification']:.4f}",
                f"{run['wal_bytes_per_notification']:,.0f}",
                f"{run['cpu_us']:.0f}",
                f"{run['database_cpu_us']:.0f}",
            ]
            for title, run in (
                ("bulk, with keys", enqueue["with_keys"]),
                ("bulk, without keys", enqueue["without_keys"]),
                ("one by one, with keys", enqueue["single"]),
            )
        ],
    )


def _latency(latency: Mapping[str, Any]) -> Iterator[str]:
    half = latency["half_load"]
    yield LATENCY.format(samples=latency["samples"], load=half["load_per_second"], capacity=half["capacity_per_second"])
    names = ("commit_to_request_p50_ms", "commit_to_request_p99_ms", "commit_to_request_max_ms")
    yield table(
        ["the worker is", "p50", "p99", "longest"],
        [
            [title, *(f"{run[name]:.1f}" for name in names)]
            for title, run in (("idle", latency), ("at half load", half))
        ],
    )


def _workers(workers: Mapping[str, Any]) -> Iterator[str]:
    yield WORKERS
    yield PICTURE.format(text="Notifications a second by the number of workers", name="workers")
    one = workers["runs"]["1"]["rate"]
    yield table(
        ["workers", "per s", "of one"],
        [[name, f"{run['rate']:,.0f}", f"{run['rate'] / one:.2f}"] for name, run in workers["runs"].items()],
    )


def _backlogs(backlogs: Mapping[str, Any]) -> Iterator[str]:
    yield BACKLOGS
    yield table(
        ["what waits", "first after s", "per s"],
        [[run["title"], f"{run['began_after_seconds']:.2f}", f"{run['rate']:,.0f}"] for run in backlogs.values()],
    )


def _snapshot(snapshot: Mapping[str, Any]) -> Iterator[str]:
    yield SNAPSHOT.format(notifications=snapshot["notifications"])
    yield table(
        ["snapshot", "per s", "second fifth", "last fifth"],
        [
            [name, *(f"{run[rate]:,.0f}" for rate in ("rate", "rate_first", "rate_last"))]
            for name, run in snapshot["runs"].items()
        ],
    )


def _growth(growth: Mapping[str, Any]) -> Iterator[str]:
    yield GROWTH.format(ratio=growth["ratio"])
    yield PICTURE.format(text="Notifications a second by the backlog", name="growth")
    yield table(
        ["waiting", "measured over", "per s", "every run"],
        [
            [
                f"{run['backlog']:,}",
                f"{run['measured_over']:,}",
                f"{run['rate']:,.0f}",
                ", ".join(f"{rate:,.0f}" for rate in run["rates"]),
            ]
            for run in growth["runs"].values()
        ],
    )


def _others(title: str, *names: tuple[str, str]) -> Callable[[Mapping[str, Any]], Iterator[str]]:
    """A section of a few figures by themselves: `names` are those in `bench.json`, and how they are written."""

    def section(figures: Mapping[str, Any]) -> Iterator[str]:
        yield f"## {title}\n"
        yield table(["figure", "measured"], [[f"`{name}`", format(figures[name], form)] for name, form in names])

    return section


def _killed(killed: Mapping[str, Any]) -> Iterator[str]:
    yield KILLED.format(**killed, share=killed["lost_answers"])
    yield table(
        ["who", "missed", "got one", "got two or more", "answers lost", "it says itself"],
        [
            [
                run["title"],
                *(f"{run[name]:,}" for name in ("missed", "once", "more_than_once", "lost")),
                ", ".join(f"{name} {value}" for name, value in run["told"].items()),
            ]
            for run in killed["runs"].values()
        ],
    )


def _rates(runs: Mapping[str, Mapping[str, Any]]) -> str:
    ours = runs["dovecote"]
    return table(
        [
            "who",
            "settings",
            "per s",
            "Dovecote is",
            "µs",
            "µs in the store",
            "statements",
            "WAL bytes",
            "dead tuples",
            "peak MB",
        ],
        [
            [
                run["title"] + _if_fewer(run, ours),
                ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in run["setting"].items()) or "default",
                f"{run['rate']:,.0f}",
                f"{ours['rate'] / run['rate']:.2f} x",
                f"{run['cpu_us']:.0f}",
                _figure(run, "database_cpu_us", ".0f"),
                _figure(run, "statements_per_notification", ".4f"),
                _figure(run, "wal_bytes_per_notification", ",.0f"),
                _figure(run, "dead_tuples_per_notification", ".2f"),
                f"{run['peak_rss_mb']:.0f}",
            ]
            for run in sorted(runs.values(), key=lambda run: -float(run["rate"]))
        ],
    )


def _if_fewer(run: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    return "" if run["notifications"] == ours["notifications"] else f" ({run['notifications']:,} only)"


def _figure(run: Mapping[str, Any], name: str, form: str) -> str:
    return format(run[name], form) if name in run else "-"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


SECTIONS: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "peers": _peers,
    "delivery": _delivery,
    "enqueue": _enqueue,
    "latency": _latency,
    "workers": _workers,
    "backlogs": _backlogs,
    "snapshot": _snapshot,
    "growth": _growth,
    "memory": _others(
        "Memory of a worker", ("rss_mb_settled", ".0f"), ("rss_mb_peak", ".0f"), ("worker_rss_growth", ".3f")
    ),
    "limits": _others("How much of a limit is used", ("used_of_30", ".1%"), ("used_of_1000", ".1%")),
    "killed": _killed,
    "storage": _others(
        "Files in an S3 store",
        ("small_ratio_obstore", ".2f"),
        ("small_ratio_aiobotocore", ".2f"),
        ("stream_ratio_obstore", ".2f"),
        ("rss_ratio_obstore", ".2f"),
        ("huge_growth_mb", ".0f"),
        ("large_rss_over_base_mb", ".0f"),
        ("large_longest_block_ms", ".0f"),
    ),
    "broadcast": _others(
        "A broadcast to many",
        ("recipients", ",d"),
        ("load_rate", ",.0f"),
        ("rate", ",.0f"),
        ("rate_first", ",.0f"),
        ("rate_last", ",.0f"),
        ("cost_last_of_first", ".2f"),
        ("rss_mb", ".0f"),
        ("longest_transaction", ".2f"),
        ("progress_p99_ms", ".0f"),
        ("stats_p99_ms", ".0f"),
        ("paused_after", ".2f"),
    ),
}
"""By the names of the parts, in the order of the page."""

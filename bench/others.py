"""The measurements beside delivery: enqueue against a plain INSERT, latency of an idle worker, memory of a busy one."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import psutil

from bench.database import counted, free_port, fresh_database
from bench.processes import MeasurementFailed, answer_of, measure, started, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import PostgresServer

    from bench.peer import Peer

# A worker's memory has settled when it has delivered so many.
SETTLED_AFTER = 20_000
SAMPLE_SECONDS = 0.05
BASELINE_SAMPLES = 5


def enqueues(server: PostgresServer, notifications: int, repeat: int, say: Callable[[str], None]) -> dict[str, Any]:
    """`notifications` in one call against the same rows in a plain INSERT, with keys and without, the best of each."""
    answer: dict[str, Any] = {"notifications": notifications}
    for name, keyed in (("with_keys", True), ("without_keys", False)):
        ours, plain = [], []
        for turn in range(1, repeat + 1):
            with fresh_database(server) as url:
                measure("dovecote_run", action="install", url=url)
                with counted(server, url) as counts:
                    run = measure("dovecote_run", action="enqueue", url=url, notifications=notifications, keyed=keyed)
                ours.append(run["seconds"])
                with counted(server, url):
                    plain.append(measure("plain_insert", url=url, notifications=notifications, keyed=keyed)["seconds"])
            say(f"enqueue {name.replace('_', ' ')}: run {turn} of {repeat}, {ours[-1]:.2f} s against {plain[-1]:.2f} s")
        answer[name] = {
            "rate": notifications / min(ours),
            "plain_insert_rate": notifications / min(plain),
            "ratio_plain_insert": min(plain) / min(ours),
            "peak_rss_mb": run["peak_rss_mb"],
            "statements": counts.statements,
        }
    answer["ratio_plain_insert"] = min(answer[name]["ratio_plain_insert"] for name in ("with_keys", "without_keys"))
    return answer


def latencies(server: PostgresServer, samples: int, say: Callable[[str], None]) -> dict[str, Any]:
    """From an application's commit to the request of an idle worker."""
    say(f"latency: {samples} commits, one after another")
    port = free_port()
    with fresh_database(server) as url:
        measure("dovecote_run", action="install", url=url)
        with started("dovecote_run", action="work", url=url, peer=f"http://127.0.0.1:{port}") as worker:
            answer = measure("latency", url=url, port=port, samples=samples)
            if worker.poll() is not None:
                raise MeasurementFailed(f"the worker ended too early:\n{worker.communicate()[1]}")
            stop(worker)
    return answer


def memory(server: PostgresServer, peer: Peer, notifications: int, say: Callable[[str], None]) -> dict[str, Any]:
    """A worker's resident memory while it delivers `notifications`, from SETTLED_AFTER on."""
    say(f"memory: {notifications:,} deliveries")
    with fresh_database(server) as url:
        measure("dovecote_run", action="fill", url=url, notifications=notifications)
        with counted(server, url):
            start = peer.arrived()
            with started(
                "dovecote_run", action="deliver", url=url, peer=peer.url, notifications=notifications
            ) as worker:
                samples = _sample(worker.pid, lambda: peer.arrived() - start, notifications)
                answer_of(worker)
    settled = [resident for arrived, resident in samples if arrived >= SETTLED_AFTER]
    if len(settled) <= BASELINE_SAMPLES:
        raise MeasurementFailed(f"memory: only {len(settled)} samples after {SETTLED_AFTER:,} deliveries")
    baseline = statistics.median(settled[:BASELINE_SAMPLES])
    return {
        "notifications": notifications,
        "rss_mb_settled": baseline / 2**20,
        "rss_mb_peak": max(settled) / 2**20,
        "worker_rss_growth": max(settled) / baseline - 1,
        "samples": len(samples),
    }


def _sample(pid: int, arrived: Callable[[], int], notifications: int) -> list[tuple[int, int]]:
    """(requests arrived, bytes resident) until everything has arrived or the process has ended."""
    process = psutil.Process(pid)
    samples: list[tuple[int, int]] = []
    while not samples or samples[-1][0] < notifications:
        try:
            resident = process.memory_info().rss
            if process.status() == psutil.STATUS_ZOMBIE:
                break
        except psutil.NoSuchProcess:
            break
        samples.append((arrived(), resident))
        time.sleep(SAMPLE_SECONDS)
    return samples

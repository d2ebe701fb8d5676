"""The measurements beside delivery: enqueue against a plain INSERT, latency of a worker, memory of a busy one."""

from __future__ import annotations

import contextlib
import socket
import statistics
import time
from typing import TYPE_CHECKING, Any

import psutil

from bench.database import counted, free_port, fresh_database
from bench.processes import MeasurementFailed, answer_of, measure, started, stop

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from servers import PostgresServer

    from bench.peer import Peer

SETTLED_SHARE = 5
"""A worker's memory has settled when it has delivered the fifth part, 20,000 of a hundred thousand."""
SAMPLE_SECONDS = 0.05
BASELINE_SAMPLES = 5


def enqueues(
    server: PostgresServer, notifications: int, singles: int, repeat: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Enqueue against the same rows in a plain INSERT, the best of each.

    `notifications` in one call, with keys and without; and `singles` with keys, each in a transaction of its own.
    """
    kinds: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
        "with_keys": ({"action": "enqueue", "keyed": True}, {"keyed": True}, notifications),
        "without_keys": ({"action": "enqueue", "keyed": False}, {"keyed": False}, notifications),
        "single": ({"action": "enqueue_singly"}, {"keyed": True, "singly": True}, singles),
    }
    answer: dict[str, Any] = {"notifications": notifications}
    for name, (ours_given, plain_given, count) in kinds.items():
        ours, plain = [], []
        for turn in range(1, repeat + 1):
            with fresh_database(server) as url:
                measure("dovecote_run", action="install", url=url)
                with counted(server, url) as counts:
                    run = measure("dovecote_run", url=url, notifications=count, **ours_given)
                ours.append(run["seconds"])
                with counted(server, url):
                    plain.append(measure("plain_insert", url=url, notifications=count, **plain_given)["seconds"])
            say(f"enqueue {name.replace('_', ' ')}: run {turn} of {repeat}, {ours[-1]:.2f} s against {plain[-1]:.2f} s")
        answer[name] = {
            "notifications": count,
            "rate": count / min(ours),
            "plain_insert_rate": count / min(plain),
            "ratio_plain_insert": min(plain) / min(ours),
            "peak_rss_mb": run["peak_rss_mb"],
            "cpu_us": run["cpu_us"],
            "statements": counts.statements,
            "statements_per_notification": counts.statements / count,
            "wal_bytes_per_notification": counts.wal_bytes / count,
            "database_cpu_us": counts.cpu_seconds / count * 1e6,
        }
    answer["ratio_plain_insert"] = min(answer[name]["ratio_plain_insert"] for name in ("with_keys", "without_keys"))
    return answer


def latencies(server: PostgresServer, samples: int, waiting: int, say: Callable[[str], None]) -> dict[str, Any]:
    """From an application's commit to the request of a worker: when it is idle, and at half of its load."""
    say(f"latency: {samples} commits, one after another, to an idle worker")
    idle = _latency(server, action="idle", samples=samples)
    say(f"latency: the same at half of the load, after a backlog of {waiting:,}")
    return {**idle, "half_load": _latency(server, action="half_load", samples=samples, waiting=waiting)}


def _latency(server: PostgresServer, *, waiting: int = 0, **given: Any) -> dict[str, Any]:
    port = free_port()
    if waiting:
        given["waiting"] = waiting
    with fresh_database(server) as url:
        measure("dovecote_run", action="fill", url=url, notifications=waiting)
        with started("latency", url=url, port=port, **given) as probing:
            _until_listening(port, probing)
            with started("dovecote_run", action="work", url=url, peer=f"http://127.0.0.1:{port}") as worker:
                answer = answer_of(probing)
                if worker.poll() is not None:
                    raise MeasurementFailed(f"the worker ended too early:\n{worker.communicate()[1]}")
                stop(worker)
    return answer


def _until_listening(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until a process takes connections at a port, or has ended, which its answer will tell."""
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(SAMPLE_SECONDS)


def memory(server: PostgresServer, peer: Peer, notifications: int, say: Callable[[str], None]) -> dict[str, Any]:
    """A worker's resident memory while it delivers `notifications`, from a fifth on."""
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
    settled_after = notifications // SETTLED_SHARE
    settled = [resident for arrived, resident in samples if arrived >= settled_after]
    if len(settled) <= BASELINE_SAMPLES:
        raise MeasurementFailed(f"memory: only {len(settled)} samples after {settled_after:,} deliveries")
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

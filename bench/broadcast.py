"""What a broadcast to many recipients takes: memory, the longest transaction, how long its progress takes to read.

    python -m bench.broadcast [RECIPIENTS] [--seconds N]

On PostgreSQL 18, at 1000 a second, the most that Telegram takes: a CSV file with some bad lines is read, a template is
rendered for each recipient, one process delivers to the HTTP peer, and another asks for the progress all the time. In
the middle it is paused: told is how long afterwards the last request arrives. With --seconds it is cancelled after so
long, for a look at a list that would take too long to deliver. Exit code 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.database import connect, fresh_database, postgresql
from bench.dovecote_run import dovecote_at
from bench.peer import peer
from bench.processes import started
from bench.work import BOT
from dovecote.model import Broadcast, BroadcastState
from dovecote.service import Service, delivery_only

if TYPE_CHECKING:
    from bench.peer import Peer
    from dovecote import Dovecote

RECIPIENTS = 100_000
PACE = 1000.0
BAD_EVERY = 10_000
TEXT = "Hello {{ name }}, we are open on Sunday until {{ hour }}."
MOST_MEGABYTES = 300
MOST_SECONDS_OF_PROGRESS = 0.1
MOST_SECONDS_OF_A_TRANSACTION = 5.0
MOST_SECONDS_UNTIL_PAUSED = 1.0
QUIET = 1.0
MEGABYTE = 2**20
LONGEST_TRANSACTION = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def write_csv(path: Path, recipients: int) -> int:
    """Write so many recipients, and a bad line now and then; answers how many bad lines there are."""
    bad = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("chat_id,locale,name,hour\n")
        for number in range(1, recipients + 1):
            file.write(f"{number},{'pt-BR' if number % 3 else 'en'},Customer {number},{8 + number % 12}\n")
            if number % BAD_EVERY == 0:
                file.write("nobody,en,x,9\n")
                bad += 1
    return bad


async def until(running: asyncio.Task[None], dovecote: Dovecote, *, settled: int) -> None:
    """Wait until so many are settled."""
    while (await dovecote.broadcasts.get("news")).counts.settled < settled:
        if running.done():
            running.result()
        await asyncio.sleep(0.2)


async def paused(dovecote: Dovecote, here: Peer) -> dict[str, float]:
    """Pause it, and answer how long the call took, and how long after its beginning the last request arrived."""
    began = time.perf_counter()
    pausing = asyncio.create_task(dovecote.broadcasts.pause("news"))
    called = last_at = 0.0
    last = -1
    while not pausing.done() or time.perf_counter() - began - last_at < QUIET:
        arrived = await asyncio.to_thread(here.arrived)
        now = time.perf_counter() - began
        if arrived != last:
            last, last_at = arrived, now
        if not pausing.done():
            called = now
        await asyncio.sleep(0.01)
    await pausing
    await dovecote.broadcasts.resume("news")
    return {"pause_call": called, "paused_after": last_at}


async def prepared(dovecote: Dovecote, path: Path, recipients: int, bad: int, *, whole: bool) -> dict[str, Any]:
    """Make the draft, look at every text if it is to be sent `whole`, and estimate."""
    figures: dict[str, Any] = {}
    began = time.perf_counter()
    broadcast = Broadcast(name="news", bot=BOT, text=TEXT, template=True, locales={"pt": {"text": f"Oi! {TEXT}"}})
    _, added = await dovecote.broadcasts.create(broadcast, path)
    figures["load_rate"] = recipients / (time.perf_counter() - began)
    figures["bad_lines_found"] = f"{added.bad} of {bad}"
    if whole:
        began = time.perf_counter()
        checked = await dovecote.broadcasts.check("news")
        figures["dry_run_rate"] = checked.looked_at / (time.perf_counter() - began)
    began = time.perf_counter()
    await dovecote.broadcasts.estimate("news")
    figures["estimate_seconds"] = time.perf_counter() - began
    return figures


async def run(url: str, here: Peer, recipients: int, seconds: float) -> dict[str, Any]:
    """All of it, in this process."""
    own = psutil.Process()
    figures: dict[str, Any] = {"recipients": recipients}
    with tempfile.TemporaryDirectory(prefix="dovecote-bench-") as folder:
        path = Path(folder) / "recipients.csv"
        bad = write_csv(path, recipients)
        async with dovecote_at(url, here.url) as dovecote:
            await dovecote.migrate()
            await dovecote.add_bot(BOT, token_variable="DOVECOTE_BENCH_TOKEN", pace=PACE)
            figures |= await prepared(dovecote, path, recipients, bad, whole=seconds == float("inf"))
            figures["rss_before"] = own.memory_info().rss / MEGABYTE

            service = Service(dovecote, http=False)
            delivery_only()
            running = asyncio.create_task(service.run())
            with started("broadcast_probe", url=url) as probe:
                began = time.perf_counter()
                await dovecote.broadcasts.start("news")
                await until(running, dovecote, settled=min(recipients // 3, 5000))
                figures |= await paused(dovecote, here)
                largest = 0.0
                while (record := await dovecote.broadcasts.get("news")).state is BroadcastState.RUNNING:
                    largest = max(largest, own.memory_info().rss / MEGABYTE)
                    if time.perf_counter() - began > seconds:
                        await dovecote.broadcasts.cancel("news")
                    await asyncio.sleep(0.2)
                figures["seconds"] = time.perf_counter() - began
                figures["rate"] = record.counts.delivered / figures["seconds"]
                figures["rss"] = max(largest, own.memory_info().rss / MEGABYTE)
                probe.terminate()
                output, errors = await asyncio.to_thread(probe.communicate)
                figures |= json.loads(output or json.dumps({"probe": errors[-500:]}))
            service.stop()
            await running
            figures["arrived"] = here.arrived()
            figures["counts"] = str(record.counts)
            ended = record.state is BroadcastState.FINISHED
            if ended and (record.counts.delivered != recipients or figures["arrived"] != recipients):
                raise RuntimeError(f"not everybody got it once: {figures}")
    with connect(url) as connection:
        sizes = connection.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
            " WHERE relname IN ('broadcast_recipient', 'history')"
        ).fetchall()
    figures["megabytes"] = {name: round(size / MEGABYTE, 1) for name, size in sizes}
    return figures


def main() -> int:
    """Measure, print, and compare with the targets."""
    parser = argparse.ArgumentParser(prog="python -m bench.broadcast", description="Measure a broadcast.")
    parser.add_argument("recipients", type=int, nargs="?", default=RECIPIENTS, help="how many")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="cancel it after so long")
    options = parser.parse_args()
    with postgresql() as server, peer("auto") as here, fresh_database(server) as url:
        figures = asyncio.run(run(url, here, options.recipients, options.seconds))
    for name, value in figures.items():
        print(f"{name:<24} {value:,.3f}" if isinstance(value, float) else f"{name:<24} {value}")
    bounds = {
        "rss": MOST_MEGABYTES,
        "progress_p99": MOST_SECONDS_OF_PROGRESS,
        "longest_transaction": MOST_SECONDS_OF_A_TRANSACTION,
        "paused_after": MOST_SECONDS_UNTIL_PAUSED,
    }
    missed = {name: bound for name, bound in bounds.items() if figures[name] > bound}
    for name, bound in missed.items():
        print(f"missed: {name} is {figures[name]:.3f}, and {bound} is allowed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

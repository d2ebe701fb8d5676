"""One broadcast from the file to the last answer, in this process: a measured process of `bench.broadcast`."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from bench.database import connect, cpu_seconds
from bench.dovecote_run import dovecote_at
from bench.peer import Peer
from bench.processes import started
from bench.work import BOT, measured_process
from dovecote.model import Broadcast, BroadcastState
from dovecote.service import Service, delivery_only

if TYPE_CHECKING:
    from dovecote import Dovecote

BAD_EVERY = 10_000
TEXT = "Hello {{ name }}, we are open on Sunday until {{ hour }}."
QUIET = 1.0
LOOK_SECONDS = 0.2
MEGABYTE = 2**20
# The first and the last so many are compared, of a short broadcast a fifth.
SLICE = 100_000


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
        await asyncio.sleep(LOOK_SECONDS)


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
    figures["bad_lines"] = {"found": added.bad, "written": bad}
    if whole:
        began = time.perf_counter()
        checked = await dovecote.broadcasts.check("news")
        figures["dry_run_rate"] = checked.looked_at / (time.perf_counter() - began)
    began = time.perf_counter()
    await dovecote.broadcasts.estimate("news")
    figures["estimate_seconds"] = time.perf_counter() - began
    return figures


class Sample(NamedTuple):
    """At one moment: the clock, how many were settled, and the processor time of this process and the database's."""

    at: float
    settled: int
    own_cpu: float
    database_cpu: float


async def to_the_end(dovecote: Dovecote, server: int, seconds: float | None) -> dict[str, Any]:
    """Wait for the end, or cancel it after so long. Answers the rates and the cost by the way, and the memory."""
    own = psutil.Process()
    samples: list[Sample] = []
    largest = 0.0
    while True:
        record = await dovecote.broadcasts.get("news")
        samples.append(Sample(time.perf_counter(), record.counts.settled, time.process_time(), cpu_seconds(server)))
        largest = max(largest, own.memory_info().rss / MEGABYTE)
        if record.state is not BroadcastState.RUNNING:
            break
        if seconds is not None and samples[-1].at - samples[0].at > seconds:
            await dovecote.broadcasts.cancel("news")
        await asyncio.sleep(LOOK_SECONDS)
    first, last = samples[0].settled, samples[-1].settled
    width = min(SLICE, (last - first) // 5)
    figures = {
        "state": record.state.value,
        "counts": {name: getattr(record.counts, name) for name in record.counts.__dataclass_fields__},
        "slice": width,
        "rss_mb": largest,
        **between(samples, first, last),
        **{f"{name}_first": value for name, value in between(samples, first, first + width).items()},
        **{f"{name}_last": value for name, value in between(samples, last - width, last).items()},
    }
    # Of processor time, since that is the same whatever else the machine does.
    costs = [figures[f"cpu_us_{when}"] + figures[f"database_cpu_us_{when}"] for when in ("first", "last")]
    return figures | {"cost_last_of_first": costs[1] / costs[0]}


def between(samples: list[Sample], first: int, last: int) -> dict[str, float]:
    """While so many became so many more: recipients a second, and microseconds of processor for each."""
    began = next(sample for sample in samples if sample.settled >= first)
    ended = next(sample for sample in samples if sample.settled >= last)
    count = max(1, ended.settled - began.settled)
    return {
        "rate": count / max(ended.at - began.at, LOOK_SECONDS),
        "cpu_us": (ended.own_cpu - began.own_cpu) / count * 1e6,
        "database_cpu_us": (ended.database_cpu - began.database_cpu) / count * 1e6,
    }


async def run(
    *, url: str, server: int, peer: tuple[str, str], recipients: int, pace: float | None, seconds: float | None
) -> dict[str, Any]:
    """All of it. `server` is PostgreSQL's pid, `peer` its name and URL; without `seconds` it is delivered whole."""
    here = Peer(*peer)
    arrived = here.arrived()
    figures: dict[str, Any] = {"recipients": recipients, "pace": pace}
    with tempfile.TemporaryDirectory(prefix="dovecote-bench-") as folder:
        path = Path(folder) / "recipients.csv"
        bad = write_csv(path, recipients)
        async with dovecote_at(url, here.url) as dovecote:
            await dovecote.migrate()
            await dovecote.add_bot(BOT, token_variable="DOVECOTE_BENCH_TOKEN", pace=pace)
            figures |= await prepared(dovecote, path, recipients, bad, whole=seconds is None)
            service = Service(dovecote, http=False)
            delivery_only()
            running = asyncio.create_task(service.run())
            with started("broadcast_probe", url=url) as probe:
                began = time.perf_counter()
                await dovecote.broadcasts.start("news")
                await until(running, dovecote, settled=min(recipients // 20, 5000))
                figures |= await paused(dovecote, here)
                figures |= await to_the_end(dovecote, server, seconds)
                figures["seconds"] = time.perf_counter() - began
                probe.terminate()
                output, errors = await asyncio.to_thread(probe.communicate)
                if not output:
                    raise RuntimeError(f"the probe ended with {errors[-2000:]}")
                figures |= json.loads(output)
            service.stop()
            await running
    figures["arrived"] = here.arrived() - arrived
    with connect(url) as connection:
        row = connection.execute("SELECT sum(attempts) FROM dovecote.history").fetchone()
        figures["attempts"] = int(row[0]) if row else 0
        sizes = connection.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
            " WHERE relname IN ('broadcast_recipient', 'history', 'notification')"
        ).fetchall()
    # More than once arrives what may not have arrived the first time: where an answer or a lease was lost.
    right = figures["counts"]["delivered"] == recipients <= figures["arrived"] <= figures["attempts"]
    if figures["state"] == "finished" and not right:
        raise RuntimeError(f"not everybody got it, or some without an attempt that is recorded: {figures}")
    figures["megabytes"] = {table: round(size / MEGABYTE, 1) for table, size in sizes}
    return figures


if __name__ == "__main__":
    measured_process(run)

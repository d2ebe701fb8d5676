"""Workers whose clocks are ten minutes off: real processes on PostgreSQL, measured where the requests arrive.

On SQLite all workers share one machine, and so one clock.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deliveries import OTHER_TOKEN, delivery, until
from worker_processes import WorkerProcess

from dovecote.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = Path(__file__).parent / "shifted_worker.py"
PACE = 100.0
COUNT = 400
FIRST = 20
OFF = 600.0


def worker(log: Path, url: str, base_url: str, keys: Sequence[str], off: float) -> WorkerProcess:
    environment = {
        "DOVECOTE_DATABASE_URL": url,
        "DOVECOTE_TELEGRAM_BASE_URL": base_url,
        "DOVECOTE_ENCRYPTION_KEYS": ",".join(keys),
        "DOVECOTE_LOG_FORMAT": "json",
    }
    return WorkerProcess([str(PROGRAM), str(off)], log, **environment)


@pytest.mark.parametrize(
    "clocks", [pytest.param((OFF, -OFF), id="both"), pytest.param((OFF, 0.0), id="one", marks=pytest.mark.chaos)]
)
async def test_workers_whose_clocks_are_ten_minutes_off_keep_the_pace(
    postgresql_outbox_url: str, tmp_path: Path, clocks: Sequence[float]
) -> None:
    async with Emulator() as emulator:
        async with delivery(postgresql_outbox_url, emulator.url) as parts:
            await parts.bot("paced", OTHER_TOKEN, pace=PACE)
            processes = [
                worker(tmp_path / f"{off}.log", postgresql_outbox_url, emulator.url, parts.keys, off) for off in clocks
            ]
            with processes[0], processes[1]:
                for process in processes:
                    await until(lambda process=process: "delivering" in process.log)  # type: ignore[misc]
                # What is sent first of all begins late: nothing is planned yet, and no connection open.
                await parts.backlog(FIRST, bot="paced", first=8000)
                await until(lambda: parts.settled(FIRST))
                later = datetime.now(UTC) + timedelta(seconds=2)
                await parts.backlog(COUNT, bot="paced")
                (planned,) = await parts.backlog(1, bot="paced", first=9000, due_at=later, priority=0)
                await until(lambda: parts.settled(FIRST + COUNT + 1))
            record = await parts.dovecote.notification(planned)

        arrivals = sorted(one.monotonic for one in emulator.accepted)[FIRST:]
        first_lines = [json.loads(process.log.splitlines()[0]) for process in processes]

    assert len(arrivals) == COUNT + 1
    assert COUNT / PACE - 0.2 <= arrivals[-1] - arrivals[0] <= COUNT / PACE + 8
    # No second has more than the pace and what was late before it.
    assert max(sum(at <= other < at + 1 for other in arrivals) for at in arrivals) <= PACE * 1.3
    # What is planned is neither early nor late by anybody's clock but the database's.
    assert record.settled_at is not None
    assert timedelta(0) <= record.settled_at - later <= timedelta(seconds=8)
    # The clocks were off indeed.
    for line, off in zip(first_lines, clocks, strict=True):
        assert abs((datetime.fromisoformat(line["timestamp"]) - later).total_seconds() - off) < 60

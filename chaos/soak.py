"""`python -m chaos.soak --minutes 60`: a steady load without any fault, and whether anything grows. Exit code 1 if so.

Every few seconds: memory, file descriptors and threads of each process, connections to the database, how much waits,
and the size of every table and index. What only grows by design (history, attempts, keys, occurrences, runs) is judged
by its bytes for each row. At the end the judge of the campaigns is heard as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg

from chaos.campaign import Campaign, summary_as_json
from chaos.flatness import FEWEST, judged, table
from chaos.judge import judge, read_evidence
from chaos.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from chaos.place import Place
    from chaos.programs import Programs

SECONDS_OF_A_MINUTE = 60.0
NONE = ("no fault at all",)
GROWING = ("history", "attempt", "notification_key", "occurrence", "job_run", "chaos_batch")
"""What keeps what has been: by its rows, and not by its size."""
SIZES = """
SELECT c.relname, t.relname, pg_relation_size(c.oid), s.n_live_tup
FROM pg_class c
LEFT JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_class t ON t.oid = coalesce(i.indrelid, c.oid)
JOIN pg_stat_user_tables s ON s.relid = t.oid
WHERE c.relkind IN ('r', 'i') AND s.schemaname IN ('dovecote', 'public')
"""
CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
)
FEW_ROWS = 500
"""Below so many rows, bytes a row are those of an empty page."""


class Soak(Campaign):
    """A campaign without faults that takes samples."""

    def __init__(self, setting: Setting, folder: Path, every: float) -> None:
        super().__init__(setting, folder)
        self._every = every
        self.series: dict[tuple[str, str], list[float]] = defaultdict(list)

    def _more_watchers(self, place: Place, programs: Programs) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        return [lambda: self._sample_forever(place, programs)]

    async def _sample_forever(self, place: Place, programs: Programs) -> None:
        while True:
            begun = time.monotonic()
            self._sample_processes(place, programs)
            await asyncio.to_thread(self._sample_database, place)
            await asyncio.sleep(max(0.0, self._every - (time.monotonic() - begun)))

    def _sample_processes(self, place: Place, programs: Programs) -> None:
        pids = {program.name: program.pid for program in programs.all if program.is_running}
        # The emulator remembers every request on purpose, and is left out.
        if place.valkey is not None:
            pids["valkey"] = place.valkey.pid
        for name, pid in pids.items():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                self.series["memory", name].append(process.memory_info().rss)
                self.series["descriptors", name].append(process.num_fds())
                self.series["threads", name].append(process.num_threads())

    def _sample_database(self, place: Place) -> None:
        self.series["waiting", "notifications"].append(place.ask("SELECT count(*) FROM {}notification")[0][0])
        if place.postgres is None:
            return
        with psycopg.connect(place.url, autocommit=True) as connection:
            (count,) = connection.execute(CONNECTIONS.encode()).fetchone() or (0,)
            self.series["connections", "to the database"].append(count - 1)
            for name, of, size, rows in connection.execute(SIZES.encode()):
                if of not in GROWING:
                    self.series["relation", name].append(size)
                elif rows >= FEW_ROWS:
                    self.series["bytes a row", name].append(size / rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    options = _options().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seconds = options.minutes * SECONDS_OF_A_MINUTE
    setting = Setting(
        seed=random.SystemRandom().getrandbits(32),
        seconds=seconds,
        database=options.database,
        workers=options.workers,
        valkey=options.database == "postgresql",
        s3=False,
        per_second=options.per_second,
        pace=max(30.0, 2 * options.per_second),
        recipients=0,
        only=NONE,
    )
    folder = Path(tempfile.mkdtemp(prefix="dovecote-soak-"))
    sys.stdout.write(f"{setting.database}, {seconds:.0f} s at {setting.per_second:g}/s; logs in {folder}\n")
    sys.stdout.flush()
    soak = Soak(setting, folder, max(0.5, min(10.0, seconds / 60)))
    summary = asyncio.run(soak.run())
    verdict = judge(read_evidence(folder))
    series = judged({key: values for key, values in soak.series.items() if len(values) >= FEWEST})
    flat = all(one.flat for one in series)
    document = {
        **summary_as_json(setting, summary),
        **verdict.as_json(),
        "flat": flat,
        "series": [one.as_json() for one in series],
    }
    options.output.write_text(json.dumps(document, indent=2) + "\n")
    sys.stdout.write(f"{verdict.table()}\n\nmedians of the second and of the last third\n\n{table(series)}\n")
    if not (flat and verdict.is_sound):
        sys.stdout.write(f"NOT FLAT, or broken; logs in {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--per-second", type=float, default=15.0, help="notifications enqueued per second (15)")
    parser.add_argument("--output", type=Path, default=Path("soak.json"), metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The largest file that a local Bot API server takes, put and sent: `python -m bench.large`, and a part of storage.

Each store in turn, a folder and an S3 server, with the emulator as the local Bot API server. How fast that is the
emulator decides; what is measured is the memory of the sending process, and for how long its loop was held up.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.processes import ROOT, MeasurementFailed, measure

sys.path.insert(0, str(ROOT / "tests"))

from s3_server import S3Server

from dovecote.emulator import EmulatorProcess

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE_SIZE = 2000 * 1024 * 1024
TRIES = 3
"""A machine that is busy elsewhere holds up anybody at times, but not each time."""
LONGEST_BLOCK_MS = 50.0
VOLUMES = 1000
"""The store's data files are 64 MB, and what is overwritten stays in them for a while."""


def large(server: S3Server, say: Callable[[str], None]) -> dict[str, Any]:
    """Both stores; the most memory of the two, and the longest block of each one's best run."""
    runs = {name: _best(name, server, say) for name in ("local", "s3")}
    return {
        "large_rss_over_base_mb": max(run["rss_over_base_mb"] for run in runs.values()),
        "large_longest_block_ms": max(run["longest_block_ms"] for run in runs.values()),
        "large": runs,
    }


def _best(name: str, server: S3Server, say: Callable[[str], None]) -> dict[str, Any]:
    runs: list[dict[str, Any]] = []
    while len(runs) < TRIES and not (runs and runs[-1]["longest_block_ms"] <= LONGEST_BLOCK_MS):
        runs.append(_run(name, server))
        last = runs[-1]
        say(
            f"2 GB put and sent, {name}: {last['put_seconds']:.0f} s and {last['send_seconds']:.0f} s,"
            f" {last['rss_over_base_mb']:.0f} MB, {last['longest_block_ms']:.0f} ms"
        )
    best = min(runs, key=lambda run: float(run["longest_block_ms"]))
    # The memory is the most that was seen: it is no luck of the draw.
    return best | {"rss_over_base_mb": max(run["rss_over_base_mb"] for run in runs)}


def _run(name: str, server: S3Server) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="dovecote-bench-") as given:
        folder = Path(given)
        storage: dict[str, str] = {"url": (folder / "files").as_uri()}
        if name == "s3":
            storage = {
                "url": f"s3://{server.place.create_bucket()}?endpoint={server.place.endpoint}",
                "access_key_id": server.writer.access_key_id,
                "secret_access_key": server.writer.secret_access_key,
            }
        with EmulatorProcess(local=folder / "telegram") as telegram:
            database = f"sqlite:///{folder}/bench.db"
            return measure("large_run", database=database, storage=storage, telegram=telegram.url, size=LARGE_SIZE)


def main() -> int:
    """Measure this alone, and print it."""
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {line}\n")

    try:
        with S3Server(volumes=VOLUMES) as server:
            result = large(server, say)
    except MeasurementFailed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

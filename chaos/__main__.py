"""`python -m chaos --seed N --minutes M`: a campaign of faults, and what the judge says of it. Exit code 1 if it found
anything; then the folder with all logs is kept, and its name and the seed are printed."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.campaign import Campaign, summary_as_json
from chaos.judge import judge, read_evidence
from chaos.pooler import program
from chaos.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS_OF_A_MINUTE = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    options = _options().parse_args(arguments)
    # So that being told to end, like Ctrl-C, unwinds everything that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.pooler:
        if options.database != "postgresql":
            sys.stderr.write("--pooler: SQLite has no pooler; leave out --database sqlite\n")
            return 2
        try:
            program()
        except FileNotFoundError as missing:
            sys.stderr.write(f"--pooler: {missing}\n")
            return 2
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    setting = Setting(
        seed=seed,
        seconds=options.minutes * SECONDS_OF_A_MINUTE,
        database=options.database,
        workers=options.workers,
        valkey=options.database == "postgresql",
        elect_by_valkey=options.database == "postgresql" and seed % 2 == 1,
        s3=options.database == "postgresql" and not options.without_s3,
        per_second=options.per_second,
        pooler=options.pooler,
        only=tuple(options.only.split(",")) if options.only else (),
    )
    folder = Path(tempfile.mkdtemp(prefix="dovecote-chaos-"))
    sys.stdout.write(f"seed {seed}, {setting.database}, {setting.seconds:.0f} s of faults; logs in {folder}\n")
    sys.stdout.flush()
    summary = asyncio.run(Campaign(setting, folder).run())
    verdict = judge(read_evidence(folder))
    document = {**summary_as_json(setting, summary), **verdict.as_json(), "folder": str(folder)}
    options.output.write_text(json.dumps(document, indent=2) + "\n")
    sys.stdout.write(f"{verdict.table()}\n\ndrained {summary.drained_after:.1f} s after the last fault\n")
    if not verdict.is_sound:
        sys.stdout.write(f"BROKEN: repeat with --seed {seed} --database {setting.database}; logs in {folder}\n")
        return 1
    if options.keep:
        sys.stdout.write(f"logs in {folder}\n")
    else:
        shutil.rmtree(folder)
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="the seed of the faults and the load; without it a new one")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults are made (3)")
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--per-second", type=float, default=10.0, help="notifications enqueued per second (10)")
    parser.add_argument("--without-s3", action="store_true", help="keep files in a folder, and start no S3 server")
    parser.add_argument("--pooler", action="store_true", help="put pgbouncer, which must be there, before PostgreSQL")
    parser.add_argument("--only", metavar="KINDS", help="the kinds of faults, by their names and with commas")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a campaign that was sound as well")
    parser.add_argument("--output", type=Path, default=Path("chaos.json"), metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())

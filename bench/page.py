"""Writes `docs/benchmarks.md` and its pictures from a `bench.json`: what was measured, and how to measure it again.

    python -m bench.page [bench.json] [--output docs/benchmarks.md]

A part that was not measured is left out of the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.names import NAMES
from bench.page_parts import SECTIONS, table
from bench.parts import PARTS
from bench.plots import bars
from bench.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HEAD = """# Benchmarks

Written by `python -m bench.page` from a `bench.json`, with the figures of one machine: {cores} cores ({processor}),
{memory_gb} GB, Linux {kernel}, Python {python}, PostgreSQL {postgresql}. The worker, the database and the HTTP peer
share these cores, so that a system's figure is what it, its store and the peer get out of them together (nginx, where
it is found, leaves the others more of them than granian does). Other machines have other figures; the ratios travel
better. What is compared runs in turns. Of systems the middle run stands, and of their ratios the middle turn's: a
machine's speed wanders, and what ran in one turn ran close together. Elsewhere the best run stands.

```console
$ make bench                                          # everything
$ python -m bench --only delivery,latency --repeat 1  # some of it; the other parts of bench.json stay as they are
$ python -m bench.page                                # this page
```
"""
WHEN = """## When it was measured

"Busy" is how many processes wanted to run in the minute before: with one or more, rates are too low, and hardly fair.
"""
MISSING = "Not measured yet on this machine: {parts}.\n"
HOW_LONG = "## How long each part takes, about, on two cores\n"
GLOSSARY = """## What stands in bench.json

Names are an interface: a name that is here means the same tomorrow.
"""


def page(result: Mapping[str, Any]) -> str:
    """The whole page. Raises ValueError when `result` has none of the parts that it tells of."""
    told = [name for name in SECTIONS if name in result]
    if not told:
        raise ValueError(f"there is none of the parts {', '.join(SECTIONS)} in it: run `python -m bench` first")
    blocks = [HEAD.format(**result["machine"])]
    for name in told:
        blocks += SECTIONS[name](result[name])
    blocks += _when(result)
    blocks += [HOW_LONG, table(["part", "what", "minutes"], [[n, p.what, str(p.minutes)] for n, p in PARTS.items()])]
    blocks += [GLOSSARY, table(["name", "what it is"], [[f"`{name}`", means] for name, means in NAMES.items()])]
    return "\n".join(blocks)


def plots(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The pictures, as their names and SVG: for each part that has one."""
    if "peers" in result:
        runs = sorted(result["peers"]["runs"].values(), key=lambda run: -float(run["rate"]))
        yield "peers", bars("Notifications a second, one worker", [(run["title"], run["rate"]) for run in runs])
    if "growth" in result:
        rows = [(f"{run['backlog']:,} waiting", run["rate"]) for run in result["growth"]["runs"].values()]
        yield "growth", bars("Notifications a second, by the backlog", rows)
    if "workers" in result:
        rows = [(f"{run['workers']} workers", run["rate"]) for run in result["workers"]["runs"].values()]
        yield "workers", bars("Notifications a second, by the number of workers", rows)


def _when(result: Mapping[str, Any]) -> Iterator[str]:
    yield WHEN
    yield table(
        ["part", "at", "took", "runs", "busy"],
        [
            [name, one["at"], f"{one['seconds']:.0f} s", str(one["repeat"]), f"{one['load_before']:.1f}"]
            for name, one in result["measured"].items()
        ],
    )
    if missing := [name for name in PARTS if name not in result]:
        yield MISSING.format(parts=", ".join(missing))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page. Exit code 2 if there is nothing to write it from."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description="Write a page from a bench.json.")
    parser.add_argument("figures", nargs="?", type=Path, default=ROOT / "bench.json", help="what a run has written")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="where the page goes")
    options = parser.parse_args(arguments)
    try:
        result = json.loads(options.figures.read_text(encoding="utf-8"))
        text = page(result)
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"{options.figures}: {problem}\n")
        return 2
    options.output.write_text(text, encoding="utf-8")
    folder = options.output.with_suffix("")
    for name, picture in plots(result):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.svg").write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the benchmarks' page says of the figures that it is given, and what is said of each system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.killed import judged
from bench.page import main, page
from bench.peers.environments import lock_of, version_of
from bench.peers.systems import SYSTEMS, System

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {
    "cores": 2,
    "processor": "Some CPU",
    "memory_gb": 8.0,
    "kernel": "6.1",
    "python": "3.11.7",
    "postgresql": "18.1",
    "packages": {},
}
SAID = {"order": "no", "limits": "per worker", "resume": "some twice"}
OURS = {"title": "Dovecote", "notifications": 3000, "rate": 5000.0, "cpu_us": 100.4, "peak_rss_mb": 90.0, "setting": {}}
THEIRS = {"title": "Other 1.0", "notifications": 2000, "rate": 400.0, "cpu_us": 2000.0, "peak_rss_mb": 60.0}
PEERS = {
    "ratio_other": 12.5,
    "unmeasured": {"oban": "needs Python 3.12"},
    "runs": {
        "dovecote": OURS | SAID | {"statements_per_notification": 0.0102, "order": "yes"},
        "other": THEIRS | SAID | {"setting": {"max_workers": 4, "pool": "threads"}},
    },
}


def test_a_system_stands_beside_dovecote_with_what_it_cannot_do() -> None:
    text = page({"machine": MACHINE, "repeat": 3, "peers": PEERS})

    assert "| Dovecote | default | 5,000 | 1.00 x | 100 | - | 0.0102 | - | 90 |" in text
    assert "| Other 1.0 (2,000 only) | max workers 4, pool threads | 400 | 12.50 x | 2000 | - | - | - | 60 |" in text
    assert "| Other 1.0 | no | per worker | some twice |" in text
    assert "No figure for oban: needs Python 3.12." in text
    assert "2 cores\n(Some CPU), 8.0 GB, Linux 6.1, Python 3.11.7, PostgreSQL 18.1." in text


def test_the_judge_counts_who_was_missed_who_got_two_and_strangers() -> None:
    assert judged([1, 2, 2, 4, 9, 4, 4], [1, 2, 3, 4]) == {
        "missed": 1,
        "once": 1,
        "more_than_once": 2,
        "to_others": 1,
    }


def test_a_killed_broadcast_is_told_beside_what_its_system_says() -> None:
    run = {"title": "Other 1.0", "missed": 3, "once": 1990, "more_than_once": 7, "lost": 20, "told": {"sent": 2000}}

    text = page(
        {
            "machine": MACHINE,
            "repeat": 1,
            "killed": {"recipients": 2000, "seed": 5, "lost_answers": 0.01, "runs": {"other": run}},
        }
    )

    assert "Of the Bot API's answers 1% are lost" in text
    assert "| Other 1.0 | 3 | 1,990 | 7 | 20 | sent 2000 |" in text


def test_figures_of_no_such_part_are_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "bench.json"
    figures.write_text(
        '{"machine": {"cores": 2, "processor": "x", "memory_gb": 1, "kernel": "6", "python": "3.11",'
        ' "postgresql": null}, "repeat": 1}'
    )

    assert main([str(figures), "--output", str(tmp_path / "page.md")]) == 2

    assert "run `python -m bench --only peers`" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_system_has_a_lock_with_hashes_that_pins_it(system: System) -> None:
    lines = lock_of(system.place).read_text().splitlines()
    pins = [number for number, line in enumerate(lines) if "==" in line and not line.lstrip().startswith("#")]

    assert version_of(system.package, system.place)
    assert all(lines[number + 1].lstrip().startswith("--hash=sha256:") for number in pins)

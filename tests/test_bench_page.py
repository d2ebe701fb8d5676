"""What the benchmarks' page says of the figures that it is given, and what is said of each system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.killed import judged
from bench.names import NAMES
from bench.page import main, page, plots
from bench.parts import PARTS
from bench.peers.environments import lock_of, python_of, version_of
from bench.peers.systems import SYSTEMS, System
from bench.processes import MeasurementFailed
from bench.record import Record
from bench.report import TARGETS

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
WHEN = {"at": "2026-01-02T03:04:05+00:00", "seconds": 61.2, "load_before": 0.2, "repeat": 3}
PEERS = {
    "ratio_other": 12.5,
    "unmeasured": {"oban": "needs Python 3.12"},
    "runs": {
        "dovecote": OURS | SAID | {"statements_per_notification": 0.0102, "order": "yes"},
        "other": THEIRS | SAID | {"setting": {"max_workers": 4, "pool": "threads"}},
    },
}


def test_a_system_stands_beside_dovecote_with_what_it_cannot_do() -> None:
    result = {"machine": MACHINE, "measured": {"peers": WHEN}, "peers": PEERS}

    text = page(result)

    assert "| Dovecote | default | 5,000 | 1.00 x | 100 | - | 0.0102 | - | - | 90 |" in text
    assert (
        "| Other 1.0 (2,000 only) | max workers 4, pool threads | 400 | 12.50 x | 2000 | - | - | - | - | 60 |" in text
    )
    assert "| Other 1.0 | no | per worker | some twice |" in text
    assert "No figure for oban: needs Python 3.12" in text
    assert "2 cores (Some CPU),\n8.0 GB, Linux 6.1, Python 3.11.7, PostgreSQL 18.1." in text
    assert "| peers | 2026-01-02T03:04:05+00:00 | 61 s | 3 | 0.2 |" in text
    assert "Not measured yet on this machine: peer, delivery, enqueue," in text


def test_a_picture_has_a_bar_for_each_system_as_long_as_its_rate() -> None:
    ((name, picture),) = plots({"peers": PEERS})

    assert name == "peers"
    assert 'width="410.0" height="18" fill="#1f6f5c"' in picture  # Dovecote, in its own colour, all of the width
    assert 'width="32.8" height="18" fill="#9aa5b1"' in picture  # 400 of 5,000 of it
    assert ">Other 1.0</text>" in picture


def test_what_grows_has_its_rows_and_its_pictures() -> None:
    result = {
        "machine": MACHINE,
        "measured": {},
        "growth": {
            "ratio": 1.25,
            "runs": {"10000": {"backlog": 10000, "measured_over": 3000, "rate": 900.0, "rates": [800.0, 900.0]}},
        },
        "workers": {
            "ratio_2_workers": 1.5,
            "runs": {"1": {"workers": 1, "rate": 1000.0}, "2": {"workers": 2, "rate": 1500.0}},
        },
        "snapshot": {
            "notifications": 5000,
            "runs": {"held": {"rate": 950.4, "rate_first": 1000.0, "rate_last": 900.0}},
        },
        "backlogs": {"one_bot": {"title": "one bot x 30", "began_after_seconds": 0.25, "rate": 1234.0}},
    }

    text = page(result)

    assert "| 10,000 | 3,000 | 900 | 800, 900 |" in text
    assert "The highest by the lowest is\n1.25." in text
    assert "| 2 | 1,500 | 1.50 |" in text
    assert "| held | 950 | 1,000 | 900 |" in text
    assert "| one bot x 30 | 0.25 | 1,234 |" in text
    assert [name for name, _ in plots(result)] == ["growth", "workers"]


def test_latency_stands_beside_what_was_really_enqueued() -> None:
    took = {"commit_to_request_p50_ms": 1.25, "commit_to_request_p99_ms": 7.0, "commit_to_request_max_ms": 9.96}
    half = {**took, "commit_to_request_p99_ms": 15.0, "load_per_second": 3990.0, "capacity_per_second": 8000.0}

    text = page(
        {"machine": MACHINE, "measured": {}, "latency": {"samples": 500, **took, "half_load": {"samples": 500, **half}}}
    )

    assert "another process enqueues 3,990/s meanwhile" in text
    assert "| idle | 1.2 | 7.0 | 10.0 |" in text
    assert "| at half load | 1.2 | 15.0 | 10.0 |" in text


def test_a_part_that_is_measured_again_replaces_its_figures_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    said: list[str] = []
    for part, rate in (("peers", 1), ("growth", 2), ("peers", 3)):
        Record(path, MACHINE, said.append).keep(part, {"rate": rate}, began=0.0, load=0.5, repeat=2)

    found = Record(path, MACHINE, said.append).document

    assert (found["peers"], found["growth"]) == ({"rate": 3}, {"rate": 2})
    assert found["measured"]["growth"]["load_before"] == 0.5
    assert said == []


def test_figures_of_another_machine_are_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    said: list[str] = []
    Record(path, MACHINE, said.append).keep("peers", {"rate": 1}, began=0.0, load=0.0, repeat=1)

    found = Record(path, MACHINE | {"cores": 64}, said.append).document

    assert "peers" not in found
    assert (tmp_path / "bench.before.json").exists()
    assert "another machine" in said[0]


def test_what_is_no_record_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("[1, 2]")

    with pytest.raises(ValueError, match=r"notes\.json is no record of a benchmark"):
        Record(path, MACHINE, print)

    assert path.read_text() == "[1, 2]"


def test_every_target_is_a_figure_of_a_part_and_has_a_meaning() -> None:
    meant = " ".join(f"{name} {text}" for name, text in NAMES.items())

    for target in TARGETS:
        assert target.section in PARTS
        assert target.name in meant


def test_a_system_that_needs_a_python_that_there_is_not_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))

    with pytest.raises(MeasurementFailed, match=r"oban needs Python 3\.99, this is .* no python3\.99 or newer is on"):
        python_of("oban", print, needs=(3, 99))


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
            "measured": {"killed": WHEN},
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
        ' "postgresql": null}, "measured": {}}'
    )

    assert main([str(figures), "--output", str(tmp_path / "page.md")]) == 2

    assert "run `python -m bench` first" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_system_has_a_lock_with_hashes_that_pins_it(system: System) -> None:
    lines = lock_of(system.place).read_text().splitlines()
    pins = [number for number, line in enumerate(lines) if "==" in line and not line.lstrip().startswith("#")]

    assert version_of(system.package, system.place)
    assert all(lines[number + 1].lstrip().startswith("--hash=sha256:") for number in pins)

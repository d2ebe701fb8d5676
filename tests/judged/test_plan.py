"""The plan of a campaign: the same again for a seed, each kind once before any comes again, one at a time in a lane."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from chaos.__main__ import main
from chaos.plan import lanes, plan

if TYPE_CHECKING:
    from pathlib import Path

ALL = lanes("postgresql", valkey=True, s3=True)
POOLED = lanes("postgresql", valkey=True, s3=True, pooler=True)


def test_a_seed_is_the_same_plan_again_and_another_seed_another() -> None:
    assert plan(7, 120, ALL) == plan(7, 120, ALL)
    assert plan(7, 120, ALL) != plan(8, 120, ALL)


def test_a_longer_campaign_begins_as_a_shorter_one() -> None:
    short = plan(7, 60, ALL)

    assert plan(7, 300, ALL)[: len(short) // 2] == short[: len(short) // 2]


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_in_a_long_campaign_every_kind_comes_and_about_as_often(database: str) -> None:
    kinds = lanes(database, valkey=database == "postgresql", s3=database == "postgresql")
    counts = Counter((fault.lane, fault.kind) for fault in plan(3, 1200, kinds))

    assert set(counts) == {(lane, kind) for lane, some in kinds.items() for kind in some}
    for lane in kinds:
        those = [count for (of, _), count in counts.items() if of == lane]
        assert max(those) - min(those) <= 2


def test_a_pooler_is_another_thing_that_fails_before_the_database() -> None:
    assert set(POOLED["database"]) - set(ALL["database"]) == {"kill the pooler", "freeze the pooler"}
    assert {lane: POOLED[lane] for lane in POOLED if lane != "database"} == {
        lane: ALL[lane] for lane in ALL if lane != "database"
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pooler"], "apt-get install pgbouncer"),
        (["--pooler", "--database", "sqlite"], "SQLite has no pooler"),
    ],
)
def test_a_campaign_with_a_pooler_that_cannot_be_had_says_what_is_missing(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("chaos.pooler.PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))

    assert main(arguments) == 2

    assert says in capsys.readouterr().err


def test_faults_of_a_lane_follow_each_other_and_all_end_in_time() -> None:
    planned = plan(11, 300, ALL, begins=3.0, pause=(1.0, 6.0))

    assert min(fault.at for fault in planned) >= 4.0
    assert max(fault.at + fault.lasts for fault in planned) <= 300
    for lane in ALL:
        for first, second in pairwise(fault for fault in planned if fault.lane == lane):
            assert second.at >= first.at + first.lasts + 1.0


def test_one_more_kind_in_a_lane_changes_no_other_lane() -> None:
    more = {**ALL, "valkey": {**ALL["valkey"], "another": (0.0, 0.0)}}

    for lane in set(ALL) - {"valkey"}:
        assert [f for f in plan(5, 300, ALL) if f.lane == lane] == [f for f in plan(5, 300, more) if f.lane == lane]

"""A campaign of a few seconds on real processes is sound, and the judge finds what is then planted in its evidence.

`make chaos` runs longer ones, and with everything; see docs/chaos.md.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from campaigns import campaign

from chaos.campaign import Campaign
from chaos.judge import judge, read_evidence
from chaos.setting import Setting

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

SECONDS = 9.0
ALWAYS = ("kill a worker", "lose answers", "cut the Bot API")


@pytest.fixture(params=campaign(["sqlite", "postgresql"], always=["sqlite"]))
def setting(request: pytest.FixtureRequest, seed: Random) -> Setting:
    """A small one: two workers, and of the faults those that make copies. `make chaos` adds PostgreSQL and jobs."""
    large = request.param == "postgresql"
    return Setting(
        seed=seed.getrandbits(32),
        seconds=SECONDS * (1 + large),
        database=request.param,
        workers=2,
        schedulers=2,
        valkey=large,
        s3=False,
        per_second=12,
        pace=40.0,
        recipients=30,
        schedules=1,
        jobs=2 * large,
        begins=0.5,
        pause=(2.0, 3.0),
        only=ALWAYS,
    )


def test_a_short_campaign_is_sound_and_what_is_planted_in_it_is_found(setting: Setting, tmp_path: Path) -> None:
    summary = asyncio.run(Campaign(setting, tmp_path).run())

    evidence = read_evidence(tmp_path)
    verdict = judge(evidence)
    assert verdict.is_sound, f"{setting}\n{verdict.table()}"
    assert summary.left == {}
    assert summary.faults >= 4
    assert verdict.seen["committed"] >= 20
    assert verdict.seen["recipients of broadcasts"] == 30
    assert verdict.seen["fire times of schedules"] >= 2
    assert setting.jobs == 0 or verdict.seen["fire times of jobs"] >= 2
    assert verdict.seen["attempts unknown"] + verdict.seen["attempts lost"] > 0

    accepted = [row for row in evidence.requests if row["accepted"]]
    once = next(row for row in accepted if row["chat_id"] >= 20_000 and row["status"] == 200)
    strange = {**once, "parameters": {"text": "from nowhere"}}
    others = [row for row in evidence.requests if row["chat_id"] != once["chat_id"]]
    assert judge(replace(evidence, requests=[*evidence.requests, strange])).counts()["uncommitted"] == 1
    assert judge(replace(evidence, requests=others)).counts()["lost"] == 1
    assert judge(replace(evidence, requests=[*evidence.requests, *([once] * 9)])).counts()["double"] == 1

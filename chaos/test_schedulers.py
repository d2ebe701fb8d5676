"""All of it: schedulers on PostgreSQL and SQLite, one to four, by row and by Valkey, cut off at every point.

`make chaos` runs it; it takes a quarter of an hour on an idle machine. A pairwise part of it runs with the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from deliveries import fresh_outbox
from scheduler_runs import POINTS, Run, cut_off

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    yield from fresh_outbox(request, tmp_path)


@pytest.fixture(params=["row", "valkey"])
def redis(request: pytest.FixtureRequest) -> str | None:
    """Where the lease is."""
    return None if request.param == "row" else str(request.getfixturevalue("valkey_url"))


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("with_signal", ["SIGSTOP", "SIGKILL"])
async def test_cut_off(
    outbox_url: str, redis: str | None, tmp_path: Path, processes: int, point: str, with_signal: str
) -> None:
    if outbox_url.startswith("sqlite") and with_signal == "SIGSTOP" and point in POINTS[1:4]:
        # A frozen writer has the whole file of SQLite: nothing can be observed until it is thawed.
        processes = 1
    async with Run(outbox_url, tmp_path, redis=redis) as run:
        verdict = await cut_off(run, processes=processes, point=point, with_signal=with_signal)

    assert verdict.is_exact, verdict

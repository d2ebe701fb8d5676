"""The checker: expected fire times against committed ones, for jobs that run at an interval."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from databases import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = timedelta(seconds=0.5)


@dataclass
class Verdict:
    """What a job should have done and what it did. Fire times are instants."""

    expected: int = 0
    missed: list[datetime] = field(default_factory=list)
    extra: list[datetime] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """Seconds by which each was late, the latest first."""
    early: list[datetime] = field(default_factory=list)

    def __str__(self) -> str:
        late = f", the latest {self.late[0]:.1f} s late" if self.late else ""
        return (
            f"{self.expected} expected{late}; missed {self.missed}; extra {self.extra}; before their time {self.early}"
        )


def verdict(url: str, job_id: str, committed: Sequence[datetime] | None = None) -> Verdict:
    """Judge a job by what stands in the database: between its first and its last run there is one every STEP.

    `committed` are the fire times whose effect is there; without it, those of the notifications of that job.
    """
    with connect(url) as connection:
        runs = connection.execute(
            "SELECT fire_at, started_at FROM dovecote.job_run WHERE job_id = %s ORDER BY fire_at",
            [job_id],
        ).fetchall()
        if committed is None:
            texts = connection.execute(
                "SELECT params->>'text' FROM dovecote.notification WHERE params->>'text' LIKE %s", [f"{job_id} %"]
            ).fetchall()
            committed = [datetime.fromisoformat(text.split(" ")[1]) for (text,) in texts]
    if not runs:
        return Verdict()
    first, last = runs[0][0], runs[-1][0]
    expected = [first + STEP * n for n in range(round((last - first) / STEP) + 1)]
    counts = {each: committed.count(each) for each in committed}
    return Verdict(
        expected=len(expected),
        missed=[each for each in expected if not counts.get(each)],
        extra=[each for each, count in counts.items() for _ in range(count - (each in expected))],
        late=sorted(((at - fire_at).total_seconds() for fire_at, at in runs if at is not None), reverse=True),
        early=[fire_at for fire_at, at in runs if at is not None and at < fire_at - timedelta(seconds=0.25)],
    )

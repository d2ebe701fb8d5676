"""Whether what a soak has measured stays flat: pure functions over samples.

The first third of a soak is for warming up: caches fill, pools open. Of each series the median of the second third is
compared with the median of the last, so that a single garbage collection or a late autovacuum decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEGABYTE = 1024 * 1024
FEWEST = 9
"""Samples that are needed to say anything."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a series may grow from its second third to its last: a share of what it was, and an amount."""

    share: float
    amount: float

    def allows(self, before: float, after: float) -> bool:
        """Whether that is flat."""
        return after <= before * (1 + self.share) + self.amount


BOUNDS = {
    "memory": Bound(0.05, 4 * MEGABYTE),
    "descriptors": Bound(0.0, 12),
    "threads": Bound(0.0, 4),
    "connections": Bound(0.0, 12),
    "waiting": Bound(0.2, 50),
    "relation": Bound(0.2, MEGABYTE / 2),
    "bytes a row": Bound(0.2, 64),
}
"""By the kind of series: bytes, or how many. A pool that fills late is no leak, and has twelve connections at most.
What only grows (the history) is judged by its bytes for each row."""


@dataclass(frozen=True, slots=True)
class Series:
    """What one thing did: its kind, its name, its medians, and whether they are flat."""

    kind: str
    name: str
    before: float
    after: float
    flat: bool

    def as_json(self) -> dict[str, Any]:
        """For `soak.json`."""
        return {"kind": self.kind, "name": self.name, "before": self.before, "after": self.after, "flat": self.flat}


def judged(series: Mapping[tuple[str, str], Sequence[float]]) -> list[Series]:
    """Judge each series by its kind. Raises ValueError for one that is too short to say anything."""
    found = []
    for (kind, name), values in series.items():
        if len(values) < FEWEST:
            raise ValueError(f"{kind} {name}: {len(values)} samples say nothing, take {FEWEST} at least.")
        third = len(values) // 3
        before, after = median(values[third : 2 * third]), median(values[2 * third :])
        found.append(Series(kind, name, before, after, BOUNDS[kind].allows(before, after)))
    return found


def table(series: Sequence[Series]) -> str:
    """For people: what is not flat first."""
    lines = []
    for one in sorted(series, key=lambda one: (one.flat, one.kind, one.name)):
        unit = MEGABYTE if one.kind in {"memory", "relation"} else 1
        mark = "      " if one.flat else "GROWS "
        lines.append(f"{mark}{one.kind:<12} {one.name:<44} {one.before / unit:>12.2f} {one.after / unit:>12.2f}")
    return "\n".join(lines)

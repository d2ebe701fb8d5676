"""Who is measured beside Dovecote: in which settings, on which store, and what each of them does not do.

What is said of a system was read in its own documentation and source, in the version that its lock file pins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.delivery import Setting

Store = Literal["postgresql", "redis", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One of them. `order`, `limits` and `resume` complete the columns of the table; "no" is an answer."""

    name: str
    title: str
    package: str
    """What its lock file pins it as."""
    store: Store
    settings: Sequence[Setting]
    """All of them are tried on a part of the work, and the best is measured."""
    order: str
    limits: str
    resume: str

    @property
    def module(self) -> str:
        """The measured process."""
        return f"peers.{self.name}_run"


SYSTEMS = (
    System(
        name="procrastinate",
        title="procrastinate",
        package="procrastinate",
        store="postgresql",
        settings=[{"concurrency": concurrency} for concurrency in (16, 30, 64)],
        order="with a lock for each chat",
        limits="no",
        resume="jobs of a killed worker stay `doing` until a task of one's own retries them: some twice",
    ),
    System(
        name="taskiq",
        title="taskiq on Redis",
        package="taskiq-redis",
        store="redis",
        settings=[
            {"concurrency": concurrency, "read_at_once": read}
            for concurrency, read in ((64, 100), (128, 100), (128, 1000))
        ],
        order="no",
        limits="no",
        resume="unacknowledged tasks run again after 10 minutes: some twice. Redis must not lose its memory",
    ),
)
"""In the order in which they are measured."""

UNMEASURED = {"oban": "needs Python 3.12 or later: no release of it installs under 3.11, on which this runs"}
"""Who would belong here, and why there is no figure."""

DOVECOTE = {
    "order": "yes",
    "limits": "per chat, per bot, over all processes",
    "resume": "what was in flight is held as unknown, or sent again, as each notification says",
}

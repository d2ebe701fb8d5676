"""The brake of a broadcast: when what was settled lately says that it should go no further. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dovecote.model import Brake

GROUPS = 3
"""A group of outcomes is judged from its `sample` on, and begun anew at so many times that."""
LONGEST_ERROR = 200


@dataclass(slots=True)
class Lately:
    """What was settled lately: how many, how many of them blocked, and how many with each error."""

    settled: int = 0
    blocked: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    def count(self, *, settled: int, blocked: int, errors: Sequence[str], brake: Brake) -> str | None:
        """Take in what was settled now; answers why to pause, or None."""
        self.settled += settled
        self.blocked += blocked
        for error in errors:
            self.errors[error] = self.errors.get(error, 0) + 1
        reason = self._judged(brake)
        if reason is None and self.settled >= GROUPS * brake.sample:
            self.settled = self.blocked = 0
            self.errors.clear()
        return reason

    def _judged(self, brake: Brake) -> str | None:
        if self.settled < brake.sample:
            return None
        if brake.blocks is not None and self.blocked / self.settled >= brake.blocks:
            return f"the brake: {self.blocked} of the last {self.settled} recipients take nothing from this bot"
        if brake.errors is not None and self.errors:
            error, count = max(self.errors.items(), key=lambda each: each[1])
            if count / self.settled >= brake.errors:
                return f"the brake: {count} of the last {self.settled} ended with one error: {error}"
        return None

    def form(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {"settled": self.settled, "blocked": self.blocked, "errors": self.errors}


def lately_of(form: Mapping[str, Any]) -> Lately:
    """What `form` has written; nothing for an empty one."""
    return Lately(form.get("settled", 0), form.get("blocked", 0), dict(form.get("errors", {})))

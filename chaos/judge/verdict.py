"""What the judge says: findings by kind, and counts of what was allowed to happen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "lost": "committed, and neither sent nor given up for a reason that is promised",
    "uncommitted": "sent, and never committed",
    "false": "recorded as delivered, and never accepted",
    "half": "a transaction of the application's of which a part is there",
    "double": "a copy that no recorded unknown or lost attempt explains",
    "double_once": "a copy of what was to be sent at most once",
    "order": "sent before an older one of its chat",
    "expired": "sent after its expiry",
    "limit": "a limit that was broken, or a wait that was not kept",
    "missed": "a fire time without its occurrence, run or notification",
    "extra": "a fire time that fired twice, or was none",
    "row": "a row in a state that nothing explains",
    "process": "a process that ended by itself",
}
"""Every kind of finding: a broken promise each. None may be found."""

NAMED = 20
"""So many findings of a kind are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise: which, of what, and how it shows."""

    kind: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.detail}"


@dataclass(slots=True)
class Verdict:
    """All findings, and `seen`: what happened and was allowed to."""

    findings: list[Finding] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def find(self, kind: str, subject: object, detail: str) -> None:
        """Add a finding. Raises KeyError for a kind that is none."""
        if kind not in KINDS:
            raise KeyError(kind)
        self.findings.append(Finding(kind, str(subject), detail))

    @property
    def is_sound(self) -> bool:
        """Whether nothing was broken."""
        return not self.findings

    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind, those without any included."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS}

    def as_json(self) -> dict[str, Any]:
        """For `chaos.json`."""
        named: list[dict[str, str]] = []
        for kind in KINDS:
            some = [finding for finding in self.findings if finding.kind == kind][:NAMED]
            named += [{"kind": each.kind, "subject": each.subject, "detail": each.detail} for each in some]
        return {
            "sound": self.is_sound,
            "broken": self.counts(),
            "findings": named,
            "seen": dict(sorted(self.seen.items())),
        }

    def table(self) -> str:
        """For people: what was broken, what happened, and the first findings of each kind."""
        lines = ["broken promises", ""]
        lines += [f"  {count:>7}  {kind:<12} {KINDS[kind]}" for kind, count in self.counts().items()]
        lines += ["", "what happened", ""]
        lines += [f"  {count:>7}  {name}" for name, count in sorted(self.seen.items())]
        if self.findings:
            lines += ["", "findings", ""]
            for kind in KINDS:
                lines += [f"  {each}" for each in self.findings if each.kind == kind][:NAMED]
        return "\n".join(lines)

"""The judge of a campaign. It imports nothing of Dovecote and believes nothing that Dovecote says of itself.

It has five witnesses, each a file in the campaign's folder (`evidence`):

- what the application committed, by the application's own log, and a row of its own in each of its transactions;
- what arrived, by the record of the server that stands for Telegram;
- what the campaign did to whom, and when;
- every table of the database at the end, by plain SQL;
- the numbers that the campaign ran with.

The engine's own record (history, attempts) is used only in its disfavour, or as the confession that the guarantees
ask for: a second copy is explained by an attempt that was written down as unknown or lost, and by nothing else.

A finding is a broken promise. What is allowed to happen and did (explained copies, unknown ones that never arrived) is
counted, so that a campaign in which nothing happened is seen to be one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.judge.deliveries import judge_deliveries
from chaos.judge.evidence import Evidence, read_evidence
from chaos.judge.fires import judge_jobs, judge_schedules
from chaos.judge.limits import judge_limits
from chaos.judge.order import judge_order
from chaos.judge.processes import judge_processes
from chaos.judge.rows import judge_rows
from chaos.judge.truth import Truth
from chaos.judge.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Evidence", "Verdict", "judge", "read_evidence"]

PARTS: tuple[Callable[[Truth, Verdict], None], ...] = (
    judge_deliveries,
    judge_order,
    judge_limits,
    judge_schedules,
    judge_jobs,
    judge_rows,
    judge_processes,
)


def judge(evidence: Evidence) -> Verdict:
    """Hear all witnesses, and say what was broken."""
    truth = Truth.of(evidence)
    verdict = Verdict()
    for part in PARTS:
        part(truth, verdict)
    return verdict

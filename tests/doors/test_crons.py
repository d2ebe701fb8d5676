"""Whatever is written where a cron expression is meant: a schedule or a refusal in words, in a moment."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dovecote.cron import cron_fields
from dovecote.errors import InvalidSchedule
from dovecote.model import Cron, Timing
from dovecote.recurrence import FireTimes

TIMES = float(os.environ.get("DOVECOTE_TEST_EXAMPLES", "1"))
PARTS = st.from_regex(r"(\*|[0-9]{1,12}|[A-Z]{1,4}|L|W|LW|\?)([-/#,]([0-9]{1,12}|[A-Z]{0,4}|\*))*", fullmatch=True)
LIKE_A_CRON = st.lists(PARTS, min_size=4, max_size=7).map(" ".join)


@settings(max_examples=round(40 * TIMES))
@given(st.text(max_size=40) | LIKE_A_CRON | st.from_regex(r"@[a-z]{0,10}", fullmatch=True))
@example("0 9 * * *\n0 9 * * *")
@example("\u0660 9 * * *")
@example("*/99999999999999999999 * * * *")
@example("0-59/1,0-59/1,0-59/1 * * * *")
@example("0 0 31 2 *")
@example("0 0 29 2 MON#5")
@example("\ud800 * * * *")
@example(",".join(["1-59"] * 20_000) + " * * * *")
def test_whatever_is_written(expression: str) -> None:
    refused, fire = "", None
    try:
        fields = cron_fields(expression)
        fire = FireTimes(Timing(recurrence=Cron(fields))).next(datetime(2026, 1, 1, tzinfo=UTC))
    except InvalidSchedule as error:
        refused = str(error)
    assert len(refused.encode()) < 2000
    if fire is not None:
        assert fire.at > datetime(2026, 1, 1, tzinfo=UTC)

"""What waits to begin is bounded: beyond a crowd nothing more is handed out until there is room again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from dovecote.integrations.apscheduler.recorder import CROWD, Recorder
from dovecote.model import RunKey, StartedRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dovecote.ports import JobRunStore

DUE = datetime(2026, 3, 1, 9, tzinfo=UTC)


class Runs:
    """A store that begins whatever it is asked to."""

    async def start(self, keys: Sequence[RunKey], *, token: int, **_rest: object) -> Mapping[RunKey, StartedRun]:
        return {key: StartedRun(key=key, attempt=1, token=token) for key in keys}


async def test_a_crowd_is_told_when_there_is_room_again() -> None:
    relieved: list[bool] = []
    recorder = Recorder(
        cast("JobRunStore", Runs()),
        instance="one",
        term=lambda: 1,
        lease=timedelta(seconds=15),
        application=asyncio.get_running_loop(),
        relieved=lambda: relieved.append(recorder.crowded),
    )
    for number in range(CROWD - 1):
        recorder.begin(RunKey(f"j{number}", DUE))
    assert not recorder.crowded
    last = recorder.begin(RunKey("last", DUE))
    assert recorder.crowded

    await recorder.flush()

    assert last.result() is not None
    assert relieved == [False]
    recorder.begin(RunKey("later", DUE))
    await recorder.flush()
    assert relieved == [False], "told although there had been no crowd"

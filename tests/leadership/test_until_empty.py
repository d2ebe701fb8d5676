"""A process that only empties the outbox fires what is due when it begins, and what had begun."""

from __future__ import annotations

from datetime import timedelta

import pytest
from deliveries import delivery, until
from timetables import every, schedule

from dovecote.emulator import Emulator
from dovecote.model import Origin
from dovecote.service import Service


@pytest.mark.parametrize("recipients", [3, 600])
async def test_what_has_begun_is_finished_and_sent(lite_url: str, recipients: int) -> None:
    """One that is written with its occurrence, and one that is filled in batches afterwards."""
    async with Emulator() as emulator, delivery(lite_url, emulator.url) as parts:
        await parts.dovecote.schedules.add(schedule("digest", "0 0 1 1 *", to=tuple(range(1, recipients + 1))))
        await parts.dovecote.schedules.trigger("digest")
        (begun,) = await parts.dovecote.schedules.occurrences("digest")
        assert begun.open == (recipients > 500)

        await Service(parts.dovecote, http=False).run(until_empty=True)

        stats = await parts.dovecote.stats()
        assert (stats.delivered, stats.due, stats.scheduled) == (recipients, 0, 0)
        (ended,) = await parts.dovecote.schedules.occurrences("digest")
        assert (ended.open, ended.notifications) == (False, recipients)


async def test_the_schedules_of_the_file_are_applied_and_what_is_due_fires(lite_url: str) -> None:
    async with Emulator() as emulator, delivery(lite_url, emulator.url) as parts:
        schedules, often = parts.dovecote.schedules, schedule("often", every(1))
        await Service(parts.dovecote, http=False, schedules=[often]).run(until_empty=True)
        added = await schedules.get("often")
        assert added.origin is Origin.FILE
        assert added.due_at is not None

        async def is_due() -> bool:
            return (await parts.dovecote.scheduler()._store.due(limit=1, overdue_by=timedelta(0))).records != []

        await until(is_due)

        await Service(parts.dovecote, http=False, schedules=[often]).run(until_empty=True)

        assert (await parts.dovecote.stats()).delivered >= 1
        assert (await schedules.get("often")).cursor.at >= added.due_at


async def test_told_to_stop_before_it_begins_it_fires_nothing(lite_url: str) -> None:
    async with delivery(lite_url) as parts:
        await parts.dovecote.schedules.add(schedule("digest", "0 0 1 1 *", to=tuple(range(1, 601))))
        await parts.dovecote.schedules.trigger("digest")
        service = Service(parts.dovecote, http=False)
        service.stop()

        await service.run(until_empty=True)

        (begun,) = await parts.dovecote.schedules.occurrences("digest")
        assert (begun.open, begun.notifications) == (True, 0)

"""Schedules for many: batches with a cursor, and nine o'clock where each recipient lives."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from outboxes import START, at
from timetables import HOUR, MINUTE, enqueued, every, fan_out, fire_due, fired_at, schedule

from dovecote.errors import InvalidSchedule, UnknownBot
from dovecote.model import Happened, RecipientChange
from dovecote.stores import firing as firing_module
from dovecote.stores.firing import FiringStore

if TYPE_CHECKING:
    from outboxes import Outbox

TOKYO, BERLIN, NEW_YORK = "Asia/Tokyo", "Europe/Berlin", "America/New_York"


async def live(outbox: Outbox, **homes: str | None) -> None:
    """Tell of recipients: their numbers behind an underscore, and their zones."""
    for chat, home in homes.items():
        await outbox.tell(chat.removeprefix("_"), zone=home)


async def until(outbox: Outbox, hours: float) -> None:
    """Go on to so many hours from the beginning (noon in UTC), firing every quarter of an hour."""
    while outbox.now < START + timedelta(hours=hours):
        await outbox.advance(900)
        while (await fire_due(outbox)).settled:
            continue
        await fan_out(outbox)


class TestFanOut:
    async def test_a_list_goes_in_batches_and_each_gets_one(
        self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(firing_module, "INLINE", 3)
        await outbox.schedules.add(schedule(to=tuple(range(1, 11)), policies={"window": HOUR}))
        await outbox.advance(60)

        await fire_due(outbox)
        assert await enqueued(outbox) == []
        assert (await outbox.firing.due(limit=1, overdue_by=timedelta(0))).open_occurrences
        sizes = await fan_out(outbox, limit=4)

        assert sizes == [4, 4, 2]
        assert [chat for chat, _ in await enqueued(outbox)] == [str(n) for n in range(1, 11)]
        (occurrence,) = await outbox.schedules.occurrences("digest")
        assert (occurrence.notifications, occurrence.open) == (10, False)
        assert {row.expires_at for row in await outbox.rows("notification")} == {at(60 + 3600)}
        assert not (await outbox.firing.due(limit=1, overdue_by=timedelta(0))).open_occurrences

    async def test_everybody_who_was_told_of_and_is_not_disabled(self, outbox: Outbox) -> None:
        await live(outbox, _1=BERLIN, _2=None, _3=TOKYO, _4=None)
        await outbox.recipients.disable("shop", "3", "opted_out")
        # Known by its refusal alone: it never was told of.
        await outbox.recipients.disable("shop", "5", "blocked")
        await outbox.recipients.enable("shop", "5")
        await outbox.schedules.add(schedule(to=None))
        await outbox.advance(60)

        await fire_due(outbox)
        await fan_out(outbox, limit=2)

        assert [chat for chat, _ in await enqueued(outbox)] == ["1", "2", "4"]

    async def test_stores_that_fan_out_at_a_time_share_the_batches(self, outbox: Outbox) -> None:
        for chat in range(100, 160):
            await outbox.tell(str(chat), zone=None)
        await outbox.schedules.add(schedule("a", to=None, text="a"))
        await outbox.schedules.add(schedule("b", to=None, text="b"))
        await outbox.advance(60)
        await fire_due(outbox)
        stores = [FiringStore(outbox.database, clock=outbox._microseconds) for _ in range(3)]

        async def work(store: FiringStore) -> None:
            while (await outbox.firing.due(limit=1, overdue_by=timedelta(0))).open_occurrences:
                await store.fan_out(limit=7)

        await asyncio.gather(*map(work, stores))
        for store in stores:
            await store.close()

        assert Counter(await enqueued(outbox)) == Counter((str(c), text) for c in range(100, 160) for text in "ab")

    async def test_an_edit_leaves_what_has_begun_as_it_began(self, outbox: Outbox) -> None:
        await live(outbox, _1=None, _2=None)
        await outbox.schedules.add(schedule(to=None, text="old"))
        await outbox.advance(60)
        await fire_due(outbox)
        await outbox.firing.fan_out(limit=1)

        await outbox.schedules.edit(schedule(to=None, text="new"))
        await fan_out(outbox)
        await outbox.advance(60)
        await fire_due(outbox)
        await fan_out(outbox)

        assert await enqueued(outbox) == [("1", "old"), ("2", "old"), ("1", "new"), ("2", "new")]

    async def test_a_delete_ends_it(self, outbox: Outbox) -> None:
        await live(outbox, _1=None, _2=None)
        await outbox.schedules.add(schedule(to=None))
        await outbox.advance(60)
        await fire_due(outbox)
        await outbox.firing.fan_out(limit=1)

        await outbox.schedules.delete("digest")

        assert await fan_out(outbox) == []
        assert [chat for chat, _ in await enqueued(outbox)] == ["1"]

    async def test_one_that_cannot_be_made_fails_once_and_holds_up_nobody(self, outbox: Outbox) -> None:
        await live(outbox, _1=None)
        await outbox.schedules.add(schedule("bad", to=None))
        await outbox.schedules.add(schedule("good", to=None))
        await outbox.advance(60)
        await fire_due(outbox)
        sends = '{"notification":{"bot":"shop","text":""},"to":null,"local_time":false}'
        table = outbox.database.tables.occurrence
        bad = (await outbox.schedules.get("bad")).id
        broken = table.update().where(table.c.schedule_id == bad).values(sends=sends)
        await outbox.database.run(lambda connection: connection.execute(broken), write=True)

        await fan_out(outbox)

        (failed,) = await outbox.schedules.occurrences("bad")
        assert (failed.happened, failed.open) == (Happened.FAILED, False)
        assert failed.reason is not None
        assert "shows nothing" in failed.reason
        assert len(await enqueued(outbox)) == 1


class TestLocalTime:
    async def test_nine_o_clock_where_each_lives(self, outbox: Outbox) -> None:
        await outbox.bots.set_zone("shop", "Europe/Madrid")
        await live(outbox, _1=TOKYO, _2=BERLIN, _3=NEW_YORK, _4=None)
        await outbox.schedules.add(schedule(recurrence="0 9 * * *", local_time=True, to=None))

        await until(outbox, 24)

        assert await fired_at(outbox) == {
            "14:00:00 America/New_York": "fired",
            "00:00:00 Asia/Tokyo": "fired",
            "08:00:00": "fired",
            "08:00:00 Europe/Berlin": "fired",
        }
        assert Counter(chat for chat, _ in await enqueued(outbox)) == Counter("1234")

    async def test_the_send_has_a_window_from_nine_o_clock_on(self, outbox: Outbox) -> None:
        await live(outbox, _1=TOKYO, _3=NEW_YORK)
        await outbox.schedules.add(
            schedule(recurrence="0 9 * * *", local_time=True, to=None, policies={"window": 2 * HOUR})
        )

        await until(outbox, 24)

        expiries = {row.chat: row.expires_at for row in await outbox.rows("notification")}
        assert expiries == {"3": at(4 * 3600), "1": at(14 * 3600)}

    async def test_a_list_by_local_time(self, outbox: Outbox) -> None:
        await live(outbox, _1=TOKYO, _3=NEW_YORK, _9=BERLIN)
        await outbox.schedules.add(schedule(recurrence="0 9 * * *", zone=BERLIN, local_time=True, to=(1, 2, 3)))

        await until(outbox, 24)

        assert await fired_at(outbox) == {
            "14:00:00 America/New_York": "fired",
            "00:00:00 Asia/Tokyo": "fired",
            "08:00:00": "fired",
        }
        assert [chat for chat, _ in await enqueued(outbox)] == ["3", "1", "2"]

    async def test_who_moves_to_where_it_is_later_gets_one(self, outbox: Outbox) -> None:
        # Nine o'clock in New York of the 5th is 14:00, in Tokyo of the 6th 00:00.
        await live(outbox, _1=NEW_YORK, _2=TOKYO)
        await outbox.schedules.add(schedule(recurrence="0 9 6 1 *", local_time=True, to=None))
        await until(outbox, 12.25)
        assert [chat for chat, _ in await enqueued(outbox)] == ["2"]

        # The traveller leaves Tokyo, where the 6th has had its nine o'clock, for New York, where it has not.
        await live(outbox, _2=NEW_YORK)
        await until(outbox, 48)

        assert sorted(chat for chat, _ in await enqueued(outbox)) == ["1", "2"]

    async def test_who_moves_to_where_it_has_been_gets_one_as_well(self, outbox: Outbox) -> None:
        await live(outbox, _1=NEW_YORK, _2=TOKYO)
        await outbox.schedules.add(schedule(recurrence="0 9 6 1 *", local_time=True, to=None))
        await until(outbox, 12.25)

        await live(outbox, _1=TOKYO)
        await until(outbox, 48)

        assert sorted(chat for chat, _ in await enqueued(outbox)) == ["1", "2"]

    async def test_a_zone_that_is_new_is_not_waited_past(self, outbox: Outbox) -> None:
        await live(outbox, _1="Pacific/Honolulu")
        record = await outbox.schedules.add(schedule(recurrence="0 9 * * *", local_time=True, to=None))
        assert record.next_fire_at == at(7 * 3600)

        await live(outbox, _2=NEW_YORK)
        await until(outbox, 3)

        assert await fired_at(outbox) == {"14:00:00 America/New_York": "fired"}
        assert [chat for chat, _ in await enqueued(outbox)] == ["2"]

    async def test_trigger_sends_to_everybody_at_once(self, outbox: Outbox) -> None:
        await live(outbox, _1=TOKYO, _2=BERLIN, _3=None)
        await outbox.schedules.add(schedule(recurrence="0 9 * * *", local_time=True, to=None))

        await outbox.schedules.trigger("digest")
        await fan_out(outbox, limit=2)

        assert Counter(chat for chat, _ in await enqueued(outbox)) == Counter("123")

    async def test_backfill_by_local_time(self, outbox: Outbox) -> None:
        await live(outbox, _1=TOKYO, _2=BERLIN)
        await outbox.schedules.add(schedule(recurrence="0 9 * * *", local_time=True, to=None))

        assert await outbox.schedules.backfill("digest", at(-86_400), at(0)) == 2
        await fan_out(outbox)

        assert Counter(chat for chat, _ in await enqueued(outbox)) == Counter("12")

    async def test_overlap_and_zones_do_not_go_together(self, outbox: Outbox) -> None:
        with pytest.raises(InvalidSchedule, match="skip goes with one zone"):
            await outbox.schedules.add(schedule(local_time=True, policies={"overlap": "skip"}))


class TestPreview:
    async def test_fire_times_in_the_schedules_time_and_in_utc(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(recurrence="0 9 * * *", zone=BERLIN))

        preview = await outbox.schedules.preview("digest", count=2)

        assert [each.at for each in preview.fires] == [at(20 * 3600), at(44 * 3600)]
        assert [each.local.isoformat() for each in preview.fires] == [
            "2026-01-06T09:00:00+01:00",
            "2026-01-07T09:00:00+01:00",
        ]
        assert (preview.recipients, preview.seconds) == (1, None)

    async def test_a_million_at_thirty_in_a_second_take_nine_hours(
        self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await outbox.bot("slow", pace=30.0)

        async def million(*_: object) -> int:
            return 1_000_000

        monkeypatch.setattr(outbox.book, "audience", million)
        preview = await outbox.schedules.preview(schedule(bot="slow", to=None))

        assert preview.seconds is not None
        assert round(preview.seconds / 3600, 1) == 9.3

    async def test_by_local_time_zones_alternate(self, outbox: Outbox) -> None:
        await live(outbox, _1=TOKYO, _2=NEW_YORK)

        preview = await outbox.schedules.preview(schedule(recurrence="0 9 * * *", local_time=True, to=None), count=3)

        assert [(each.zone, each.local.hour) for each in preview.fires] == [(NEW_YORK, 9), (TOKYO, 9), (NEW_YORK, 9)]
        assert preview.recipients == 2


class TestZones:
    async def test_a_zone_of_an_unknown_bot(self, outbox: Outbox) -> None:
        with pytest.raises(UnknownBot):
            await outbox.people.tell("shpo", [RecipientChange(chat="7", zone=BERLIN)])
        with pytest.raises(UnknownBot):
            await outbox.bots.set_zone("shpo", BERLIN)

    async def test_a_move_is_remembered_and_telling_the_same_again_is_none(self, outbox: Outbox) -> None:
        await live(outbox, _7=BERLIN)
        await outbox.advance(60)
        await live(outbox, _7=BERLIN)
        (row,) = await outbox.rows("recipient")
        assert (row.zone, row.zone_since, row.former_zone) == (BERLIN, at(0), None)

        await live(outbox, _7=None)
        (row,) = await outbox.rows("recipient")
        assert (row.zone, row.zone_since, row.former_zone) == (None, at(60), BERLIN)

        await live(outbox, _7=TOKYO)
        (row,) = await outbox.rows("recipient")
        assert (row.zone, row.zone_since, row.former_zone) == (TOKYO, at(60), "")

    async def test_the_zone_of_a_bot_is_shown(self, outbox: Outbox) -> None:
        await outbox.bots.set_zone("shop", BERLIN)

        assert [bot.zone for bot in await outbox.bots.bots()] == [BERLIN]


async def test_a_short_list_is_written_with_its_occurrence(outbox: Outbox) -> None:
    """The limit between the two ways is one that lists of people stay below."""
    assert firing_module.INLINE == 500
    await outbox.schedules.add(schedule(recurrence=every(MINUTE.total_seconds()), to=tuple(range(1, 501))))
    await outbox.advance(60)

    fired = await fire_due(outbox)

    assert fired.notifications == 500

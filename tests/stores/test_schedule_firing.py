"""Firing, as every store does it: once, with its notifications and the next fire time, or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from outboxes import at
from timetables import HOUR, MINUTE, enqueued, every, fan_out, fire_due, fired_at, schedule, with_text

from dovecote.app import Dovecote
from dovecote.errors import InvalidNotification, InvalidSchedule, UnknownBot, UnknownSchedule
from dovecote.firing import plan
from dovecote.model import Happened, Missed, Origin
from dovecote.stores.firing import FiringStore

if TYPE_CHECKING:
    from outboxes import Outbox

NOW = timedelta(0)


async def test_a_schedule_fires_at_its_time_and_not_before(outbox: Outbox) -> None:
    record = await outbox.schedules.add(schedule(to=(7, 8)))
    assert (record.next_fire_at, record.due_at, record.version) == (at(60), at(60), 1)
    assert (await outbox.firing.due(limit=10, overdue_by=NOW)).next_due_in == 60
    await outbox.advance(59.999)
    assert (await fire_due(outbox)).occurrences == []

    await outbox.advance(0.001)
    fired = await fire_due(outbox)

    assert [(each.fire.at, each.happened) for _, each in fired.occurrences] == [(at(60), Happened.FIRED)]
    assert await enqueued(outbox) == [("7", "Good morning"), ("8", "Good morning")]
    after = await outbox.schedules.get("digest")
    assert (after.cursor.at, after.next_fire_at, after.due_at) == (at(60), at(120), at(120))
    (occurrence,) = await outbox.schedules.occurrences("digest")
    assert (occurrence.fire_at, occurrence.fired_at, occurrence.notifications) == (at(60), at(60), 2)
    assert (occurrence.version, occurrence.open, occurrence.part) == (1, False, "")


async def test_what_was_read_twice_fires_once(outbox: Outbox) -> None:
    await outbox.schedules.add(schedule())
    await outbox.advance(60)
    due = await outbox.firing.due(limit=10, overdue_by=NOW)
    firings = [plan(each, due.now) for each in due.records]

    first = await outbox.firing.fire(firings)
    second = await outbox.firing.fire(firings)

    assert (len(first.occurrences), first.notifications, len(first.settled)) == (1, 1, 1)
    assert (second.occurrences, second.notifications, second.settled) == ([], 0, [])
    assert await enqueued(outbox) == [("7", "Good morning")]


async def test_many_stores_at_a_time_fire_each_once(outbox: Outbox) -> None:
    for number in range(20):
        await outbox.schedules.add(schedule(f"s{number}", text=str(number)))
    await outbox.advance(60)
    stores = [FiringStore(outbox.database, clock=outbox._microseconds) for _ in range(4)]
    due = await outbox.firing.due(limit=100, overdue_by=NOW)

    done = await asyncio.gather(*(store.fire([plan(each, due.now) for each in due.records]) for store in stores))
    for store in stores:
        await store.close()
    rest = await fire_due(outbox)

    assert sum(len(each.occurrences) for each in done) + len(rest.occurrences) == 20
    assert sorted(int(text) for _, text in await enqueued(outbox)) == list(range(20))


async def test_an_occurrence_that_is_there_is_not_written_again_even_if_the_cursor_goes_back(outbox: Outbox) -> None:
    record = await outbox.schedules.add(schedule())
    await outbox.advance(60)
    await fire_due(outbox)
    table = outbox.database.tables.schedule
    back = table.update().values(cursor_at=at(0), cursor_wall=record.cursor.wall.isoformat(), due_at=at(0))
    await outbox.database.run(lambda connection: connection.execute(back), write=True)

    again = await fire_due(outbox)

    assert (again.occurrences, again.notifications, again.settled) == ([], 0, [record.id])
    assert await enqueued(outbox) == [("7", "Good morning")]
    assert (await outbox.schedules.get("digest")).cursor.at == at(60)


async def test_after_an_edit_the_old_version_does_not_fire(outbox: Outbox) -> None:
    record = await outbox.schedules.add(schedule(text="old"))
    await outbox.advance(60)
    due = await outbox.firing.due(limit=10, overdue_by=NOW)

    edited = await outbox.schedules.edit(with_text(record, "new"))
    late = await outbox.firing.fire([plan(each, due.now) for each in due.records])
    fired = await fire_due(outbox)

    assert edited.version == 2
    assert late.settled == []
    # The timing is the same, so the fire time that was due is not lost.
    assert [each.fire.at for _, each in fired.occurrences] == [at(60)]
    assert await enqueued(outbox) == [("7", "new")]


async def test_another_timing_counts_from_the_edit_on_and_what_was_due_is_kept_as_missed(outbox: Outbox) -> None:
    record = await outbox.schedules.add(schedule(recurrence=every(10)))
    await outbox.advance(35)

    await outbox.schedules.edit(schedule(recurrence=every(60)))
    await outbox.advance(25)
    await fire_due(outbox)

    found = await outbox.schedules.occurrences("digest")
    assert [(each.fire_at, each.happened, each.until) for each in found] == [
        (at(60), Happened.FIRED, None),
        (at(10), Happened.MISSED, at(30)),
    ]
    assert record.next_fire_at == at(10)


async def test_what_another_holds_is_left_alone(outbox: Outbox) -> None:
    if not outbox.database.is_postgresql:
        return  # There one transaction has the whole file.
    await outbox.schedules.add(schedule("a"))
    await outbox.schedules.add(schedule("b"))
    await outbox.advance(60)
    engine = outbox.database.async_engine
    assert engine is not None

    async with engine.begin() as connection:
        table = outbox.database.tables.schedule
        await connection.execute(table.select().where(table.c.name == "a").with_for_update())
        fired = await fire_due(outbox)
        assert [record.schedule.name for record, _ in fired.occurrences] == ["b"]

    fired = await fire_due(outbox)
    assert [record.schedule.name for record, _ in fired.occurrences] == ["a"]


async def test_a_firing_that_cannot_be_written_leaves_nothing_behind(outbox: Outbox) -> None:
    await outbox.schedules.add(schedule("good"))
    record = await outbox.schedules.add(schedule("bad"))
    await outbox.advance(60)
    due = await outbox.firing.due(limit=10, overdue_by=NOW)
    broken = replace(record, schedule=with_text(record, ""))
    firings = [plan(broken if each.id == record.id else each, due.now) for each in due.records]

    with pytest.raises(InvalidNotification):
        await outbox.firing.fire(firings)

    assert await enqueued(outbox) == []
    assert await fired_at(outbox, "good") == {}
    assert len((await fire_due(outbox)).occurrences) == 2


async def test_one_that_is_postponed_is_looked_at_later_and_loses_nothing(outbox: Outbox) -> None:
    record = await outbox.schedules.add(schedule())
    await outbox.advance(60)

    await outbox.firing.postpone(record, timedelta(seconds=30))

    assert (await fire_due(outbox)).occurrences == []
    await outbox.advance(30)
    assert [each.fire.at for _, each in (await fire_due(outbox)).occurrences] == [at(60)]


async def test_a_sweep_sees_only_what_is_overdue(outbox: Outbox) -> None:
    await outbox.schedules.add(schedule())
    await outbox.advance(62)

    early = await outbox.firing.due(limit=10, overdue_by=timedelta(seconds=3))
    await outbox.advance(1)
    due = await outbox.firing.due(limit=10, overdue_by=timedelta(seconds=3))

    assert (early.records, early.next_due_in) == ([], 1)
    assert [each.schedule.name for each in due.records] == ["digest"]


def test_an_application_may_work_with_schedules_from_one_event_loop_after_the_other(outbox_database: str) -> None:
    dovecote = Dovecote(outbox_database)

    async def begin() -> None:
        await dovecote.add_bot("shop", token_variable="TOKEN")
        await dovecote.schedules.add(schedule())
        await dovecote.schedules.trigger("digest")

    async def go_on() -> int:
        await dovecote.schedules.trigger("digest")
        found = await dovecote.schedules.occurrences("digest")
        await dovecote.close()
        return len(found)

    asyncio.run(begin())
    assert asyncio.run(go_on()) == 2


class TestOverlap:
    POLICY = {"overlap": "skip"}  # noqa: RUF012 (it stays as it is)

    async def test_a_fire_time_is_skipped_while_the_one_before_is_in_the_outbox(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(policies=self.POLICY, to=(7, 8)))
        await outbox.advance(60)
        await fire_due(outbox)
        claimed = await outbox.claim()
        await outbox.deliver(claimed[0])

        await outbox.advance(60)
        await fire_due(outbox)
        assert await fired_at(outbox) == {"12:01:00": "fired", "12:02:00": "skipped"}

        await outbox.advance(1)
        await outbox.deliver(*[each for each in await outbox.claim() if each.id != claimed[0].id] or claimed[1:])
        await outbox.advance(59)
        await fire_due(outbox)
        assert await fired_at(outbox) == {"12:01:00": "fired", "12:02:00": "skipped", "12:03:00": "fired"}

    async def test_notifications_of_others_between_do_not_count(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(policies=self.POLICY, to=(7, 8)))
        await outbox.schedules.add(schedule("other", to=(9,)))
        await outbox.advance(60)
        await fire_due(outbox)
        mine = [each for each in await outbox.claim() if each.chat in {"7", "8"}]
        await outbox.deliver(*mine)

        await outbox.advance(60)
        await fire_due(outbox)

        assert await fired_at(outbox) == {"12:01:00": "fired", "12:02:00": "fired"}

    async def test_of_those_that_are_caught_up_together_one_fires(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(policies={**self.POLICY, "catch_up": "all"}))
        await outbox.advance(200)

        await fire_due(outbox)

        assert await fired_at(outbox) == {"12:01:00": "fired", "12:02:00": "skipped", "12:03:00": "skipped"}

    async def test_an_open_fan_out_counts(self, outbox: Outbox) -> None:
        for chat in range(1, 4):
            await outbox.tell(str(chat), zone=None)
        await outbox.schedules.add(schedule(policies=self.POLICY, to=None))
        await outbox.advance(60)
        await fire_due(outbox)
        assert await enqueued(outbox) == []

        await outbox.advance(60)
        await fire_due(outbox)

        assert await fired_at(outbox) == {"12:01:00": "fired", "12:02:00": "skipped"}
        assert await fan_out(outbox) == [3]


class TestByHand:
    async def test_trigger_fires_now_and_leaves_the_regular_fire_times(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(policies={"window": HOUR}))
        await outbox.advance(30)

        await outbox.schedules.trigger("digest")
        await outbox.advance(30)
        await fire_due(outbox)

        assert await fired_at(outbox) == {"12:00:30 trigger": "fired", "12:01:00": "fired"}
        expiries = [row.expires_at for row in await outbox.rows("notification")]
        assert expiries == [at(3630), at(3660)]

    async def test_backfill_fires_what_was_missed_and_nothing_twice(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(policies={"catch_up": "none", "grace": MINUTE, "window": HOUR}))
        await outbox.advance(60)
        await fire_due(outbox)
        await outbox.advance(240)
        await fire_due(outbox)
        assert await fired_at(outbox) == {
            "12:01:00": "fired",
            "12:02:00": "missed",
            "12:04:00": "fired",
            "12:05:00": "fired",
        }

        assert await outbox.schedules.backfill("digest", at(60), at(300)) == 2
        assert await outbox.schedules.backfill("digest", at(60), at(300)) == 0

        assert await fired_at(outbox) == dict.fromkeys(
            ["12:01:00", "12:02:00", "12:03:00", "12:04:00", "12:05:00"], "fired"
        )
        assert len(await enqueued(outbox)) == 5
        assert [row.expires_at for row in await outbox.rows("notification")][-2:] == [at(300 + 3600)] * 2

    async def test_backfill_refuses_what_cannot_be(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(recurrence=every(1)))

        with pytest.raises(InvalidSchedule, match="in the future"):
            await outbox.schedules.backfill("digest", at(-10), at(10))
        with pytest.raises(InvalidSchedule, match="change them round"):
            await outbox.schedules.backfill("digest", at(-1), at(-2))
        with pytest.raises(InvalidSchedule, match="more than 1000 fire times"):
            await outbox.schedules.backfill("digest", at(-5000), at(0))
        with pytest.raises(InvalidSchedule, match="no instant"):
            await outbox.schedules.backfill("digest", at(0).replace(tzinfo=None), at(0))


class TestPause:
    async def test_nothing_fires_in_a_pause_and_what_lay_in_it_is_missed(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule())
        paused = await outbox.schedules.pause("digest")
        assert (paused.paused_at, paused.due_at) == (at(0), None)
        await outbox.advance(150)
        assert (await fire_due(outbox)).settled == []

        resumed = await outbox.schedules.resume("digest")
        assert (resumed.paused_at, resumed.next_fire_at) == (None, at(180))
        await outbox.advance(30)
        await fire_due(outbox)

        assert await fired_at(outbox) == {"12:01:00": "missed", "12:03:00": "fired"}
        assert (await outbox.schedules.occurrences("digest"))[-1].until == at(120)

    async def test_or_its_catch_up_policy_decides(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(policies={"catch_up": "all"}))
        await outbox.schedules.pause("digest")
        await outbox.advance(150)

        await outbox.schedules.resume("digest", missed=Missed.CATCH_UP)
        await fire_due(outbox)

        assert await fired_at(outbox) == {"12:01:00": "fired", "12:02:00": "fired"}

    async def test_the_choice_may_be_its_word_and_what_is_none_is_refused(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(policies={"catch_up": "all"}))
        await outbox.schedules.pause("digest")
        await outbox.advance(150)
        word: Any = "skip"
        typo: Any = "skpi"

        with pytest.raises(InvalidSchedule, match="missed: 'skpi' is none of skip, catch_up"):
            await outbox.schedules.resume("digest", missed=typo)
        assert (await outbox.schedules.get("digest")).paused_at == at(0)
        await outbox.schedules.resume("digest", missed=word)

        assert await fired_at(outbox) == {"12:01:00": "missed"}

    async def test_a_firing_that_was_read_before_the_pause_does_nothing(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule())
        await outbox.advance(60)
        due = await outbox.firing.due(limit=10, overdue_by=NOW)

        await outbox.schedules.pause("digest")
        fired = await outbox.firing.fire([plan(each, due.now) for each in due.records])

        assert (fired.settled, await enqueued(outbox)) == ([], [])

    async def test_twice_changes_nothing(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule())

        first = await outbox.schedules.pause("digest")
        assert await outbox.schedules.pause("digest") == first
        resumed = await outbox.schedules.resume("digest")
        assert await outbox.schedules.resume("digest") == resumed

    async def test_trigger_works_in_a_pause_and_an_edit_keeps_it(self, outbox: Outbox) -> None:
        record = await outbox.schedules.add(schedule())
        await outbox.schedules.pause("digest")
        await outbox.advance(5)

        await outbox.schedules.trigger("digest")
        edited = await outbox.schedules.edit(with_text(record, "new"))

        assert await enqueued(outbox) == [("7", "Good morning")]
        assert (edited.paused_at, edited.due_at) == (at(0), None)


class TestBook:
    async def test_pages_go_by_name(self, outbox: Outbox) -> None:
        for name in ("b", "a", "Z", "c"):
            await outbox.schedules.add(schedule(name))

        first = await outbox.schedules.list(limit=3)
        second = await outbox.schedules.list(after_name=first[-1].schedule.name, limit=3)

        assert [each.schedule.name for each in first] == ["Z", "a", "b"]
        assert [each.schedule.name for each in second] == ["c"]

    async def test_a_name_is_taken_once(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule())

        with pytest.raises(InvalidSchedule, match='there is a schedule named "digest" already'):
            await outbox.schedules.add(schedule())

    async def test_an_unknown_bot_or_schedule_is_named(self, outbox: Outbox) -> None:
        with pytest.raises(UnknownBot, match='no bot is named "shpo"'):
            await outbox.schedules.add(schedule(bot="shpo"))
        for call in (
            outbox.schedules.get("x"),
            outbox.schedules.pause("x"),
            outbox.schedules.resume("x"),
            outbox.schedules.delete("x"),
            outbox.schedules.trigger("x"),
            outbox.schedules.edit(schedule("x")),
            outbox.schedules.preview("x"),
            outbox.schedules.occurrences("x"),
            outbox.schedules.backfill("x", at(0), at(0)),
        ):
            with pytest.raises(UnknownSchedule, match='no schedule is named "x"'):
                await call

    async def test_what_is_deleted_is_gone_and_its_notifications_stay(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule())
        await outbox.advance(60)
        await fire_due(outbox)

        await outbox.schedules.delete("digest")

        assert await outbox.rows("schedule") == []
        assert await outbox.rows("occurrence") == []
        assert await enqueued(outbox) == [("7", "Good morning")]

    async def test_everything_that_can_be_said_is_kept(self, outbox: Outbox) -> None:
        wanted = schedule(
            recurrence=every(90),
            zone="America/New_York",
            to=("@news", "8"),
            jitter=timedelta(seconds=2.5),
            start=at(0).replace(tzinfo=None),
            end=at(10**8).replace(tzinfo=None),
            policies={"catch_up": "all", "catch_up_cap": 7, "grace": NOW, "window": HOUR, "overlap": "skip"},
        )

        await outbox.schedules.add(wanted)

        assert (await outbox.schedules.get("digest")).schedule == wanted

    async def test_one_that_has_fired_for_the_last_time_is_due_no_more(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule(end=at(90).replace(tzinfo=None)))
        await outbox.advance(60)

        await fire_due(outbox)

        record = await outbox.schedules.get("digest")
        assert (record.next_fire_at, record.due_at) == (None, None)
        assert (await outbox.firing.due(limit=10, overdue_by=NOW)).next_due_in is None


class TestApply:
    async def test_it_adds_changes_and_removes_and_twice_it_does_nothing(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule("mine"))
        first = await outbox.schedules.apply([schedule("a"), schedule("b"), schedule("c")])
        paused = await outbox.schedules.pause("a")

        second = await outbox.schedules.apply([schedule("a"), schedule("b", text="new")])
        third = await outbox.schedules.apply([schedule("a"), schedule("b", text="new")])

        assert (first.added, first.changed, first.removed) == (["a", "b", "c"], [], [])
        assert (second.unchanged, second.changed, second.removed) == (["a"], ["b"], ["c"])
        assert (third.unchanged, third.added, third.changed, third.removed) == (["a", "b"], [], [], [])
        there = {each.schedule.name: each for each in await outbox.schedules.list()}
        assert {name: each.origin for name, each in there.items()} == {
            "a": Origin.FILE,
            "b": Origin.FILE,
            "mine": Origin.API,
        }
        assert there["a"] == paused

    async def test_what_was_made_by_hand_is_not_taken_over_and_the_other_way_round(self, outbox: Outbox) -> None:
        await outbox.schedules.add(schedule("mine"))
        await outbox.schedules.apply([schedule("code")])

        with pytest.raises(InvalidSchedule, match='a schedule named "mine" was made by hand'):
            await outbox.schedules.apply([schedule("mine")])
        for call in (outbox.schedules.edit(schedule("code")), outbox.schedules.delete("code")):
            with pytest.raises(InvalidSchedule, match='"code" comes from the settings file'):
                await call

    async def test_instances_that_start_together_apply_once(self, outbox: Outbox) -> None:
        wanted = [schedule(f"s{number}") for number in range(5)]

        done = await asyncio.gather(*(outbox.schedules.apply(wanted) for _ in range(4)))

        assert sorted(name for each in done for name in each.added) == ["s0", "s1", "s2", "s3", "s4"]
        assert {each.version for each in await outbox.schedules.list()} == {1}

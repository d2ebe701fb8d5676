"""What a claim heeds of recipients: categories that they have opted out of, and quiet hours."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outboxes import Outbox, at, ids
from sqlalchemy import text

from dovecote.model import QuietHours, RecipientChange, WaitReason
from dovecote.zones import quiet_end

if TYPE_CHECKING:
    from sqlalchemy import Connection

# The tests begin at noon in UTC.
NOON = QuietHours(time(11), time(14))
SILENT_NOON = QuietHours(time(11), time(14), silent=True)
TWO_HOURS = 7200.0


class TestCategories:
    async def test_who_opted_out_gets_none_and_the_reason_is_told(self, outbox: Outbox) -> None:
        await outbox.tell("42", opted_out=("news", "polls"))
        await outbox.tell("43", opted_out=("polls",))
        await outbox.put(1, chat="42", category="news", priority=0)
        await outbox.put(2, chat="42", category="orders")
        await outbox.put(3, chat="43", category="news")
        await outbox.put(4, chat="44", category="news")
        await outbox.put(5, chat="43")

        cycle = await outbox.store.cycle([], claim=100, lease=timedelta(seconds=60))
        found = ids(cycle.claimed)
        # On PostgreSQL what ends in a claim still stands before the next of its chat in that claim's snapshot.
        await outbox.deliver(*cycle.claimed)
        await outbox.advance(1)
        found += ids(await outbox.claim())

        assert sorted(found) == [2, 3, 4, 5]
        assert cycle.ended == {"suppressed": 1}
        row = await outbox.settled(1)
        assert (row.outcome, row.error, row.category) == ("dead", "the recipient has opted out of news", "news")

    async def test_one_that_was_in_flight_is_unknown(self, outbox: Outbox) -> None:
        await outbox.put(1, chat="42", category="news")
        await outbox.claim_one()
        await outbox.tell("42", opted_out=("news",))
        await outbox.advance(61)

        assert await outbox.claim() == []

        assert (await outbox.settled(1)).outcome == "unknown"

    async def test_a_replay_keeps_the_category(self, outbox: Outbox) -> None:
        await outbox.tell("42", opted_out=("news",))
        await outbox.put(1, chat="42", category="news", quiet="defer")
        await outbox.claim()
        await outbox.tell("42", opted_out=())

        assert await outbox.history.replay([1]) == [1]

        row = await outbox.waiting(1)
        assert (row.category, row.quiet) == ("news", "defer")
        record = await outbox.history.notification(1)
        assert (record.category, record.quiet) == ("news", "defer")


class TestQuietHours:
    async def test_what_comes_meanwhile_waits_until_they_end(self, outbox: Outbox) -> None:
        await outbox.tell("42", quiet_hours=NOON)
        await outbox.put(1, chat="42")
        await outbox.put(2, chat="43")

        cycle = await outbox.store.cycle([], claim=100, lease=timedelta(seconds=60))

        assert ids(cycle.claimed) == [2]
        assert cycle.postponed == 1
        await outbox.deliver(*cycle.claimed)
        row = await outbox.waiting(1)
        assert (row.due_at, row.attempts, row.lease_token) == (at(TWO_HOURS), 0, None)
        (waiting,) = (await outbox.history.notification(1)).waits_for
        assert (waiting.reason, waiting.until) == (WaitReason.QUIET_HOURS, at(TWO_HOURS))
        await outbox.advance(TWO_HOURS - 1)
        assert await outbox.claim() == []
        await outbox.advance(1)
        claimed = await outbox.claim_one()
        assert (claimed.id, claimed.silent) == (1, False)

    async def test_they_are_those_of_its_zone_or_else_of_the_bot_s(self, outbox: Outbox) -> None:
        night = QuietHours(time(22), time(7))
        await outbox.bots.set_zone("shop", "Asia/Tokyo")
        await outbox.tell("1", quiet_hours=night, zone="Pacific/Auckland")  # 01:00
        await outbox.tell("2", quiet_hours=night)  # 21:00
        await outbox.tell("3", quiet_hours=night, zone="Asia/Magadan")  # 23:00
        await outbox.put_rows([{"id": id_, "chat": str(id_)} for id_ in (1, 2, 3)])

        assert ids(await outbox.claim()) == [2]

        assert (await outbox.waiting(1)).due_at == datetime(2026, 1, 5, 18, tzinfo=UTC)
        assert (await outbox.waiting(3)).due_at == datetime(2026, 1, 5, 20, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("hours", "columns", "sent", "silent"),
        [
            (NOON, {"quiet": "pass"}, True, False),
            (NOON, {"quiet": "silent"}, True, True),
            (SILENT_NOON, {}, True, True),
            (SILENT_NOON, {"quiet": "defer"}, False, False),
            (NOON, {"priority": 0}, False, False),
            (QuietHours(time(11), time(14), urgent=True), {"priority": 0}, True, False),
            (QuietHours(time(11), time(14), urgent=True), {"priority": 1}, False, False),
            (QuietHours(time(11), time(14), urgent=True), {"priority": 0, "quiet": "defer"}, False, False),
            (QuietHours(time(12, 1), time(14)), {}, True, False),
            (QuietHours(time(9), time(12)), {}, True, False),
            (NOON, {"method": "editMessageText"}, True, False),
            (NOON, {"method": "sendChatAction"}, True, False),
            (NOON, {"method": "copyMessage"}, False, False),
        ],
    )
    async def test_who_decides(
        self, outbox: Outbox, hours: QuietHours, columns: dict[str, Any], *, sent: bool, silent: bool
    ) -> None:
        await outbox.tell("42", quiet_hours=hours)
        await outbox.put(1, chat="42", **columns)

        claimed = await outbox.claim()

        assert [(each.id, each.silent) for each in claimed] == ([(1, silent)] if sent else [])

    async def test_what_waits_holds_nothing_up_and_keeps_its_order(self, outbox: Outbox) -> None:
        await outbox.tell("42", quiet_hours=NOON)
        await outbox.put(3, chat="42", planned=-600)
        await outbox.put(2, chat="42", planned=-300)
        await outbox.put(1, chat="42", planned=-60)
        await outbox.put(4, chat="42", quiet="pass")

        claimed = await outbox.claim()
        # On PostgreSQL what is held up still stands before the next of its chat in that claim's snapshot.
        await outbox.advance(1)
        claimed += await outbox.claim()

        assert ids(claimed) == [4]
        await outbox.deliver(*claimed)
        await outbox.advance(TWO_HOURS)
        for id_ in (3, 2, 1):
            claimed = await outbox.claim()
            assert ids(claimed) == [id_]
            await outbox.deliver(*claimed)
            await outbox.advance(1)

    async def test_what_its_worker_was_lost_with_goes_without_a_sound(self, outbox: Outbox) -> None:
        await outbox.put(1, chat="42")
        await outbox.claim_one()
        await outbox.tell("42", quiet_hours=NOON)
        await outbox.advance(61)

        claimed = await outbox.claim_one()

        assert (claimed.id, claimed.attempt, claimed.silent) == (1, 2, True)

    async def test_those_that_are_held_up_take_no_slot_and_hide_none_behind(self, outbox: Outbox) -> None:
        await outbox.bot("slow", pace=1.0)
        rows = [{"id": id_, "chat": "42", "planned_at": at(-600 + id_)} for id_ in range(1, 101)]
        await outbox.put_rows([*rows, {"id": 200, "chat": "43"}], bot="slow")
        await outbox.people.tell("slow", [RecipientChange(chat="42", quiet_hours=NOON)])

        first = await outbox.store.cycle([], claim=1, lease=timedelta(seconds=60))
        second = await outbox.store.cycle([], claim=1, lease=timedelta(seconds=60))

        assert (ids(first.claimed), first.next_due_in) == ([], 0.0)
        assert ids(second.claimed) == [200]
        assert first.postponed + second.postponed == 100


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "UTC", "no"]


@pytest.mark.parametrize("outbox_database", ["postgresql-18"], indirect=True)
async def test_postgresql_s_function_and_python_s_agree(outbox: Outbox) -> None:
    """A hundred draws in one statement: whatever the zone, the day (clocks change on some) and the hours."""
    draws: list[tuple[datetime, str, int, int]] = []
    # Around the days on which clocks change in Europe and in America.
    days = st.sampled_from([datetime(2026, *day, tzinfo=UTC) for day in ((3, 8), (3, 29), (4, 5), (10, 25), (11, 1))])
    minutes = st.integers(0, 1439)

    @settings(max_examples=300, database=None)
    @given(days, st.integers(-3000, 3000), st.sampled_from(ZONES), minutes, minutes)
    def draw(day: datetime, offset: int, zone: str, begins: int, ends: int) -> None:
        if begins != ends:
            draws.append((day + timedelta(minutes=offset), zone, begins, ends))

    draw()
    found = await outbox.database.run(lambda connection: [_by_postgresql(connection, *each) for each in draws])
    expected = [
        None if end is None else end.replace(tzinfo=UTC)
        for now, zone, begins, ends in draws
        for end in [quiet_end(now.replace(tzinfo=None), zone, begins, ends)]
    ]
    assert sum(end is not None for end in expected) > 50
    assert [*zip(draws, found, strict=True)] == [*zip(draws, expected, strict=True)]


def _by_postgresql(connection: Connection, now: datetime, zone: str, begins: int, ends: int) -> Any:
    statement = text("SELECT dovecote.quiet_end(:now, :zone, :begins, :ends)")
    return connection.execute(statement, {"now": now, "zone": zone, "begins": begins, "ends": ends}).scalar_one()


@pytest.mark.parametrize(
    ("instant", "hours", "end"),
    [
        # In Berlin clocks go from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
        (datetime(2026, 3, 29, 0, 30), (23 * 60, 150), datetime(2026, 3, 29, 1, 30)),
        (datetime(2026, 3, 28, 22, 30), (23 * 60, 7 * 60), datetime(2026, 3, 29, 5)),
        (datetime(2026, 10, 25, 0, 0), (23 * 60, 150), datetime(2026, 10, 25, 1, 30)),
        (datetime(2026, 10, 24, 21, 30), (23 * 60, 7 * 60), datetime(2026, 10, 25, 6)),
        (datetime(2026, 7, 1, 12), (23 * 60, 7 * 60), None),
    ],
)
def test_the_night_when_clocks_change_ends_by_the_clock(
    instant: datetime, hours: tuple[int, int], end: datetime | None
) -> None:
    assert quiet_end(instant, "Europe/Berlin", *hours) == end

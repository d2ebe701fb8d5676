"""Broadcasts in the database: once for each recipient whatever happens, counts that are right, pauses that act."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from broadcasting import NEWS, Broadcasting
from outboxes import at
from sqlalchemy import func

from dovecote.errors import InvalidBroadcast, UnknownBot, UnknownBroadcast
from dovecote.model import (
    Addressee,
    Brake,
    Broadcast,
    BroadcastState,
    Dead,
    Delivered,
    Failed,
    RecipientState,
    Refusal,
    Retention,
    Segment,
    Selection,
    Settlement,
    State,
)
from dovecote.stores import broadcast_turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outboxes import Outbox

BLOCKED = Dead("Forbidden: bot was blocked by the user", 403, Refusal.BLOCKED)
NO_TEXT = Dead("Bad Request: message text is empty", 400)
GENTLE = Brake(sample=4)
# The statements are SQLAlchemy's, and none of them is of a kind that differs between versions of PostgreSQL.
pytestmark = pytest.mark.parametrize("outbox_database", ["sqlite", "postgresql-18"], indirect=True)


@pytest_asyncio.fixture
async def broadcasts(outbox: Outbox) -> AsyncIterator[Broadcasting]:
    broadcasting = Broadcasting(outbox)
    yield broadcasting
    await broadcasting.close()


class TestDrafts:
    async def test_it_keeps_its_content_and_counts_its_recipients_once(self, broadcasts: Broadcasting) -> None:
        record = await broadcasts.draft([3, 1, 2, 1])

        assert (record.broadcast, record.state, record.counts.recipients) == (NEWS, BroadcastState.DRAFT, 3)
        assert await broadcasts.recipients.add("news", [Addressee(3), Addressee(4)]) == 1
        assert await broadcasts.states() == {"1": "waiting", "2": "waiting", "3": "waiting", "4": "waiting"}
        assert await broadcasts.waiting() == []

    async def test_a_name_is_had_once(self, broadcasts: Broadcasting) -> None:
        await broadcasts.draft([1])

        with pytest.raises(InvalidBroadcast, match='named "news" already'):
            await broadcasts.draft([1])

    async def test_a_bot_and_a_broadcast_have_to_be_there(self, broadcasts: Broadcasting) -> None:
        with pytest.raises(UnknownBot):
            await broadcasts.draft([1], Broadcast(name="news", bot="shpo", text="x"))
        with pytest.raises(UnknownBroadcast, match="nws"):
            await broadcasts.book.get("nws")

    async def test_nothing_is_added_to_one_that_has_begun(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1])

        with pytest.raises(InvalidBroadcast, match="is running"):
            await broadcasts.recipients.add("news", [Addressee(2)])

    async def test_one_without_recipients_does_not_begin(self, broadcasts: Broadcasting) -> None:
        with pytest.raises(InvalidBroadcast, match="none"):
            await broadcasts.running([])

    async def test_a_segment_is_who_is_known_and_not_disabled(self, broadcasts: Broadcasting) -> None:
        for chat, zone in (("1", "Europe/Berlin"), ("2", None), ("3", "Asia/Tokyo"), ("4", None)):
            await broadcasts.outbox.tell(chat, zone=zone)
        await broadcasts.outbox.recipients.disable("shop", "4", "opted_out")
        await broadcasts.draft([])

        after: str | None = None
        added = []
        while True:
            new, after = await broadcasts.recipients.add_segment("news", Segment(), after=after, limit=2)
            added.append(new)
            if after is None:
                break

        assert (sum(added), sorted(await broadcasts.states())) == (3, ["1", "2", "3"])
        await broadcasts.draft([], Broadcast(name="tokyo", bot="shop", text="x"))
        await broadcasts.recipients.add_segment("tokyo", Segment(["Asia/Tokyo"]), after=None, limit=10)
        assert await broadcasts.states("tokyo") == {"3": "waiting"}

    @pytest.mark.parametrize(
        ("segment", "chats"),
        [
            (Segment(labels=["gold"]), ["1", "2"]),
            (Segment(labels=["gold", "vip"]), ["2"]),
            (Segment(languages=["pt"]), ["1", "2"]),
            (Segment(languages=["pt-BR", "de"]), ["2", "3"]),
            (Segment(category="news"), ["1", "3", "4"]),
            (Segment(seen_since=at(5)), ["2", "3"]),
            (
                Segment(zones=["Asia/Tokyo"], labels=["gold"], languages=["pt"], category="polls", seen_since=at(0)),
                ["1"],
            ),
        ],
    )
    async def test_a_segment_is_whom_all_of_it_is_true_of(
        self, broadcasts: Broadcasting, segment: Segment, chats: list[str]
    ) -> None:
        tell = broadcasts.outbox.tell
        await tell("1", zone="Asia/Tokyo", labels=("gold",), language="pt", opted_out=("sport",), seen=at(0))
        await tell("2", labels=("vip", "gold"), language="pt-BR", opted_out=("news", "polls"), seen=at(5))
        await tell("3", language="de", labels=("golden",), seen=at(9))
        await tell("4", language="ptx")
        await broadcasts.outbox.recipients.disable("shop", "5", "blocked")
        await broadcasts.draft([])

        after: str | None = None
        while True:
            _, after = await broadcasts.recipients.add_segment("news", segment, after=after, limit=2)
            if after is None:
                break

        page = await broadcasts.page()
        assert [each.chat for each in page] == chats
        languages = {"1": "pt", "2": "pt-BR", "3": "de", "4": "ptx"}
        assert [each.locale for each in page] == [languages[each.chat] for each in page]


class TestFanOut:
    async def test_who_opted_out_is_suppressed_before_and_after_it_is_enqueued(self, broadcasts: Broadcasting) -> None:
        await broadcasts.outbox.tell("7", opted_out=("news",))
        await broadcasts.running([7, 8, 9], Broadcast(name="news", bot="shop", text="x", category="news"))
        assert (await broadcasts.move_on()).counts.suppressed == 1
        await broadcasts.outbox.tell("8", opted_out=("news",))

        for claimed in await broadcasts.claim():
            await broadcasts.settle((claimed, Delivered((1,))))
        record = await broadcasts.move_on()

        assert (record.counts.delivered, record.counts.suppressed, record.state) == (1, 2, "finished")
        assert [each.error for each in await broadcasts.page()] == [*["the recipient has opted out of news"] * 2, None]

    async def test_each_recipient_is_enqueued_once_in_batches_and_then_it_finishes(
        self, broadcasts: Broadcasting
    ) -> None:
        await broadcasts.running(range(101, 126))

        record = await broadcasts.move_on(batch=10)

        assert await broadcasts.waiting() == [str(chat) for chat in range(101, 126)]
        assert (record.counts.enqueued, record.counts.waiting) == (25, 0)
        await broadcasts.settle(*((claimed, Delivered((9,))) for claimed in await broadcasts.claim()))
        record = await broadcasts.move_on(batch=10)
        assert (record.state, record.counts.delivered, record.counts.enqueued) == (BroadcastState.FINISHED, 25, 0)
        assert record.finished_at == broadcasts.outbox.now

    async def test_the_outbox_holds_a_window_of_it(
        self, broadcasts: Broadcasting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(broadcast_turns, "LARGEST_WINDOW", 10)
        await broadcasts.running(range(101, 126))

        await broadcasts.move_on(batch=4)
        assert len(await broadcasts.waiting()) == 10

        await broadcasts.settle(*((claimed, Delivered()) for claimed in await broadcasts.claim(3)))
        record = await broadcasts.move_on(batch=4)
        assert (len(await broadcasts.waiting()), record.counts.delivered, record.counts.waiting) == (10, 3, 12)

    async def test_a_transaction_that_breaks_off_leaves_nothing_and_is_made_again(
        self, broadcasts: Broadcasting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = await broadcasts.running(range(101, 111))
        await broadcasts.turns.advance(record.id, limit=4)
        turns = broadcasts.turns
        assert isinstance(turns, broadcast_turns.BroadcastTurns)

        def broken(*_: object) -> None:
            raise RuntimeError("killed before the commit")

        with monkeypatch.context() as patched:
            patched.setattr(turns, "_update", broken)
            with pytest.raises(RuntimeError, match="killed"):
                await turns.advance(record.id, limit=4)

        assert await broadcasts.waiting() == ["101", "102", "103", "104"]
        await broadcasts.move_on(batch=4)
        assert await broadcasts.waiting() == [str(chat) for chat in range(101, 111)]

    async def test_two_that_move_it_on_at_once_enqueue_each_once(self, broadcasts: Broadcasting) -> None:
        record = await broadcasts.running(range(101, 161))
        other = broadcast_turns.BroadcastTurns(broadcasts.outbox.database, clock=broadcasts.outbox._microseconds)

        for _ in range(8):
            await asyncio.gather(*(turns.advance(record.id, limit=5) for turns in (broadcasts.turns, other)))
        await broadcasts.move_on()

        assert await broadcasts.waiting() == [str(chat) for chat in range(101, 161)]
        await other.close()

    async def test_who_would_get_nothing_is_told_before(self, broadcasts: Broadcasting) -> None:
        await broadcasts.outbox.recipients.disable("shop", "2", "blocked")
        await broadcasts.outbox.tell("3", opted_out=("news", "x"))
        await broadcasts.outbox.tell("4", opted_out=("newspapers",))
        await broadcasts.draft(range(1, 5), Broadcast(name="news", bot="shop", text="x", category="news"))
        await broadcasts.draft(range(1, 5), Broadcast(name="plain", bot="shop", text="x"))

        assert await broadcasts.recipients.suppressed("news", after=None, limit=9) == (2, None)
        assert await broadcasts.recipients.suppressed("plain", after=None, limit=9) == (1, None)

    async def test_who_is_disabled_is_noted_and_not_enqueued(self, broadcasts: Broadcasting) -> None:
        await broadcasts.outbox.recipients.disable("shop", "2", "opted_out")
        await broadcasts.running([1, 2, 3])
        assert await broadcasts.recipients.suppressed("news", after=None, limit=2) == (1, "2")

        record = await broadcasts.move_on()

        assert await broadcasts.waiting() == ["1", "3"]
        assert (record.counts.suppressed, record.counts.enqueued) == (1, 2)
        (suppressed,) = await broadcasts.recipients.page("news", states=[RecipientState.SUPPRESSED])
        assert (suppressed.chat, suppressed.error) == ("2", "the recipient is disabled: opted_out")

    async def test_it_is_due_until_it_is_finished(self, broadcasts: Broadcasting) -> None:
        record = await broadcasts.draft([1])
        assert await broadcasts.turns.due(overdue_by=timedelta(0)) == []
        await broadcasts.change("running")

        assert await broadcasts.turns.due(overdue_by=timedelta(0)) == [record.id]
        assert await broadcasts.turns.due(overdue_by=timedelta(seconds=3)) == []
        await broadcasts.move_on()
        assert await broadcasts.turns.running() == [record.id]
        await broadcasts.settle(*((claimed, Delivered()) for claimed in await broadcasts.claim()))
        await broadcasts.move_on()
        await broadcasts.outbox.advance(60)
        assert await broadcasts.turns.due(overdue_by=timedelta(0)) == []
        assert await broadcasts.turns.running() == []


class TestRecord:
    async def test_who_got_it_and_when_who_did_not_and_why(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1, 2, 3, 4])
        await broadcasts.move_on()
        one, two, three, four = sorted(await broadcasts.claim(), key=lambda claimed: int(claimed.chat or 0))
        await broadcasts.outbox.advance(5)
        await broadcasts.settle((one, Delivered((7, 8))), (two, BLOCKED), (three, NO_TEXT))
        # A worker that is lost gives it back by its lease; then the recipient is disabled.
        await broadcasts.release(four)
        await broadcasts.outbox.recipients.disable("shop", "4", "opted_out")
        assert await broadcasts.claim() == []

        record = await broadcasts.move_on()

        counts = record.counts
        assert (counts.delivered, counts.dead, counts.blocked, counts.suppressed) == (1, 2, 1, 1)
        got, blocked, dead, suppressed = await broadcasts.page()
        assert (got.state, got.message_ids, got.notification_id) == ("delivered", (7, 8), one.id)
        assert got.settled_at == broadcasts.outbox.now
        assert (blocked.state, blocked.error_code, blocked.error) == ("dead", 403, BLOCKED.error)
        assert (dead.state, dead.error) == ("dead", NO_TEXT.error)
        assert (suppressed.state, suppressed.error) == ("suppressed", "the recipient is disabled: opted_out")
        assert record.errors == {
            "403 Forbidden: bot was blocked by the user": 1,
            "400 Bad Request: message text is empty": 1,
            "the recipient is disabled: opted_out": 1,
        }

    async def test_the_rate_is_measured_and_tells_when_it_ends(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running(range(1, 101))
        await broadcasts.move_on()
        await broadcasts.outbox.advance(10)
        await broadcasts.settle(*((claimed, Delivered()) for claimed in await broadcasts.claim(20)))

        record = await broadcasts.move_on()

        assert record.rate == pytest.approx(2.0)
        assert record.ends_in == timedelta(seconds=40)

    async def test_what_was_pruned_before_it_was_read_is_unknown(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1])
        await broadcasts.move_on()
        await broadcasts.settle(*((claimed, Delivered()) for claimed in await broadcasts.claim()))
        await broadcasts.outbox.advance(100)
        seconds = timedelta(seconds=1)
        await broadcasts.outbox.pruning.prune(Retention(delivered=seconds))

        record = await broadcasts.move_on()

        assert (record.state, record.counts.unknown) == (BroadcastState.FINISHED, 1)
        assert (await broadcasts.page())[0].error == "what became of it was pruned or purged before it was read"

    async def test_what_is_replayed_is_on_its_way_again(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1, 2])
        await broadcasts.move_on()
        one, two = sorted(await broadcasts.claim(), key=lambda claimed: int(claimed.chat or 0))
        await broadcasts.settle((one, NO_TEXT), (two, Delivered((5,))))
        assert (await broadcasts.move_on()).state is BroadcastState.FINISHED

        assert await broadcasts.outbox.history.replay([one.id]) == [one.id]
        record = await broadcasts.book.get("news")
        assert (record.counts.dead, record.counts.enqueued) == (0, 1)
        await broadcasts.settle(*((claimed, Delivered((6,))) for claimed in await broadcasts.claim()))

        record = await broadcasts.move_on()
        assert (record.counts.delivered, record.counts.enqueued) == (2, 0)
        assert await broadcasts.states() == {"1": "delivered", "2": "delivered"}

    async def test_pages_go_by_chats_and_states(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running(range(11, 18))
        await broadcasts.move_on()
        await broadcasts.settle(*((claimed, Delivered()) for claimed in await broadcasts.claim(2)))
        await broadcasts.move_on()

        first = await broadcasts.recipients.page("news", limit=3)
        second = await broadcasts.recipients.page("news", after=first[-1].chat, limit=3)

        assert [each.chat for each in [*first, *second]] == ["11", "12", "13", "14", "15", "16"]
        delivered = await broadcasts.recipients.page("news", states=[RecipientState.DELIVERED])
        assert [each.chat for each in delivered] == ["11", "12"]
        assert [each.chat for each in await broadcasts.recipients.named("news", ["12", "99"])] == ["12"]


class TestPause:
    async def test_nothing_of_it_is_claimed_and_what_comes_back_is_put_off_too(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1, 2, 3])
        await broadcasts.move_on()
        (held,) = await broadcasts.claim(1)

        await broadcasts.change("paused")
        await broadcasts.move_on()
        assert await broadcasts.claim() == []
        await broadcasts.release(held)
        await broadcasts.move_on()

        await broadcasts.outbox.advance(7 * 86_400)
        assert await broadcasts.claim() == []
        assert await broadcasts.turns.due(overdue_by=timedelta(0)) == []
        assert (await broadcasts.book.get("news")).counts.enqueued == 3

    async def test_a_call_waits_for_the_loop_where_the_loop_would_leave_it(self, broadcasts: Broadcasting) -> None:
        record = await broadcasts.running([1, 2, 3])
        await broadcasts.move_on()
        await broadcasts.change("paused")
        database = broadcasts.outbox.database
        if not database.is_postgresql:
            # Here whoever writes waits in any case.
            assert (await broadcasts.turns.advance(record.id, limit=10, wait=True)).moved == 3
            return
        by_hand = broadcast_turns.BroadcastTurns(database, hold=False)
        async with database.transaction() as connection:
            await connection.execute(database.tables.broadcast.select().with_for_update())  # type: ignore[misc] # awaited here
            assert (await broadcasts.turns.advance(record.id, limit=10)).moved == 0
            waiting = asyncio.create_task(by_hand.advance(record.id, limit=10, wait=True))
            await asyncio.sleep(0)

        assert (await waiting).moved == 3

    async def test_resumed_all_of_it_is_sent_once(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1, 2, 3])
        await broadcasts.move_on()
        await broadcasts.change("paused")
        await broadcasts.move_on()

        await broadcasts.change("running")

        claimed = await broadcasts.claim()
        assert sorted(each.chat or "" for each in claimed) == ["1", "2", "3"]
        await broadcasts.settle(*((each, Delivered()) for each in claimed))
        assert (await broadcasts.move_on()).state is BroadcastState.FINISHED

    async def test_what_is_put_off_holds_up_nothing_else_of_its_chat(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1])
        await broadcasts.move_on()
        await broadcasts.change("paused")
        await broadcasts.move_on()

        await broadcasts.outbox.put(1000, chat="1", priority=2)

        assert [each.id for each in await broadcasts.claim()] == [1000]

    async def test_what_failed_before_keeps_its_attempts(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1])
        await broadcasts.move_on()
        (claimed,) = await broadcasts.claim()
        failed = Settlement(claimed, Failed("refused"), retry_in=timedelta(seconds=30))
        await broadcasts.outbox.store.cycle([failed], claim=0, lease=timedelta(seconds=60))
        await broadcasts.change("paused")
        await broadcasts.move_on()

        await broadcasts.change("running")

        (again,) = await broadcasts.claim()
        assert (again.id, again.attempt, again.failures) == (claimed.id, 2, 1)

    async def test_only_what_runs_is_paused_and_only_what_is_paused_resumes(self, broadcasts: Broadcasting) -> None:
        await broadcasts.draft([1])

        with pytest.raises(InvalidBroadcast, match="is draft, and only one that is running"):
            await broadcasts.book.change("news", BroadcastState.PAUSED, allowed=[BroadcastState.RUNNING])


class TestCancel:
    async def test_what_waits_is_taken_out_and_what_was_sent_stays(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1, 2, 3, 4])
        await broadcasts.move_on()
        sent, held = await broadcasts.claim(2)
        await broadcasts.settle((sent, Delivered((5,))))

        await broadcasts.change("cancelled")
        record = await broadcasts.move_on()

        assert await broadcasts.waiting() == [held.chat]
        assert (record.counts.delivered, record.counts.cancelled, record.counts.enqueued) == (1, 2, 1)
        await broadcasts.settle((held, Delivered((6,))))
        record = await broadcasts.move_on()
        assert (record.state, record.counts.delivered, record.counts.cancelled) == (BroadcastState.CANCELLED, 2, 2)

    async def test_what_may_have_arrived_is_unknown(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1])
        await broadcasts.move_on()
        await broadcasts.claim()
        await broadcasts.outbox.advance(61)
        # Another worker finds it under a lost lease, and gives it back.
        await broadcasts.release(*await broadcasts.claim())

        await broadcasts.change("cancelled")
        record = await broadcasts.move_on()

        assert (record.counts.unknown, record.counts.cancelled) == (1, 0)
        assert (await broadcasts.page())[0].error == "an attempt may have arrived; then it was cancelled"

    async def test_who_was_never_enqueued_is_cancelled_without_a_write_for_each(self, broadcasts: Broadcasting) -> None:
        await broadcasts.draft([1, 2])

        record = await broadcasts.change("cancelled")

        assert (record.counts.cancelled, record.counts.waiting) == (2, 0)
        assert await broadcasts.states() == {"1": "cancelled", "2": "cancelled"}
        found = await broadcasts.recipients.page("news", states=[RecipientState.CANCELLED])
        assert [each.chat for each in found] == ["1", "2"]

    async def test_it_is_forgotten_with_its_record_once_it_has_ended(self, broadcasts: Broadcasting) -> None:
        record = await broadcasts.running([1, 2])
        with pytest.raises(InvalidBroadcast, match="is running"):
            await broadcasts.book.delete("news")
        await broadcasts.change("cancelled")
        await broadcasts.move_on()

        await broadcasts.book.delete("news")

        with pytest.raises(UnknownBroadcast):
            await broadcasts.book.get("news")
        table = broadcasts.outbox.database.tables.broadcast_recipient
        left = await broadcasts.outbox.database.run(lambda c: c.execute(table.select()).all())
        assert (left, record.id > 0) == ([], True)


class TestBrake:
    @pytest.mark.parametrize(
        ("outcome", "reason"),
        [
            (BLOCKED, "the brake: 2 of the last 4 recipients take nothing from this bot"),
            (NO_TEXT, "the brake: 2 of the last 4 ended with one error: 400 Bad Request: message text is empty"),
        ],
        ids=["blocks", "errors"],
    )
    async def test_it_pauses_itself_and_nothing_more_is_claimed(
        self, broadcasts: Broadcasting, outcome: Dead, reason: str
    ) -> None:
        await broadcasts.running(range(1, 9), Broadcast(name="news", bot="shop", text="x", brake=GENTLE))
        await broadcasts.move_on()
        claimed = await broadcasts.claim(4)
        await broadcasts.settle(
            *((each, Delivered()) for each in claimed[:2]), *((each, outcome) for each in claimed[2:])
        )

        record = await broadcasts.move_on()

        assert (record.state, record.reason) == (BroadcastState.PAUSED, reason)
        assert await broadcasts.claim() == []
        await broadcasts.change("running")
        assert len(await broadcasts.claim()) == 4

    async def test_a_refusal_at_the_door_pauses_it_with_the_reason(self, broadcasts: Broadcasting) -> None:
        await broadcasts.running([1])
        table = broadcasts.outbox.database.tables.broadcast
        wrong = table.update().values(form=func.replace(table.c.form, "sendMessage", "send Message"))
        await broadcasts.outbox.database.run(lambda c: c.execute(wrong), write=True)

        record = await broadcasts.move_on()

        assert record.state is BroadcastState.PAUSED
        assert record.reason is not None
        assert "'send Message' is no name of a Bot API method" in record.reason


async def test_dead_letters_of_one_broadcast_are_selected(broadcasts: Broadcasting) -> None:
    """By their parameters, and by the record where those are gone."""
    outbox = broadcasts.outbox
    await broadcasts.running([1, 2], Broadcast(name="other", bot="shop", text="x"))
    await broadcasts.running([1, 2, 3])
    for name in ("other", "news"):
        await broadcasts.move_on(name)
        await broadcasts.settle(*((claimed, NO_TEXT) for claimed in await broadcasts.claim()))
        await broadcasts.move_on(name)
    history = outbox.database.tables.history
    first = history.update().where(history.c.chat == "3").values(params={}, erased_at=outbox.now)
    await outbox.database.run(lambda connection: connection.execute(first), write=True)

    found = await outbox.history.settled(State.DEAD, Selection(broadcast="news"))

    assert sorted(str(record.chat) for record in found) == ["1", "2", "3"]
    assert len(await outbox.history.settled(State.DEAD, Selection(broadcast="other"))) == 2
    assert await outbox.history.settled(State.DEAD, Selection(broadcast="other", error_code=403)) == []
    with pytest.raises(UnknownBroadcast, match="nws"):
        await outbox.history.settled(State.DEAD, Selection(broadcast="nws"))


async def test_what_had_ended_before_it_was_resumed_does_not_brake_it_again(broadcasts: Broadcasting) -> None:
    await broadcasts.running(range(1, 13), Broadcast(name="news", bot="shop", text="x", brake=GENTLE))
    await broadcasts.move_on()
    claims = await broadcasts.claim()
    await broadcasts.settle(*((claimed, NO_TEXT) for claimed in claims[:4]))
    assert (await broadcasts.move_on()).state is BroadcastState.PAUSED
    await broadcasts.settle(*((claimed, NO_TEXT) for claimed in claims[4:8]))
    await broadcasts.outbox.advance(1)

    await broadcasts.change("running")
    resumed = await broadcasts.move_on()
    await broadcasts.settle(*((claimed, NO_TEXT) for claimed in claims[8:]))
    braked = await broadcasts.move_on()

    assert (resumed.state, resumed.counts.dead) == (BroadcastState.RUNNING, 8)
    assert (braked.state, braked.counts.dead) == (BroadcastState.PAUSED, 12)

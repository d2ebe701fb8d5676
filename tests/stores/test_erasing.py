"""Erasing a person: nothing is left in any table or stored file, and what is counted stays counted."""

from __future__ import annotations

import asyncio
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from broadcasting import Broadcasting
from outboxes import Outbox, delivered, failed, settlement
from races import BOUND, blocked, transactions
from sqlalchemy import select
from timetables import schedule

from dovecote import Attachment, Dovecote, LocalStorage, Notification
from dovecote.errors import UnknownBot, UnknownFile, UnknownSchedule
from dovecote.model import (
    Brake,
    Broadcast,
    Dead,
    QuietHours,
    Refusal,
    Released,
    Scope,
    Snoozed,
    State,
    StoredFile,
    Unknown,
)
from dovecote.recipients import Eraser
from dovecote.stores import erasing as erasing_module
from dovecote.stores.erasing import Erasing, names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection

    from dovecote.files import Files
    from dovecote.model import ClaimedNotification

PERSON, OTHER = "4242424242", "5151515151"
PERSONAL = '400 Bad Request: Unsupported start tag "Ada"'


@pytest_asyncio.fixture
async def broadcasts(outbox: Outbox) -> AsyncIterator[Broadcasting]:
    broadcasting = Broadcasting(outbox)
    yield broadcasting
    await broadcasting.close()


def eraser(outbox: Outbox) -> Eraser:
    def no_files() -> Files:
        raise AssertionError

    return Eraser(Erasing(outbox.database, clock=outbox._microseconds), lambda: outbox.schedules, no_files)


async def dump(outbox: Outbox) -> str:
    """Every row of every table, as text."""

    def read(connection: Connection) -> str:
        tables = outbox.database.tables.metadata.sorted_tables
        assert len(tables) > 25
        lines = [f"{table.name} {row!r}" for table in tables for row in connection.execute(select(table))]
        return "\n".join(lines)

    return await outbox.database.run(read)


async def enqueue(outbox: Outbox, *notifications: Notification) -> list[int]:
    return await outbox.database.run(lambda connection: outbox.enqueuer.write(connection, notifications), write=True)


def to(chat: str, key: str | None = None, **more: Any) -> Notification:
    return Notification(bot="shop", chat_id=chat, text=f"Dear Ada, {chat}", key=key, labels=["gold-4242"], **more)


async def of(outbox: Outbox, chat: str) -> ClaimedNotification:
    """Claim, and give back what is another's."""
    claimed = await outbox.claim()
    await outbox.settle(*(settlement(each, Released()) for each in claimed if each.chat != chat))
    (own,) = [each for each in claimed if each.chat == chat]
    return own


async def live(outbox: Outbox, chat: str) -> None:
    """Leave a trace in as many tables as there are."""
    known: dict[str, Any] = {"zone": "Asia/Tokyo", "labels": ("gold-4242",), "opted_out": ("Ada",)}
    await outbox.tell(chat, **known, quiet_hours=QuietHours(time(1), time(2)), seen=True)
    (first,) = await enqueue(outbox, to(chat, f"order-{chat}"))
    await outbox.settle(failed(await of(outbox, chat), 0))
    await outbox.advance(1)
    await outbox.settle(delivered(await of(outbox, chat), int(chat)))
    await enqueue(outbox, to(chat))
    await outbox.settle(settlement(await of(outbox, chat), Dead(f"no {chat}", 403, Refusal.BLOCKED)))
    await outbox.recipients.enable("shop", chat)
    await enqueue(outbox, to(chat))
    await outbox.settle(settlement(await of(outbox, chat), Unknown(f"nobody knows of {chat}")))
    (waiting,) = await enqueue(outbox, to(chat, f"Ada-{chat}"))
    await outbox.settle(settlement(await of(outbox, chat), Snoozed(timedelta(seconds=9), Scope.CHAT, f"429 {chat}")))
    table = outbox.database.tables.trace_context
    rows = [{"notification_id": id_, "traceparent": f"00-{chat}"} for id_ in (first, waiting)]
    await outbox.database.run(lambda connection: connection.execute(table.insert(), rows), write=True)


async def test_nothing_is_left_of_a_person_and_all_of_the_others(outbox: Outbox, broadcasts: Broadcasting) -> None:
    await outbox.schedules.add(schedule(name="both", to=(int(PERSON), int(OTHER))))
    await outbox.schedules.add(schedule(name="alone", to=(int(PERSON),)))
    await broadcasts.running([int(PERSON), int(OTHER)])
    await broadcasts.move_on()
    for claimed in await broadcasts.claim():
        await outbox.settle(delivered(claimed))
    await broadcasts.move_on()
    await broadcasts.draft([int(PERSON), int(OTHER)], Broadcast(name="draft", bot="shop", text="x"))
    await live(outbox, PERSON)
    await outbox.advance(20)
    await live(outbox, OTHER)
    await broadcasts.running([int(PERSON), int(OTHER)], Broadcast(name="going", bot="shop", text="x"))
    await broadcasts.turns.advance((await broadcasts.book.get("going")).id, limit=1)
    others = [line for line in (await dump(outbox)).splitlines() if OTHER in line]
    stats = await outbox.history.stats()

    erased = await eraser(outbox).erase("shop", PERSON)

    left = await dump(outbox)
    assert [line for line in left.splitlines() if PERSON in line] == []
    # What was said to the other one is all that is left of the words.
    assert [line for line in left.splitlines() if "Ada" in line and OTHER not in line and "_key" not in line] == []
    assert len([line for line in left.splitlines() if OTHER in line]) == len(others)
    assert (erased.notifications, erased.history, erased.broadcasts, erased.in_flight) == (2, 4, 3, 0)
    assert (erased.schedules, erased.schedules_changed, erased.keys) == ((), 2, 0)
    with pytest.raises(UnknownSchedule):
        await outbox.schedules.get("alone")
    assert (await outbox.schedules.get("both")).schedule.to == (OTHER,)
    after = await outbox.history.stats()
    assert (after.delivered, after.dead, after.unknown, after.due + after.scheduled) == (
        stats.delivered,
        stats.dead,
        2,
        stats.due + stats.scheduled - 2,
    )
    counts = {name: (await broadcasts.book.get(name)).counts for name in ("news", "draft", "going")}
    assert (counts["news"].recipients, counts["news"].delivered) == (2, 2)
    assert counts["draft"].recipients == 1
    assert (counts["going"].recipients, counts["going"].cancelled, counts["going"].waiting) == (2, 1, 1)
    assert await eraser(outbox).erase("shop", PERSON) == type(erased)()


async def test_a_broadcast_goes_on_behind_one_that_was_erased(broadcasts: Broadcasting) -> None:
    outbox = broadcasts.outbox
    await broadcasts.running([1, 2, 3, 4])
    id_ = (await broadcasts.book.get("news")).id
    await broadcasts.turns.advance(id_, limit=2)
    assert [row.cursor for row in await outbox.rows("broadcast")] == ["2"]

    await eraser(outbox).erase("shop", "2")
    await broadcasts.move_on()

    assert [row.cursor for row in await outbox.rows("broadcast")] == [None]
    assert sorted(map(str, await broadcasts.waiting())) == ["1", "3", "4"]


async def test_what_was_settled_and_not_read_yet_is_counted_as_what_it_was(broadcasts: Broadcasting) -> None:
    await broadcasts.running([7])
    await broadcasts.move_on()
    (claimed,) = await broadcasts.claim()
    await broadcasts.outbox.settle(delivered(claimed))

    await eraser(broadcasts.outbox).erase("shop", "7")

    counts = (await broadcasts.move_on()).counts
    assert (counts.recipients, counts.delivered, counts.enqueued, counts.cancelled) == (1, 1, 0, 0)


async def test_an_error_that_was_one_persons_alone_is_counted_without_its_words(broadcasts: Broadcasting) -> None:
    outbox = broadcasts.outbox
    blocked = Dead("Forbidden: bot was blocked by the user", 403)
    await broadcasts.running([7, 8, 9], Broadcast(name="news", bot="shop", text="x", brake=Brake(errors=0.1, sample=1)))
    await broadcasts.move_on()
    for claimed in reversed(await broadcasts.claim()):
        await broadcasts.change("running")
        personal = Dead('Bad Request: Unsupported start tag "Ada"', 400)
        await outbox.settle(settlement(claimed, personal if claimed.chat == "7" else blocked))
        braked = await broadcasts.move_on()
    assert braked.reason == f"the brake: 1 of the last 1 ended with one error: {PERSONAL}"
    assert dict(braked.errors) == {"403 Forbidden: bot was blocked by the user": 2, PERSONAL: 1}

    await eraser(outbox).erase("shop", "7")
    await eraser(outbox).erase("shop", "8")

    record = await broadcasts.book.get("news")
    assert dict(record.errors) == {"403 Forbidden: bot was blocked by the user": 2, "erased": 1}
    assert (record.counts.dead, record.reason) == (
        3,
        "the brake: 1 of the last 1 ended with one error: erased",
    )
    assert "Ada" not in await dump(outbox)


async def test_why_something_failed_names_nobody_any_more(outbox: Outbox) -> None:
    tables = outbox.database.tables
    run = {
        "store": "s",
        "state": "failed",
        "policy": "retry",
        "term": 1,
        "planned_at": outbox.now,
        "ended_at": outbox.now,
    }
    job = {"store": "s", "definition": "{}", "revision": 1, "finished": False}
    job |= {"created_at": outbox.now, "changed_at": outbox.now}
    runs = [
        {**run, "job_id": "a", "fire_at": outbox.now, "error": f"no chat {PERSON}"},
        {**run, "job_id": "b", "fire_at": outbox.now, "error": f"no chat 1{PERSON}"},
    ]
    jobs = [{**job, "id": f"remind-{PERSON}", "problem": None}, {**job, "id": "c", "problem": f"{PERSON} is no chat"}]
    await outbox.database.run(lambda connection: connection.execute(tables.jobs.run.insert(), runs), write=True)
    await outbox.database.run(lambda connection: connection.execute(tables.jobs.job.insert(), jobs), write=True)

    erased = await eraser(outbox).erase("shop", PERSON)

    assert erased.jobs == (f"s:remind-{PERSON}",)
    left = [line for line in (await dump(outbox)).splitlines() if PERSON in line or "'erased'" in line]
    assert sorted(line.split()[0].rpartition("job")[2] for line in left) == ["", "", "_run", "_run"]
    # A job that is named after the chat is the application's to remove, and is told.
    assert [line for line in left if PERSON in line and f"1{PERSON}" not in line and "remind-" not in line] == []


async def test_what_a_worker_has_in_hand_is_told_and_erased_later(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=PERSON)
    claimed = await outbox.claim_one()

    first = await eraser(outbox).erase("shop", PERSON)
    await outbox.deliver(claimed)
    second = await eraser(outbox).erase("shop", PERSON)

    assert (first.notifications, first.in_flight) == (1, 1)
    assert (second.history, second.in_flight) == (1, 0)
    assert PERSON not in await dump(outbox)


async def test_much_goes_in_several_transactions_and_keys_that_outlived_theirs_too(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing_module, "AT_ONCE", 3)
    monkeypatch.setattr(erasing_module, "KEYS_AT_ONCE", 2)
    await outbox.put_rows([{"id": id_, "chat": PERSON} for id_ in range(1, 11)])
    await outbox.put_history([{"id": 20 + id_, "chat": PERSON, "outcome": "delivered"} for id_ in range(10)])
    key = outbox.database.tables.notification_key
    named = [f"hello-{PERSON}", f"1{PERSON}", f"{PERSON}:x", "other", f"-{PERSON}"]
    rows = [{"bot_id": 1, "key": each, "notification_id": 900, "expires_at": outbox.now} for each in named]
    await outbox.database.run(lambda connection: connection.execute(key.insert(), rows), write=True)

    erased = await eraser(outbox).erase("shop", PERSON)

    assert (erased.notifications, erased.history, erased.keys) == (10, 10, 2)
    assert sorted(row.key for row in await outbox.rows("notification_key")) == [f"-{PERSON}", f"1{PERSON}", "other"]


async def test_what_is_erased_is_never_sent_again(outbox: Outbox) -> None:
    await outbox.put(1, 2, chat=PERSON)
    for _ in range(2):
        await outbox.settle(settlement(await outbox.claim_one(), Dead("no", 400)))
        await outbox.advance(1)
    await eraser(outbox).erase("shop", PERSON)

    assert await outbox.history.replay([1, 2]) == []
    assert await outbox.history.purge(State.DEAD, [1]) == [1]


async def test_topics_of_a_group_go_with_it_and_an_unknown_bot_is_named(outbox: Outbox) -> None:
    for chat in ("-100", "-100/5", "-1005", "-100/12"):
        await outbox.recipients.disable("shop", chat, "opted_out")

    await eraser(outbox).erase("shop", "-100")

    assert [row.chat for row in await outbox.rows("recipient")] == ["-1005"]
    with pytest.raises(UnknownBot):
        await eraser(outbox).erase("shpo", "-100")


@pytest.mark.parametrize(
    ("held", "is_named"),
    [
        ("42", True),
        ('{"args":[42]}', True),
        ("order-42-x", True),
        ("schedule:1:42", True),
        ("hello_42", True),
        ("142", False),
        ("420", False),
        ("-42", False),
    ],
)
def test_a_number_is_told_from_a_longer_one(held: str, *, is_named: bool) -> None:
    assert names(held, "42") is is_named


@pytest.mark.parametrize("outbox_database", ["sqlite"], indirect=True)
async def test_files_that_nobody_else_was_sent_go_with_their_contents(outbox: Outbox, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    async with Dovecote(str(outbox.database.url), storage=LocalStorage(folder)) as dovecote:
        own, shared, kept = [
            await dovecote.files.put(content, name=name, keep=keep)
            for content, name, keep in (
                (b"own of Ada", "Ada.txt", False),
                (b"shared", "s", False),
                (b"kept", "k", True),
            )
        ]

        def sends(chat: str, file: StoredFile) -> Notification:
            params = {"document": Attachment(file)}
            return Notification(bot="shop", chat_id=chat, method="sendDocument", params=params)

        async with dovecote.transaction() as connection:
            await dovecote.enqueue(connection, [sends(PERSON, each) for each in (own, shared, kept)])
            await dovecote.enqueue(connection, sends(OTHER, shared))

        erased = await dovecote.erase_recipient("shop", int(PERSON))

        assert (erased.files, erased.kept_files) == ((own.id,), (kept.id,))
        with pytest.raises(UnknownFile):
            await dovecote.files.info(own.id)
    contents = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"Ada" not in contents
    assert b"shared" in contents
    assert "Ada" not in await dump(outbox)


async def test_erasing_waits_for_keys_in_the_order_in_which_every_enqueue_takes_them(outbox: Outbox) -> None:
    """An application that had one and asked for the next was ended for a deadlock."""
    if not outbox.database.is_postgresql:
        return
    for number in range(9):
        await enqueue(outbox, to(PERSON, f"key-{9 - number}"))
    async with transactions(outbox, "READ COMMITTED") as (application, other):
        await application.execute("SELECT 1 FROM dovecote.notification_key WHERE key = 'key-1' FOR UPDATE")
        erasing = asyncio.create_task(eraser(outbox).erase("shop", PERSON))
        await blocked(outbox)

        free = await other.fetch("SELECT key FROM dovecote.notification_key FOR UPDATE SKIP LOCKED")
        await application.execute("ROLLBACK")
        await other.execute("ROLLBACK")

        assert len(free) == 8
        assert (await asyncio.wait_for(erasing, BOUND)).notifications == 9


async def test_erasing_waits_for_settled_ones_in_the_order_in_which_operators_hold_them(outbox: Outbox) -> None:
    if not outbox.database.is_postgresql:
        return
    ids = [(await enqueue(outbox, to(PERSON)))[0] for _ in range(3)]
    for ago, id_ in enumerate(ids):
        await outbox.settle(settlement(await of(outbox, PERSON), Dead("no", 400)))
        await outbox.advance(9)
        await outbox.sql(f"UPDATE dovecote.history SET settled_at = settled_at - interval '{ago} min' WHERE id = {id_}")  # noqa: S608 (numbers)
    async with transactions(outbox, "READ COMMITTED") as (operator, other):
        await operator.execute(f"SELECT 1 FROM dovecote.history WHERE id = {ids[0]} FOR UPDATE")  # noqa: S608 (a number)
        erasing = asyncio.create_task(eraser(outbox).erase("shop", PERSON))
        await blocked(outbox)

        free = await other.fetch("SELECT id FROM dovecote.history FOR UPDATE SKIP LOCKED")
        await operator.execute("ROLLBACK")
        await other.execute("ROLLBACK")

        assert sorted(row["id"] for row in free) == ids[1:]
        assert (await asyncio.wait_for(erasing, BOUND)).history == 3

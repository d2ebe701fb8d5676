"""Broadcasts from the draft to the record, over real parts: what arrives, what does not, and what is undone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from deliveries import TOKEN, until
from sqlalchemy import func, select

from dovecote import Attachment
from dovecote.broadcast import Addressee, Broadcast, BroadcastState, RecipientState, Segment
from dovecote.broadcasts import Broadcaster, BroadcasterSettings, undoing
from dovecote.emulator import Answer, Recipient, Rule
from dovecote.errors import InvalidBroadcast, InvalidNotification, UnknownFile
from dovecote.service import Service
from dovecote.stores.broadcast_turns import BroadcastTurns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deliveries import Delivery

    from dovecote.emulator import Emulator

HELLO = Broadcast(
    name="hello",
    bot="shop",
    text="Hello {{ name }}!",
    template=True,
    locales={"pt": {"text": "Olá {{ name }}!"}, "pt-BR": {"text": "Oi {{ name }}!"}},
)


BOTH = pytest.mark.parametrize("outbox_url", ["sqlite", "postgresql"], indirect=True)


async def deliver(shop: Delivery) -> None:
    """Until nothing is waiting, as `dovecote worker --until-empty` does."""
    await Service(shop.dovecote, http=False).run(until_empty=True)


async def fill(shop: Delivery) -> None:
    """Let it come into the outbox."""
    broadcaster = shop.dovecote.broadcaster()
    await broadcaster.fill()
    await broadcaster.close()


def texts(emulator: Emulator) -> dict[Any, Any]:
    return {record.parameters["chat_id"]: record.parameters.get("text") for record in emulator.accepted}


@BOTH
async def test_each_gets_its_own_text_once(shop: Delivery, emulator: Emulator) -> None:
    people = [
        Addressee(1, "pt-BR", {"name": "Ana"}),
        Addressee(2, "pt-PT", {"name": "Rui"}),
        Addressee(3, "de", {"name": "Eva"}),
        Addressee(4, None, {}),
    ]
    await shop.dovecote.broadcasts.create(HELLO, people)
    await shop.dovecote.broadcasts.start("hello")

    await deliver(shop)

    assert texts(emulator) == {1: "Oi Ana!", 2: "Olá Rui!", 3: "Hello Eva!"}
    record = await shop.dovecote.broadcasts.get("hello")
    assert (record.state, record.counts.delivered, record.counts.dead) == (BroadcastState.FINISHED, 3, 1)
    (dead,) = await shop.dovecote.broadcasts.recipients("hello", states=[RecipientState.DEAD])
    assert (dead.chat, dead.error) == ("4", "its text cannot be made: template: 'name' is undefined.")


async def test_the_content_is_kept_once_and_a_batch_by_hand_has_it(shop: Delivery) -> None:
    await shop.dovecote.broadcasts.create(HELLO, [Addressee(1, None, {"name": "Ana"})])
    await shop.dovecote.broadcasts.start("hello")
    await fill(shop)

    (row,) = await shop.rows("notification")
    assert {"broadcast": "broadcast://1", "text": "broadcast://1"} in row
    async with shop.dovecote.unit_of_work() as uow:
        (item,) = await uow.outbox.claim_pending(limit=10)
        assert item.params == '{"text":"Hello Ana!"}'
        await uow.outbox.mark_delivered(item.id)
        await uow.commit()


async def test_files_are_uploaded_once_and_captions_rendered(shop: Delivery, emulator: Emulator) -> None:
    menu_file = await shop.dovecote.files.put(b"Tea, milk", name="menu.txt", keep=True)
    loose = await shop.dovecote.files.put(b"Coffee", name="other.txt")
    menu = Broadcast(
        name="menu",
        bot="shop",
        method="sendDocument",
        params={"document": Attachment(menu_file), "caption": "For {{ name }}"},
        template=True,
    )
    with pytest.raises(InvalidBroadcast, match="is not kept"):
        await shop.dovecote.broadcasts.create(replace(menu, params={"document": Attachment(loose)}))
    with pytest.raises(UnknownFile):
        await shop.dovecote.broadcasts.create(replace(menu, params={"document": Attachment(99)}))
    await shop.dovecote.broadcasts.create(menu, [Addressee(n, None, {"name": n}) for n in (1, 2, 3)])
    await shop.dovecote.broadcasts.start("menu")

    await deliver(shop)

    assert [record.parameters["caption"] for record in emulator.accepted] == ["For 1", "For 2", "For 3"]
    assert len(emulator.uploads) == 1


async def test_what_could_never_be_sent_is_refused_as_a_draft(shop: Delivery) -> None:
    create = shop.dovecote.broadcasts.create
    with pytest.raises(InvalidBroadcast, match="text: line 1"):
        await create(replace(HELLO, text="Hello {{ name", locales={}))
    with pytest.raises(InvalidBroadcast, match=r"locale pt: .*4096"):
        await create(replace(HELLO, template=False, locales={"pt": {"text": "x" * 5000}}))
    with pytest.raises(InvalidNotification, match="4096"):
        await create(Broadcast(name="x", bot="shop", text="x" * 5000))
    with pytest.raises(InvalidBroadcast, match="letters, digits"):
        await create(replace(HELLO, name="a b"))
    with pytest.raises(InvalidBroadcast, match="is none: write it as pt"):
        await create(replace(HELLO, locales={"not a locale": {}}))
    with pytest.raises(InvalidBroadcast, match='"chat_id" is the recipient'):
        await create(Broadcast(name="x", bot="shop", text="x", params={"chat_id": 1}))
    assert await shop.dovecote.broadcasts.list() == []


async def test_a_dry_run_finds_everyone_whose_text_would_be_refused(shop: Delivery, emulator: Emulator) -> None:
    people = [Addressee(n, None, {"name": "x" * (5000 if n % 700 == 0 else 5)}) for n in range(1, 2001)]
    await shop.dovecote.broadcasts.create(HELLO, people)
    told: list[int] = []

    found = await shop.dovecote.broadcasts.check("hello", told=told.append)

    assert (found.looked_at, found.refused) == (2000, 2)
    assert {each.chat for each in found.refusals} == {"700", "1400"}
    assert "4096" in str(found.refusals[0].problem)
    assert told == [1000, 2000]
    stranger, own = await shop.dovecote.broadcasts.preview("hello", [99_999, 5])
    assert (stranger.problem, own.params) == ("it is no recipient of this broadcast", {"text": "Hello xxxxx!"})
    assert emulator.accepted == []


async def test_a_test_send_goes_to_the_named_alone_and_is_not_recorded(shop: Delivery, emulator: Emulator) -> None:
    await shop.dovecote.broadcasts.create(HELLO, [Addressee(1, None, {"name": "Ana"}), Addressee(2)])

    await shop.dovecote.broadcasts.test("hello", [1, 77])
    with pytest.raises(InvalidBroadcast, match=r"for 2 it cannot be sent: .*undefined"):
        await shop.dovecote.broadcasts.test("hello", [2])
    await deliver(shop)

    assert texts(emulator) == {1: "Hello Ana!", 77: "Hello Ana!"}
    assert (await shop.dovecote.broadcasts.get("hello")).counts.waiting == 2


async def test_a_dry_run_finds_markup_that_would_be_refused(shop: Delivery, emulator: Emulator) -> None:
    params = {"parse_mode": "HTML", "reply_markup": {"inline_keyboard": [[{"text": "go", "url": "{{ url | raw }}"}]]}}
    bold = Broadcast(name="bold", bot="shop", text="<b>{{ name | raw }}</b>", params=params, template=True)
    url = "https://example.com"
    people = [
        Addressee(1, None, {"name": "Ana", "url": url}),
        Addressee(2, None, {"name": "x <rui>", "url": url}),
        Addressee(3, None, {"name": "Eva", "url": "no url"}),
    ]
    await shop.dovecote.broadcasts.create(bold, people)

    found = await shop.dovecote.broadcasts.check("bold")
    with pytest.raises(InvalidBroadcast, match="Telegram would refuse it"):
        await shop.dovecote.broadcasts.test("bold", [2])

    assert [each.chat for each in found.refusals] == ["2", "3"]
    assert [each.problem for each in found.refusals] == [
        'Telegram would refuse it: Bad Request: can\'t parse entities: Unsupported start tag "rui" at byte offset 5',
        "Telegram would refuse it: Bad Request: BUTTON_URL_INVALID",
    ]
    # What a dry run says is what is said when it is sent.
    await shop.dovecote.broadcasts.start("bold")
    await deliver(shop)
    dead = await shop.dovecote.broadcasts.recipients("bold", states=[RecipientState.DEAD])
    assert [f"Telegram would refuse it: {each.error}" for each in dead] == [each.problem for each in found.refusals]
    assert list(texts(emulator)) == [1]


@BOTH
async def test_it_is_edited_and_recalled_everywhere(shop: Delivery, emulator: Emulator) -> None:
    emulator.recipients(Recipient(2, "blocked"))
    await shop.dovecote.broadcasts.create(HELLO, [Addressee(n, None, {"name": n}) for n in (1, 2, 3)])
    await shop.dovecote.broadcasts.start("hello")
    with pytest.raises(InvalidBroadcast, match="pause or cancel it first"):
        await shop.dovecote.broadcasts.recall("hello")
    await deliver(shop)
    sent = {record.parameters["chat_id"]: record.message_ids[0] for record in emulator.accepted}
    assert sorted(sent) == [1, 3]

    edit = await shop.dovecote.broadcasts.edit("hello", text="Bye {{ name }}!")
    assert (edit.of, edit.counts.recipients) == ("hello", 2)
    await deliver(shop)
    edited = [record for record in emulator.accepted if record.method.lower() == "editmessagetext"]
    assert {r.parameters["chat_id"]: (r.parameters["message_id"], r.parameters["text"]) for r in edited} == {
        1: (sent[1], "Bye 1!"),
        3: (sent[3], "Bye 3!"),
    }

    await shop.dovecote.broadcasts.recall("hello")
    await deliver(shop)
    deleted = [record for record in emulator.accepted if record.method.lower() == "deletemessage"]
    assert {r.parameters["chat_id"]: r.parameters["message_id"] for r in deleted} == sent
    record = await shop.dovecote.broadcasts.get("hello-recall")
    assert (record.state, record.counts.delivered, record.of) == (BroadcastState.FINISHED, 2, "hello")
    with pytest.raises(InvalidBroadcast, match='is itself a recall of "hello"'):
        await shop.dovecote.broadcasts.recall("hello-recall")


async def test_what_is_too_old_to_be_deleted_is_left_out_of_a_recall(shop: Delivery) -> None:
    await shop.dovecote.broadcasts.create(HELLO, [Addressee(n, None, {"name": n}) for n in (1, 2)])
    await shop.dovecote.broadcasts.start("hello")
    await deliver(shop)
    table = shop.dovecote.database.tables.broadcast_recipient
    (two,) = [each for each in await shop.dovecote.broadcasts.recipients("hello") if each.chat == "2"]
    assert two.settled_at is not None
    old = table.update().where(table.c.chat == "1").values(settled_at=two.settled_at - timedelta(hours=49))
    await shop.dovecote.database.run(lambda c: c.execute(old), write=True)

    record = await shop.dovecote.broadcasts.recall("hello")

    assert record.counts.recipients == 1
    await fill(shop)
    table = shop.dovecote.database.tables.notification
    (expires_at,) = await shop.dovecote.database.run(lambda c: list(c.execute(select(table.c.expires_at)).scalars()))
    assert expires_at == two.settled_at + timedelta(hours=48)


async def test_a_segment_and_a_query_of_the_outboxs_own_database(shop: Delivery) -> None:
    await shop.dovecote.set_recipient_zone("shop", 5, "Europe/Berlin")
    await shop.dovecote.set_recipient_zone("shop", 6, None)
    await shop.dovecote.broadcasts.create(Broadcast(name="x", bot="shop", text="x"), Segment())
    bot = shop.dovecote.database.tables.bot.fullname

    added = await shop.dovecote.broadcasts.add_query("x", f"SELECT id + 41 AS chat_id, name FROM {bot}")  # noqa: S608

    assert added.added == 1
    (five, fresh, six) = sorted(await shop.dovecote.broadcasts.recipients("x"), key=lambda each: each.chat)
    assert (five.chat, fresh.variables, six.chat) == ("42", {}, "6")


class Leads:
    """An instance that always leads, or never does."""

    available = True

    def __init__(self, term: int | None) -> None:
        self.term = term

    async def changed(self) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def moving(shop: Delivery, *, leads: bool = True, **settings: Any) -> AsyncIterator[None]:
    """The loop of an instance, beside a worker."""
    store = BroadcastTurns(shop.dovecote.database)
    loop = Broadcaster(store, Leads(1 if leads else None), BroadcasterSettings(**settings))
    task = asyncio.create_task(loop.run())
    async with shop.working():
        yield
        loop.stop()
        await task


@pytest.mark.parametrize("leads", [True, False])
async def test_the_loop_delivers_with_a_leader_and_without_one(shop: Delivery, *, leads: bool) -> None:
    await shop.dovecote.broadcasts.create(HELLO, [Addressee(n, None, {"name": n}) for n in range(1, 51)])

    soon = timedelta(milliseconds=20)
    async with moving(shop, leads=leads, sweep_interval=soon, overdue_by=timedelta(0), busy_interval=soon):
        await shop.dovecote.broadcasts.start("hello")

        async def is_finished() -> bool:
            return (await shop.dovecote.broadcasts.get("hello")).state is BroadcastState.FINISHED

        await until(is_finished)
    assert (await shop.dovecote.broadcasts.get("hello")).counts.delivered == 50


@BOTH
async def test_a_pause_in_the_middle_stops_it_and_nobody_gets_it_twice(shop: Delivery, emulator: Emulator) -> None:
    await shop.dovecote.add_bot("slow", token=TOKEN, pace=200, private_limit=None)
    await shop.dovecote.broadcasts.create(
        replace(HELLO, bot="slow"), [Addressee(n, None, {"name": n}) for n in range(1, 401)]
    )
    async with moving(shop):
        await shop.dovecote.broadcasts.start("hello")
        await until(lambda: len(emulator.accepted) >= 50)

        record = await shop.dovecote.broadcasts.pause("hello")

        assert record.state is BroadcastState.PAUSED
        # What is in hand is the slots of half a second at most.
        in_hand = [row for row in await shop.rows("notification") if row[-1] is not None]
        assert len(in_hand) <= 200

        async def is_quiet() -> bool:
            return all(row[-1] is None for row in await shop.rows("notification"))

        await until(is_quiet)
        arrived = len(emulator.accepted)
        assert arrived < 400
        await shop.dovecote.broadcasts.resume("hello")

        async def is_finished() -> bool:
            return (await shop.dovecote.broadcasts.get("hello")).state is BroadcastState.FINISHED

        await until(is_finished)
    assert sorted(record.parameters["chat_id"] for record in emulator.accepted) == list(range(1, 401))


async def test_who_only_empties_the_outbox_does_not_wait_for_what_is_paused(shop: Delivery, emulator: Emulator) -> None:
    await shop.dovecote.broadcasts.create(HELLO, [Addressee(1, None, {"name": "Ana"})])
    await shop.dovecote.broadcasts.start("hello")
    await fill(shop)
    await shop.dovecote.broadcasts.pause("hello")

    await deliver(shop)

    record = await shop.dovecote.broadcasts.get("hello")
    assert (record.state, record.counts.enqueued, emulator.accepted) == (BroadcastState.PAUSED, 1, [])


async def test_progress_reads_one_row_whatever_the_number_of_recipients(shop: Delivery) -> None:
    await shop.dovecote.broadcasts.create(HELLO, [Addressee(n, None, {"name": n}) for n in range(1, 5)])
    table = shop.dovecote.database.tables.broadcast_recipient
    # Were anything counted over the recipients, it would see that they are gone.
    await shop.dovecote.database.run(
        lambda c: c.execute(table.delete().where(func.length(table.c.chat) > 0)), write=True
    )

    assert (await shop.dovecote.broadcasts.get("hello")).counts.recipients == 4
    (listed,) = await shop.dovecote.broadcasts.list()
    assert listed.counts.waiting == 4


async def test_a_recall_that_was_cut_off_goes_on_where_it_was_and_cannot_begin_before(
    shop: Delivery, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    broadcasts = shop.dovecote.broadcasts
    await broadcasts.create(replace(HELLO, text="Hello", template=False, locales={}), range(1, 6))
    await broadcasts.start("hello")
    await deliver(shop)
    monkeypatch.setattr(undoing, "BATCH", 2)

    def killed(added: int) -> None:
        if added == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await broadcasts.recall("hello", told=killed)
    assert (await broadcasts.get("hello-recall")).counts.recipients == 4
    with pytest.raises(InvalidBroadcast, match='was cut off before all were in it: recall "hello" again'):
        await broadcasts.start("hello-recall")

    record = await broadcasts.recall("hello")

    assert (record.state, record.counts.recipients) == (BroadcastState.RUNNING, 5)
    await deliver(shop)
    deleted = [each.parameters["chat_id"] for each in emulator.accepted if each.method.lower() == "deletemessage"]
    assert sorted(deleted) == [1, 2, 3, 4, 5]


async def test_an_edit_that_was_cut_off_goes_on_with_the_same_text_alone(
    shop: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    broadcasts = shop.dovecote.broadcasts
    await broadcasts.create(replace(HELLO, text="Hello", template=False, locales={}), range(1, 6))
    await broadcasts.start("hello")
    await deliver(shop)
    monkeypatch.setattr(undoing, "BATCH", 2)

    def killed(_added: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await broadcasts.edit("hello", text="Good day", told=killed)

    with pytest.raises(InvalidBroadcast, match='a draft named "hello-edit" that says something else'):
        await broadcasts.edit("hello", text="Good night")
    assert (await broadcasts.edit("hello", text="Good day")).counts.recipients == 5


async def test_what_a_worker_has_in_hand_is_recalled_as_well(shop: Delivery, emulator: Emulator) -> None:
    broadcasts = shop.dovecote.broadcasts
    emulator.script(Rule(Answer(delay=0.5), times=3))
    await broadcasts.create(replace(HELLO, text="Hello", template=False, locales={}), range(1, 4))
    await broadcasts.start("hello")
    await fill(shop)
    async with shop.working():
        await until(lambda: len(emulator.requests) == 3)
        await broadcasts.cancel("hello")
        assert (await broadcasts.get("hello")).counts.delivered == 0

        record = await broadcasts.recall("hello")

    assert record.counts.recipients == 3

"""What every database promises of `file_id`s and of the turns to upload."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from outboxes import START, failed, ids
from outboxes import settlement as settled

from dovecote.model import Released, UploadKey
from dovecote.stores.file_ids import FileIds

if TYPE_CHECKING:
    from outboxes import Outbox
    from sqlalchemy import Connection

    from dovecote.ports.attachments import FileIds as Port

LEASE = timedelta(seconds=30)
ONE, TWO = UploadKey(1, "a" * 64, "photo"), UploadKey(1, "b" * 64, "photo", "x")


@pytest.fixture
def file_ids(outbox: Outbox) -> Port:
    return FileIds(outbox.database, clock=outbox._microseconds)


async def put(outbox: Outbox, file_id: int, sha256: str, *names: str) -> None:
    files = outbox.database.tables.files
    file = {"id": file_id, "sha256": sha256, "size": 9, "content_type": "image/png", "created_at": START}
    named = [
        {"file_id": file_id, "name": name, "named_at": START + timedelta(seconds=n)} for n, name in enumerate(names)
    ]

    def write(connection: Connection) -> None:
        connection.execute(files.file.insert().values(**file, needed_at=START, kept=False))
        for row in named:
            connection.execute(files.file_name.insert().values(**row))

    await outbox.database.run(write, write=True)


class TestLookingUp:
    async def test_a_file_comes_with_its_newest_name_and_what_each_bot_calls_it(
        self, outbox: Outbox, file_ids: Port
    ) -> None:
        await put(outbox, 5, ONE.sha256, "old.png", "new.png")
        await put(outbox, 6, TWO.sha256)
        other = ONE._replace(bot_id=2)
        await file_ids.finish({ONE: "called", ONE._replace(kind="document"): "as document", other: "another bot's"})

        known = await file_ids.look_up({(1, 5), (1, 6), (1, 7)})

        assert {id_: (file.sha256, file.size, file.name) for id_, file in known.files.items()} == {
            5: (ONE.sha256, 9, "new.png"),
            6: (TWO.sha256, 9, None),
        }
        assert known.file_ids == {ONE: "called", ONE._replace(kind="document"): "as document"}

    async def test_one_that_is_forgotten_is_gone_unless_it_is_another_by_now(self, file_ids: Port) -> None:
        await file_ids.finish({ONE: "old", TWO: "other"})
        await file_ids.forget({ONE: "old"})
        await file_ids.finish({ONE: "new"})

        await file_ids.forget({ONE: "old", TWO: "never"})

        turn = await file_ids.begin([ONE, TWO], uploader="me", lease=LEASE)
        assert (dict(turn.file_ids), dict(turn.busy)) == ({ONE: "new", TWO: "other"}, {})

    async def test_what_telegram_calls_a_content_goes_with_the_content(self, outbox: Outbox, file_ids: Port) -> None:
        from dovecote.stores.files import Files  # noqa: PLC0415 (beside the subject)

        await put(outbox, 5, ONE.sha256)
        await file_ids.finish({ONE: "called", TWO: "other"})

        await Files(outbox.database, clock=outbox._microseconds).forget(5)

        turn = await file_ids.begin([ONE, TWO], uploader="me", lease=LEASE)
        assert dict(turn.file_ids) == {TWO: "other"}


class TestTurns:
    async def test_a_turn_is_one_uploaders_until_its_lease_ends(self, outbox: Outbox, file_ids: Port) -> None:
        assert not (await file_ids.begin([ONE], uploader="first", lease=LEASE)).busy
        await outbox.advance(10)
        assert dict((await file_ids.begin([ONE], uploader="second", lease=LEASE)).busy) == {ONE: 20.0}
        await outbox.advance(20)

        assert not (await file_ids.begin([ONE], uploader="second", lease=LEASE)).busy
        assert dict((await file_ids.begin([ONE], uploader="first", lease=LEASE)).busy) == {ONE: 30.0}

    async def test_one_that_is_renewed_lasts(self, outbox: Outbox, file_ids: Port) -> None:
        await file_ids.begin([ONE], uploader="first", lease=LEASE)
        await outbox.advance(20)
        await file_ids.renew([ONE], uploader="first", lease=LEASE)
        await file_ids.renew([ONE], uploader="second", lease=timedelta(days=1))

        assert dict((await file_ids.begin([ONE], uploader="second", lease=LEASE)).busy) == {ONE: 30.0}

    async def test_all_of_a_notifications_files_or_none(self, file_ids: Port) -> None:
        await file_ids.begin([ONE], uploader="first", lease=LEASE)

        assert list((await file_ids.begin([TWO, ONE], uploader="second", lease=LEASE)).busy) == [ONE]
        assert not (await file_ids.begin([TWO], uploader="third", lease=LEASE)).busy

    async def test_one_that_is_given_up_is_free_at_once_and_another_stays(self, file_ids: Port) -> None:
        await file_ids.begin([ONE], uploader="first", lease=LEASE)
        await file_ids.give_up([ONE], uploader="second")
        assert (await file_ids.begin([ONE], uploader="second", lease=LEASE)).busy

        await file_ids.give_up([ONE], uploader="first")

        assert not (await file_ids.begin([ONE], uploader="second", lease=LEASE)).busy

    async def test_what_is_known_is_nobodys_turn(self, file_ids: Port) -> None:
        await file_ids.begin([ONE, TWO], uploader="first", lease=LEASE)
        await file_ids.finish({ONE: "called"})

        turn = await file_ids.begin([ONE], uploader="second", lease=LEASE)

        assert (dict(turn.file_ids), dict(turn.busy)) == ({ONE: "called"}, {})

    async def test_a_late_upload_of_a_turn_that_was_lost_is_right_as_well(self, outbox: Outbox, file_ids: Port) -> None:
        await file_ids.begin([ONE], uploader="frozen", lease=LEASE)
        await outbox.advance(31)
        await file_ids.begin([ONE], uploader="second", lease=LEASE)
        await file_ids.finish({ONE: "second's"})

        await file_ids.finish({ONE: "frozen one's"})

        turn = await file_ids.begin([ONE], uploader="third", lease=LEASE)
        assert dict(turn.file_ids) == {ONE: "frozen one's"}


class TestWaking:
    async def test_what_was_given_back_to_wait_is_due_now_and_nothing_else_is(
        self, outbox: Outbox, file_ids: Port
    ) -> None:
        await outbox.put(1, chat="1")
        await outbox.put(2, chat="2")
        await outbox.put(3, chat="3", planned=100)
        claimed = await outbox.claim()
        await outbox.settle(*(settled(each, Released(timedelta(seconds=20))) for each in claimed))
        assert await outbox.claim() == []

        left = await file_ids.wake(claimed)

        assert list(left) == []
        assert sorted(ids(await outbox.claim())) == [1, 2]
        assert (await outbox.waiting(1)).attempts == 1

    async def test_what_is_not_given_back_yet_is_told(self, outbox: Outbox, file_ids: Port) -> None:
        await outbox.put(1)
        claimed = await outbox.claim()

        assert list(await file_ids.wake(claimed)) == [1]
        assert (await outbox.waiting(1)).due_at == START + timedelta(seconds=60)

    async def test_what_has_failed_since_keeps_its_backoff(self, outbox: Outbox, file_ids: Port) -> None:
        await outbox.put(1)
        claimed = await outbox.claim()
        await outbox.settle(*(settled(each, Released(timedelta(0))) for each in claimed))
        (again,) = await outbox.claim()
        await outbox.settle(failed(again, retry_in=50))

        await file_ids.wake(claimed)

        assert (await outbox.waiting(1)).due_at == START + timedelta(seconds=50)

    async def test_what_was_postponed_behind_it_in_its_chat_is_due_as_well(
        self, outbox: Outbox, file_ids: Port, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The photo of another chat uploads, that of chat 1 waits, and four texts wait behind it."""
        monkeypatch.setattr("dovecote.stores.file_ids.CHUNK", 2)
        await outbox.put(1, 2, 3, 4, 5, chat="1")
        await outbox.put(6, chat="1", planned=100)
        await outbox.put(7, chat="2", planned=100)
        (photo,) = await outbox.claim()
        await outbox.settle(settled(photo, Released(timedelta(seconds=30))))
        await outbox.advance(1)
        assert await outbox.claim() == []
        assert (await outbox.waiting(2)).due_at >= START + timedelta(seconds=30)

        await file_ids.wake([photo])

        assert [(await outbox.waiting(id_)).due_at for id_ in (1, 2, 3, 4, 5)] == [START + timedelta(seconds=1)] * 5
        assert [(await outbox.waiting(id_)).due_at for id_ in (6, 7)] == [START + timedelta(seconds=100)] * 2
        delivered = []
        for _ in range(5):
            (claimed,) = await outbox.claim()
            delivered.append(claimed.id)
            await outbox.deliver(claimed)
            await outbox.advance(1)
        assert delivered == [1, 2, 3, 4, 5]

    async def test_what_is_in_flight_or_was_tried_in_its_chat_stays(self, outbox: Outbox, file_ids: Port) -> None:
        await outbox.put(1, chat="1")
        (photo,) = await outbox.claim()
        await outbox.settle(settled(photo, Released(timedelta(seconds=30))))
        backoff = START + timedelta(seconds=50)
        await outbox.put(2, chat="1", attempts=1, due_at=backoff)
        await outbox.put(3, chat="1", lease_token=9, due_at=backoff)
        await outbox.put(4, chat="2", due_at=backoff)

        await file_ids.wake([photo])

        assert [(await outbox.waiting(id_)).due_at for id_ in (1, 2, 3, 4)] == [START, backoff, backoff, backoff]

"""The unit of work as a caller writes it, and a batch by hand."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from deliveries import OTHER_TOKEN, delivery

from dovecote.app import process_notifications_batch
from dovecote.batch import BatchSummary
from dovecote.emulator import Answer, Emulator, Match, Rule
from dovecote.errors import InvalidNotification, StoreUnavailable
from dovecote.model import Notification, State
from dovecote.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from databases import PostgresDatabases


class TestTheUnitOfWork:
    async def test_as_the_design_shows_it(self, outbox_url: str) -> None:
        async with delivery(outbox_url) as parts:
            ids = await parts.backlog(3)
            sent = []

            async with UnitOfWork() as uow:
                outbox_items = await uow.outbox.claim_pending(limit=100)
                for item in outbox_items:
                    sent.append((item.bot, item.chat, item.method, json.loads(item.params)))
                    if item.chat == "3":
                        await uow.outbox.mark_failed(item.id)
                    else:
                        await uow.outbox.mark_delivered(item.id)
                await uow.commit()

            assert sorted(sent, key=str) == [("shop", str(n), "sendMessage", {"text": str(n)}) for n in (1, 2, 3)]
            stats = await parts.dovecote.stats()
            assert (stats.delivered, stats.leased, stats.due + stats.scheduled) == (2, 0, 1)
            assert [await parts.outcomes(id_) for id_ in ids] == [
                [(1, "delivered")],
                [(1, "delivered")],
                [(1, "failed")],
            ]

    async def test_every_mark_is_recorded_as_what_it_says(self, outbox_url: str) -> None:
        async with delivery(outbox_url) as parts:
            ids = await parts.backlog(6)
            async with UnitOfWork() as uow:
                await uow.outbox.claim_pending()
                await uow.outbox.mark_delivered(ids[0], [501, 502])
                await uow.outbox.mark_failed(ids[1], "no route")
                await uow.outbox.mark_unknown(ids[2], "the answer was lost")
                await uow.outbox.mark_dead(ids[3], "Bad Request: chat not found", 400)
                await uow.outbox.mark_snoozed(ids[4], timedelta(seconds=600))
                await uow.outbox.release(ids[5])
                await uow.commit()

            records = [await parts.dovecote.notification(id_) for id_ in ids]
            attempts = [[(a.outcome, a.error, a.message_ids) for a in record.attempts] for record in records]
            assert attempts == [
                [("delivered", None, (501, 502))],
                [("failed", "no route", ())],
                [("unknown", "the answer was lost", ())],
                [("dead", "Bad Request: chat not found", ())],
                [("snoozed", "", ())],
                [],
            ]
            assert records[3].error_code == 400
            assert (await parts.dovecote.bots())[0].halted_until is not None

    async def test_marks_are_remembered_and_the_commit_is_one_statement(
        self, postgres: PostgresDatabases, postgresql_outbox_url: str
    ) -> None:
        async with delivery(postgresql_outbox_url) as parts:
            await parts.backlog(50)
            async with UnitOfWork() as uow:
                items = await uow.outbox.claim_pending(limit=50)
                postgres.forget_statements(postgresql_outbox_url)
                for item in items:
                    await uow.outbox.mark_delivered(item.id)
                assert postgres.statement_count(postgresql_outbox_url) == 0
                await uow.commit()
            assert postgres.statement_count(postgresql_outbox_url) == 1
            assert (await parts.dovecote.stats()).delivered == 50

    async def test_a_commit_claims_the_next_batch_with_it(
        self, postgres: PostgresDatabases, postgresql_outbox_url: str
    ) -> None:
        async with delivery(postgresql_outbox_url) as parts:
            ids = await parts.backlog(30)
            async with UnitOfWork() as uow:
                items = list(await uow.outbox.claim_pending(limit=10))
                postgres.forget_statements(postgresql_outbox_url)
                seen = [item.id for item in items]
                while items:
                    for item in items:
                        await uow.outbox.mark_delivered(item.id)
                    items = list(await uow.commit(claim=10))
                    seen += [item.id for item in items]
            assert postgres.statement_count(postgresql_outbox_url) == 3
            assert sorted(seen) == ids
            assert (await parts.dovecote.stats()).delivered == 30

    async def test_an_exception_keeps_the_leases(self, outbox_url: str) -> None:
        async with delivery(outbox_url) as parts:
            ids = await parts.backlog(2)
            with pytest.raises(ZeroDivisionError):
                await _broken_unit(ids[0])

            assert [(await parts.dovecote.notification(id_)).state for id_ in ids] == [State.LEASED, State.LEASED]

    async def test_an_orderly_end_gives_back_what_was_never_marked(self, outbox_url: str) -> None:
        async with delivery(outbox_url) as parts:
            ids = await parts.backlog(3)
            async with UnitOfWork() as uow:
                await uow.outbox.claim_pending()
                await uow.outbox.mark_delivered(ids[0])
                await uow.commit()
                # Never committed: it was perhaps sent, and nobody may take it for untried.
                await uow.outbox.mark_delivered(ids[1])

            records = [await parts.dovecote.notification(id_) for id_ in ids]
            assert [record.state for record in records] == [State.DELIVERED, State.LEASED, State.DUE]
            async with UnitOfWork() as uow:
                (again,) = await uow.outbox.claim_pending()
                assert (again.id, again.attempt) == (ids[2], 1)

    async def test_marks_survive_a_database_that_is_away(
        self, outbox_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with delivery(outbox_url) as parts:
            (id_,) = await parts.backlog(1)
            async with UnitOfWork() as uow:
                await uow.outbox.claim_pending()
                await uow.outbox.mark_delivered(id_)
                with monkeypatch.context() as patch:
                    patch.setattr(parts.dovecote.store, "cycle", _away)
                    with pytest.raises(StoreUnavailable):
                        await uow.commit()
                await uow.commit()

            assert await parts.outcomes(id_) == [(1, "delivered")]

    async def test_what_is_not_claimed_cannot_be_marked(self, outbox_url: str) -> None:
        async with delivery(outbox_url) as parts:
            (id_,) = await parts.backlog(1)
            async with UnitOfWork() as uow:
                with pytest.raises(InvalidNotification, match=f"id: {id_} is not claimed in this unit of work"):
                    await uow.outbox.mark_delivered(id_)
                with pytest.raises(ValueError, match="limit is 0: claim a whole number"):
                    await uow.outbox.claim_pending(limit=0)


async def _away(*_: object, **__: object) -> None:
    raise StoreUnavailable("the database cannot be used just now: it is away")


async def _broken_unit(id_: int) -> None:
    async with UnitOfWork() as uow:
        await uow.outbox.claim_pending()
        await uow.outbox.mark_delivered(id_)
        raise ZeroDivisionError


class TestABatchByHand:
    async def test_it_claims_sends_and_records(self, outbox_url: str) -> None:
        async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
            await parts.bot("support", OTHER_TOKEN)
            emulator.script(
                Rule(Answer.error(403, "Forbidden: bot was blocked by the user"), Match(chat_id=1)),
                Rule(Answer(mode="drop"), Match(chat_id=2)),
                Rule(Answer.error(429, "Too Many Requests: retry after 60", retry_after=60), Match(bot=777)),
            )
            await parts.backlog(10)
            await parts.enqueue(Notification(bot="support", chat_id=5, text="5"))

            first = await process_notifications_batch(batch_size=100)
            second = await process_notifications_batch(batch_size=100)

            assert first == BatchSummary(claimed=11, delivered=8, unknown=1, dead=1, waiting=1)
            assert second.claimed <= 1  # the unknown one, if its backoff is over
            stats = await parts.dovecote.stats()
            assert (stats.delivered, stats.dead) == (8, 1)

    async def test_a_batch_is_no_larger_than_asked_for(self, outbox_url: str) -> None:
        async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
            await parts.backlog(25)
            claimed = [(await process_notifications_batch(batch_size=10)).claimed for _ in range(4)]
            assert claimed == [10, 10, 5, 0]
            assert len(emulator.accepted) == 25

    @pytest.mark.parametrize("size", [0, -1, 1.5, "x", True, None])
    async def test_a_size_that_is_none_is_refused(self, outbox_url: str, size: Any) -> None:
        async with delivery(outbox_url) as parts:
            await parts.backlog(1)

            with pytest.raises(ValueError, match=f"batch_size is {size!r}: give a whole number"):
                await process_notifications_batch(batch_size=size)
            async with UnitOfWork() as uow:
                with pytest.raises(ValueError, match=f"limit is {size!r}: claim a whole number"):
                    await uow.outbox.claim_pending(limit=size)
            assert (await parts.dovecote.stats()).due == 1

    async def test_it_is_two_statements_and_the_token(
        self, postgres: PostgresDatabases, postgresql_outbox_url: str
    ) -> None:
        async with Emulator() as emulator, delivery(postgresql_outbox_url, emulator.url) as parts:
            await parts.backlog(300)
            await process_notifications_batch(batch_size=100)  # opens connections and reads the token
            postgres.forget_statements(postgresql_outbox_url)
            assert await process_notifications_batch(batch_size=100) == BatchSummary(claimed=100, delivered=100)
            assert postgres.statement_count(postgresql_outbox_url) == 2

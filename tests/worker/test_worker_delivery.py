"""A worker, a real outbox and the Bot API emulator: what becomes of each kind of answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from deliveries import OTHER_TOKEN, TOKEN, Delivery, delivery, until
from servers import free_port

from dovecote.emulator import Answer, Emulator, Match, Rule
from dovecote.model import Dead, Delivered, DeliveryPolicy, Notification, State

if TYPE_CHECKING:
    from datetime import timedelta

    import pytest

    from dovecote.model import ClaimedNotification, Outcome

QUICK = {"first": "10ms", "longest": "50ms"}
ONCE = DeliveryPolicy.AT_MOST_ONCE


def texts(emulator: Emulator, bot: int = 4242) -> list[str]:
    """The texts that Telegram would have shown, in order."""
    return [record.parameters["text"] for record in emulator.accepted if record.bot_id == bot]


async def test_a_backlog_is_delivered_each_once(outbox_url: str) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        ids = await parts.backlog(1200)
        async with parts.working():
            await until(lambda: parts.settled(1200))

        assert sorted(map(int, texts(emulator))) == list(range(1, 1201))
        assert await parts.outcomes(ids[0]) == [(1, "delivered")]
        record = await parts.dovecote.notification(ids[0])
        assert record.attempts[0].message_ids == emulator.accepted[0].message_ids
        assert await parts.rows("notification") == []


async def test_a_server_that_refuses_connections_costs_failures_with_backoff(outbox_url: str) -> None:
    port = free_port()
    async with delivery(outbox_url, f"http://127.0.0.1:{port}", retry={**QUICK, "attempts": 1000}) as parts:
        (id_,) = await parts.backlog(1)
        async with parts.working():
            await until(lambda: _attempts(parts, id_, at_least=3))
            async with Emulator(port=port) as emulator:
                await until(lambda: parts.settled(1))
                assert texts(emulator) == ["1"]

        *failed, last = await parts.outcomes(id_)
        assert last == (len(failed) + 1, "delivered")
        assert failed == [(number, "failed") for number in range(1, len(failed) + 1)]
        record = await parts.dovecote.notification(id_)
        assert "never sent" in str(record.attempts[0].error)


async def test_when_the_attempts_are_spent_it_is_a_dead_letter_and_a_replay_delivers_it(outbox_url: str) -> None:
    port = free_port()
    async with delivery(outbox_url, f"http://127.0.0.1:{port}", retry={**QUICK, "attempts": 3}) as parts:
        (id_,) = await parts.backlog(1)
        async with parts.working():
            await until(lambda: parts.settled(1))
            dead = await parts.dovecote.notification(id_)
            assert dead.state is State.DEAD
            assert await parts.outcomes(id_) == [(1, "failed"), (2, "failed"), (3, "dead")]
            async with Emulator(port=port) as emulator:
                assert await parts.dovecote.replay([id_]) == [id_]
                await until(lambda: parts.settled(1))
                assert texts(emulator) == ["1"]

        assert (await parts.outcomes(id_))[3:] == [(4, "delivered")]


async def test_what_telegram_refuses_is_dead_in_its_own_words(outbox_url: str) -> None:
    blocked = Answer.error(403, "Forbidden: bot was blocked by the user")
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        emulator.script(Rule(blocked, Match(chat_id=2)))
        ids = await parts.backlog(3)
        async with parts.working():
            await until(lambda: parts.settled(3))

        dead = await parts.dovecote.notification(ids[1])
        assert (dead.state, dead.error_code, dead.error) == (State.DEAD, 403, "Forbidden: bot was blocked by the user")
        assert sorted(texts(emulator)) == ["1", "3"]
        assert len(emulator.requests) == 3


async def test_a_429_makes_the_whole_bot_wait_and_spends_no_attempt(outbox_url: str) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as parts:
        emulator.script(Rule(Answer.error(429, "Too Many Requests: retry after 1", retry_after=1), times=1))
        await parts.bot("support", OTHER_TOKEN)
        (limited,) = await parts.backlog(1)
        async with parts.working():
            await until(lambda: len(emulator.requests) == 1)
            await until(lambda: _halted(parts, "shop"))
            # These come while the bot waits; the other bot does not.
            later = await parts.backlog(5, first=2)
            await parts.backlog(1, bot="support", first=100)
            await until(lambda: parts.settled(7))

        told_at = emulator.requests[0].monotonic
        assert min(r.monotonic for r in emulator.accepted if r.bot_id == 4242) >= told_at + 1
        assert min(r.monotonic for r in emulator.accepted if r.bot_id == 777) < told_at + 1
        assert await parts.outcomes(limited) == [(1, "snoozed"), (2, "delivered")]
        assert (await parts.dovecote.notification(limited)).attempts[0].error == "Too Many Requests: retry after 1"
        assert [await parts.outcomes(id_) for id_ in later] == [[(1, "delivered")]] * 5
        failures = parts.dovecote.database.tables.history.c.keys().index("failures")
        assert {row[failures] for row in await parts.rows("history")} == {0}


async def test_an_answer_that_is_lost_makes_a_second_copy_at_least_once_and_an_unknown_at_most_once(
    outbox_url: str,
) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url, retry=QUICK) as parts:
        # The message arrives, the answer does not.
        emulator.script(*(Rule(Answer(mode="drop"), Match(chat_id=chat), times=1) for chat in (1, 2)))
        (again,) = await parts.enqueue(Notification(bot="shop", chat_id=1, text="again"))
        (once,) = await parts.enqueue(Notification(bot="shop", chat_id=2, text="once", delivery=ONCE))
        async with parts.working():
            await until(lambda: parts.settled(2))

        assert sorted(texts(emulator)) == ["again", "again", "once"]
        assert await parts.outcomes(again) == [(1, "unknown"), (2, "delivered")]
        assert await parts.outcomes(once) == [(1, "unknown")]
        assert (await parts.dovecote.notification(once)).state is State.UNKNOWN


async def test_a_5xx_is_unknown(outbox_url: str) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url, retry=QUICK) as parts:
        emulator.script(Rule(Answer.error(502, "Bad Gateway"), times=2))
        (id_,) = await parts.backlog(1)
        async with parts.working():
            await until(lambda: parts.settled(1))

        assert await parts.outcomes(id_) == [(1, "unknown"), (2, "unknown"), (3, "delivered")]
        assert texts(emulator) == ["1"]


async def test_a_401_stops_the_bot_until_it_has_a_new_token_and_the_others_go_on(outbox_url: str) -> None:
    new_token = "4242:" + "C" * 35
    async with (
        Emulator(tokens=[new_token, OTHER_TOKEN]) as emulator,
        delivery(outbox_url, emulator.url, worker={"poll_interval": "20ms"}) as parts,
    ):
        await parts.bot("support", OTHER_TOKEN)
        ids = await parts.backlog(20)
        await parts.backlog(20, bot="support", first=100)
        async with parts.working():
            await until(lambda: parts.settled(20))
            await until(lambda: _stopped(parts, "shop"))
            refused = len(emulator.requests) - 20
            await parts.backlog(20, bot="support", first=200)
            await until(lambda: parts.settled(40))
            assert len(texts(emulator, bot=777)) == 40
            # While others are served, the stopped bot asks nothing.
            assert len(emulator.requests) == 40 + refused
            await parts.dovecote.set_token("shop", token=new_token)
            await until(lambda: parts.settled(60))

        assert sorted(map(int, texts(emulator))) == list(range(1, 21))
        outcomes = [[outcome for _, outcome in await parts.outcomes(id_)] for id_ in ids]
        assert {outcome for each in outcomes for outcome in each} == {"stopped", "delivered"}
        assert [each[-1] for each in outcomes] == ["delivered"] * 20


async def test_a_token_that_one_worker_cannot_read_stops_only_that_worker(
    outbox_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url) as able:
        unable = Delivery(outbox_url, emulator.url, keys=[], worker={"poll_interval": "20ms"})
        ids = await able.backlog(3)
        async with unable.working():
            await until(lambda: _attempts(able, ids[2], at_least=1))
        assert len(emulator.requests) == 0
        more = await able.backlog(3, first=4)
        async with able.working():
            await until(lambda: able.settled(3))
        await unable.dovecote.close()

        assert [await able.outcomes(id_) for id_ in more] == [[(1, "delivered")]] * 3
        record = await able.dovecote.notification(ids[0])
        assert (record.state, [(a.outcome, a.error) for a in record.attempts]) == (
            State.SCHEDULED,
            [("snoozed", f'bot "shop": its token is sealed, and neither {KEYS_NOT_SET}')],
        )
        # Once, and not once a notification.
        assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1
        assert TOKEN not in caplog.text


class Garbling:
    """A channel whose answer for one notification holds a character that PostgreSQL stores in no text."""

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        del token, timeout
        return Dead("Bad Request: \x00") if claimed.chat == "7" else Delivered((claimed.id,))

    async def close(self) -> None:
        return


async def test_an_outcome_that_the_database_refuses_spoils_no_other(
    postgresql_outbox_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with delivery(postgresql_outbox_url) as parts:
        ids = await parts.backlog(20)
        async with parts.working(parts.worker_with(Garbling())):
            await until(lambda: parts.settled(19))
            await until(lambda: "its lease will run out" in caplog.text)

        records = [await parts.dovecote.notification(id_) for id_ in ids]
        assert {n: r.state for n, r in enumerate(records, start=1) if r.state is not State.DELIVERED} == {
            7: State.LEASED
        }


async def test_requests_share_connections_that_stay_open(outbox_url: str) -> None:
    worker = {"concurrency": 8}
    async with Emulator() as emulator, delivery(outbox_url, emulator.url, worker=worker) as parts:
        emulator.script(Rule(Answer(delay=0.005)))
        await parts.backlog(400)
        async with parts.working():
            await until(lambda: len(emulator.requests) >= 50)
            early = _connections(emulator)
            await until(lambda: parts.settled(400))
            assert _connections(emulator) == early
        assert len(early) == 8


def _connections(emulator: Emulator) -> set[object]:
    """Where the connections come from that are open now."""
    return {connection.transport.get_extra_info("peername") for connection in emulator._state.connections}


KEYS_NOT_SET = "encryption.keys nor encryption.keys_file is set: set the keys it was sealed with."


async def _attempts(parts: Delivery, id_: int, *, at_least: int) -> bool:
    return len((await parts.dovecote.notification(id_)).attempts) >= at_least


async def _bot(parts: Delivery, name: str) -> Any:
    (bot,) = [bot for bot in await parts.dovecote.bots() if bot.name == name]
    return bot


async def _halted(parts: Delivery, name: str) -> bool:
    return (await _bot(parts, name)).halted_until is not None


async def _stopped(parts: Delivery, name: str) -> bool:
    return (await _bot(parts, name)).stopped_reason is not None

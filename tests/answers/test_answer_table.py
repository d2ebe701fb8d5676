"""What an answer of Telegram's means, row by row: to the notification, its recipient, its bot, over real HTTP."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from answering import QUICK, Table
from deliveries import delivery, until
from servers import free_port

from dovecote.emulator import Answer, Emulator
from dovecote.model import DeliveryPolicy, Notification, Priority, State

if TYPE_CHECKING:
    from dovecote.model import NotificationRecord

ONCE = DeliveryPolicy.AT_MOST_ONCE
NEW_TOKEN = "4242:" + "C" * 35
GROUP, SUPERGROUP = -100, -1_000_000_000_777


def outcomes(record: NotificationRecord) -> list[str]:
    """The outcome of each attempt."""
    return [attempt.outcome for attempt in record.attempts]


async def test_200_is_delivered_with_its_message_id_and_an_album_with_all_of_its(table: Table) -> None:
    media = [
        {"type": "photo", "media": "https://cdn.example/1.jpg"},
        {"type": "photo", "media": "https://cdn.example/2.jpg"},
    ]
    one = await table.enqueue()
    (album,) = await table.parts.enqueue(
        Notification(bot="shop", chat_id=8, method="sendMediaGroup", params={"media": media})
    )

    message, group = await table.settled(one, album)

    assert (message.state, group.state) == (State.DELIVERED, State.DELIVERED)
    first, second = sorted(table.emulator.accepted, key=lambda record: str(record.chat_id))
    assert message.attempts[0].message_ids == first.message_ids
    assert group.attempts[0].message_ids == second.message_ids
    assert [len(record.attempts[0].message_ids) for record in (message, group)] == [1, 2]


async def test_429_snoozes_the_bot_and_spends_no_attempt(table: Table) -> None:
    table.answers(Answer.error(429, "Too Many Requests: retry after 1", retry_after=1), times=1)
    id_ = await table.enqueue()

    (record,) = await table.settled(id_)

    assert outcomes(record) == ["snoozed", "delivered"]
    told, again = table.emulator.requests
    assert again.monotonic - told.monotonic >= 1
    halted_until = (await table.bot()).halted_until
    assert halted_until is not None
    assert record.attempts[0].error_code == 429
    assert halted_until - record.attempts[0].ended_at == timedelta(seconds=1)
    failures = table.parts.dovecote.database.tables.history.c.keys().index("failures")
    assert [row[failures] for row in await table.parts.rows("history")] == [0]


async def test_429_of_a_group_makes_only_that_group_wait(table: Table) -> None:
    table.answers(Answer.error(429, "Too Many Requests: retry after 1", retry_after=1), chat=GROUP, times=1)
    group, private = await table.enqueue(GROUP), await table.enqueue(8)

    in_group, in_private = await table.settled(group, private)

    assert outcomes(in_group) == ["snoozed", "delivered"]
    assert outcomes(in_private) == ["delivered"]
    assert (await table.bot()).halted_until is None


async def test_429_of_a_group_holds_what_is_more_urgent_as_well(table: Table) -> None:
    table.answers(Answer.error(429, "Too Many Requests: retry after 1", retry_after=1), chat=GROUP, times=1)
    bulk = await table.enqueue(GROUP, text="bulk", priority=Priority.BULK)
    async with table.parts.working():
        await until(lambda: table.requests(GROUP) == 1)
        urgent = await table.enqueue(GROUP, text="urgent", priority=Priority.URGENT)
        await until(lambda: table.parts.settled(2))

    first, *others = [request for request in table.emulator.requests if request.chat_id == GROUP]
    assert [request.status for request in (first, *others)] == [429, 200, 200]
    assert table.texts() == ["urgent", "bulk"]
    assert all(request.monotonic - first.monotonic >= 0.95 for request in others)
    assert {(await table.parts.dovecote.notification(id_)).state for id_ in (bulk, urgent)} == {State.DELIVERED}


async def test_what_was_never_sent_is_tried_again(outbox_url: str) -> None:
    port = free_port()
    async with delivery(outbox_url, f"http://127.0.0.1:{port}", retry={**QUICK, "attempts": 1000}) as parts:
        (id_,) = await parts.backlog(1)

        async def has_failed() -> bool:
            return len(await parts.outcomes(id_)) >= 2

        async with parts.working():
            await until(has_failed)
            async with Emulator(port=port) as emulator:
                await until(lambda: parts.settled(1))
                assert len(emulator.requests) == 1

        record = await parts.dovecote.notification(id_)
        assert set(outcomes(record)[:-1]) == {"failed"}
        assert record.state is State.DELIVERED


@pytest.mark.parametrize("mode", ["drop", "close", "stall"])
async def test_anything_after_the_request_is_unknown_and_the_policy_decides(outbox_url: str, mode: str) -> None:
    async with Emulator() as emulator, delivery(outbox_url, emulator.url, retry=QUICK, timeout=1) as parts:
        table = Table(parts, emulator)
        delay = 0.0 if mode != "stall" else 3.0
        for chat in (7, 8):
            table.answers(Answer(mode=mode, delay=delay, accept=True), chat=chat, times=1)  # type: ignore[arg-type]
        least, most = await table.enqueue(7), await table.enqueue(8, delivery=ONCE)

        again, never_again = await table.settled(least, most)

        assert outcomes(again) == ["unknown", "delivered"]
        assert (never_again.state, outcomes(never_again)) == (State.UNKNOWN, ["unknown"])
        assert (table.requests(7), table.requests(8)) == (2, 1)


@pytest.mark.parametrize(
    "answer",
    [
        Answer.error(502, "Bad Gateway"),
        Answer(status=502, body="<html>Bad Gateway</html>"),
        Answer.error(503, "Service Unavailable"),
        Answer.error(504, "Gateway Timeout"),
        Answer(status=200, body="no JSON"),
        Answer.error(500, "Internal Server Error: restart"),
        Answer.error(500, "Request aborted"),
    ],
    ids=["502", "502 page", "503", "504", "no JSON", "restart", "aborted"],
)
async def test_a_server_in_trouble_is_unknown(table: Table, answer: Answer) -> None:
    for chat in (7, 8):
        table.answers(answer, chat=chat, times=1)
    least, most = await table.enqueue(7), await table.enqueue(8, delivery=ONCE)

    again, never_again = await table.settled(least, most)

    assert outcomes(again) == ["unknown", "delivered"]
    assert (never_again.state, outcomes(never_again)) == (State.UNKNOWN, ["unknown"])
    assert table.requests(8) == 1


async def test_500_sent_and_taken_away_again_is_unknown_and_never_sent_by_itself(table: Table) -> None:
    words = "Internal Server Error: sent message was immediately deleted"
    table.answers(Answer.error(500, words))
    id_ = await table.enqueue()

    (record,) = await table.settled(id_)

    assert (record.state, record.error, record.error_code) == (State.UNKNOWN, words, 500)
    assert len(table.emulator.requests) == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (401, "Unauthorized"),
        (404, "Not Found"),
        (421, "Misdirected Request"),
        (400, "Logged out"),
        (400, "Bad Request: FROZEN_METHOD_INVALID"),
    ],
)
async def test_a_refused_bot_is_stopped_and_loses_nothing(
    table: Table, code: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    table.answers(Answer.error(code, words))
    ids = [await table.enqueue(chat) for chat in range(1, 11)]

    async def stopped() -> bool:
        return (await table.bot()).stopped_reason is not None

    async with table.parts.working():
        await until(stopped)
        asked = len(table.emulator.requests)
        more = await table.enqueue(11)

    assert (await table.bot()).stopped_reason == words
    assert len(table.emulator.requests) == asked
    stats = await table.parts.dovecote.stats()
    assert (stats.due, stats.leased, stats.delivered, stats.dead, stats.unknown) == (11, 0, 0, 0, 0)
    assert next(r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR) == (
        f"Telegram refuses the bot; it is stopped until it is given a token: {words}"
    )

    await table.parts.dovecote.set_token("shop", token=NEW_TOKEN)
    table.emulator.reset()
    records = await table.settled(*ids, more)
    assert {record.state for record in records} == {State.DELIVERED}
    assert set(outcomes(records[0])) == {"stopped", "delivered"}
    assert len(table.emulator.accepted) == 11


async def test_404_method_not_found_is_dead(table: Table) -> None:
    table.answers(Answer.error(404, "Not Found: method not found"))
    id_ = await table.enqueue()

    (record,) = await table.settled(id_)

    assert (record.state, record.error, record.error_code) == (State.DEAD, "Not Found: method not found", 404)
    assert (await table.bot()).stopped_reason is None


async def test_400_upgraded_moves_all_that_waits_to_the_new_chat(table: Table) -> None:
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    table.answers(Answer.error(400, words, migrate_to_chat_id=SUPERGROUP), chat=GROUP)
    ids = [await table.enqueue(GROUP, text=str(number)) for number in range(1, 6)]

    records = await table.settled(*ids)

    assert [record.state for record in records] == [State.DELIVERED] * 5
    assert {record.chat for record in records} == {str(SUPERGROUP)}
    assert [outcomes(record) for record in records] == [["migrated", "delivered"], *[["delivered"]] * 4]
    assert records[0].attempts[0].error == words
    assert (table.requests(GROUP), table.texts()) == (1, ["1", "2", "3", "4", "5"])
    assert {record.chat_id for record in table.emulator.accepted} == {SUPERGROUP}


async def test_400_upgraded_to_and_fro_ends_after_three_moves(table: Table) -> None:
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    table.answers(Answer.error(400, words, migrate_to_chat_id=SUPERGROUP), chat=GROUP)
    table.answers(Answer.error(400, words, migrate_to_chat_id=GROUP), chat=SUPERGROUP)
    id_ = await table.enqueue(GROUP)

    (record,) = await table.settled(id_)

    assert (record.state, outcomes(record)) == (State.DEAD, ["migrated", "migrated", "migrated", "dead"])
    assert (table.requests(GROUP), table.requests(SUPERGROUP)) == (2, 2)


async def test_400_a_right_that_is_missing_for_more_than_sending_leaves_the_chat_enabled(table: Table) -> None:
    table.answers(Answer.error(400, "Bad Request: not enough rights to pin a message"), chat=GROUP, times=1)
    pinned = await table.enqueue(GROUP, method="pinChatMessage", params={"message_id": 5})
    sent = await table.enqueue(GROUP)

    dead, delivered = await table.settled(pinned, sent)

    assert (dead.state, delivered.state) == (State.DEAD, State.DELIVERED)
    assert await table.recipients() == []


async def test_400_upgraded_to_itself_is_dead(table: Table) -> None:
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    table.answers(Answer.error(400, words, migrate_to_chat_id=GROUP), chat=GROUP)
    id_ = await table.enqueue(GROUP)

    (record,) = await table.settled(id_)

    assert (record.state, record.error, record.error_code) == (State.DEAD, words, 400)
    assert table.requests(GROUP) == 1


@pytest.mark.parametrize(
    ("code", "words", "reason"),
    [
        (403, "Forbidden: bot was blocked by the user", "blocked"),
        (403, "Forbidden: user is deactivated", "deactivated"),
        (403, "Forbidden: bot can't initiate conversation with a user", "not_started"),
        (403, "Forbidden: bot can't send messages to bots", "not_started"),
        (403, "Forbidden: bot was kicked from the group chat", "removed"),
        (403, "Forbidden: bot is not a member of the supergroup chat", "removed"),
        (403, "Forbidden: the group chat was deleted", "removed"),
        (400, "Bad Request: not enough rights to send text messages to the chat", "restricted"),
        (400, "Bad Request: need administrator rights in the channel chat", "restricted"),
        (400, "Bad Request: CHAT_WRITE_FORBIDDEN", "restricted"),
    ],
)
async def test_a_recipient_that_takes_nothing_more_is_disabled_and_costs_no_request(
    table: Table, code: int, words: str, reason: str
) -> None:
    table.answers(Answer.error(code, words), chat=7)
    refused, waiting, other = await table.enqueue(7), await table.enqueue(7), await table.enqueue(8)

    first, second, third = await table.settled(refused, waiting, other)

    assert (first.state, first.error, first.error_code, outcomes(first)) == (State.DEAD, words, code, ["dead"])
    assert (second.state, second.error) == (State.DEAD, f"the recipient is disabled: {reason}")
    assert third.state is State.DELIVERED
    assert table.requests(7) == 1
    ((_, chat, disabled_at, because, *_),) = await table.parts.rows("recipient")
    assert (chat, because, disabled_at) == ("7", reason, first.settled_at)


@pytest.mark.parametrize("words", ["Bad Request: chat not found", "Bad Request: PEER_ID_INVALID"])
async def test_a_chat_that_is_not_found_is_disabled_after_three_in_a_row(table: Table, words: str) -> None:
    table.answers(Answer.error(400, words), chat=7)
    ids = [await table.enqueue(7) for _ in range(4)]

    records = await table.settled(*ids)

    assert [record.state for record in records] == [State.DEAD] * 4
    assert [record.error for record in records] == [words] * 3 + ["the recipient is disabled: not_found"]
    assert table.requests(7) == 3
    assert await table.recipients() == [("7", "not_found", 3)]


async def test_a_delivery_between_begins_the_count_anew(table: Table) -> None:
    missing = Answer.error(400, "Bad Request: chat not found")
    table.answers(missing, chat=7, times=2)
    ids = [await table.enqueue(7) for _ in range(3)]
    await table.settled(*ids)
    assert await table.recipients() == [("7", None, 0)]
    table.answers(missing, chat=7, times=2)

    records = await table.settled(await table.enqueue(7), await table.enqueue(7), await table.enqueue(7))

    assert [record.state for record in records] == [State.DEAD, State.DEAD, State.DELIVERED]


@pytest.mark.parametrize("words", ["Bad Request: message thread not found", "Bad Request: TOPIC_CLOSED"])
async def test_a_topic_that_is_closed_is_disabled_by_itself(table: Table, words: str) -> None:
    table.answers(Answer.error(400, words), chat=SUPERGROUP, times=1)
    closed = [await table.enqueue(SUPERGROUP, params={"message_thread_id": 5}) for _ in range(2)]
    open_ = await table.enqueue(SUPERGROUP, params={"message_thread_id": 6})

    first, second, third = await table.settled(*closed, open_)

    assert (first.state, first.error) == (State.DEAD, words)
    assert (second.state, second.error) == (State.DEAD, "the recipient is disabled: topic_closed")
    assert third.state is State.DELIVERED
    assert table.requests(SUPERGROUP) == 2
    assert await table.recipients() == [(f"{SUPERGROUP}/5", "topic_closed", 3)]


async def test_a_reply_that_is_gone_is_sent_without_it_where_that_is_allowed(table: Table) -> None:
    words = "Bad Request: message to be replied not found"
    for chat in (7, 8):
        table.answers(Answer.error(400, words), chat=chat, times=1)
    reply = {"message_id": 99, "allow_sending_without_reply": True}
    allowed = await table.enqueue(7, params={"reply_parameters": reply})
    strict = await table.enqueue(8, params={"reply_parameters": {"message_id": 99}})

    sent, dead = await table.settled(allowed, strict)

    assert (sent.state, outcomes(sent)) == (State.DELIVERED, ["delivered"])
    (accepted,) = table.emulator.accepted
    assert (accepted.chat_id, dict(accepted.parameters)) == (7, {"chat_id": 7, "text": "hello"})
    assert (dead.state, dead.error) == (State.DEAD, words)
    assert await table.recipients() == []


@pytest.mark.parametrize(
    "words", ["Bad Request: message is not modified: it is the same", "Bad Request: message to delete not found"]
)
async def test_a_wish_that_is_already_true_is_delivered(table: Table, words: str) -> None:
    table.answers(Answer.error(400, words))
    id_ = await table.enqueue()

    (record,) = await table.settled(id_)

    assert (record.state, outcomes(record), record.attempts[0].message_ids) == (State.DELIVERED, ["delivered"], ())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (400, "Bad Request: message text is empty"),
        (400, "Bad Request: message is too long"),
        (400, "Bad Request: can't parse entities: Unclosed start tag at byte offset 0"),
        (400, "Bad Request: BUTTON_URL_INVALID"),
        (400, "Bad Request: reply markup is too long"),
        (400, "Bad Request: wrong file identifier/HTTP URL specified"),
        (400, "Bad Request: wrong remote file identifier specified"),
        (413, "Request Entity Too Large"),
        (400, "Bad Request: something that nobody has heard of"),
    ],
)
async def test_a_notification_that_is_at_fault_is_dead_in_telegrams_words_and_nothing_else_is(
    table: Table, code: int, words: str
) -> None:
    table.answers(Answer.error(code, words), chat=7, times=1)
    faulty, sound = await table.enqueue(7), await table.enqueue(7)

    dead, delivered = await table.settled(faulty, sound)

    assert (dead.state, dead.error, dead.error_code, outcomes(dead)) == (State.DEAD, words, code, ["dead"])
    assert delivered.state is State.DELIVERED
    assert await table.recipients() == []
    assert (await table.bot()).stopped_reason is None


@pytest.mark.parametrize(
    "words",
    ["Bad Request: failed to get HTTP URL content", "Bad Request: wrong type of the web page content"],
)
async def test_a_url_that_telegram_cannot_fetch_is_tried_once_more(table: Table, words: str) -> None:
    table.answers(Answer.error(400, words), chat=7)
    table.answers(Answer.error(400, words), chat=8, times=1)
    never, later = await table.enqueue(7), await table.enqueue(8)

    dead, delivered = await table.settled(never, later)

    assert (dead.state, dead.error, outcomes(dead)) == (State.DEAD, words, ["failed", "dead"])
    assert (delivered.state, outcomes(delivered)) == (State.DELIVERED, ["failed", "delivered"])
    assert (table.requests(7), table.requests(8)) == (2, 2)

"""Telegram's limits, over HTTP and on a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import OTHER_TOKEN, TOKEN, Api, StoppedClock, running

from dovecote.emulator import Answer, BotLimit, GroupLimit, Limits, PaidLimit, Penalty, PrivateLimit, Rule, ScaledClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GROUP = -1000000000007
PHOTO = {"type": "photo", "media": "https://example.com/a.jpg"}


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def api(clock: StoppedClock) -> AsyncIterator[Api]:
    async with running(clock=clock) as api:
        yield api


async def send(api: Api, times: int, token: str = TOKEN, **parameters: Any) -> list[int]:
    """What so many messages, each to a chat of its own unless one is given, are answered."""
    statuses = []
    for number in range(times):
        status, _ = await api.post("sendMessage", token, **{"chat_id": 1 + number, "text": "x"} | parameters)
        statuses.append(status)
    return statuses


async def wait_of(api: Api, **parameters: Any) -> int:
    """The `retry_after` of a message that must be limited."""
    status, body = await api.post("sendMessage", **{"text": "x"} | parameters)
    assert status == 429, body
    seconds: int = body["parameters"]["retry_after"]
    return seconds


async def test_there_are_none_by_default(api: Api) -> None:
    assert await send(api, 100, chat_id=42) == [200] * 100
    assert await api.control("GET", "limits") == (
        200,
        {"bot": None, "private": None, "group": None, "paid": None, "penalty": None, "upload": None},
    )


class TestBot:
    async def test_a_bucket_is_used_up_and_refilled_at_the_true_rate(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(bot=BotLimit(rate=20))

        assert await send(api, 32) == [200] * 30 + [429] * 2
        clock.advance(0.049)
        assert await send(api, 1) == [429]
        clock.advance(0.001)
        assert await send(api, 2) == [200, 429]
        clock.advance(1)
        assert await send(api, 21) == [200] * 20 + [429]
        clock.advance(3600)
        assert await send(api, 31) == [200] * 30 + [429]

    async def test_the_answer_is_telegrams(self, api: Api) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=1))
        await send(api, 1)

        status, headers, body = await api.raw("GET", f"/bot{TOKEN}/sendMessage?chat_id=1&text=x")

        assert status == 429
        assert headers["retry-after"] == "1"
        assert json.loads(body) == {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: retry after 1",
            "parameters": {"retry_after": 1},
        }
        assert api.emulator.requests[1].status == 429
        assert len(api.emulator.accepted) == 1

    async def test_each_bot_has_its_own(self, api: Api) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=2))

        assert await send(api, 3) == [200, 200, 429]
        assert await send(api, 3, OTHER_TOKEN) == [200, 200, 429]

    async def test_an_album_counts_as_its_items(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(bot=BotLimit(rate=1, capacity=10))

        assert (await api.post("sendMediaGroup", chat_id=1, media=[PHOTO] * 8))[0] == 200
        assert (await api.post("sendMediaGroup", chat_id=1, media=[PHOTO] * 3))[0] == 429
        assert await send(api, 3) == [200, 200, 429]
        clock.advance(3)
        assert (await api.post("sendMediaGroup", chat_id=1, media=json.dumps([PHOTO] * 3)))[0] == 200
        assert await send(api, 1) == [429]

    async def test_copies_of_several_count_each(self, api: Api) -> None:
        await send(api, 3, chat_id=42)
        api.emulator.limits = Limits(bot=BotLimit(capacity=5))

        copied, _ = await api.post("copyMessages", chat_id=43, from_chat_id=42, message_ids=[1, 2, 3])
        forwarded, _ = await api.post("forwardMessages", chat_id=43, from_chat_id=42, message_ids=[1, 2, 3])

        assert (copied, forwarded) == (200, 429)

    async def test_more_than_the_bucket_holds_pass_when_it_is_full(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(bot=BotLimit(rate=1, capacity=4))

        assert (await api.post("sendMediaGroup", chat_id=1, media=[PHOTO] * 10))[0] == 200
        clock.advance(6.9)
        assert await send(api, 1) == [429]
        clock.advance(0.1)
        assert await send(api, 2) == [200, 429]

    async def test_what_sends_no_message_is_not_counted(self, api: Api) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=1))
        await send(api, 1, chat_id=42)

        assert (await api.post("getMe"))[0] == 200
        assert (await api.post("sendChatAction", chat_id=42, action="typing"))[0] == 200
        assert (await api.post("editMessageText", chat_id=42, message_id=1, text="y"))[0] == 200
        assert (await api.post("deleteMessage", chat_id=42, message_id=1))[0] == 200
        assert await send(api, 1) == [429]

    @pytest.mark.parametrize("seconds", [1, 35, 14_400])
    async def test_the_wait_that_is_told_can_be_set(self, api: Api, seconds: int) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=1, retry_after=seconds))
        await send(api, 1)

        assert await wait_of(api, chat_id=1) == seconds

    async def test_the_wait_that_is_told_can_be_the_true_one(self, api: Api) -> None:
        api.emulator.limits = Limits(bot=BotLimit(rate=0.25, capacity=1, retry_after=None))
        await send(api, 1)

        assert await wait_of(api, chat_id=1) == 4


class TestPrivateChats:
    async def test_a_short_burst_then_one_a_second(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(private=PrivateLimit())

        assert await send(api, 4, chat_id=42) == [200, 200, 200, 429]
        assert await wait_of(api, chat_id=42) == 1
        assert await send(api, 1, chat_id="42") == [429]
        assert await send(api, 1, chat_id=43) == [200]
        assert await send(api, 1, OTHER_TOKEN, chat_id=42) == [200]
        clock.advance(1)
        assert await send(api, 2, chat_id=42) == [200, 429]

    async def test_a_limited_chat_spends_nothing_of_the_bots_share(self, api: Api) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=5), private=PrivateLimit(capacity=1))

        assert await send(api, 4, chat_id=42) == [200, 429, 429, 429]
        assert await send(api, 5, chat_id=43) == [200, 429, 429, 429, 429]
        assert [(await send(api, 1, chat_id=chat))[0] for chat in (44, 45, 46, 47)] == [200, 200, 200, 429]

    async def test_groups_are_not_held_to_it(self, api: Api) -> None:
        api.emulator.limits = Limits(private=PrivateLimit())

        assert await send(api, 30, chat_id=GROUP) == [200] * 30


class TestGroups:
    async def test_twenty_in_any_minute(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(group=GroupLimit())
        assert await send(api, 10, chat_id=GROUP) == [200] * 10
        clock.advance(15)
        assert await send(api, 11, chat_id=GROUP) == [200] * 10 + [429]

        assert await wait_of(api, chat_id=GROUP) == 45
        clock.advance(44.5)
        assert await wait_of(api, chat_id=GROUP) == 1
        clock.advance(0.5)
        assert await send(api, 11, chat_id=GROUP) == [200] * 10 + [429]
        assert await wait_of(api, chat_id=GROUP) == 15

    async def test_edits_count_as_well(self, api: Api) -> None:
        await send(api, 1, chat_id=GROUP)
        api.emulator.limits = Limits(bot=BotLimit(capacity=2), group=GroupLimit(messages=3))

        edits = [await api.post("editMessageText", chat_id=GROUP, message_id=1, text=f"{n}") for n in range(2)]
        statuses = await send(api, 2, chat_id=GROUP)
        last, _ = await api.post("editMessageText", chat_id=GROUP, message_id=1, text="last")

        assert [status for status, _ in edits] == [200, 200]
        assert statuses == [200, 429]
        assert last == 429
        assert await send(api, 2) == [200, 429]

    async def test_a_channels_name_and_number_are_one_chat(self, api: Api) -> None:
        number = (await api.result("getChat", chat_id="@news"))["id"]
        api.emulator.limits = Limits(group=GroupLimit(messages=2))

        assert await send(api, 1, chat_id="@news") == [200]
        assert await send(api, 2, chat_id=number) == [200, 429]
        assert await send(api, 1, chat_id="@news") == [429]

    async def test_an_album_counts_as_its_items(self, api: Api) -> None:
        api.emulator.limits = Limits(group=GroupLimit(messages=12))

        statuses = [(await api.post("sendMediaGroup", chat_id=GROUP, media=[PHOTO] * 10))[0] for _ in range(2)]

        assert statuses == [200, 429]
        assert await send(api, 3, chat_id=GROUP) == [200, 200, 429]


class TestPaidBroadcasts:
    async def test_they_have_a_limit_of_their_own_and_cost_stars_above_the_free_rate(
        self, api: Api, clock: StoppedClock
    ) -> None:
        api.emulator.limits = Limits(bot=BotLimit(), paid=PaidLimit(capacity=50))

        assert await send(api, 51, allow_paid_broadcast=True) == [200] * 50 + [429]
        assert (api.emulator.traffic()[4242].paid, api.emulator.traffic()[4242].stars) == (20, 2.0)
        clock.advance(1)
        assert await send(api, 31, allow_paid_broadcast="true") == [200] * 31
        assert api.emulator.traffic()[4242].stars == 2.1

    async def test_other_calls_are_held_to_the_bots_own(self, api: Api) -> None:
        api.emulator.limits = Limits(bot=BotLimit(), paid=PaidLimit())

        assert await send(api, 20, allow_paid_broadcast=True) == [200] * 20
        assert await send(api, 11) == [200] * 10 + [429]
        assert api.emulator.traffic()[4242].stars == 0

    async def test_only_successes_are_charged(self, api: Api) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=1), paid=PaidLimit())
        await send(api, 1)

        status, _ = await api.post("sendMessage", chat_id=42, text="", allow_paid_broadcast=True)
        assert status == 400
        assert api.emulator.traffic()[4242].stars == 0
        assert (await api.post("sendMediaGroup", chat_id=1, media=[PHOTO] * 7, allow_paid_broadcast=True))[0] == 200
        assert api.emulator.traffic()[4242].stars == 0.7

    async def test_where_they_are_off_the_parameter_changes_nothing(self, api: Api) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=1))

        assert await send(api, 2, allow_paid_broadcast=True) == [200, 429]


class TestPenalties:
    async def test_sending_on_makes_the_wait_longer(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=1), penalty=Penalty(growth=3, grace=0.5, longest=20))
        await send(api, 1)

        assert await wait_of(api, chat_id=1) == 1
        clock.advance(0.5)
        assert await wait_of(api, chat_id=1) == 1  # it was under way already
        clock.advance(0.1)
        assert await wait_of(api, chat_id=1) == 3
        clock.advance(2.9)
        assert await wait_of(api, chat_id=1) == 9
        clock.advance(1)
        assert await wait_of(api, chat_id=1) == 20
        clock.advance(19.9)
        assert await wait_of(api, chat_id=1) == 20

    async def test_after_waiting_all_is_well_again(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=1), penalty=Penalty(growth=3, grace=0))
        await send(api, 1)
        assert await wait_of(api, chat_id=1) == 1
        clock.advance(0.5)
        assert await wait_of(api, chat_id=1) == 3

        clock.advance(3)

        assert await send(api, 1) == [200]
        assert await wait_of(api, chat_id=1) == 1

    async def test_they_are_each_chats_own(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(private=PrivateLimit(capacity=1), penalty=Penalty())
        await send(api, 1, chat_id=42)
        await wait_of(api, chat_id=42)
        clock.advance(0.5)

        assert await wait_of(api, chat_id=42) == 2
        assert await send(api, 2, chat_id=43) == [200, 429]
        assert await wait_of(api, chat_id=43) == 1

    async def test_without_them_a_wait_holds_nobody_back(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(bot=BotLimit(rate=10, capacity=1))
        await send(api, 2)

        clock.advance(0.1)

        assert await send(api, 2) == [200, 429]


class TestCounts:
    async def test_limited_calls_by_bot_and_chat_and_the_highest_rate(self, api: Api, clock: StoppedClock) -> None:
        api.emulator.limits = Limits(bot=BotLimit(capacity=10), private=PrivateLimit(capacity=2))
        await send(api, 3, chat_id=42)
        clock.advance(0.9)
        await send(api, 5)
        clock.advance(0.2)
        await api.post("sendMediaGroup", chat_id=77, media=[PHOTO] * 3)
        api.emulator.script(Rule(Answer.error(429, "Too Many Requests: retry after 5", retry_after=5), times=1))
        await send(api, 1, chat_id=-7)

        _, counts = await api.control("GET", "counts?by_chat=1")

        assert counts["bots"] == {
            "4242": {
                "messages": 10,
                "highest_rate": 8,
                "limited": 2,
                "stars": 0.0,
                "limited_by_chat": {"42": 1, "-7": 1},
            }
        }
        assert (counts["requests"], counts["accepted"], counts["refused"]) == (10, 8, 2)
        assert (await api.control("GET", "counts"))[1]["bots"] == {
            "4242": {"messages": 10, "highest_rate": 8, "limited": 2, "stars": 0.0}
        }

    async def test_an_answer_that_is_lost_counts_what_was_accepted(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502, body="<html>", accept=True)))
        await api.raw("GET", f"/bot{TOKEN}/sendMessage?chat_id=42&text=x")

        assert api.emulator.traffic()[4242].messages == 1


class TestControl:
    async def test_limits_are_set_one_by_one_and_taken_off(self, api: Api) -> None:
        status, limits = await api.control("POST", "limits", {"bot": {"rate": 20}, "penalty": {}})
        assert status == 200
        assert limits == {
            "bot": {"rate": 20.0, "capacity": 30.0, "retry_after": 1},
            "private": None,
            "group": None,
            "paid": None,
            "penalty": {"growth": 2.0, "grace": 0.25, "longest": 3600.0},
            "upload": None,
        }
        assert await send(api, 31) == [200] * 30 + [429]

        _, limits = await api.control("POST", "limits", {"bot": None, "group": {}, "private": {"retry_after": 7}})
        assert limits["bot"] is None
        assert limits["group"] == {"messages": 20, "seconds": 60.0, "retry_after": None}
        assert limits["private"] == {"rate": 1.0, "capacity": 3.0, "retry_after": 7}
        assert limits["penalty"] == {"growth": 2.0, "grace": 0.25, "longest": 3600.0}
        assert await send(api, 4, chat_id=42) == [200, 200, 200, 429]

        assert (await api.control("DELETE", "limits"))[1]["group"] is None
        assert await send(api, 4, chat_id=42) == [200] * 4

    @pytest.mark.parametrize(
        ("document", "error"),
        [
            ({"bot": {"rate": 0}}, "bot: rate 0.0: use more than 0."),
            ({"bot": {"capacity": 0.5}}, "bot: capacity 0.5: use 1 or more."),
            ({"private": {"retry_after": 0}}, "private: retry_after 0: use 1 or more."),
            ({"group": {"seconds": -1}}, "group: seconds -1.0: use more than 0."),
            ({"penalty": {"grace": -1}}, "penalty: grace -1.0: use 0 or more seconds."),
            ({"penalty": {"growth": 0.5}}, "penalty: growth 0.5: use 1 or more."),
            ({"chat": {}}, "chat: Unexpected keyword argument"),
            ([], "limits: send a JSON object."),
        ],
    )
    async def test_what_cannot_be_is_told_and_changes_nothing(self, api: Api, document: Any, error: str) -> None:
        await api.control("POST", "limits", {"bot": {"capacity": 1}})

        assert await api.control("POST", "limits", document) == (400, {"ok": False, "error": error})
        assert await send(api, 2) == [200, 429]

    async def test_no_json_is_told(self, api: Api) -> None:
        status, _, body = await api.raw("POST", "/emulator/limits", b"{bot")

        assert status == 400
        assert json.loads(body)["error"].endswith("send the limits as an object.")

    async def test_a_reset_brings_the_given_ones_back(self, clock: StoppedClock) -> None:
        async with running(clock=clock, limits=Limits(bot=BotLimit(capacity=2))) as api:
            api.emulator.limits = Limits.telegram()
            api.emulator.reset()

            assert await send(api, 3) == [200, 200, 429]


async def test_a_scaled_clock_scales_the_limits() -> None:
    async with running(clock=ScaledClock(1000), limits=Limits(group=GroupLimit(messages=1))) as api:
        assert await send(api, 1, chat_id=GROUP) == [200]
        async with asyncio.timeout(10):
            while await send(api, 1, chat_id=GROUP) == [429]:
                continue

    # A minute of its own has passed, in well under a second of the world's.
    first, last = api.emulator.accepted
    assert last.monotonic - first.monotonic >= 60
    assert last.time - first.time == pytest.approx(last.monotonic - first.monotonic, abs=5)

"""The control API and the Python face: what arrived, counts, reset, scripted answers."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import OTHER_TOKEN, PNG, TOKEN, Api, StoppedClock, multipart, running, until
from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError

from dovecote.emulator import Answer, Match, Rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running() as api:
        yield api


class TestRecords:
    async def test_every_request_is_there_in_order(self, api: Api) -> None:
        await api.post("getMe")
        await api.post("sendMessage", chat_id=42, text="one")
        await api.post("sendMessage", chat_id="@news", text="")
        await api.post("sendPigeon")

        _, listed = await api.control("GET", "requests")

        rows = [
            [r["sequence"], r["bot"], r["method"], r["chat_id"], r["message_ids"], r["status"], r["accepted"]]
            for r in listed["records"]
        ]
        assert rows == [
            [1, 4242, "getMe", None, [], 200, False],
            [2, 4242, "sendMessage", 42, [1], 200, True],
            [3, 4242, "sendMessage", "@news", [], 400, False],
            [4, 4242, "sendPigeon", None, [], 404, False],
        ]
        assert listed["records"][1]["parameters"] == {"chat_id": 42, "text": "one"}
        assert listed["records"][2]["description"] == "Bad Request: message text is empty"
        monotonic = [record["monotonic"] for record in listed["records"]]
        assert monotonic == sorted(monotonic)
        assert TOKEN not in json.dumps(listed)
        assert listed["next"] is None

    async def test_a_file_is_described_and_not_kept(self, api: Api) -> None:
        encoded, content_type = multipart(("chat_id", None, b"42"), ("photo", "a.png", PNG))
        await api.raw("POST", f"/bot{TOKEN}/sendPhoto", encoded, content_type)

        assert api.emulator.accepted[0].parameters == {
            "chat_id": "42",
            "photo": {
                "file_name": "a.png",
                "content_type": "application/octet-stream",
                "size": 29,
                "sha256": "c369d74f4fd90e3fc42b64f27f9a3b8167bb9f1d94281037112056fd00a3d8b4",
            },
        }

    async def test_they_are_filtered_and_paged(self, api: Api) -> None:
        for number in range(3):
            await api.post("sendMessage", chat_id=42, text=str(number))
            await api.post("sendMessage", OTHER_TOKEN, chat_id=42, text=str(number))
            await api.post("sendMessage", chat_id="@news", text=str(number))

        _, mine = await api.control("GET", "accepted?bot=4242&chat=42")
        _, channel = await api.control("GET", "accepted?chat=@news")
        _, first = await api.control("GET", "accepted?limit=5")
        _, rest = await api.control("GET", f"accepted?limit=5&after={first['next']}")

        assert [record["sequence"] for record in mine["records"]] == [1, 4, 7]
        assert [record["sequence"] for record in channel["records"]] == [3, 6, 9]
        assert [record["sequence"] for record in first["records"]] == [1, 2, 3, 4, 5]
        assert [record["sequence"] for record in rest["records"]] == [6, 7, 8, 9]
        assert rest["next"] is None

    async def test_compact_rows_have_named_columns(self, api: Api) -> None:
        await api.post("sendMessage", chat_id=42, text="x")

        _, listed = await api.control("GET", "accepted?compact=true")

        (row,) = listed["rows"]
        assert dict(zip(listed["columns"], row, strict=True))["message_ids"] == [1]
        assert "parameters" not in listed["columns"]

    async def test_counts(self) -> None:
        async with running(clock=StoppedClock()) as api:
            await api.post("sendMessage", chat_id=42, text="x")
            await api.post("sendMessage", chat_id=42, text="y")
            await api.post("sendMessage", OTHER_TOKEN, chat_id=-7, text="z")
            await api.post("sendMessage", chat_id=42)

            _, counts = await api.control("GET", "counts?by_chat=1")

        assert counts == {
            "requests": 4,
            "accepted": 3,
            "refused": 1,
            "kept": 4,
            "accepted_by_chat": {"42": 2, "-7": 1},
            "bots": {
                "4242": {"messages": 2, "highest_rate": 2, "limited": 0, "stars": 0.0, "limited_by_chat": {}},
                "777": {"messages": 1, "highest_rate": 1, "limited": 0, "stars": 0.0, "limited_by_chat": {}},
            },
        }
        assert api.emulator.counts() == {"requests": 4, "accepted": 3, "refused": 1, "kept": 4}

    async def test_reset_forgets_everything(self, api: Api) -> None:
        await api.post("sendMessage", chat_id=42, text="x")
        api.emulator.script(Rule(Answer(status=500)))

        await api.control("POST", "reset")

        assert api.emulator.counts() == {"requests": 0, "accepted": 0, "refused": 0, "kept": 0}
        assert (await api.result("sendMessage", chat_id=42, text="x"))["message_id"] == 1
        assert api.emulator.requests[0].sequence == 1

    async def test_the_oldest_go_beyond_the_capacity_and_their_messages_with_them(self) -> None:
        async with running(capacity=10) as api:
            for number in range(25):
                await api.post("sendMessage", chat_id=42, text=str(number))

            counts = api.emulator.counts()
            kept = [record.sequence for record in api.emulator.requests]
            gone = await api.refusal("deleteMessage", chat_id=42, message_id=1)
            still = await api.result("deleteMessage", chat_id=42, message_id=25)

        assert (counts["requests"], counts["accepted"]) == (25, 25)
        assert counts["kept"] <= 10
        assert kept == list(range(kept[0], 26))
        assert gone == "message to delete not found"
        assert still is True

    @pytest.mark.parametrize(
        ("path", "error"),
        [
            ("accepted?bot=shop", 'bot "shop": use a number.'),
            ("accepted?chat=x", 'chat "x": use a number.'),
            ("counts?by_chat=maybe", 'by_chat "maybe": use true or false.'),
        ],
    )
    async def test_a_wrong_query_is_told(self, api: Api, path: str, error: str) -> None:
        assert await api.control("GET", path) == (400, {"ok": False, "error": error})

    async def test_an_unknown_path_names_the_known_ones(self, api: Api) -> None:
        status, body = await api.control("GET", "nothing")

        assert status == 404
        assert "POST /emulator/reset" in body["error"]


class TestScript:
    async def test_a_429_with_retry_after(self, api: Api) -> None:
        api.emulator.script(
            Rule(Answer.error(429, "Too Many Requests: retry after 3", retry_after=3), Match(chat_id=42), times=1)
        )

        limited = await api.raw("GET", f"/bot{TOKEN}/sendMessage?chat_id=42&text=x")
        elsewhere = await api.post("sendMessage", chat_id=43, text="x")
        later = await api.post("sendMessage", chat_id=42, text="x")

        assert limited[0] == 429
        assert limited[1]["retry-after"] == "3"
        assert json.loads(limited[2]) == {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: retry after 3",
            "parameters": {"retry_after": 3},
        }
        assert (elsewhere[0], later[0]) == (200, 200)
        assert api.emulator.counts() == {"requests": 3, "accepted": 2, "refused": 1, "kept": 3}
        assert api.emulator.requests[0].description == "Too Many Requests: retry after 3"

    async def test_the_same_over_http(self, api: Api) -> None:
        rule = {
            "match": {"bot": 4242, "method": "sendmessage"},
            "times": 2,
            "after": 1,
            "answer": {"status": 502, "body": "<html>Bad Gateway</html>", "headers": {"Server": "nginx"}},
        }

        status, listed = await api.control("POST", "script", {"rules": [rule]})
        answers = [await api.raw("GET", f"/bot{TOKEN}/sendMessage?chat_id=1&text=x") for _ in range(4)]
        other = await api.post("sendMessage", OTHER_TOKEN, chat_id=1, text="x")

        assert status == 200
        assert listed["rules"][0]["times"] == 2
        assert [answer[0] for answer in answers] == [200, 502, 502, 200]
        assert answers[1][2] == b"<html>Bad Gateway</html>"
        assert (answers[1][1]["content-type"], answers[1][1]["server"]) == ("text/html", "nginx")
        assert other[0] == 200
        assert (await api.control("GET", "script"))[1] == {"rules": []}

    async def test_a_status_alone_has_a_body_in_telegrams_form(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=500)))

        assert await api.post("getMe") == (
            500,
            {"ok": False, "error_code": 500, "description": "Internal Server Error"},
        )

    async def test_the_first_rule_that_matches_decides(self, api: Api) -> None:
        api.emulator.script(
            Rule(Answer(status=500), Match(method="getMe"), times=1),
            Rule(Answer(status=502)),
        )

        assert [(await api.post("getMe"))[0] for _ in range(2)] == [500, 502]

    async def test_an_answer_can_be_lost_after_acceptance(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(mode="drop"), times=1))

        with pytest.raises(PyreqwestError):
            await api.post("sendMessage", chat_id=42, text="x")

        (record,) = api.emulator.accepted
        assert (record.status, record.message_ids) == (None, (1,))

    async def test_a_connection_can_be_closed_without_acceptance(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(mode="close"), times=1))

        with pytest.raises(PyreqwestError):
            await api.post("sendMessage", chat_id=42, text="x")

        assert list(api.emulator.accepted) == []
        assert api.emulator.counts()["requests"] == 1

    async def test_an_error_can_come_after_acceptance(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=502, body="<html>", accept=True), times=1))

        status, _, _ = await api.raw("GET", f"/bot{TOKEN}/sendMessage?chat_id=42&text=x")

        (record,) = api.emulator.accepted
        assert status == record.status == 502
        assert record.message_ids == (1,)
        assert api.emulator.counts()["refused"] == 0

    async def test_a_stall_lasts_until_the_client_leaves(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(mode="stall"), times=1))
        request = api.client.get(f"{api.emulator.url}/bot{TOKEN}/getMe").timeout(timedelta(milliseconds=100)).build()

        with pytest.raises(RequestTimeoutError):
            await request.send()

        assert api.emulator.requests[0].status is None
        assert (await api.post("getMe"))[0] == 200

    async def test_a_stall_can_end_by_itself(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(mode="stall", delay=0.05), times=1))

        with pytest.raises(PyreqwestError):
            await api.post("getMe")

    async def test_a_delay_comes_after_the_execution(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(delay=0.2), Match(method="sendMessage"), times=1))

        call = asyncio.create_task(api.result("sendMessage", chat_id=42, text="x"))
        await until(lambda: api.emulator.accepted)
        still_waiting = not call.done()

        assert still_waiting
        assert (await call)["message_id"] == 1

    async def test_an_emulator_stops_while_a_client_waits(self) -> None:
        async with running() as api:
            api.emulator.script(Rule(Answer(mode="stall")))
            call = asyncio.create_task(api.post("getMe"))
            await until(lambda: api.emulator.requests)

        with pytest.raises(PyreqwestError):
            await call

    async def test_rules_can_be_dropped(self, api: Api) -> None:
        api.emulator.script(Rule(Answer(status=500)))

        await api.control("DELETE", "script")

        assert (await api.post("getMe"))[0] == 200

    @pytest.mark.parametrize(
        ("document", "error"),
        [
            (
                {"answer": {"mode": "explode"}},
                "0.answer.mode: Input should be 'answer', 'drop', 'close', 'reset', 'truncate' or 'stall'",
            ),
            ({"answer": {"status": 42}}, "0.answer: status 42: use 200 to 599."),
            ({"answer": {"delay": -1}}, "0.answer: delay -1.0: use 0 or more seconds."),
            ({"answer": {}, "times": 0}, "0: times 0: use 1 or more, or null for all."),
            ({"answer": {}, "every": 0}, "0: every 0: use 1 or more."),
            ({"answer": {}, "rate": 1.5}, "0: rate 1.5: use 0 to 1."),
            ({"match": {}}, "0.answer: Field required"),
            ({"answer": {}, "wen": 1}, "0.wen: Unexpected keyword argument"),
        ],
    )
    async def test_a_wrong_rule_is_told(self, api: Api, document: Any, error: str) -> None:
        assert await api.control("POST", "script", document) == (400, {"ok": False, "error": error})
        assert (await api.control("GET", "script"))[1] == {"rules": []}

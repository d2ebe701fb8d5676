"""How a request is read: path, token, method, parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from emulator_client import OTHER_TOKEN, PNG, TOKEN, Api, multipart, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SEND = f"/bot{TOKEN}/sendMessage"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running() as api:
        yield api


class TestPaths:
    async def test_a_well_formed_token_is_a_bot_with_its_number(self, api: Api) -> None:
        me = await api.result("getMe")

        assert me["id"] == 4242
        assert me["is_bot"] is True
        assert me["username"] == "bot4242_bot"

    @pytest.mark.parametrize("method", ["sendmessage", "SENDMESSAGE", "sendMessage"])
    async def test_case_does_not_matter_in_a_method(self, api: Api, method: str) -> None:
        message = await api.result(method, chat_id=42, text="hello")

        assert message["text"] == "hello"
        assert api.emulator.accepted[0].method == "sendMessage"

    async def test_the_test_environment_has_its_own_path(self, api: Api) -> None:
        status, _, body = await api.raw("GET", f"/bot{TOKEN}/test/getMe")

        assert status == 200
        assert json.loads(body)["result"]["id"] == 4242

    async def test_an_encoded_colon_is_a_colon(self, api: Api) -> None:
        status, _, _ = await api.raw("GET", f"/bot{TOKEN.replace(':', '%3A')}/getMe")

        assert status == 200

    @pytest.mark.parametrize("token", ["4242", "4242:short", "abc:" + "A" * 35, "4242:" + "A" * 34 + "!", ""])
    async def test_a_malformed_token_is_not_found(self, api: Api, token: str) -> None:
        status, _, body = await api.raw("GET", f"/bot{token}/getMe")

        assert status == 404
        assert json.loads(body) == {"ok": False, "error_code": 404, "description": "Not Found"}

    async def test_nothing_of_a_malformed_token_is_kept(self, api: Api) -> None:
        await api.raw("GET", "/bot4242-secret/getMe")
        await api.raw("GET", "/botAAAAsecretAAAA")

        _, listed = await api.control("GET", "requests")

        assert [record["status"] for record in listed["records"]] == [404, 404]
        assert "secret" not in json.dumps(listed)

    async def test_with_a_list_of_tokens_any_other_is_unauthorized(self) -> None:
        async with running(tokens=[TOKEN]) as api:
            known = await api.post("getMe")
            unknown = await api.post("getMe", OTHER_TOKEN)

        assert known[0] == 200
        assert unknown == (401, {"ok": False, "error_code": 401, "description": "Unauthorized"})

    async def test_an_unknown_method_is_not_found(self, api: Api) -> None:
        status, body = await api.post("sendPigeon", chat_id=42)

        assert status == 404
        assert body == {"ok": False, "error_code": 404, "description": "Not Found: method not found"}

    async def test_any_other_path_is_not_found_and_not_repeated(self, api: Api) -> None:
        status, _, body = await api.raw("GET", f"/file/bot{TOKEN}/photos/1.jpg")

        assert status == 404
        assert TOKEN.encode() not in body

    async def test_only_get_and_post_are_served(self, api: Api) -> None:
        status, _, _ = await api.raw("PUT", f"/bot{TOKEN}/getMe")

        assert status == 404


class TestParameters:
    async def test_from_the_query_string(self, api: Api) -> None:
        status, headers, body = await api.raw("GET", f"{SEND}?chat_id=42&text=two+words%21")

        assert status == 200
        assert headers["content-type"] == "application/json"
        assert json.loads(body)["result"]["text"] == "two words!"

    async def test_from_an_urlencoded_body(self, api: Api) -> None:
        _, _, body = await api.raw("POST", SEND, b"chat_id=42&text=caf%C3%A9", FORM)

        assert json.loads(body)["result"]["text"] == "café"

    async def test_from_a_multipart_body(self, api: Api) -> None:
        encoded, content_type = multipart(("chat_id", None, b"42"), ("text", None, "naïve".encode()))

        _, _, body = await api.raw("POST", SEND, encoded, content_type)

        assert json.loads(body)["result"]["text"] == "naïve"

    async def test_the_query_string_goes_before_the_body(self, api: Api) -> None:
        _, _, body = await api.raw("POST", f"{SEND}?text=query", b'{"chat_id": 42, "text": "body"}', "application/json")

        assert json.loads(body)["result"]["text"] == "query"
        assert json.loads(body)["result"]["chat"]["id"] == 42

    @pytest.mark.parametrize("body", [b'{"chat_id": 42, "text": "x"', b"[1, 2]", b"", b"\xff"])
    async def test_malformed_json_reads_as_missing_parameters(self, api: Api, body: bytes) -> None:
        status, _, answer = await api.raw("POST", SEND, body, "application/json")

        assert status == 400
        assert json.loads(answer)["description"] == "Bad Request: message text is empty"

    async def test_a_cut_multipart_body_reads_as_missing_parameters(self, api: Api) -> None:
        encoded, content_type = multipart(("chat_id", None, b"42"), ("text", None, b"hello"))

        status, _, answer = await api.raw("POST", SEND, encoded[:40], content_type)

        assert status == 400
        assert json.loads(answer)["description"] == "Bad Request: message text is empty"

    async def test_text_that_is_no_utf8_is_refused(self, api: Api) -> None:
        status, _, answer = await api.raw("POST", SEND, b"chat_id=42&text=%FF", FORM)

        assert status == 400
        assert json.loads(answer)["description"] == "Bad Request: strings must be encoded in UTF-8"

    async def test_numbers_and_json_may_be_text(self, api: Api) -> None:
        message = await api.result(
            "sendMessage",
            chat_id="-1001234567890",
            text=17,
            reply_markup='{"inline_keyboard": [[{"text": "Open", "callback_data": "open"}]]}',
        )

        assert message["text"] == "17"
        assert message["chat"] == {"id": -1001234567890, "title": "Group 1234567890", "type": "supergroup"}
        assert message["reply_markup"] == {"inline_keyboard": [[{"text": "Open", "callback_data": "open"}]]}

    async def test_an_attached_file_is_found_by_its_part(self, api: Api) -> None:
        encoded, content_type = multipart(
            ("chat_id", None, b"42"), ("photo", None, b"attach://picture"), ("picture", "a.png", PNG)
        )

        _, _, body = await api.raw("POST", f"/bot{TOKEN}/sendPhoto", encoded, content_type)

        size = json.loads(body)["result"]["photo"][-1]
        assert (size["width"], size["height"], size["file_size"]) == (640, 480, len(PNG))

    async def test_a_body_larger_than_telegram_takes_is_refused(self, api: Api) -> None:
        status, _, body = await api.raw("POST", SEND, b"x" * (52 * 1024 * 1024), FORM)

        assert status == 413
        assert json.loads(body)["description"] == "Request Entity Too Large"

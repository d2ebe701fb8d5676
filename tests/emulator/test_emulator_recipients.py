"""Recipients that cannot be reached, chats that have moved, and bots whose token is no longer one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import OTHER_TOKEN, TOKEN, Api, running

from dovecote.emulator import Recipient
from dovecote.emulator.documents import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GROUP, SUPERGROUP = -7, -1000000000007


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running() as api:
        yield api


async def refused(api: Api, token: str = TOKEN, **parameters: Any) -> tuple[int, str]:
    status, body = await api.post("sendMessage", token, **{"text": "x"} | parameters)
    assert body["error_code"] == status
    return status, body["description"]


@pytest.mark.parametrize(
    ("recipient", "code", "description"),
    [
        (Recipient(42, "blocked"), 403, "Forbidden: bot was blocked by the user"),
        (Recipient(42, "deactivated"), 403, "Forbidden: user is deactivated"),
        (Recipient(42, "never_started"), 403, "Forbidden: bot can't initiate conversation with a user"),
        (Recipient(GROUP, "kicked"), 403, "Forbidden: bot was kicked from the group chat"),
        (Recipient(SUPERGROUP, "kicked"), 403, "Forbidden: bot was kicked from the supergroup chat"),
        (Recipient("@news", "kicked"), 403, "Forbidden: bot was kicked from the channel chat"),
        (Recipient("@news", "not_member"), 403, "Forbidden: bot is not a member of the channel chat"),
        (
            Recipient(SUPERGROUP, "not_member", kind="channel"),
            403,
            "Forbidden: bot is not a member of the channel chat",
        ),
        (Recipient(GROUP, "deleted"), 403, "Forbidden: the group chat was deleted"),
        (Recipient(42, "not_found"), 400, "Bad Request: chat not found"),
        (Recipient(SUPERGROUP, "not_found"), 400, "Bad Request: chat not found"),
        (
            Recipient(SUPERGROUP, "restricted"),
            400,
            "Bad Request: not enough rights to send text messages to the chat",
        ),
    ],
)
async def test_what_is_said_of_each_state(api: Api, recipient: Recipient, code: int, description: str) -> None:
    api.emulator.recipients(recipient)

    assert await refused(api, chat_id=recipient.chat_id) == (code, description)
    assert await refused(api, OTHER_TOKEN, chat_id=recipient.chat_id) == (code, description)
    assert list(api.emulator.accepted) == []
    assert api.emulator.requests[0].description == description
    assert (await api.post("sendMessage", chat_id=43, text="x"))[0] == 200

    api.emulator.recipients(Recipient(recipient.chat_id, None))
    assert (await api.post("sendMessage", chat_id=recipient.chat_id, text="x"))[0] == 200


async def test_a_state_can_be_one_bots_alone(api: Api) -> None:
    api.emulator.recipients(Recipient(42, "blocked", bot=4242))

    assert (await refused(api, chat_id=42))[0] == 403
    assert (await api.post("sendMessage", OTHER_TOKEN, chat_id=42, text="x"))[0] == 200


async def test_a_topic_can_be_closed_while_the_others_are_open(api: Api) -> None:
    api.emulator.recipients(
        Recipient(SUPERGROUP, "topic_closed", thread=5), Recipient(SUPERGROUP, "topic_not_found", thread=6)
    )

    assert await refused(api, chat_id=SUPERGROUP, message_thread_id=5) == (400, "Bad Request: TOPIC_CLOSED")
    assert await refused(api, chat_id=SUPERGROUP, message_thread_id=6) == (400, "Bad Request: message thread not found")
    assert (await api.post("sendMessage", chat_id=SUPERGROUP, message_thread_id=7, text="x"))[0] == 200
    assert (await api.post("sendMessage", chat_id=SUPERGROUP, text="x"))[0] == 200


async def test_a_group_that_was_upgraded_names_the_new_chat_which_works(api: Api) -> None:
    api.emulator.recipients(Recipient(GROUP, "migrated", migrate_to=SUPERGROUP))

    status, body = await api.post("sendMessage", chat_id=GROUP, text="x")

    assert status == 400
    assert body == {
        "ok": False,
        "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": {"migrate_to_chat_id": SUPERGROUP},
    }
    sent = await api.result("sendMessage", chat_id=body["parameters"]["migrate_to_chat_id"], text="x")
    assert sent["chat"]["type"] == "supergroup"


async def test_what_hinders_sending_hinders_nothing_else(api: Api) -> None:
    await api.result("sendMessage", chat_id=42, text="x")
    api.emulator.recipients(Recipient(42, "blocked"))

    assert (await api.result("getChat", chat_id=42))["id"] == 42
    assert await api.result("deleteMessage", chat_id=42, message_id=1) is True
    assert (await api.post("sendChatAction", chat_id=42, action="typing"))[0] == 403


async def test_a_chat_that_is_lost_hinders_every_call(api: Api) -> None:
    await api.result("sendMessage", chat_id=SUPERGROUP, text="x")
    api.emulator.recipients(Recipient(SUPERGROUP, "kicked"))

    for method, parameters in (
        ("getChat", {"chat_id": SUPERGROUP}),
        ("editMessageText", {"chat_id": SUPERGROUP, "message_id": 1, "text": "y"}),
        ("copyMessage", {"chat_id": 42, "from_chat_id": SUPERGROUP, "message_id": 1}),
    ):
        assert (await api.post(method, **parameters))[0] == 403, method


async def test_the_text_is_judged_before_the_chat(api: Api) -> None:
    api.emulator.recipients(Recipient(42, "blocked"))

    assert await refused(api, chat_id=42, text="") == (400, "Bad Request: message text is empty")


class TestControl:
    async def test_states_are_set_shown_and_dropped(self, api: Api) -> None:
        status, listed = await api.control(
            "POST",
            "recipients",
            [{"chat_id": 42, "state": "blocked"}, {"chat_id": GROUP, "state": "migrated", "migrate_to": SUPERGROUP}],
        )
        assert status == 200
        assert [(one["chat_id"], one["state"], one["migrate_to"]) for one in listed["recipients"]] == [
            (42, "blocked", None),
            (GROUP, "migrated", SUPERGROUP),
        ]
        assert (await refused(api, chat_id=42))[0] == 403

        _, listed = await api.control("POST", "recipients", {"chat_id": 42, "state": None})
        assert [one["chat_id"] for one in listed["recipients"]] == [GROUP]
        assert (await api.post("sendMessage", chat_id=42, text="x"))[0] == 200

        assert await api.control("DELETE", "recipients") == (200, {"recipients": []})
        assert (await api.post("sendMessage", chat_id=GROUP, text="x"))[0] == 200

    async def test_a_reset_forgets_them(self, api: Api) -> None:
        api.emulator.recipients(Recipient(42, "blocked"))

        await api.control("POST", "reset")

        assert (await api.post("sendMessage", chat_id=42, text="x"))[0] == 200

    @pytest.mark.parametrize(
        ("document", "error"),
        [
            ({"chat_id": "news", "state": "kicked"}, 'chat_id "news": use a number or an @name.'),
            (
                {"chat_id": -7, "state": "blocked"},
                "chat_id -7: only a private chat, whose id is positive, can be blocked.",
            ),
            ({"chat_id": 42, "state": "kicked"}, "chat_id 42: only a group or a channel, can be kicked."),
            (
                {"chat_id": -7, "state": "migrated"},
                "migrate_to None: it belongs to the state migrated, and to no other.",
            ),
            (
                {"chat_id": -7, "state": "topic_closed"},
                "thread 0: the state topic_closed needs the topic's message_thread_id.",
            ),
        ],
    )
    async def test_what_cannot_be_is_told(self, api: Api, document: Any, error: str) -> None:
        assert await api.control("POST", "recipients", document) == (
            400,
            {"ok": False, "error": f"0: {error}"},
        )

    async def test_a_state_that_there_is_not_names_those_that_there_are(self, api: Api) -> None:
        status, body = await api.control("POST", "recipients", {"chat_id": 42, "state": "asleep"})

        assert status == 400
        assert "'blocked', 'deactivated'" in body["error"]
        with pytest.raises(ValueError, match='state "asleep": use one of blocked, deactivated'):
            Recipient(42, "asleep")  # type: ignore[arg-type]

    async def test_a_name_that_cannot_be_one_changes_nothing(self, api: Api) -> None:
        rows = [{"chat_id": 42, "state": "blocked"}, {"chat_id": "@a b", "state": "kicked"}]

        assert (await api.control("POST", "recipients", rows))[0] == 400
        assert (await api.control("GET", "recipients"))[1] == {"recipients": []}
        with pytest.raises(ValueError, match="use letters, digits and underscores"):
            api.emulator.recipients(Recipient("@a b", "kicked"))


class TestTokens:
    async def test_a_bots_tokens_are_revoked_and_restored(self, api: Api) -> None:
        await api.result("getMe")

        api.emulator.revoke(4242)
        assert await api.post("sendMessage", chat_id=42, text="x") == (
            401,
            {"ok": False, "error_code": 401, "description": "Unauthorized"},
        )
        assert (await api.post("getMe", OTHER_TOKEN))[0] == 200

        api.emulator.restore(4242)
        assert (await api.post("getMe"))[0] == 200

    async def test_a_token_is_replaced_by_a_new_one(self, api: Api) -> None:
        new = "4242:" + "N" * 35

        status, answer = await api.control("POST", "tokens", {"revoke": [TOKEN]})

        assert (status, answer) == (200, {"revoked_bots": [], "revoked_tokens": 1})
        assert (await api.post("getMe"))[0] == 401
        assert (await api.post("getMe", new))[0] == 200

    async def test_where_tokens_are_named_a_new_one_is_none_until_it_is_restored(self) -> None:
        new = "4242:" + "N" * 35
        async with running(tokens=[TOKEN]) as api:
            before = (await api.post("getMe", new))[0]
            await api.control("POST", "tokens", {"revoke": [4242], "restore": [new]})
            after = [(await api.post("getMe", token))[0] for token in (TOKEN, new)]
            api.emulator.reset()
            reset = [(await api.post("getMe", token))[0] for token in (TOKEN, new)]

        assert before == 401
        assert after == [401, 200]
        assert reset == [200, 401]

    async def test_what_is_no_token_is_told_without_its_text(self, api: Api) -> None:
        status, answer = await api.control("POST", "tokens", {"revoke": [4242], "restore": ["4242:mistyped"]})

        assert status == 400
        assert answer["error"] == "one of them is neither a token nor a bot's id: use whole tokens, or numbers."
        assert (await api.post("getMe"))[0] == 200
        with pytest.raises(InvalidDocument, match="use whole tokens"):
            api.emulator.revoke("4242:mistyped")

    @pytest.mark.parametrize("document", [[], {"revok": []}, {"revoke": [1.5]}])
    async def test_a_wrong_document_is_told(self, api: Api, document: Any) -> None:
        assert (await api.control("POST", "tokens", document))[0] == 400

    async def test_no_answer_and_no_record_has_a_token(self, api: Api) -> None:
        api.emulator.revoke(TOKEN)
        await api.post("getMe")

        everything = [await api.control("GET", path) for path in ("tokens", "requests", "counts?by_chat=1", "script")]

        assert TOKEN not in json.dumps(everything)
        assert TOKEN not in repr(api.emulator.requests)

"""What sending a message answers, and Telegram's words when it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import OTHER_TOKEN, TOKEN, Api, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running() as api:
        yield api


class TestMessages:
    async def test_a_private_message_is_complete(self, api: Api) -> None:
        message = await api.result("sendMessage", chat_id=42, text="On its way", protect_content=True)

        date = message.pop("date")
        assert abs(date - api.emulator.accepted[0].time) <= 1
        assert message == {
            "message_id": 1,
            "from": {"id": 4242, "is_bot": True, "first_name": "Bot 4242", "username": "bot4242_bot"},
            "chat": {"id": 42, "first_name": "User 42", "type": "private"},
            "has_protected_content": True,
            "text": "On its way",
        }

    async def test_a_channel_is_known_by_its_name_and_speaks_for_itself(self, api: Api) -> None:
        named = await api.result("sendMessage", chat_id="@dovecote_news", text="one")
        numbered = await api.result("sendMessage", chat_id=named["chat"]["id"], text="two")

        assert named["chat"]["type"] == "channel"
        assert named["chat"]["username"] == "dovecote_news"
        assert "from" not in named
        assert named["sender_chat"] == named["chat"]
        assert numbered["chat"] == named["chat"]

    async def test_ids_are_counted_per_bot_in_private_and_per_chat_in_supergroups(self, api: Api) -> None:
        private = [(await api.result("sendMessage", chat_id=chat, text="x"))["message_id"] for chat in (1, 2, 1)]
        other = await api.result("sendMessage", OTHER_TOKEN, chat_id=1, text="x")
        group = [
            (await api.result("sendMessage", t, chat_id=-1000000000007, text="x"))["message_id"]
            for t in (TOKEN, OTHER_TOKEN)
        ]

        assert private == [1, 2, 3]
        assert other["message_id"] == 1
        assert group == [1, 2]

    async def test_white_space_around_and_control_characters_go(self, api: Api) -> None:
        message = await api.result("sendMessage", chat_id=42, text="  a\x07b\r\nc\t \n ")

        assert message["text"] == "a b\nc"

    async def test_a_reply_shows_what_it_replies_to(self, api: Api) -> None:
        await api.result("sendMessage", chat_id=42, text="first")

        reply = await api.result("sendMessage", chat_id=42, text="second", reply_parameters={"message_id": 1})

        assert reply["reply_to_message"]["text"] == "first"

    async def test_a_reply_to_nothing_is_refused_unless_allowed(self, api: Api) -> None:
        refused = await api.refusal("sendMessage", chat_id=42, text="x", reply_parameters={"message_id": 9})
        older = await api.refusal("sendMessage", chat_id=42, text="x", reply_to_message_id=9)
        allowed = await api.result(
            "sendMessage", chat_id=42, text="x", reply_parameters={"message_id": 9, "allow_sending_without_reply": True}
        )

        assert refused == older == "message to be replied not found"
        assert "reply_to_message" not in allowed

    async def test_a_message_of_another_chat_cannot_be_replied_to(self, api: Api) -> None:
        await api.result("sendMessage", chat_id=41, text="elsewhere")

        assert (
            await api.refusal("sendMessage", chat_id=42, text="x", reply_parameters={"message_id": 1})
            == "message to be replied not found"
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"chat_id": 42}, "message text is empty"),
            ({"chat_id": 42, "text": ""}, "message text is empty"),
            ({"chat_id": 42, "text": " \n "}, "text must be non-empty"),
            ({"text": "x"}, "chat_id is empty"),
            ({"chat_id": "", "text": "x"}, "chat_id is empty"),
            ({"chat_id": 0, "text": "x"}, "chat not found"),
            ({"chat_id": "somebody", "text": "x"}, "chat not found"),
            ({"chat_id": "@", "text": "x"}, "chat not found"),
            ({"chat_id": 2**53, "text": "x"}, "chat not found"),
            ({"chat_id": 42, "text": "x" * 4097}, "message is too long"),
            ({"chat_id": 42, "text": "🙂" * 2049}, "message is too long"),
            ({"chat_id": 42, "text": "x", "parse_mode": "XML"}, "unsupported parse_mode"),
        ],
    )
    async def test_of_text(self, api: Api, parameters: dict[str, Any], words: str) -> None:
        assert await api.refusal("sendMessage", **parameters) == words

    async def test_the_text_is_looked_at_before_the_chat(self, api: Api) -> None:
        assert await api.refusal("sendMessage") == "message text is empty"

    @pytest.mark.parametrize("text", ["x" * 4096, "🙂" * 2048])
    async def test_4096_units_are_not_too_long(self, api: Api, text: str) -> None:
        assert (await api.result("sendMessage", chat_id=42, text=text))["text"] == text

    async def test_markup_does_not_count(self, api: Api) -> None:
        message = await api.result("sendMessage", chat_id=42, text=f"<b>{'x' * 4096}</b>", parse_mode="HTML")

        assert len(message["text"]) == 4096

    @pytest.mark.parametrize(
        ("markup", "words"),
        [
            ("{", "can't parse reply keyboard markup JSON object"),
            ([], "object expected as reply markup"),
            (
                {"inline_keyboard": {}},
                'field "inline_keyboard" of the InlineKeyboardMarkup must be an Array',
            ),
            (
                {"inline_keyboard": [{"text": "x"}]},
                'field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays',
            ),
            (
                {"inline_keyboard": [["x"]]},
                "can't parse inline keyboard button: InlineKeyboardButton must be an Object",
            ),
            (
                {"inline_keyboard": [[{"callback_data": "x"}]]},
                "can't parse inline keyboard button: Can't find field \"text\"",
            ),
            (
                {"inline_keyboard": [[{"text": "x"}]]},
                "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
            ),
            (
                {"inline_keyboard": [[{"text": "x", "callback_data": ""}]]},
                "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
            ),
            ({"inline_keyboard": [[{"text": "", "callback_data": "x"}]]}, "BUTTON_TEXT_INVALID"),
            ({"inline_keyboard": [[{"text": "x", "callback_data": "d" * 65}]]}, "BUTTON_DATA_INVALID"),
            ({"inline_keyboard": [[{"text": "x", "callback_data": "я" * 33}]]}, "BUTTON_DATA_INVALID"),
            ({"inline_keyboard": [[{"text": "x", "url": "http://a b.com"}]]}, "BUTTON_URL_INVALID"),
            (
                {"inline_keyboard": [[{"text": "x", "url": "http://localhost:8000"}]]},
                "inline keyboard button URL 'http://localhost:8000' is invalid: Wrong HTTP URL",
            ),
            (
                {"inline_keyboard": [[{"text": "x", "url": "ftp://example.com"}]]},
                "inline keyboard button URL 'ftp://example.com' is invalid: Unsupported URL protocol",
            ),
            ({"inline_keyboard": [[{"text": "x", "callback_data": "y"}] * 101]}, "reply markup is too long"),
            ({"keyboard": [[{}]]}, "can't parse keyboard button: Can't find field \"text\""),
            ({"keyboard": [[1]]}, "can't parse keyboard button: KeyboardButton must be a String or an Object"),
            (
                {"force_reply": 1},
                'field "force_reply" of the reply markup must be of the type Boolean',
            ),
        ],
    )
    async def test_of_keyboards(self, api: Api, markup: Any, words: str) -> None:
        assert await api.refusal("sendMessage", chat_id=42, text="x", reply_markup=markup) == words

    async def test_64_bytes_of_callback_data_are_taken(self, api: Api) -> None:
        markup = {"inline_keyboard": [[{"text": "x", "callback_data": "я" * 32}]]}

        message = await api.result("sendMessage", chat_id=42, text="x", reply_markup=markup)

        assert message["reply_markup"] == markup

    async def test_other_keyboards_are_not_part_of_the_message(self, api: Api) -> None:
        message = await api.result("sendMessage", chat_id=42, text="x", reply_markup={"keyboard": [["Yes", "No"]]})

        assert "reply_markup" not in message

    async def test_a_button_keeps_what_it_does(self, api: Api) -> None:
        row = [
            {"text": "a", "url": "example.com"},
            {"text": "b", "web_app": {"url": "https://example.com/app"}},
            {"text": "c", "switch_inline_query": ""},
            {"text": "d", "copy_text": {"text": "copied"}},
            {"text": "e", "pay": True},
        ]

        message = await api.result("sendMessage", chat_id=42, text="x", reply_markup={"inline_keyboard": [row, []]})

        assert message["reply_markup"]["inline_keyboard"] == [[{"text": "a", "url": "http://example.com/"}, *row[1:]]]


class TestOthers:
    async def test_a_location(self, api: Api) -> None:
        sent = await api.result("sendLocation", chat_id=42, latitude=52.5, longitude="13.4")

        assert sent["location"] == {"latitude": 52.5, "longitude": 13.4}

    async def test_a_venue_is_a_location_too(self, api: Api) -> None:
        sent = await api.result("sendVenue", chat_id=42, latitude=1, longitude=2, title="Office", address="Street 1")

        assert sent["venue"] == {
            "location": {"latitude": 1.0, "longitude": 2.0},
            "title": "Office",
            "address": "Street 1",
        }
        assert sent["location"] == sent["venue"]["location"]

    async def test_a_contact(self, api: Api) -> None:
        sent = await api.result("sendContact", chat_id=42, phone_number="+4930", first_name="Ada", last_name="L")

        assert sent["contact"] == {"phone_number": "+4930", "first_name": "Ada", "last_name": "L"}

    async def test_a_poll(self, api: Api) -> None:
        sent = await api.result(
            "sendPoll", chat_id=42, question="Tea?", options=["Yes", {"text": "No"}], is_anonymous=False
        )

        assert sent["poll"]["question"] == "Tea?"
        assert [option["text"] for option in sent["poll"]["options"]] == ["Yes", "No"]
        assert sent["poll"]["is_anonymous"] is False

    @pytest.mark.parametrize(("emoji", "highest"), [(None, 6), ("🏀", 5), ("🎰", 64)])
    async def test_a_die_falls_within_its_faces(self, api: Api, emoji: str | None, highest: int) -> None:
        given = {"emoji": emoji} if emoji else {}
        values = {(await api.result("sendDice", chat_id=42, **given))["dice"]["value"] for _ in range(40)}

        assert len(values) > 1
        assert min(values) >= 1
        assert max(values) <= highest

    async def test_a_seed_repeats_the_dice(self) -> None:
        thrown = []
        for _ in range(2):
            async with running(seed=7) as api:
                thrown.append([(await api.result("sendDice", chat_id=1))["dice"]["value"] for _ in range(8)])

        assert thrown[0] == thrown[1]

    async def test_a_chat_action(self, api: Api) -> None:
        assert await api.result("sendChatAction", chat_id=42, action="typing") is True

    @pytest.mark.parametrize(
        ("method", "parameters", "words"),
        [
            ("sendLocation", {"longitude": 1}, "latitude is empty"),
            ("sendLocation", {"latitude": 1}, "longitude is empty"),
            ("sendLocation", {"latitude": 91, "longitude": 1}, "wrong location specified"),
            ("sendVenue", {"latitude": 1, "longitude": 1, "address": "x"}, 'parameter "title" is required'),
            ("sendContact", {"first_name": "x"}, 'parameter "phone_number" is required'),
            ("sendPoll", {"question": "x"}, "can't parse options JSON object"),
            ("sendPoll", {"question": "x", "options": ["a"]}, "poll must have at least 2 option"),
            ("sendPoll", {"options": ["a", "b"]}, "poll question must be non-empty"),
            ("sendPoll", {"question": "x", "options": ["a"] * 13}, "poll can't have more than 12 options"),
            ("sendPoll", {"question": "x", "options": ["a", "b"], "type": "?"}, "unsupported poll type specified"),
            (
                "sendPoll",
                {"question": "x", "options": ["a", "b"], "type": "quiz", "correct_option_id": 2},
                "wrong correct option ID specified",
            ),
            ("sendDice", {"emoji": "🙂"}, "EMOTICON_INVALID"),
            ("sendChatAction", {"action": "sleeping"}, "wrong parameter action in request"),
            ("answerCallbackQuery", {}, "query is too old and response timeout expired or query ID is invalid"),
            ("answerCallbackQuery", {"callback_query_id": "1", "text": "x" * 201}, "MESSAGE_TOO_LONG"),
        ],
    )
    async def test_refusals(self, api: Api, method: str, parameters: dict[str, Any], words: str) -> None:
        assert await api.refusal(method, chat_id=42, **parameters) == words

    async def test_a_chat_is_described(self, api: Api) -> None:
        private = await api.result("getChat", chat_id=42)
        group = await api.result("getChat", chat_id=-7)

        assert (private["type"], group["type"]) == ("private", "group")
        assert group["permissions"]["can_send_messages"] is True
        assert await api.refusal("getChat") == "chat_id is empty"

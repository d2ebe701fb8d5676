"""Edits, deletions, pins, copies and forwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import OTHER_TOKEN, Api, running

from dovecote.emulator import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "https://example.com/cat.png"
KEYBOARD = {"inline_keyboard": [[{"text": "x", "callback_data": "y"}]]}
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as "
    "a current content and reply markup of the message"
)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running() as api:
        yield api


class TestEdits:
    async def test_of_text(self, api: Api) -> None:
        sent = await api.result("sendMessage", chat_id=42, text="old", reply_markup=KEYBOARD)

        edited = await api.result("editMessageText", chat_id=42, message_id=1, text="*new*", parse_mode="MarkdownV2")

        assert edited["text"] == "new"
        assert edited["entities"] == [{"type": "bold", "offset": 0, "length": 3}]
        assert "reply_markup" not in edited
        assert (edited["message_id"], edited["date"]) == (1, sent["date"])
        assert edited["edit_date"] >= sent["date"]

    async def test_of_a_caption(self, api: Api) -> None:
        await api.result("sendPhoto", chat_id=42, photo=URL, caption="old")

        edited = await api.result("editMessageCaption", chat_id=42, message_id=1, caption="new")
        removed = await api.result("editMessageCaption", chat_id=42, message_id=1)

        assert edited["caption"] == "new"
        assert "caption" not in removed

    async def test_of_a_keyboard(self, api: Api) -> None:
        await api.result("sendMessage", chat_id=42, text="x")

        edited = await api.result("editMessageReplyMarkup", chat_id=42, message_id=1, reply_markup=KEYBOARD)

        assert edited["reply_markup"] == KEYBOARD
        assert edited["text"] == "x"

    async def test_that_change_nothing_are_refused(self, api: Api) -> None:
        await api.result("sendMessage", chat_id=42, text="x", reply_markup=KEYBOARD)
        await api.result("sendPhoto", chat_id=42, photo=URL, caption="c")
        again: dict[str, Any] = {"chat_id": 42, "message_id": 1}

        assert await api.refusal("editMessageText", **again, text="x", reply_markup=KEYBOARD) == NOT_MODIFIED
        assert await api.refusal("editMessageReplyMarkup", **again, reply_markup=KEYBOARD) == NOT_MODIFIED
        assert await api.refusal("editMessageCaption", chat_id=42, message_id=2, caption="c") == NOT_MODIFIED

    @pytest.mark.parametrize(
        ("method", "parameters", "words"),
        [
            ("editMessageText", {"chat_id": 42, "message_id": 9, "text": "x"}, "message to edit not found"),
            ("editMessageText", {"chat_id": 41, "message_id": 1, "text": "x"}, "message to edit not found"),
            ("editMessageText", {"text": "x"}, "message identifier is not specified"),
            ("editMessageText", {"text": "x", "inline_message_id": "AAA"}, "MESSAGE_ID_INVALID"),
            ("editMessageText", {"chat_id": 42, "message_id": 1}, "message text is empty"),
            ("editMessageText", {"chat_id": 42, "message_id": 1, "text": "x" * 4097}, "message is too long"),
            (
                "editMessageText",
                {"chat_id": 42, "message_id": 2, "text": "x"},
                "there is no text in the message to edit",
            ),
            (
                "editMessageCaption",
                {"chat_id": 42, "message_id": 1, "caption": "x"},
                "there is no caption in the message to edit",
            ),
            (
                "editMessageCaption",
                {"chat_id": 42, "message_id": 2, "caption": "x" * 1025},
                "message caption is too long",
            ),
        ],
    )
    async def test_refusals(self, api: Api, method: str, parameters: dict[str, Any], words: str) -> None:
        await api.result("sendMessage", chat_id=42, text="text")
        await api.result("sendPhoto", chat_id=42, photo=URL)

        assert await api.refusal(method, **parameters) == words

    async def test_of_another_bots_message_are_refused(self, api: Api) -> None:
        await api.result("sendMessage", chat_id=-1000000000007, text="mine")

        words = await api.refusal("editMessageText", OTHER_TOKEN, chat_id=-1000000000007, message_id=1, text="yours")

        assert words == "message can't be edited"


class Later(Clock):
    """A clock that can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class TestDeletions:
    async def test_of_one(self, api: Api) -> None:
        await api.result("sendMessage", chat_id=42, text="x")

        assert await api.result("deleteMessage", chat_id=42, message_id=1) is True
        assert await api.refusal("deleteMessage", chat_id=42, message_id=1) == "message to delete not found"

    async def test_of_several_skip_what_is_gone(self, api: Api) -> None:
        for _ in range(3):
            await api.result("sendMessage", chat_id=42, text="x")

        assert await api.result("deleteMessages", chat_id=42, message_ids=[1, 3, 99]) is True
        assert api.emulator.accepted[-1].message_ids == (1, 3)
        assert await api.result("deleteMessage", chat_id=42, message_id=2) is True

    async def test_of_what_is_older_than_two_days_are_refused(self) -> None:
        clock = Later()
        async with running(clock=clock) as api:
            await api.result("sendMessage", chat_id=42, text="x")
            clock.ahead = 48 * 3600 + 2

            words = await api.refusal("deleteMessage", chat_id=42, message_id=1)

        assert words == "message can't be deleted for everyone"

    @pytest.mark.parametrize(
        ("ids", "words"),
        [
            (None, "message identifiers are not specified"),
            ([], "too few message identifiers specified"),
            (list(range(1, 102)), "too many message identifiers specified"),
            ("{}", "expected an Array of message identifiers"),
            (["x"], "message identifier is not a Number"),
            ([0], "invalid message identifier specified"),
        ],
    )
    async def test_refusals(self, api: Api, ids: Any, words: str) -> None:
        given = {} if ids is None else {"message_ids": ids}

        assert await api.refusal("deleteMessages", chat_id=42, **given) == words


class TestPins:
    async def test_a_message_is_pinned_and_unpinned(self, api: Api) -> None:
        await api.result("sendMessage", chat_id=42, text="x")

        assert await api.result("pinChatMessage", chat_id=42, message_id=1) is True
        assert await api.result("unpinChatMessage", chat_id=42, message_id=1) is True
        assert await api.refusal("unpinChatMessage", chat_id=42) == "message to unpin not found"
        assert await api.refusal("pinChatMessage", chat_id=42, message_id=9) == "message to pin not found"
        assert await api.refusal("unpinChatMessage", chat_id=42, message_id=9) == "message to unpin not found"


class TestCopies:
    async def test_of_one_message(self, api: Api) -> None:
        await api.result("sendPhoto", chat_id=42, photo=URL, caption="old", reply_markup=KEYBOARD)

        plain = await api.result("copyMessage", chat_id=43, from_chat_id=42, message_id=1)
        titled = await api.result("copyMessage", chat_id=43, from_chat_id=42, message_id=1, caption="new")
        shown = await api.result("forwardMessage", chat_id=44, from_chat_id=43, message_id=titled["message_id"])

        assert (plain, titled) == ({"message_id": 2}, {"message_id": 3})
        assert shown["caption"] == "new"
        assert "reply_markup" not in shown

    async def test_of_several(self, api: Api) -> None:
        for text in ("a", "b", "c"):
            await api.result("sendMessage", chat_id=42, text=text)

        copied = await api.result("copyMessages", chat_id=43, from_chat_id=42, message_ids=[1, 3, 99])

        assert copied == [{"message_id": 4}, {"message_id": 5}]
        assert api.emulator.accepted[-1].message_ids == (4, 5)

    async def test_a_forward_names_its_origin(self, api: Api) -> None:
        channel = await api.result("sendMessage", chat_id="@news", text="x")
        private = await api.result("sendMessage", chat_id=42, text="y")

        first = await api.result("forwardMessage", chat_id=42, from_chat_id="@news", message_id=1)
        second = await api.result("forwardMessage", chat_id=42, from_chat_id=42, message_id=private["message_id"])
        third = await api.result("forwardMessages", chat_id=43, from_chat_id=42, message_ids=[first["message_id"]])
        again = await api.result("forwardMessage", chat_id=44, from_chat_id=43, message_id=third[0]["message_id"])

        assert first["forward_origin"] == {
            "type": "channel",
            "date": channel["date"],
            "chat": channel["chat"],
            "message_id": 1,
        }
        assert second["forward_origin"]["sender_user"]["id"] == 4242
        assert again["forward_origin"] == first["forward_origin"]

    async def test_an_album_stays_one(self, api: Api) -> None:
        media = [{"type": "photo", "media": URL}] * 2
        first = await api.result("sendMediaGroup", chat_id=42, media=media)
        await api.result("forwardMessages", chat_id=43, from_chat_id=42, message_ids=[1, 2])

        shown = [
            await api.result("editMessageCaption", chat_id=43, message_id=number, caption="x") for number in (3, 4)
        ]

        assert shown[0]["media_group_id"] == shown[1]["media_group_id"] != first[0]["media_group_id"]

    @pytest.mark.parametrize(
        ("method", "parameters", "words"),
        [
            ("copyMessage", {"message_id": 1}, 'parameter "from_chat_id" is required'),
            ("copyMessage", {"from_chat_id": 42, "message_id": 9}, "message to copy not found"),
            ("forwardMessage", {"from_chat_id": 42, "message_id": 9}, "message to forward not found"),
            ("copyMessages", {"from_chat_id": 42, "message_ids": [9]}, "there are no messages to copy"),
            ("forwardMessages", {"from_chat_id": 42, "message_ids": [9]}, "there are no messages to forward"),
            (
                "forwardMessages",
                {"from_chat_id": 42, "message_ids": [2, 1]},
                "message identifiers must be in a strictly increasing order",
            ),
        ],
    )
    async def test_refusals(self, api: Api, method: str, parameters: dict[str, Any], words: str) -> None:
        assert await api.refusal(method, chat_id=42, **parameters) == words

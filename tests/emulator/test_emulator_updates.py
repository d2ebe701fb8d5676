"""Updates of what people do, fetched by getUpdates: their form, their order, and who is told what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiogram.types
import pytest
import pytest_asyncio
from emulator_client import OTHER_TOKEN, PNG, TOKEN, Api, StoppedClock, running, until

from dovecote.emulator import Recipient
from dovecote.emulator.events import Changed, Written
from dovecote.emulator.inbox import KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dovecote.emulator import User

BOT = 4242
GROUP = -5
BUTTONS = {
    "inline_keyboard": [[{"text": "Yes", "callback_data": "yes:7"}, {"text": "Site", "url": "https://a.example"}]]
}


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[Api]:
    async with running(tokens=[TOKEN], clock=StoppedClock()) as telegram:
        yield telegram


@pytest.fixture
def ada(telegram: Api) -> User:
    return telegram.emulator.user(42, first_name="Ada", username="ada", language_code="de")


async def updates(telegram: Api, **parameters: Any) -> list[Any]:
    found: list[Any] = await telegram.result("getUpdates", **parameters)
    return found


def waiting(telegram: Api) -> bool:
    """Whether a getUpdates waits at this moment."""
    return telegram.emulator._application._world.inboxes[BOT]._poll is not None


class TestWhatPeopleDo:
    async def test_a_command(self, telegram: Api, ada: User) -> None:
        written = ada.writes("/start shop")

        assert await updates(telegram) == [
            {
                "update_id": 100000001,
                "message": {
                    "message_id": 1,
                    "from": {
                        "id": 42,
                        "is_bot": False,
                        "first_name": "Ada",
                        "username": "ada",
                        "language_code": "de",
                    },
                    "chat": {"id": 42, "first_name": "Ada", "username": "ada", "type": "private"},
                    "date": 1780000000,
                    "text": "/start shop",
                    "entities": [{"type": "bot_command", "offset": 0, "length": 6}],
                },
            }
        ]
        assert written.message_id == 1

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("🕊 /go@dove_bot now", [("bot_command", 3, 12)]),
            ("see https://a.example/x?y=1.", [("url", 4, 23)]),
            ("@ada_l and a.b@c.example", [("mention", 0, 6), ("email", 11, 13)]),
            ("#news 1/2 a/b", [("hashtag", 0, 5)]),
        ],
    )
    async def test_what_is_found_in_a_text(
        self, telegram: Api, ada: User, text: str, found: list[tuple[str, int, int]]
    ) -> None:
        ada.writes(text)

        (update,) = await updates(telegram)
        entities = update["message"]["entities"]
        assert [(entity["type"], entity["offset"], entity["length"]) for entity in entities] == found

    async def test_a_photo_can_be_downloaded(self, telegram: Api, ada: User) -> None:
        ada.sends("photo", PNG, caption="The order")

        (update,) = await updates(telegram)
        largest = update["message"]["photo"][-1]
        file = await telegram.result("getFile", file_id=largest["file_id"])
        _, _, content = await telegram.raw("GET", f"/file/bot{TOKEN}/{file['file_path']}")
        assert (update["message"]["caption"], largest["width"], largest["height"]) == ("The order", 640, 480)
        assert content == PNG

    async def test_a_document_keeps_its_name(self, telegram: Api, ada: User) -> None:
        ada.sends("document", b"%PDF", name="invoice.pdf")

        (update,) = await updates(telegram)
        assert update["message"]["document"]["file_name"] == "invoice.pdf"

    async def test_a_pressed_button_is_answered_once_it_is_known(self, telegram: Api, ada: User) -> None:
        sent = await telegram.result("sendMessage", chat_id=42, text="?", reply_markup=BUTTONS)
        pressed = ada.presses(sent["message_id"], "yes:7")
        also = ada.presses(sent["message_id"], button="Yes")

        query = (await updates(telegram))[0]["callback_query"]
        assert (query["data"], query["from"]["id"], query["message"]["text"]) == ("yes:7", 42, "?")
        assert query["id"] == pressed.query_id != also.query_id
        assert await telegram.result("answerCallbackQuery", callback_query_id=query["id"], text="Thanks")
        words = "query is too old and response timeout expired or query ID is invalid"
        assert await telegram.refusal("answerCallbackQuery", callback_query_id="17") == words

    async def test_an_edit(self, telegram: Api, ada: User) -> None:
        written = ada.writes("helo")
        ada.edits(written.message_id, "hello")

        _, edited = await updates(telegram)
        assert edited["edited_message"]["text"] == "hello"
        assert edited["edited_message"]["edit_date"] == 1780000000

    async def test_a_vote_and_a_reaction(self, telegram: Api, ada: User) -> None:
        poll = await telegram.result("sendPoll", chat_id=42, question="?", options=["a", "b"], is_anonymous=False)
        await updates(telegram, allowed_updates=["message_reaction", "poll", "poll_answer"])
        ada.votes(poll["message_id"], 1)
        ada.reacts(poll["message_id"], "👍")
        ada.votes(poll["message_id"])

        counted, answer, reaction, taken_back, _ = await updates(telegram)
        assert [option["voter_count"] for option in counted["poll"]["options"]] == [0, 1]
        assert answer["poll_answer"]["option_ids"] == [1]
        assert reaction["message_reaction"]["new_reaction"] == [{"type": "emoji", "emoji": "👍"}]
        assert taken_back["poll"]["total_voter_count"] == 0

    async def test_a_channel_has_posts(self, telegram: Api, ada: User) -> None:
        ada.writes("news", chat="@news")

        (update,) = await updates(telegram)
        assert update["channel_post"]["sender_chat"]["username"] == "news"

    async def test_any_update_at_all(self, telegram: Api) -> None:
        shipping = {"id": "9", "from": {"id": 42, "is_bot": False, "first_name": "Ada"}, "invoice_payload": "x"}
        telegram.emulator.update({"shipping_query": shipping})

        assert await updates(telegram) == [{"update_id": 100000001, "shipping_query": shipping}]

    async def test_events_as_documents(self, telegram: Api) -> None:
        written, blocked = telegram.emulator.happen(Written(user=42, text="hello"), Changed(event="block", user=42))

        assert (written.bot, written.message_id, blocked.message_id) == (BOT, 1, 0)
        assert await updates(telegram) == [*written.updates, *blocked.updates]

    async def test_an_inline_query_is_answered_by_the_bot_that_was_asked(self, telegram: Api, ada: User) -> None:
        asked = ada.asks("tea")

        (update,) = await updates(telegram)
        assert (update["inline_query"]["query"], update["inline_query"]["chat_type"]) == ("tea", "sender")
        result = {"type": "article", "id": "1", "title": "Tea", "input_message_content": {"message_text": "Tea"}}
        assert await telegram.result("answerInlineQuery", inline_query_id=asked.query_id, results=[result])

    async def test_what_cannot_be_names_the_value(self, telegram: Api, ada: User) -> None:
        sent = await telegram.result("sendMessage", chat_id=42, text="?", reply_markup=BUTTONS)

        with pytest.raises(ValueError, match=r'no such button; it has: "Yes" \(yes:7\)'):
            ada.presses(sent["message_id"], "no")
        with pytest.raises(ValueError, match="message_id 9: chat 42 of bot 4242 has no such message"):
            ada.edits(9, "x")
        with pytest.raises(ValueError, match="4242 has written it, and 42 cannot edit it"):
            ada.edits(sent["message_id"], "x")
        with pytest.raises(ValueError, match="nobody can send an empty message"):
            ada.writes()
        assert await updates(telegram) == []

    async def test_the_bot_is_named_where_there_are_several(self) -> None:
        async with running(tokens=[TOKEN, OTHER_TOKEN]) as both:
            with pytest.raises(ValueError, match="name the bot by its id; those that there are: 777, 4242"):
                both.emulator.user(42).writes("hello")
            both.emulator.user(42).writes("hello", bot=777)
            assert len(await both.result("getUpdates", OTHER_TOKEN)) == 1
            assert await both.result("getUpdates", TOKEN) == []


class TestBlocking:
    async def test_a_blocked_bot_is_told_and_cannot_send_until_the_user_writes(self, telegram: Api, ada: User) -> None:
        ada.blocks()
        ada.blocks()
        blocked = await telegram.post("sendMessage", chat_id=42, text="hello")
        ada.writes("sorry")
        sent = await telegram.post("sendMessage", chat_id=42, text="hello")

        kicked, back, message = await updates(telegram)
        assert (blocked[0], sent[0]) == (403, 200)
        assert blocked[1]["description"] == "Forbidden: bot was blocked by the user"
        assert kicked["my_chat_member"]["old_chat_member"]["status"] == "member"
        assert kicked["my_chat_member"]["new_chat_member"]["status"] == "kicked"
        assert kicked["my_chat_member"]["new_chat_member"]["user"]["id"] == BOT
        assert back["my_chat_member"]["new_chat_member"]["status"] == "member"
        assert message["message"]["text"] == "sorry"

    async def test_a_state_that_was_set_ends_by_the_same_events(self, telegram: Api, ada: User) -> None:
        telegram.emulator.recipients(Recipient(42, "blocked"), Recipient(43, "never_started"))
        ada.unblocks()
        telegram.emulator.user(43).writes("/start")

        back, start = await updates(telegram)
        assert back["my_chat_member"]["old_chat_member"]["status"] == "kicked"
        assert start["message"]["text"] == "/start"
        for chat in (42, 43):
            assert (await telegram.post("sendMessage", chat_id=chat, text="hello"))[0] == 200

    async def test_who_is_gone_writes_nothing(self, telegram: Api, ada: User) -> None:
        telegram.emulator.recipients(Recipient(42, "deactivated"))

        with pytest.raises(ValueError, match="user 42: a deactivated user writes nothing"):
            ada.writes("hello")


class TestGroups:
    async def test_joining_and_leaving(self, telegram: Api, ada: User) -> None:
        telegram.emulator.group(GROUP, "Team")
        await updates(telegram, allowed_updates=["message", "chat_member"])
        ada.joins(GROUP)
        ada.leaves(GROUP)

        joined, arrival, left, departure = await updates(telegram)
        assert joined["chat_member"]["new_chat_member"]["status"] == "member"
        assert arrival["message"]["new_chat_members"][0]["first_name"] == "Ada"
        assert arrival["message"]["chat"]["title"] == "Team"
        assert left["chat_member"]["old_chat_member"]["status"] == "member"
        assert departure["message"]["left_chat_member"]["id"] == 42

    async def test_a_bot_that_is_removed_can_send_again_when_it_is_added(self, telegram: Api, ada: User) -> None:
        ada.removes_bot(GROUP)
        with pytest.raises(ValueError, match=r"chat -5: bot 4242 is not there \(kicked\)"):
            ada.writes("hello?", chat=GROUP)
        removed = await telegram.post("sendMessage", chat_id=GROUP, text="hello")
        ada.adds_bot(GROUP)

        assert removed[1]["description"] == "Forbidden: bot was kicked from the group chat"
        assert (await telegram.post("sendMessage", chat_id=GROUP, text="hello"))[0] == 200
        gone, back, arrival = await updates(telegram)
        assert gone["my_chat_member"]["new_chat_member"]["status"] == "kicked"
        assert back["my_chat_member"]["old_chat_member"]["status"] == "kicked"
        assert arrival["message"]["new_chat_members"][0]["id"] == BOT

    async def test_what_telegram_writes_by_itself_goes_nowhere_else(self, telegram: Api, ada: User) -> None:
        arrival = ada.joins(GROUP)
        here: dict[str, Any] = {"chat_id": 42, "from_chat_id": GROUP}

        for method, words in (("copy", "message can't be copied"), ("forward", "message can't be forwarded")):
            refusal = await telegram.refusal(f"{method}Message", **here, message_id=arrival.message_id)
            assert refusal == words
            refusal = await telegram.refusal(f"{method}Messages", **here, message_ids=[arrival.message_id])
            assert refusal == f"there are no messages to {method}"

    async def test_a_channel_takes_bots_as_administrators_and_says_nothing_of_it(
        self, telegram: Api, ada: User
    ) -> None:
        ada.adds_bot("@news")
        ada.joins("@news")

        (added,) = await updates(telegram)
        assert added["my_chat_member"]["new_chat_member"]["status"] == "administrator"
        assert added["my_chat_member"]["new_chat_member"]["can_post_messages"]
        assert telegram.emulator.messages("@news") == []

    async def test_a_group_migrates(self, telegram: Api, ada: User) -> None:
        telegram.emulator.group(GROUP, "Team")
        await telegram.result("banChatMember", chat_id=GROUP, user_id=43)
        ada.migrates(GROUP)

        old, new = await updates(telegram)
        assert old["message"]["migrate_to_chat_id"] == new["message"]["chat"]["id"] == -1000000000005
        assert new["message"]["migrate_from_chat_id"] == GROUP
        assert new["message"]["chat"] == {"id": -1000000000005, "title": "Team", "type": "supergroup"}
        status, body = await telegram.post("sendMessage", chat_id=GROUP, text="hello")
        assert (status, body["parameters"]) == (400, {"migrate_to_chat_id": -1000000000005})
        member = await telegram.result("getChatMember", chat_id=-1000000000005, user_id=43)
        assert member["status"] == "kicked"
        with pytest.raises(ValueError, match="chat -5: it was upgraded to a supergroup"):
            ada.writes("hello", chat=GROUP)


class TestGetUpdates:
    async def test_an_offset_confirms_what_is_before_it(self, telegram: Api, ada: User) -> None:
        for number in range(5):
            ada.writes(str(number))

        async def texts(**parameters: Any) -> list[str]:
            return [update["message"]["text"] for update in await updates(telegram, **parameters)]

        assert await texts(limit=2) == ["0", "1"]
        assert await texts(offset=100000003) == ["2", "3", "4"]
        assert await texts(offset=0) == ["2", "3", "4"]
        assert await texts(offset=999999999) == ["2", "3", "4"]
        assert await texts(offset=-1) == ["4"]
        assert await texts(offset=100000006) == []

    async def test_it_waits_for_an_update(self, telegram: Api, ada: User) -> None:
        poll = asyncio.create_task(updates(telegram, timeout=50))
        await until(lambda: waiting(telegram))
        ada.writes("hello")

        assert [update["message"]["text"] for update in await poll] == ["hello"]

    async def test_no_longer_than_it_was_told(self) -> None:
        from dovecote.emulator import ScaledClock  # noqa: PLC0415 - of this test alone

        async with running(tokens=[TOKEN], clock=ScaledClock(1000)) as telegram:
            assert await updates(telegram, timeout=50) == []

    async def test_two_at_a_time_are_a_conflict_for_the_first(self, telegram: Api, ada: User) -> None:
        first = asyncio.create_task(telegram.post("getUpdates", timeout=50))
        await until(lambda: waiting(telegram))
        second = asyncio.create_task(updates(telegram, timeout=50))
        status, body = await first
        ada.writes("hello")

        assert (status, body["error_code"]) == (409, 409)
        assert body["description"] == (
            "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
        )
        assert len(await second) == 1

    async def test_a_client_that_leaves_waits_no_more(self, telegram: Api) -> None:
        _, host, port = telegram.emulator.url.split(":")
        _, writer = await asyncio.open_connection(host.strip("/"), int(port))
        writer.write(f"GET /bot{TOKEN}/getUpdates?timeout=50 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await until(lambda: waiting(telegram))
        writer.close()

        await until(lambda: not waiting(telegram))

    async def test_only_wanted_kinds_come_and_the_wish_is_remembered(self, telegram: Api, ada: User) -> None:
        await updates(telegram, allowed_updates=["callback_query"])
        unwanted = ada.writes("hello")
        await updates(telegram, allowed_updates=["a kind that is none"])
        ada.writes("hello")
        await updates(telegram, allowed_updates=[])
        ada.writes("hello again")

        assert unwanted.updates == ()
        assert [update["message"]["text"] for update in await updates(telegram)] == ["hello again"]

    async def test_a_reset_forgets_them_and_ends_the_wait(self, telegram: Api, ada: User) -> None:
        ada.writes("hello")
        telegram.emulator.reset()
        poll = asyncio.create_task(updates(telegram, timeout=50))
        await until(lambda: waiting(telegram))
        telegram.emulator.reset()

        assert await poll == []
        ada.writes("hello again")
        assert [update["update_id"] for update in await updates(telegram)] == [100000001]


def test_every_kind_that_the_clients_know_is_known() -> None:
    assert set(KINDS) == set(aiogram.types.Update.model_fields) - {"update_id"}


class TestControl:
    async def test_the_same_from_any_language(self, telegram: Api) -> None:
        await telegram.control("POST", "names", {"id": 42, "first_name": "Ada", "language_code": "de"})
        status, answer = await telegram.control(
            "POST", "updates", [{"event": "message", "user": 42, "text": "/start"}, {"event": "block", "user": 42}]
        )
        pending = await telegram.control("GET", "updates?bot=4242")
        blocked = await telegram.post("sendMessage", chat_id=42, text="hello")

        assert status == 200
        assert [one["message_id"] for one in answer["happened"]] == [1, 0]
        assert pending[1]["updates"] == [update for one in answer["happened"] for update in one["updates"]]
        assert pending[1]["updates"][0]["message"]["from"]["language_code"] == "de"
        assert blocked[0] == 403

    async def test_what_is_in_a_chat(self, telegram: Api, ada: User) -> None:
        ada.writes("hello")
        sent = await telegram.result("sendMessage", chat_id=42, text="hello, Ada")
        await telegram.result("sendMessage", chat_id=43, text="elsewhere")
        await telegram.result("editMessageText", chat_id=42, message_id=sent["message_id"], text="hello!")

        _, answer = await telegram.control("GET", "messages?chat=42")
        assert [message["text"] for message in answer["messages"]] == ["hello", "hello!"]
        assert answer["messages"] == telegram.emulator.messages(42)

    @pytest.mark.parametrize(
        ("path", "document", "words"),
        [
            ("updates", {"event": "message", "user": 42}, "nobody can send an empty message"),
            ("updates", {"event": "sneeze", "user": 42}, "sneeze"),
            ("updates", {"event": "message", "user": 42, "txt": "x"}, "txt"),
            ("updates", [], "send one event or a list of events"),
            ("updates", {"event": "join", "user": 42}, "event join: that is done in a group; name it as chat"),
            ("updates", {"event": "block", "user": 42, "chat": -5}, "in a private chat"),
            ("updates", {"event": "update", "update": {"message": {}, "poll": {}}}, "it has one member"),
            ("names", {"id": 42, "title": "x"}, "title: 42 is a user"),
            ("names", {"first_name": "x"}, "id"),
        ],
    )
    async def test_what_cannot_be_is_refused(self, telegram: Api, path: str, document: Any, words: str) -> None:
        status, answer = await telegram.control("POST", path, document)

        assert status == 400
        assert words in answer["error"]
        assert await updates(telegram) == []

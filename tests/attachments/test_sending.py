"""Stored files as Telegram gets them: uploaded once, by `file_id` after that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from attaching import Attaching, digest, png
from deliveries import OTHER_TOKEN

from dovecote.emulator import Answer, Match, Rule
from dovecote.model import Attachment, State

if TYPE_CHECKING:
    from dovecote.model import StoredFile

UNKNOWN_ID = Answer.error(400, "Bad Request: wrong file identifier/HTTP URL specified")
KINDS = ["photo", "document", "video", "audio", "voice", "animation", "sticker"]


class TestOnce:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_each_kind_is_uploaded_and_sent_by_its_file_id_after_that(self, parts: Attaching, kind: str) -> None:
        file = await parts.put(png(), name="picture.png")
        method = f"send{kind.capitalize()}"

        first, second = [await parts.enqueue(method, chat, {kind: Attachment(file)}) for chat in (7, 8)]
        records = await parts.settled(first, second)

        assert [record.state for record in records] == [State.DELIVERED] * 2
        assert [[attempt.outcome for attempt in record.attempts] for record in records] == [["delivered"]] * 2
        assert parts.uploads(png()) == 1
        uploaded, by_id = sorted(parts.emulator.accepted, key=lambda record: record.sequence)
        part = str(uploaded.parameters[kind]).removeprefix("attach://")
        assert uploaded.parameters[part]["file_name"] == "picture.png"
        assert uploaded.parameters[part]["sha256"] == digest(png())
        assert not str(by_id.parameters[kind]).startswith("attach://")
        assert by_id.parameters.keys() == {"chat_id", kind}

    async def test_what_is_enqueued_after_a_restart_is_not_uploaded_again(self, parts: Attaching) -> None:
        file = await parts.put(png())
        await parts.settled(await parts.photo(file))
        parts.dovecote._knowledge._file_ids.clear()
        parts.dovecote._knowledge._files.clear()

        await parts.settled(await parts.photo(file, 8))

        assert parts.uploads(png()) == 1
        assert len(parts.emulator.accepted) == 2

    async def test_every_bot_uploads_for_itself(self, parts: Attaching) -> None:
        await parts.parts.bot("other", OTHER_TOKEN)
        file = await parts.put(png())

        await parts.settled(await parts.photo(file), await parts.photo(file, bot="other"))
        await parts.settled(await parts.photo(file), await parts.photo(file, bot="other"))

        assert dict(parts.emulator.uploads[digest(png())].bots) == {4242: 1, 777: 1}

    async def test_without_the_cache_it_is_uploaded_each_time(self, parts: Attaching) -> None:
        file = await parts.put(png())

        for _ in range(3):
            await parts.settled(await parts.photo(Attachment(file, cache=False)))

        assert parts.uploads(png()) == 3

    async def test_a_name_is_part_of_a_document_and_not_of_a_photo(self, parts: Attaching) -> None:
        file = await parts.put(png())
        names = ["one.png", "two.png", "one.png"]

        for name in names:
            await parts.settled(
                await parts.enqueue("sendDocument", 7, {"document": Attachment(file, name=name)}),
            )
        assert parts.uploads(png()) == 2
        for name in names:
            await parts.settled(await parts.photo(Attachment(file, name=name)))
        assert parts.uploads(png()) == 3

    async def test_captions_and_the_rest_are_each_notifications_own(self, parts: Attaching) -> None:
        file = await parts.put(png())
        markup = {"inline_keyboard": [[{"text": "Open", "url": "https://example.com"}]]}

        for caption in ("<b>One</b>", "Two"):
            params = {"photo": Attachment(file), "caption": caption, "parse_mode": "HTML", "reply_markup": markup}
            await parts.settled(await parts.enqueue("sendPhoto", 7, params))

        uploaded, by_id = parts.sent()
        assert (uploaded["caption"], by_id["caption"]) == ("<b>One</b>", "Two")
        assert json.loads(uploaded["reply_markup"]) == by_id["reply_markup"] == markup


class TestAlbums:
    @pytest.mark.parametrize("count", [2, 10])
    async def test_its_files_are_uploaded_in_one_call_and_known_after_that(self, parts: Attaching, count: int) -> None:
        files = [await parts.put(png(number)) for number in range(count)]

        def media() -> dict[str, Any]:
            return {"media": [{"type": "photo", "media": Attachment(file), "caption": "x"} for file in files]}

        first, second = [await parts.enqueue("sendMediaGroup", chat, media()) for chat in (7, 8)]
        records = await parts.settled(first, second)

        assert [len(record.attempts[-1].message_ids) for record in records] == [count, count]
        assert [parts.uploads(png(number)) for number in range(count)] == [1] * count
        # What an album has uploaded can be sent alone.
        await parts.settled(await parts.photo(files[1], 9))
        assert parts.uploads(png(1)) == 1

    async def test_files_that_are_known_are_not_uploaded_with_the_others(self, parts: Attaching) -> None:
        known, new = await parts.put(png(1)), await parts.put(png(2))
        await parts.settled(await parts.photo(known))

        media = [{"type": "photo", "media": Attachment(file)} for file in (known, new, known)]
        (record,) = await parts.settled(await parts.enqueue("sendMediaGroup", 7, {"media": media}))

        assert record.state is State.DELIVERED
        assert (parts.uploads(png(1)), parts.uploads(png(2))) == (1, 1)

    async def test_one_file_twice_is_uploaded_once(self, parts: Attaching) -> None:
        file = await parts.put(png())

        media = [{"type": "photo", "media": Attachment(file)} for _ in range(3)]
        (record,) = await parts.settled(await parts.enqueue("sendMediaGroup", 7, {"media": media}))

        assert (record.state, len(record.attempts[0].message_ids)) == (State.DELIVERED, 3)
        assert parts.uploads(png()) == 1

    async def test_documents_and_audio_and_film_with_pictures(self, parts: Attaching) -> None:
        one, two = await parts.put(b"%PDF-1"), await parts.put(b"%PDF-2")
        picture = await parts.put(png())
        albums: list[list[tuple[str, StoredFile]]] = [
            [("document", one), ("document", two)],
            [("audio", one), ("audio", two)],
            [("video", one), ("photo", picture)],
        ]
        for album in albums:
            media = [{"type": kind, "media": Attachment(file)} for kind, file in album]
            (record,) = await parts.settled(await parts.enqueue("sendMediaGroup", 7, {"media": media}))
            assert (record.state, record.error) == (State.DELIVERED, None)


class TestThumbnails:
    async def test_one_goes_with_the_upload_and_is_part_of_the_file_after_that(self, parts: Attaching) -> None:
        video, small = await parts.put(b"a film"), await parts.put(png(width=80, height=60))

        for chat in (7, 8):
            params = {"video": Attachment(video), "thumbnail": Attachment(small)}
            await parts.settled(await parts.enqueue("sendVideo", chat, params))
        await parts.settled(await parts.enqueue("sendVideo", 9, {"video": Attachment(video)}))

        assert parts.uploads(b"a film") == 2
        assert parts.uploads(png(width=80, height=60)) == 1
        (by_id,) = parts.sent(8)
        assert by_id.keys() == {"chat_id", "video"}


class TestFileIdsThatTelegramDoesNotKnow:
    async def test_one_is_replaced_by_an_upload_within_the_attempt(self, parts: Attaching) -> None:
        file = await parts.put(png())
        await parts.settled(await parts.photo(file))
        parts.emulator.script(Rule(UNKNOWN_ID, Match(chat_id=8), times=1))

        (record,) = await parts.settled(await parts.photo(file, 8))
        (again,) = await parts.settled(await parts.photo(file, 9))

        assert (record.state, [attempt.outcome for attempt in record.attempts]) == (State.DELIVERED, ["delivered"])
        assert again.state is State.DELIVERED
        assert parts.uploads(png()) == 2

    async def test_it_is_replaced_once_and_no_more(self, parts: Attaching) -> None:
        file = await parts.put(png())
        await parts.settled(await parts.photo(file))
        parts.emulator.script(Rule(UNKNOWN_ID, Match(chat_id=8)))

        (record,) = await parts.settled(await parts.photo(file, 8))

        assert (record.state, record.error) == (
            State.DEAD,
            "Bad Request: wrong file identifier/HTTP URL specified",
        )
        assert len([request for request in parts.emulator.requests if request.chat_id == 8]) == 2

    async def test_another_workers_newer_one_is_used_and_not_thrown_away(self, parts: Attaching) -> None:
        file = await parts.put(png())
        await parts.settled(await parts.photo(file))
        knowledge = parts.dovecote._knowledge
        (key,) = knowledge._file_ids
        newer = knowledge._file_ids[key]
        knowledge._file_ids[key] = "an-old-one-of-this-process"
        parts.emulator.script(Rule(UNKNOWN_ID, Match(chat_id=8), times=1))

        (record,) = await parts.settled(await parts.photo(file, 8))

        assert record.state is State.DELIVERED
        assert parts.uploads(png()) == 1
        assert [sent["photo"] for sent in parts.sent(8)] == [newer]

    async def test_one_that_the_application_gave_is_dead_as_before(self, parts: Attaching) -> None:
        parts.emulator.script(Rule(UNKNOWN_ID))

        (record,) = await parts.settled(await parts.enqueue("sendPhoto", 7, {"photo": "AgACAgIAAxkBAAIBZ2abcdefgh"}))

        assert record.state is State.DEAD
        assert len(parts.emulator.requests) == 1


async def test_a_text_that_begins_as_a_reference_does_with_no_id_keeps_nobody_from_being_looked_up(
    parts: Attaching, caplog: pytest.LogCaptureFixture
) -> None:
    file = await parts.put(png())
    text = await parts.enqueue("sendMessage", 7, {"text": "attach://file9999999999999999999 is no id"})

    records = await parts.settled(text, await parts.photo(file, 8))

    assert [record.state for record in records] == [State.DELIVERED] * 2
    assert "could not be looked up together" not in caplog.text

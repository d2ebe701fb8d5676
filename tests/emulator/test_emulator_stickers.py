"""Sticker sets, made and changed by the clients that bots use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiogram
import pytest
import pytest_asyncio
import telegram
from aiogram import types
from aiogram.exceptions import TelegramBadRequest
from emulator_client import OTHER_TOKEN, PNG, TOKEN, aiogram_bot, png, running, telegram_bot

from dovecote.emulator import Emulator
from dovecote.emulator.files import File
from dovecote.emulator.stickers import Sticker, StickerSet, is_emoji

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from emulator_client import Api

NAME = "cats_by_bot4242_bot"
CAT, DOG = png(512, 400), png(300, 512)
WEBM = b"\x1a\x45\xdf\xa3film"
TGS = b"\x1f\x8bdrawing"
GROUP = -1000000000005


def sticker(content: bytes, *emoji: str, form: str = "static", **more: Any) -> types.InputSticker:
    file = types.BufferedInputFile(content, "sticker")
    return types.InputSticker(sticker=file, format=form, emoji_list=list(emoji), **more)


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(tokens=[TOKEN, OTHER_TOKEN]) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def bot(emulator: Emulator) -> AsyncIterator[aiogram.Bot]:
    async with aiogram_bot(emulator) as bot:
        yield bot


async def emoji_in(bot: aiogram.Bot, name: str = NAME) -> list[str | None]:
    return [one.emoji for one in (await bot.get_sticker_set(name)).stickers]


class TestAiogram:
    async def test_a_set_is_made_and_its_stickers_are_sent(self, bot: aiogram.Bot) -> None:
        uploaded = await bot.upload_sticker_file(42, types.BufferedInputFile(CAT, "cat.png"), "static")
        first = types.InputSticker(sticker=uploaded.file_id, format="static", emoji_list=["😺", "🐈"])
        assert await bot.create_new_sticker_set(42, NAME, "Cats", [first, sticker(WEBM, "🎬", form="video")])
        assert await bot.add_sticker_to_set(42, NAME, sticker(TGS, "✨", form="animated", keywords=["shiny"]))
        made = await bot.get_sticker_set(NAME.upper())
        sent = await bot.send_sticker(42, made.stickers[0].file_id)

        assert (made.name, made.title, made.sticker_type) == (NAME, "Cats", "regular")
        assert [(one.emoji, one.is_video, one.is_animated) for one in made.stickers] == [
            ("😺", False, False),
            ("🎬", True, False),
            ("✨", False, True),
        ]
        assert sent.sticker is not None
        assert (sent.sticker.set_name, sent.sticker.emoji) == (NAME, "😺")
        assert (sent.sticker.width, sent.sticker.height) == (512, 400)

    async def test_a_sticker_moves_changes_and_goes(self, bot: aiogram.Bot) -> None:
        await bot.create_new_sticker_set(42, NAME, "Cats", [sticker(CAT, "😺"), sticker(DOG, "🐶")])
        cat, dog = (await bot.get_sticker_set(NAME)).stickers

        assert await bot.set_sticker_position_in_set(dog.file_id, 0)
        assert await emoji_in(bot) == ["🐶", "😺"]
        assert await bot.set_sticker_emoji_list(cat.file_id, ["🐈"])
        assert await bot.set_sticker_keywords(cat.file_id, ["purr"])
        assert await emoji_in(bot) == ["🐶", "🐈"]
        assert await bot.replace_sticker_in_set(42, NAME, dog.file_id, sticker(png(512, 512), "🐦"))
        assert await emoji_in(bot) == ["🐦", "🐈"]
        assert await bot.delete_sticker_from_set(cat.file_id)
        assert await emoji_in(bot) == ["🐦"]
        with pytest.raises(TelegramBadRequest, match="STICKER_INVALID"):
            await bot.delete_sticker_from_set(cat.file_id)

    async def test_a_set_is_renamed_gets_a_picture_and_goes(self, bot: aiogram.Bot) -> None:
        await bot.create_new_sticker_set(42, NAME, "Cats", [sticker(CAT, "😺")])
        picture = types.BufferedInputFile(png(100, 100), "small.png")
        assert await bot.set_sticker_set_title(NAME, "All cats")
        assert await bot.set_sticker_set_thumbnail(NAME, 42, "static", thumbnail=picture)
        made = await bot.get_sticker_set(NAME)

        assert made.title == "All cats"
        assert made.thumbnail is not None
        assert made.thumbnail.width == 100
        assert await bot.set_sticker_set_thumbnail(NAME, 42, "static")
        assert (await bot.get_sticker_set(NAME)).thumbnail is None
        assert await bot.delete_sticker_set(NAME)
        with pytest.raises(TelegramBadRequest, match="STICKERSET_INVALID"):
            await bot.get_sticker_set(NAME)

    async def test_custom_emoji_have_numbers(self, bot: aiogram.Bot) -> None:
        small = [sticker(png(100, 100), "😺"), sticker(png(100, 100) + b"2", "🐶")]
        await bot.create_new_sticker_set(42, NAME, "Cats", small, sticker_type="custom_emoji", needs_repainting=True)
        _, dog = (await bot.get_sticker_set(NAME)).stickers
        assert dog.custom_emoji_id is not None
        (found,) = await bot.get_custom_emoji_stickers([dog.custom_emoji_id, "17"])
        await bot.set_custom_emoji_sticker_set_thumbnail(NAME, custom_emoji_id=dog.custom_emoji_id)

        assert (found.emoji, found.type, found.needs_repainting) == ("🐶", "custom_emoji", True)
        assert (await bot.get_sticker_set(NAME)).thumbnail is not None

    async def test_masks_sit_on_faces(self, bot: aiogram.Bot) -> None:
        hat = sticker(CAT, "🎩", mask_position=types.MaskPosition(point="forehead", x_shift=0, y_shift=-0.5, scale=1))
        await bot.create_new_sticker_set(42, NAME, "Hats", [hat], sticker_type="mask")
        (made,) = (await bot.get_sticker_set(NAME)).stickers
        place = types.MaskPosition(point="chin", x_shift=1, y_shift=0, scale=2)
        await bot.set_sticker_mask_position(made.file_id, mask_position=place)
        (moved,) = (await bot.get_sticker_set(NAME)).stickers

        assert made.mask_position is not None
        assert (made.mask_position.point, made.mask_position.y_shift) == ("forehead", -0.5)
        assert moved.mask_position is not None
        assert moved.mask_position.model_dump() == place.model_dump()

    async def test_a_group_has_a_set(self, bot: aiogram.Bot) -> None:
        await bot.create_new_sticker_set(42, NAME, "Cats", [sticker(CAT, "😺")])

        assert await bot.set_chat_sticker_set(GROUP, NAME)
        assert (await bot.get_chat(GROUP)).sticker_set_name == NAME
        assert await bot.delete_chat_sticker_set(GROUP)
        assert (await bot.get_chat(GROUP)).sticker_set_name is None

    async def test_another_bot_sees_a_set_and_cannot_change_it(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        await bot.create_new_sticker_set(42, NAME, "Cats", [sticker(CAT, "😺")])
        async with aiogram_bot(emulator, OTHER_TOKEN) as other:
            (seen,) = (await other.get_sticker_set(NAME)).stickers
            sent = await other.send_sticker(42, seen.file_id)

            assert sent.sticker is not None
            assert sent.sticker.set_name == NAME
            with pytest.raises(TelegramBadRequest, match="STICKERSET_INVALID"):
                await other.add_sticker_to_set(42, NAME, sticker(CAT, "😺"))
            with pytest.raises(TelegramBadRequest, match="STICKER_INVALID"):
                await other.delete_sticker_from_set(seen.file_id)


async def test_python_telegram_bot(emulator: Emulator) -> None:
    async with telegram_bot(emulator) as bot:
        uploaded = await bot.upload_sticker_file(42, CAT, "static")
        stickers = [
            telegram.InputSticker(uploaded.file_id, ["😺"], "static"),
            telegram.InputSticker(DOG, ["🐶"], "static"),
        ]
        assert await bot.create_new_sticker_set(42, NAME, "Cats", stickers)
        assert await bot.add_sticker_to_set(42, NAME, telegram.InputSticker(WEBM, ["🎬"], "video"))
        made = await bot.get_sticker_set(NAME)
        assert await bot.set_sticker_emoji_list(made.stickers[0].file_id, ["🐈"])
        assert await bot.delete_sticker_from_set(made.stickers[1])
        left = await bot.get_sticker_set(NAME)

    assert [one.emoji for one in made.stickers] == ["😺", "🐶", "🎬"]
    assert [(one.emoji, one.is_video) for one in left.stickers] == [("🐈", False), ("🎬", True)]


class TestRefusals:
    @pytest_asyncio.fixture
    async def api(self) -> AsyncIterator[Api]:
        # Not by a client: one for each of these many tests would take most of their time.
        cat = Sticker(File("sticker", b"cat-cat-c", 100, 512, 400), "static", ("😺",))
        async with running(tokens=[TOKEN]) as api:
            world = api.emulator._application._world
            world.sticker_sets.create(StickerSet(NAME, "Cats", "regular", 4242, stickers=[cat]))
            yield api

    @pytest.mark.parametrize(
        ("method", "parameters", "words"),
        [
            ("uploadStickerFile", {"sticker_format": "static"}, "there is no sticker file in the request"),
            ("uploadStickerFile", {"sticker_format": "moving"}, "invalid sticker format specified"),
            ("createNewStickerSet", {"stickers": "["}, "can't parse stickers JSON object"),
            ("createNewStickerSet", {"stickers": {}}, "expected an Array of InputSticker"),
            ("createNewStickerSet", {"stickers": [{}] * 51}, "too many stickers specified"),
            ("createNewStickerSet", {"stickers": [{}]}, "can't parse InputSticker: sticker not found"),
            ("createNewStickerSet", {"stickers": [], "title": "Dogs"}, "at least 1 sticker must be specified"),
            ("createNewStickerSet", {"stickers": []}, "sticker set title can't be empty"),
            ("createNewStickerSet", {"stickers": [], "title": "x", "name": ""}, "sticker set name can't be empty"),
            ("createNewStickerSet", {"stickers": [], "sticker_type": "moving"}, "unsupported sticker type specified"),
            ("addStickerToSet", {}, "there is no sticker file in the request"),
            ("addStickerToSet", {"name": "dogs_by_bot4242_bot"}, "STICKERSET_INVALID"),
            ("getStickerSet", {"name": "dogs_by_bot4242_bot"}, "STICKERSET_INVALID"),
            ("setStickerSetTitle", {"title": " "}, "sticker set title can't be empty"),
            ("setStickerPositionInSet", {"position": -1}, "sticker position must be non-negative"),
            ("setStickerEmojiList", {"emoji_list": []}, "can't parse emoji list: emoji list must be non-empty"),
            ("setStickerEmojiList", {"emoji_list": ["cat"]}, "can't parse emoji list: expected a Unicode emoji"),
            ("setStickerEmojiList", {"emoji_list": ["😺"] * 21}, "can't parse emoji list: too many emoji specified"),
            ("setStickerEmojiList", {"emoji_list": ["😺"]}, "sticker is not specified"),
            ("setStickerKeywords", {"keywords": [1]}, "keyword must be a string"),
            ("setStickerMaskPosition", {"mask_position": {"point": "knee"}}, "wrong point specified in MaskPosition"),
            ("deleteStickerFromSet", {"sticker": "x" * 30}, "STICKER_INVALID"),
            ("setCustomEmojiStickerSetThumbnail", {}, "STICKERSET_INVALID"),
            ("getCustomEmojiStickers", {"custom_emoji_ids": ["x"]}, "invalid custom emoji identifier specified"),
            ("setChatStickerSet", {"chat_id": -5, "sticker_set_name": NAME}, "available only for supergroups"),
            ("setChatStickerSet", {"chat_id": GROUP, "sticker_set_name": "none"}, "STICKERSET_INVALID"),
            ("createNewStickerSet", {"user_id": 0}, "invalid user_id specified"),
        ],
    )
    async def test_refusals(self, api: Api, method: str, parameters: dict[str, Any], words: str) -> None:
        given: dict[str, Any] = {"user_id": 42, "name": NAME, **parameters}

        assert words.lower() in (await api.refusal(method, **given)).lower()

    @pytest.mark.parametrize(
        ("content", "form", "words"),
        [
            (PNG, "static", "STICKER_PNG_DIMENSIONS"),
            (b"no picture", "static", "STICKER_PNG_NOPNG"),
            (CAT, "animated", "STICKER_TGS_NOTGS"),
            (CAT, "video", "STICKER_VIDEO_NOWEBM"),
            (TGS + bytes(64 * 1024), "animated", "file is too big"),
        ],
    )
    async def test_a_file_that_is_no_such_sticker(self, api: Api, content: bytes, form: str, words: str) -> None:
        async with aiogram_bot(api.emulator) as bot:
            with pytest.raises(TelegramBadRequest, match=words):
                await bot.upload_sticker_file(42, types.BufferedInputFile(content, "x"), form)
            with pytest.raises(TelegramBadRequest, match=words):
                await bot.add_sticker_to_set(42, NAME, sticker(content, "😺", form=form))

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            (NAME, "sticker set name is already occupied"),
            ("dogs", "invalid sticker set name is specified"),
            ("1dogs_by_bot4242_bot", "invalid sticker set name is specified"),
            ("d__ogs_by_bot4242_bot", "invalid sticker set name is specified"),
            ("dogs_by_bot777_bot", "invalid sticker set name is specified"),
        ],
    )
    async def test_a_name_that_cannot_be(self, api: Api, name: str, words: str) -> None:
        async with aiogram_bot(api.emulator) as bot:
            with pytest.raises(TelegramBadRequest, match=words):
                await bot.create_new_sticker_set(42, name, "Dogs", [sticker(DOG, "🐶")])

    async def test_a_set_is_full(self, api: Api) -> None:
        async with aiogram_bot(api.emulator) as bot:
            made = api.emulator._application._world.sticker_sets.find(NAME)
            made.stickers *= 120

            with pytest.raises(TelegramBadRequest, match="STICKERS_TOO_MUCH"):
                await bot.add_sticker_to_set(42, NAME, sticker(DOG, "🐶"))

    async def test_for_somebody_whom_the_bot_never_met(self, api: Api) -> None:
        await api.control("POST", "recipients", {"chat_id": 43, "state": "never_started"})

        assert await api.refusal("createNewStickerSet", user_id=43) == "PEER_ID_INVALID"


def test_what_an_emoji_is() -> None:
    assert all(map(is_emoji, ["😺", "❤️", "1️⃣", "👩‍🚀", "👍🏽", "🇩🇪", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"]))
    assert not any(map(is_emoji, ["", "a", "1", "\ufe0f", "😺a", "#"]))

"""Rich messages: blocks, HTML and Markdown, as both libraries send them and as a message shows them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import aiogram
import pytest
from aiogram import types
from aiogram.exceptions import TelegramBadRequest
from emulator_client import PNG, TOKEN, running, telegram_bot
from rich_markup import HTML, MARKDOWN, para, styled

from dovecote.emulator.methods import METHODS
from dovecote.emulator.refusal import Refusal
from dovecote.emulator.rich import RichMessage

if TYPE_CHECKING:
    from dovecote.emulator import Emulator

ADA = 42
GROUP = -1000000000005
NOW = 1_800_000_000
PHOTO = types.BufferedInputFile(PNG, "a.png")


RICH = types.InputRichMessage(
    is_rtl=True,
    blocks=[
        types.InputRichBlockSectionHeading(text="Tea", size=1),
        types.InputRichBlockParagraph(
            text=["Hot, ", types.RichTextBold(text=types.RichTextUrl(text="fresh", url="https://example.com/"))]
        ),
        types.InputRichBlockList(
            items=[
                types.InputRichBlockListItem(blocks=[types.InputRichBlockParagraph(text="one")], type="1"),
                types.InputRichBlockListItem(blocks=[types.InputRichBlockParagraph(text="two")], type="1"),
            ]
        ),
        types.InputRichBlockTable(
            is_bordered=True,
            cells=[
                [
                    types.RichBlockTableCell(align="left", valign="top", text="Pot", is_header=True),
                    types.RichBlockTableCell(align="right", valign="top", text="5"),
                ]
            ],
        ),
        types.InputRichBlockDetails(
            summary="More", blocks=[types.InputRichBlockPreformatted(text="x = 1", language="python")], is_open=True
        ),
        types.InputRichBlockPhoto(
            photo=types.InputMediaPhoto(media=PHOTO), caption=types.RichBlockCaption(text="A pot", credit="Ada")
        ),
        types.InputRichBlockMap(location=types.Location(latitude=1.5, longitude=2.5)),
        types.InputRichBlockDivider(),
    ],
)


def rich(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"blocks": list(blocks)}


def nested(depth: int) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "divider"}
    for _ in range(depth):
        block = {"type": "blockquote", "blocks": [block]}
    return block


class TestRich:
    async def test_blocks_are_sent_and_changed(self, bot: aiogram.Bot) -> None:
        sent = await bot.send_rich_message(ADA, RICH)
        other = types.InputRichMessage(blocks=[types.InputRichBlockFooter(text="Sold out")])
        edited = await bot.edit_message_text(chat_id=ADA, message_id=sent.message_id, rich_message=other)
        plain = await bot.edit_message_text("Closed", chat_id=ADA, message_id=sent.message_id)

        assert sent.rich_message is not None
        assert sent.rich_message.is_rtl
        assert [block.type for block in sent.rich_message.blocks] == [
            "heading",
            "paragraph",
            "list",
            "table",
            "details",
            "photo",
            "map",
            "divider",
        ]
        _, paragraph, listed, _, _, photo, _, _ = sent.rich_message.blocks
        assert isinstance(paragraph, types.RichBlockParagraph)
        assert isinstance(paragraph.text, list)
        assert isinstance(paragraph.text[1], types.RichTextBold)
        assert isinstance(listed, types.RichBlockList)
        assert [item.label for item in listed.items] == ["1.", "2."]
        assert isinstance(photo, types.RichBlockPhoto)
        assert photo.photo[-1].width == 640
        assert isinstance(edited, types.Message)
        assert edited.rich_message is not None
        assert isinstance(plain, types.Message)
        assert (plain.text, plain.rich_message) == ("Closed", None)

    async def test_a_draft_may_think_and_is_no_message(self, emulator: Emulator, bot: aiogram.Bot) -> None:
        thinking = types.InputRichMessage(blocks=[types.InputRichBlockThinking(text="Hm")])

        assert await bot.send_rich_message_draft(ADA, 1, thinking)
        assert emulator.messages(ADA) == []
        assert not METHODS["sendrichmessagedraft"].sends
        with pytest.raises(TelegramBadRequest, match="RICH_MESSAGE_BLOCK_UNSUPPORTED"):
            await bot.send_rich_message(ADA, thinking)
        with pytest.raises(TelegramBadRequest, match="DRAFT_ID_INVALID"):
            await bot.send_rich_message_draft(ADA, 0, thinking)
        with pytest.raises(TelegramBadRequest, match="drafts can be sent to private chats only"):
            await bot.send_rich_message_draft(GROUP, 1, thinking)


def read(**given: Any) -> list[dict[str, Any]]:
    """The blocks of a rich message that is given so; of a file, what it was given as."""
    blocks: list[dict[str, Any]] = RichMessage(lambda _, file: dict(file), drafted=False, now=NOW).read(given)["blocks"]
    return blocks


class TestMarkup:
    @pytest.mark.parametrize(("html", "blocks"), HTML)
    def test_html(self, html: str, blocks: list[dict[str, Any]]) -> None:
        assert read(html=html) == blocks

    @pytest.mark.parametrize(("markdown", "blocks"), MARKDOWN)
    def test_markdown(self, markdown: str, blocks: list[dict[str, Any]]) -> None:
        assert read(markdown=markdown) == blocks

    async def test_both_libraries_send_it_with_files_of_their_own(self, bot: aiogram.Bot, emulator: Emulator) -> None:
        file = types.InputRichMessageMedia(id="pot-1", media=types.InputMediaPhoto(media=PHOTO))
        sent = await bot.send_rich_message(
            ADA, types.InputRichMessage(html='<h1>Tea</h1><img src="tg://photo?id=pot-1"/>', media=[file])
        )
        async with telegram_bot(emulator) as other:
            answer = await other.do_api_request(
                "sendRichMessage", {"chat_id": ADA, "rich_message": {"markdown": "# Tea\n\n**hot**"}}
            )

        assert sent.rich_message is not None
        heading, photo = sent.rich_message.blocks
        assert isinstance(heading, types.RichBlockSectionHeading)
        assert isinstance(photo, types.RichBlockPhoto)
        assert photo.photo[-1].width == 640
        assert answer["rich_message"]["blocks"] == [styled("heading", "Tea", size=1), para(styled("bold", "hot"))]

    async def test_a_button_in_it_is_pressed(self, bot: aiogram.Bot, emulator: Emulator) -> None:
        button = '<tg-button type="callback_data" data="more">More</tg-button>'
        sent = await bot.send_rich_message(ADA, types.InputRichMessage(html=f"<ul><li>Tea {button}</li></ul>"))
        emulator.user(ADA).presses(sent.message_id, button="More")
        (update,) = await bot.get_updates()

        assert update.callback_query is not None
        assert update.callback_query.data == "more"
        with pytest.raises(ValueError, match='it has: "More"'):
            emulator.user(ADA).presses(sent.message_id, "less")


PARSE = "can't parse InputRichBlock: "
REFUSED: list[tuple[Any, str]] = [
    ("", 'parameter "rich_message" is required'),
    ([], "object expected as rich message"),
    ({}, "rich message must be non-empty"),
    ({"html": "x", "markdown": "x"}, "exactly one of the fields html, markdown and blocks of the rich message"),
    ({"blocks": 1}, f'{PARSE}Field "blocks" must be of type Array'),
    (rich({"type": "moon"}), f'{PARSE}type "moon" is unsupported'),
    (rich({"type": "paragraph"}), f"{PARSE}expected an Object"),
    (rich({"type": "heading", "text": "x"}), f'{PARSE}Can\'t find field "size"'),
    (rich({"type": "heading", "text": "x", "size": 7}), f'{PARSE}Field "size" must be from 1 to 6'),
    (rich({"type": "heading", "text": "", "size": 1}), "RICH_MESSAGE_CONTENT_REQUIRED"),
    (rich({"type": "slideshow", "blocks": []}), "RICH_MESSAGE_CONTENT_REQUIRED"),
    (rich({"type": "slideshow", "blocks": [para("x")]}), "RICH_MESSAGE_BLOCK_UNEXPECTED"),
    (rich({"type": "thinking", "text": "x"}), "RICH_MESSAGE_BLOCK_UNSUPPORTED"),
    (rich({"type": "divider"}), "RICH_MESSAGE_EMPTY"),
    ({"html": " <p></p> "}, "RICH_MESSAGE_EMPTY"),
    (rich(para(styled("moon", "x"))), f"{PARSE}Unsupported rich text type"),
    (rich(para(styled("url", "x"))), f'{PARSE}Can\'t find field "url"'),
    (rich(para(styled("url", "x", url="notes.md/x y"))), "RICH_MESSAGE_URL_INVALID"),
    ({"html": '<a href="/x">x</a>'}, "RICH_MESSAGE_URL_INVALID"),
    ({"html": '<a href="mailto:ada">x</a>'}, "RICH_MESSAGE_EMAIL_INVALID"),
    ({"html": '<tg-emoji emoji-id="5">tea</tg-emoji>'}, "RICH_MESSAGE_EMOJI_INVALID"),
    ({"html": '<tg-time unix="9999999999999" format="r">x</tg-time>'}, "RICH_MESSAGE_DATE_INVALID"),
    (rich(para("x" * 32769)), "RICH_MESSAGE_TEXT_TOO_LONG"),
    (rich(*[{"type": "divider"}] * 501), "RICH_MESSAGE_BLOCKS_TOO_MANY"),
    ({"html": "<ul>" + "<li>x</li>" * 251 + "</ul>"}, "RICH_MESSAGE_BLOCKS_TOO_MANY"),
    (rich(nested(16)), "RICH_MESSAGE_DEPTH_INVALID"),
    ({"html": "<b>" * 17 + "x" + "</b>" * 17}, "RICH_MESSAGE_DEPTH_INVALID"),
    ({"html": "<b>" * 5000}, "RICH_MESSAGE_DEPTH_INVALID"),
    ({"markdown": "![](https://example.com/a.jpg)\n" * 51}, "RICH_MESSAGE_MEDIA_TOO_MANY"),
    ({"markdown": "|a" * 21 + "|\n" + "|-" * 21 + "|"}, "RICH_MESSAGE_TABLE_COLS_TOO_MANY"),
    (rich({"type": "list", "items": []}), f"{PARSE}List must be non-empty"),
    ({"html": "<ul></ul>"}, f"{PARSE}List must be non-empty"),
    ({"html": '<ol type="x"><li>x</li></ol>'}, f"{PARSE}Invalid list item type specified"),
    (
        rich({"type": "list", "items": [{"blocks": [para("x")]}, {"blocks": [para("x")], "type": "1"}]}),
        f"{PARSE}List must be either ordered or unordered",
    ),
    (rich({"type": "map", "location": {}}), f'{PARSE}Field "latitude" must be of type Number'),
    (rich({"type": "photo", "photo": {}}), f"{PARSE}media not found"),
    ({"html": '<img src="file:///a"/>'}, "RICH_MESSAGE_URL_INVALID"),
    ({"html": '<img src="tg://photo?id=pot"/>'}, "RICH_MESSAGE_PHOTO_NO_MEDIA_FOUND"),
    ({"html": "x", "media": [{"media": {}}]}, 'can\'t find field "id"'),
    ({"html": "x", "media": [{"id": "a", "media": "b"}]}, 'field "media" must be of type Object'),
    ({"html": "é<div>x</div>"}, 'can\'t parse rich message HTML: Unsupported start tag "div" at byte offset 2'),
    ({"html": "<b>x"}, "can't parse rich message HTML: Can't find end tag corresponding to start tag \"b\""),
    ({"html": "x</b>"}, "can't parse rich message HTML: Unexpected end tag at byte offset 1"),
    (
        {"html": "<b><i>x</b></i>"},
        'can\'t parse rich message HTML: Unmatched end tag, expected "</i>", found "</b>", at',
    ),
    ({"html": "<td>x</td>"}, "can't parse rich message HTML: Tag \"td\" can't stand in a text"),
    ({"html": "<figure>x</figure>"}, 'can\'t parse rich message HTML: Tag "figure" must have exactly one file or map'),
    ({"html": "<tg-map/>"}, 'can\'t parse rich message HTML: Tag "tg-map" must have the numbers "lat" and "long"'),
    ({"html": "<tg-button>x</tg-button>"}, 'can\'t parse rich message HTML: Unsupported button type ""'),
    (
        {"html": f'<tg-button type="callback_data" data="{"d" * 65}">x</tg-button>'},
        "BUTTON_DATA_INVALID",
    ),
    (rich({"type": "buttons", "buttons": []}), f'{PARSE}Field "buttons" must be an Array of 1-8 buttons'),
    (
        rich({"type": "buttons", "buttons": [{"text": "x", "callback_data": "d", "url": "https://t.me"}]}),
        f"{PARSE}Exactly one action of a button must be specified",
    ),
]


async def test_refusals() -> None:
    async with running(tokens=[TOKEN]) as api:
        for message, words in REFUSED:
            refused = await api.refusal("sendRichMessage", chat_id=ADA, rich_message=message)
            assert refused.startswith(words), (message, refused)


@pytest.mark.parametrize(
    "markdown",
    ["$$a\n" * 15_000, "<summary>" * 6_000, "[" * 15_000, "![a" * 15_000, "a [b\n" + "|-|![[a]: b\n**a &[^1]" * 2000],
)
def test_markdown_of_what_never_closes_is_read_in_a_moment(markdown: str) -> None:
    """60,000 characters of it took minutes, and everybody else of the emulator waited."""
    begun = time.process_time()

    with pytest.raises(Refusal):
        read(markdown=markdown)

    assert time.process_time() - begun < 5


@pytest.mark.parametrize("never_closed", ["<!--", "<a "])
def test_html_of_what_never_closes_is_read_in_a_moment(never_closed: str) -> None:
    begun = time.process_time()

    with pytest.raises(Refusal, match="TEXT_TOO_LONG"):
        read(html=never_closed * 50_000)

    assert time.process_time() - begun < 5


def test_formulas_beside_one_that_never_closes() -> None:
    assert read(markdown="$$\na\n$$\n\n$$b$$\n\n$$c\n\n$$d") == [
        {"type": "mathematical_expression", "expression": "a"},
        {"type": "mathematical_expression", "expression": "b"},
        para("$$c"),
        para("$$d"),
    ]


def test_code_whose_language_is_white_space_has_none() -> None:
    assert read(markdown="```&nbsp;\nb\n```") == [{"type": "pre", "text": "b"}]


def test_a_place_beyond_every_number_is_refused() -> None:
    with pytest.raises(Refusal, match='Field "latitude" must be a number that is not too large'):
        read(blocks=[{"type": "map", "location": {"latitude": 10**400, "longitude": 1}}])


@pytest.mark.parametrize("html", ["a<![x", "a<![^1]>", "a<![", "a<![CDATA[", "a<![if x]>"])
def test_a_marked_section_is_no_fault_of_the_emulator(html: str) -> None:
    assert read(html=html)[0]["text"].startswith("a")
    assert read(markdown=html)[0]["text"].startswith("a")

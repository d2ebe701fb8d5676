"""Telegram's three kinds of markup and given entities, through sendMessage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from emulator_client import Api, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running() as api:
        yield api


def e(kind: str, offset: int, length: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "offset": offset, "length": length, **more}


async def sent(api: Api, text: str, mode: str) -> tuple[str, list[dict[str, Any]]]:
    message = await api.result("sendMessage", chat_id=42, text=text, parse_mode=mode)
    return message["text"], message.get("entities", [])


async def refused(api: Api, text: str, mode: str) -> str:
    words = await api.refusal("sendMessage", chat_id=42, text=text, parse_mode=mode)
    assert words.startswith("can't parse entities: ")
    return words.removeprefix("can't parse entities: ")


class TestHtml:
    @pytest.mark.parametrize(
        ("markup", "text", "entities"),
        [
            ("<b>x</b>", "x", [e("bold", 0, 1)]),
            ("<STRONG>x</strong> y", "x y", [e("bold", 0, 1)]),
            ("<i>a</i><em>b</em>", "ab", [e("italic", 0, 1), e("italic", 1, 1)]),
            ("<u>a</u><ins>b</ins>", "ab", [e("underline", 0, 1), e("underline", 1, 1)]),
            ("<s>a</s><del>b</del>", "ab", [e("strikethrough", 0, 1), e("strikethrough", 1, 1)]),
            (
                '<span class="tg-spoiler">a</span><tg-spoiler>b</tg-spoiler>',
                "ab",
                [e("spoiler", 0, 1), e("spoiler", 1, 1)],
            ),
            ("<b>a<i>b</i></b>", "ab", [e("bold", 0, 2), e("italic", 1, 1)]),
            ("🙂<b>x</b>", "🙂x", [e("bold", 2, 1)]),
            (
                '<a href="https://example.com/?a=1&amp;b=2">x</a>',
                "x",
                [e("text_link", 0, 1, url="https://example.com/?a=1&b=2")],
            ),
            ("<a href='example.com'>x</a>", "x", [e("text_link", 0, 1, url="http://example.com/")]),
            ("<a>example.com</a>", "example.com", [e("text_link", 0, 11, url="http://example.com/")]),
            ('<a href="nowhere">x</a>', "x", []),
            (
                '<a href="tg://user?id=7">x</a>',
                "x",
                [e("text_mention", 0, 1, user={"id": 7, "is_bot": False, "first_name": "User 7"})],
            ),
            ("<code>x</code>", "x", [e("code", 0, 1)]),
            ("<pre>x</pre>", "x", [e("pre", 0, 1)]),
            ('<pre><code class="language-python">x</code></pre>', "x", [e("pre", 0, 1, language="python")]),
            ('<code class="language-python">x</code>', "x", [e("code", 0, 1)]),
            ("<blockquote>x</blockquote>", "x", [e("blockquote", 0, 1)]),
            ("<blockquote expandable>x</blockquote>", "x", [e("expandable_blockquote", 0, 1)]),
            ('<tg-emoji emoji-id="536">x</tg-emoji>', "x", [e("custom_emoji", 0, 1, custom_emoji_id="536")]),
            ("a &lt; b &amp;&amp; c &gt; &quot;d&quot;", 'a < b && c > "d"', []),
            ("&#65;&#x42;&nbsp;", "AB&nbsp;", []),
            ("<b>x</>", "x", [e("bold", 0, 1)]),
            ("<b></b>x", "x", []),
            ("<b>x </b>", "x", [e("bold", 0, 1)]),
        ],
    )
    async def test_is_parsed(self, api: Api, markup: str, text: str, entities: list[dict[str, Any]]) -> None:
        assert await sent(api, markup, "HTML") == (text, entities)

    @pytest.mark.parametrize(
        ("markup", "words"),
        [
            ("<foo>x</foo>", 'Unsupported start tag "foo" at byte offset 0'),
            ("é<br>", 'Unsupported start tag "br" at byte offset 2'),
            ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
            ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
            ("x</b>", "Unexpected end tag at byte offset 1"),
            ("a <b", "Unclosed start tag at byte offset 2"),
            ("1 < 2", 'Unsupported start tag "" at byte offset 2'),
            ("<b>x</b", "Unclosed end tag at byte offset 4"),
            ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
            ("<a href>x</a>", 'Expected equal sign in declaration of an attribute of the tag "a" at byte offset 0'),
            ('<a ="x">x</a>', 'Empty attribute name in the tag "a" at byte offset 0'),
            ("<a href=x:y>x</a>", "Unexpected end of name token at byte offset 8"),
            ('<a href="x', "Unclosed start tag at byte offset 0"),
            ('<tg-emoji emoji-id="x">x</tg-emoji>', "Invalid custom emoji identifier specified"),
            (
                "&#xd83d;",
                (
                    "Text contains invalid Unicode characters after decoding HTML entities, "
                    "check for unmatched surrogate code units"
                ),
            ),
        ],
    )
    async def test_is_refused(self, api: Api, markup: str, words: str) -> None:
        assert await refused(api, markup, "html") == words


class TestMarkdownV2:
    @pytest.mark.parametrize(
        ("markup", "text", "entities"),
        [
            ("*x*", "x", [e("bold", 0, 1)]),
            ("_x_", "x", [e("italic", 0, 1)]),
            ("__x__", "x", [e("underline", 0, 1)]),
            ("~x~", "x", [e("strikethrough", 0, 1)]),
            ("||x||", "x", [e("spoiler", 0, 1)]),
            ("`x`", "x", [e("code", 0, 1)]),
            ("*a _b_ c*", "a b c", [e("bold", 0, 5), e("italic", 2, 1)]),
            ("_a __b___", "a b", [e("italic", 0, 3), e("underline", 2, 1)]),
            ("🙂*x*", "🙂x", [e("bold", 2, 1)]),
            ("1\\.5 \\_ \\\\", "1.5 _ \\", []),
            ("`a*b_c.`", "a*b_c.", [e("code", 0, 6)]),
            ("[x](https://example.com/a\\)b)", "x", [e("text_link", 0, 1, url="https://example.com/a)b")]),
            ("[example\\.com]", "example.com", [e("text_link", 0, 11, url="http://example.com/")]),
            (
                "[x](tg://user?id=7)",
                "x",
                [e("text_mention", 0, 1, user={"id": 7, "is_bot": False, "first_name": "User 7"})],
            ),
            ("![x](tg://emoji?id=536)", "x", [e("custom_emoji", 0, 1, custom_emoji_id="536")]),
            ("```\nx\n```", "x", [e("pre", 0, 1)]),
            ("```python\nx = 1\n``` y", "x = 1\n y", [e("pre", 0, 6, language="python")]),
            (">a\n>b\nc", "a\nb\nc", [e("blockquote", 0, 4)]),
            ("a\n>b", "a\nb", [e("blockquote", 2, 1)]),
            (">a\n>b||", "a\nb", [e("expandable_blockquote", 0, 3)]),
            (">a\n**>b||", "a\nb", [e("blockquote", 0, 2), e("expandable_blockquote", 2, 1)]),
        ],
    )
    async def test_is_parsed(self, api: Api, markup: str, text: str, entities: list[dict[str, Any]]) -> None:
        assert await sent(api, markup, "MarkdownV2") == (text, entities)

    @pytest.mark.parametrize("character", list("]()>#+-=|{}.!"))
    async def test_reserved_characters_must_be_escaped(self, api: Api, character: str) -> None:
        assert (
            await refused(api, f"a{character}", "MarkdownV2")
            == f"Character '{character}' is reserved and must be escaped with the preceding '\\'"
        )

    @pytest.mark.parametrize(
        ("markup", "words"),
        [
            ("é *x", "Can't find end of Bold entity at byte offset 3"),
            ("_x", "Can't find end of Italic entity at byte offset 0"),
            ("__x_", "Can't find end of Italic entity at byte offset 3"),
            ("~x", "Can't find end of Strikethrough entity at byte offset 0"),
            ("||x", "Can't find end of Spoiler entity at byte offset 0"),
            ("`x", "Can't find end of Code entity at byte offset 0"),
            ("```py\nx", "Can't find end of PreCode entity at byte offset 0"),
            ("[x](http://example.com", "Can't find end of a URL at byte offset 4"),
            ("![x]", "Custom emoji entity must contain a tg://emoji URL"),
            ("![x](http://example.com)", "Custom emoji URL must have an emoji identifier"),
            (">*x\ny", "Can't find end of Bold entity at byte offset 1"),
        ],
    )
    async def test_is_refused(self, api: Api, markup: str, words: str) -> None:
        assert await refused(api, markup, "MarkdownV2") == words


class TestMarkdown:
    @pytest.mark.parametrize(
        ("markup", "text", "entities"),
        [
            ("*a* _b_ `c`", "a b c", [e("bold", 0, 1), e("italic", 2, 1), e("code", 4, 1)]),
            ("a\\_b 1.5!", "a_b 1.5!", []),
            ("[x](http://example.com)", "x", [e("text_link", 0, 1, url="http://example.com/")]),
            ("```py\nx```", "x", [e("pre", 0, 1, language="py")]),
            ("```x```", "x", [e("pre", 0, 1)]),
        ],
    )
    async def test_is_parsed(self, api: Api, markup: str, text: str, entities: list[dict[str, Any]]) -> None:
        assert await sent(api, markup, "Markdown") == (text, entities)

    async def test_is_refused(self, api: Api) -> None:
        assert (
            await refused(api, "é snake_case", "Markdown") == "Can't find end of the entity starting at byte offset 8"
        )


class TestGivenEntities:
    async def test_are_kept_in_order(self, api: Api) -> None:
        message = await api.result(
            "sendMessage",
            chat_id=42,
            text="see 🙂 here",
            entities=[
                e("text_link", 7, 4, url="example.com"),
                e("bold", 0, 11),
                e("mention", 0, 3),
                e("italic", 0, 0),
            ],
        )

        assert message["entities"] == [e("bold", 0, 11), e("text_link", 7, 4, url="http://example.com/")]

    async def test_move_with_the_text(self, api: Api) -> None:
        message = await api.result("sendMessage", chat_id=42, text="  a\r\nb  ", entities=[e("bold", 3, 4)])

        assert message["text"] == "a\nb"
        assert message["entities"] == [e("bold", 1, 2)]

    @pytest.mark.parametrize(
        ("entity", "words"),
        [
            (e("bold", 1, 5), "entity beginning at UTF-16 offset 1 ends after the end of the text at UTF-16 offset 6"),
            ({"type": "bold", "length": 1}, "can't parse MessageEntity: Can't find field \"offset\""),
            (e("shiny", 0, 1), "can't parse MessageEntity: Unsupported type specified"),
            (e("text_link", 0, 1), "can't parse MessageEntity: Can't find field \"url\""),
            (e("text_link", 0, 1, url="not-a-url"), "entity URL 'not-a-url' is invalid: Wrong HTTP URL"),
            ("bold", "can't parse MessageEntity: expected an Object"),
        ],
    )
    async def test_are_checked(self, api: Api, entity: Any, words: str) -> None:
        assert await api.refusal("sendMessage", chat_id=42, text="abcd", entities=[entity]) == words

    async def test_give_way_to_a_parse_mode(self, api: Api) -> None:
        message = await api.result(
            "sendMessage", chat_id=42, text="<b>x</b>y", parse_mode="HTML", entities=[e("italic", 0, 1)]
        )

        assert message["entities"] == [e("bold", 0, 1)]

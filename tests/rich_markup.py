"""What the Bot API documents of the markup of rich messages, and the blocks that stand for it, by hand."""

from __future__ import annotations

from typing import Any


def para(*text: Any) -> dict[str, Any]:
    return {"type": "paragraph", "text": text[0] if len(text) == 1 else list(text)}


def styled(kind: str, text: Any, **others: Any) -> dict[str, Any]:
    return {"type": kind, "text": text, **others}


PICTURE = {"type": "photo", "media": "https://example.com/a.jpg"}
EMOJI = {"type": "custom_emoji", "custom_emoji_id": "5368324170671202286", "alternative_text": "👍"}
DATE = styled("date_time", "tonight", unix_time=1647531900, date_time_format="wDT")
CELL = {"align": "left", "valign": "top"}

HTML = [
    ("plain  \n text", [para("plain text")]),
    ("<p>one<br>two</p><p> </p>", [para("one\ntwo")]),
    ("<b>a</b> <strong>b</strong>", [para(styled("bold", "a"), " ", styled("bold", "b"))]),
    ("<i>a</i><em>b</em>", [para(styled("italic", "a"), styled("italic", "b"))]),
    ("<u>a</u><ins>b</ins>", [para(styled("underline", "a"), styled("underline", "b"))]),
    ("<s>a</s><strike>b</strike><del>c</del>", [para(*(styled("strikethrough", one) for one in "abc"))]),
    ("<mark>a</mark><sub>b</sub>", [para(styled("marked", "a"), styled("subscript", "b"))]),
    ("<sup>a</sup><code>b</code>", [para(styled("superscript", "a"), styled("code", "b"))]),
    ("<tg-spoiler>a<b>b</b></tg-spoiler>", [para(styled("spoiler", ["a", styled("bold", "b")]))]),
    ('<a href="https://t.me">a</a>', [para(styled("url", "a", url="https://t.me/"))]),
    ('<a href="mailto:a@example.com">a</a>', [para(styled("email_address", "a", email_address="a@example.com"))]),
    ('<a href="tel:+123456789">a</a>', [para(styled("phone_number", "a", phone_number="+123456789"))]),
    (
        '<a href="tg://user?id=7">a</a>',
        [para(styled("text_mention", "a", user={"id": 7, "is_bot": False, "first_name": "User 7"}))],
    ),
    (
        '<a href="#n">a</a><a href="#c">b</a><a name="c"></a><tg-reference name="n">d</tg-reference>',
        [
            para(
                styled("reference_link", "a", reference_name="n"),
                styled("anchor_link", "b", anchor_name="c"),
                {"type": "anchor", "name": "c"},
                styled("reference", "d", name="n"),
            )
        ],
    ),
    ('x<hr/><a name="c"></a>', [para("x"), {"type": "divider"}, {"type": "anchor", "name": "c"}]),
    ('<tg-emoji emoji-id="5368324170671202286">👍</tg-emoji>', [para(EMOJI)]),
    ('<img src="tg://emoji?id=5368324170671202286" alt="👍"/>', [para(EMOJI)]),
    ('<tg-time unix="1647531900" format="wDT">tonight</tg-time>', [para(DATE)]),
    ("<tg-math>a < b &amp; c</tg-math>", [para({"type": "mathematical_expression", "expression": "a < b & c"})]),
    ("<tg-math-block>E</tg-math-block>", [{"type": "mathematical_expression", "expression": "E"}]),
    ("&lt;&#65;&#x42;&mdash;&hellip;&nope;", [para("<AB—…&nope;")]),
    ("<h1>a</h1><h6>b</h6>", [styled("heading", "a", size=1), styled("heading", "b", size=6)]),
    ("<pre>a\n  b\n</pre>", [styled("pre", "a\n  b")]),
    ('<pre><code class="language-python"> x</code></pre>', [styled("pre", " x", language="python")]),
    ("x<footer>a</footer>", [para("x"), styled("footer", "a")]),
    (
        '<ul><li>a</li><li><input type="checkbox" checked>b</li></ul>',
        [
            {
                "type": "list",
                "items": [
                    {"label": "•", "blocks": [para("a")]},
                    {"label": "•", "blocks": [para("b")], "has_checkbox": True, "is_checked": True},
                ],
            }
        ],
    ),
    (
        '<ol start="28" type="a" reversed><li>x</li><li>y</li><li value="9" type="I">z</li></ol>',
        [
            {
                "type": "list",
                "items": [
                    {"label": "ab.", "blocks": [para("x")], "type": "a", "value": 28},
                    {"label": "aa.", "blocks": [para("y")], "type": "a", "value": 27},
                    {"label": "IX.", "blocks": [para("z")], "type": "I", "value": 9},
                ],
            }
        ],
    ),
    (
        "<blockquote>a<p>b</p><cite>C</cite></blockquote>",
        [{"type": "blockquote", "blocks": [para("a"), para("b")], "credit": "C"}],
    ),
    ("<blockquote expandable>a</blockquote>", [styled("expandable_blockquote", "a")]),
    ("<aside>a<cite>C</cite></aside>", [styled("pullquote", "a", credit="C")]),
    ('<img src="https://example.com/a.jpg"/>', [{"type": "photo", **PICTURE}]),
    (
        '<figure><video src="https://example.com/a.gif" tg-spoiler/><figcaption>F<cite>C</cite></figcaption></figure>',
        [
            {
                "type": "animation",
                "media": "https://example.com/a.gif",
                "has_spoiler": True,
                "caption": {"text": "F", "credit": "C"},
            }
        ],
    ),
    (
        '<audio src="https://example.com/a.ogg"></audio>',
        [{"type": "voice_note", "media": "https://example.com/a.ogg"}],
    ),
    (
        '<tg-map lat="1.5" long="-2" zoom="3"/>',
        [{"type": "map", "location": {"latitude": 1.5, "longitude": -2.0}, "zoom": 3, "width": 600, "height": 300}],
    ),
    (
        '<tg-collage><img src="https://example.com/a.jpg"/><figcaption>F</figcaption></tg-collage>',
        [{"type": "collage", "blocks": [{"type": "photo", **PICTURE}], "caption": {"text": "F"}}],
    ),
    (
        '<table bordered compact><caption>T</caption><tr><th>a</th><td colspan="2" align="right">b</td></tr></table>',
        [
            {
                "type": "table",
                "cells": [
                    [
                        {**CELL, "text": "a", "is_header": True},
                        {"align": "right", "valign": "top", "text": "b", "colspan": 2},
                    ]
                ],
                "is_bordered": True,
                "is_compact": True,
                "caption": "T",
            }
        ],
    ),
    (
        "<details open><summary>S</summary>a</details>",
        [{"type": "details", "summary": "S", "blocks": [para("a")], "is_open": True}],
    ),
    (
        (
            '<tg-button-row align="center"><tg-button type="callback_data" style="link" data="d">a</tg-button>'
            '<tg-button type="copy_text" text="c">b</tg-button></tg-button-row>'
        ),
        [
            {
                "type": "buttons",
                "buttons": [
                    {"text": "a", "callback_data": "d", "style": "link"},
                    {"text": "b", "copy_text": {"text": "c"}},
                ],
                "align": "center",
            }
        ],
    ),
    (
        '<p>Now <tg-button type="web_app" url="https://t.me">a</tg-button></p>',
        [para("Now ", {"type": "button", "button": {"text": "a", "web_app": {"url": "https://t.me/"}}})],
    ),
]
MARKDOWN = [
    ("**a** __b__", [para(styled("bold", "a"), " ", styled("bold", "b"))]),
    ("*a* _b_\n`c`", [para(styled("italic", "a"), " ", styled("italic", "b"), " ", styled("code", "c"))]),
    ("~~a~~ ~b~", [para(styled("strikethrough", "a"), " ~b~")]),
    ("==a== ||b||", [para(styled("marked", "a"), " ", styled("spoiler", "b"))]),
    *((text, [para(text)]) for text in ("|| a||", "||a ||", "||||", "a == b ==")),
    ("||a\nb||", [para("||a b||")]),
    (r"\|\|a\|\| ||a\|| ==", [para("||a|| ||a|| ==")]),
    ("===== x||a||y", [para(styled("marked", "="), " x", styled("spoiler", "a"), "y")]),
    (
        "[a](https://t.me) <https://t.me>",
        [
            para(
                *(styled("url", one, url="https://t.me/") for one in ["a"]),
                " ",
                styled("url", "https://t.me", url="https://t.me/"),
            )
        ],
    ),
    ("![👍](tg://emoji?id=5368324170671202286)", [para(EMOJI)]),
    ("![tonight](tg://time?unix=1647531900&format=wDT)", [para(DATE)]),
    ("$x_1$ costs $5 and $6", [para({"type": "mathematical_expression", "expression": "x_1"}, " costs $5 and $6")]),
    ("$$\nE = m\n$$", [{"type": "mathematical_expression", "expression": "E = m"}]),
    ("```math\nE < 1\n```", [{"type": "mathematical_expression", "expression": "E < 1"}]),
    ("```py\n  <b>\n```\n\n    code", [styled("pre", "  <b>", language="py"), styled("pre", "code")]),
    ("# a\n##\n---\nb", [styled("heading", "a", size=1), {"type": "divider"}, para("b")]),
    (
        "- a\n  - [x] b\n-",
        [
            {
                "type": "list",
                "items": [
                    {
                        "label": "•",
                        "blocks": [
                            para("a"),
                            {
                                "type": "list",
                                "items": [
                                    {"label": "•", "blocks": [para("b")], "has_checkbox": True, "is_checked": True}
                                ],
                            },
                        ],
                    },
                    {"label": "•", "blocks": [para("")]},
                ],
            }
        ],
    ),
    (
        "3. a\n4. b",
        [
            {
                "type": "list",
                "items": [
                    {"label": "3.", "blocks": [para("a")], "type": "1", "value": 3},
                    {"label": "4.", "blocks": [para("b")], "type": "1", "value": 4},
                ],
            }
        ],
    ),
    (">a\n>\n>b", [{"type": "blockquote", "blocks": [para("a"), para("b")]}]),
    (
        '![](https://example.com/a.jpg)\n![](https://example.com/a.mp3 "T")\n![](https://example.com/a.zip)',
        [
            {"type": "photo", **PICTURE},
            {"type": "audio", "media": "https://example.com/a.mp3", "caption": {"text": "T"}},
            {"type": "document", "media": "https://example.com/a.zip"},
        ],
    ),
    (
        "|a|b|\n|-|:-:|\n|**1**|",
        [
            {
                "type": "table",
                "cells": [
                    [
                        {**CELL, "text": "a", "is_header": True},
                        {**CELL, "align": "center", "text": "b", "is_header": True},
                    ],
                    [{**CELL, "text": styled("bold", "1")}, {**CELL, "align": "center", "text": ""}],
                ],
            }
        ],
    ),
    (
        "a[^n] [^m]\n\n[^n]: word",
        [
            para("a", styled("reference_link", "1", reference_name="n"), " [^m]"),
            para(styled("reference", "word", name="n")),
        ],
    ),
    ("<u>a **b**</u> <blink>c", [para(styled("underline", ["a ", styled("bold", "b")]), " c")]),
    (
        "<details><summary>**S**</summary>\n\n*a*\n\n</details>",
        [{"type": "details", "summary": styled("bold", "S"), "blocks": [para(styled("italic", "a"))]}],
    ),
    (
        "<tg-slideshow>\n\n![](https://example.com/a.jpg)\n\n</tg-slideshow>",
        [{"type": "slideshow", "blocks": [{"type": "photo", **PICTURE}]}],
    ),
]

"""Rich Markdown as the HTML of rich messages: GitHub's Markdown, what Telegram adds to it, and HTML in it.

markdown-it reads what is CommonMark. Added here: marked text, spoilers, formulas, footnotes, task lists, and pictures
that are files, custom emoji or dates. What a pair of marks needs was measured by others on Telegram's own parser: no
space inside of either mark, nothing but a line between them, and no empty text.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.parser_inline import ParserInline
from markdown_it.renderer import RendererHTML

from dovecote.emulator.rich_html import url_ending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

_PAIRS: Final = {"||": "tg-spoiler", "==": "mark"}
_SPACES: Final = " \t"
_FORMULA: Final = "$"
_FENCED: Final = "$$"
_FOOTNOTE: Final = re.compile(r"\[\^([^\]\s^]+)\]")
_DEFINITION: Final = re.compile(r"\[\^([^\]\s^]+)\]:[ \t]*(.*)")
_TASK: Final = re.compile(r"\[([ xX])\][ \t]+")
# None within another: one that is never closed would otherwise be looked through to the end, for each anew.
_SUMMARY: Final = re.compile(r"(<summary>)([^<]*(?:<(?!/?summary>)[^<]*)*)(</summary>)")
_DEEPEST_CODE: Final = 4
_MOST_STEPS: Final = 250_000
_TAGS: Final = {
    **dict.fromkeys(("mp4", "mov", "m4v", "webm", "gif"), "video"),
    **dict.fromkeys(("mp3", "m4a", "aac", "flac", "wav", "ogg", "oga", "opus"), "audio"),
    **dict.fromkeys(("jpg", "jpeg", "png", "webp", "bmp", ""), "img"),
}
_NAMED: Final = {"photo": "img", "video": "video", "audio": "audio", "document": "tg-document"}


def markdown_html(markdown: str) -> str:
    """The HTML for the Markdown. Nothing is malformed in it: what is no markup is text.

    Raises ValueError for one that would take too long: brackets that never close are looked through for each anew.
    """
    return str(_parser().render(markdown, {}))


class _Inline(ParserInline):
    """Counts the tokens that are looked at in search of the end of something, over the whole text."""

    def skipToken(self, state: StateInline) -> None:  # noqa: N802 - markdown-it calls it so
        state.env["steps"] = steps = state.env.get("steps", 0) + 1
        if steps > _MOST_STEPS:
            raise ValueError("Can't parse rich message Markdown: too many brackets are not closed")
        super().skipToken(state)


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", renderer_cls=_Renderer)
    parser.inline = _Inline()
    parser.configure("commonmark", {"html": True, "maxNesting": 100})
    parser.enable(["table", "strikethrough"])
    for mark in ("|", "=", _FORMULA):
        parser.inline.add_terminator_char(mark)
    parser.inline.ruler.before("escape", "pair", _pair)
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.inline.ruler.before("link", "footnote", _footnote)
    interrupted = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "formula_block", _formula_block, {"alt": interrupted})
    parser.block.ruler.before("reference", "definition", _definition, {"alt": ["paragraph"]})
    parser.core.ruler.after("block", "tasks", _tasks)
    return parser


def _pair(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it calls it so
    mark = state.src[state.pos : state.pos + 2]
    tag = _PAIRS.get(mark)
    begin = state.pos + 2
    if tag is None or begin >= state.posMax or state.src[begin] in _SPACES:
        return False
    end = _closing(state.src, mark, begin + 1, state.posMax)
    if end < 0:
        return False
    if not silent:
        most = state.posMax
        state.push(f"{tag}_open", tag, 1)
        state.pos, state.posMax = begin, end
        state.md.inline.tokenize(state)
        state.push(f"{tag}_close", tag, -1)
        state.posMax = most
    state.pos = end + 2
    return True


def _closing(source: str, mark: str, begin: int, stop: int) -> int:
    """Where the mark that closes a pair is: on the same line, not escaped, with no space before it; -1 for nowhere."""
    closers = _closers(source, mark)
    place = bisect_left(closers, begin)
    if place == len(closers) or closers[place] + len(mark) > stop:
        return -1
    at = closers[place]
    return -1 if "\n" in source[begin:at] else at


@functools.lru_cache(maxsize=16)
def _closers(source: str, mark: str) -> list[int]:
    """Every place where such a mark may close a pair; found once, or a text of openers alone would take for ever."""
    return [found.start() for found in re.finditer(rf"(?<![ \t\\])(?={re.escape(mark)})", source)]


def _formula(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - as above
    source, begin = state.src, state.pos + 1
    # $$...$$ within a line is a formula of that line as well; a dollar sign alone is money.
    mark = _FENCED if source.startswith(_FENCED, state.pos) else _FORMULA
    begin = state.pos + len(mark)
    if source[state.pos] != _FORMULA or begin >= state.posMax or source[begin] in " \t\n$":
        return False
    end = _closing(source, mark, begin, state.posMax)
    if end <= begin or source[end + len(mark) : end + len(mark) + 1].isdigit():
        return False
    if not silent:
        state.push("formula", "tg-math", 0).content = source[begin:end]
    state.pos = end + len(mark)
    return True


def _footnote(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - as above
    found = _FOOTNOTE.match(state.src, state.pos, state.posMax)
    if found is None or found[1] not in state.env.get("footnotes", {}):
        return False
    if not silent:
        state.push("footnote", "a", 0).content = found[1]
    state.pos = found.end()
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def _is_code(state: StateBlock, number: int) -> bool:
    return state.sCount[number] - state.blkIndent >= _DEEPEST_CODE


def _formula_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - as above
    first = _line(state, start).rstrip()
    if _is_code(state, start) or not first.startswith(_FENCED):
        return False
    # Where none closes, none that opens later on the way there does.
    unclosed = state.env.setdefault("unclosed", {}).get(state.blkIndent, range(0))
    if start in unclosed and not first.removeprefix(_FENCED).endswith(_FENCED):
        return False
    lines, last = [first.removeprefix(_FENCED)], start
    while not lines[-1].endswith(_FENCED):
        last += 1
        if last >= end or state.sCount[last] < state.blkIndent:
            state.env["unclosed"][state.blkIndent] = range(start, last)
            return False
        lines.append(_line(state, last).rstrip())
    if not silent:
        lines[-1] = lines[-1].removesuffix(_FENCED)
        state.push("formula_block", "tg-math-block", 0).content = "\n".join(lines).strip()
        state.line = last + 1
    return True


def _definition(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001 - as above
    del end
    found = _DEFINITION.match(_line(state, start))
    if found is None or _is_code(state, start):
        return False
    if not silent:
        state.env.setdefault("footnotes", {})[found[1]] = len(state.env.get("footnotes", {})) + 1
        opened = state.push("definition_open", "p", 1)
        opened.meta = {"name": found[1]}
        inline = state.push("inline", "", 0)
        inline.content, inline.children = found[2], []
        state.push("definition_close", "p", -1)
        state.line = start + 1
    return True


def _tasks(state: StateCore) -> None:
    for item, paragraph, inline in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if (item.type, paragraph.type, inline.type) != ("list_item_open", "paragraph_open", "inline"):
            continue
        found = _TASK.match(inline.content)
        if found:
            item.meta = {"checked": found[1] != " "}
            inline.content = inline.content[found.end() :]


class _Renderer(RendererHTML):
    """The tags that markdown-it writes where Telegram has others."""

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        source = str(token.attrs.get("src", ""))
        shown = escape(self.renderInlineAsText(token.children or [], options, env))
        parts = urlsplit(source)
        if source.startswith("tg://emoji"):
            return f'<img src="{escape(source)}" alt="{shown}"/>'
        if source.startswith("tg://time"):
            asked = parse_qs(parts.query)
            moment, form = asked.get("unix", [""])[0], asked.get("format", [""])[0]
            return f'<tg-time unix="{escape(moment)}" format="{escape(form)}">{shown}</tg-time>'
        named = parts.netloc if parts.scheme == "tg" else ""
        tag = _NAMED.get(named) or _TAGS.get(url_ending(source), "tg-document")
        caption = escape(str(token.attrs.get("title", "")))
        file = f'<{tag} src="{escape(source)}"/>'
        return f"<figure>{file}<figcaption>{caption}</figcaption></figure>" if caption else file

    def formula(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        return f"<tg-math>{escape(tokens[idx].content)}</tg-math>"

    def formula_block(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        return f"<tg-math-block>{escape(tokens[idx].content)}</tg-math-block>\n"

    def fence(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        token = tokens[idx]
        language = next(iter(unescapeAll(token.info).split()), "")
        code = escape(token.content)
        if language == "math":
            return f"<tg-math-block>{escape(token.content.strip())}</tg-math-block>\n"
        if language:
            return f'<pre><code class="language-{escape(language)}">{code}</code></pre>\n'
        return f"<pre>{code}</pre>\n"

    def code_block(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        return f"<pre>{escape(tokens[idx].content)}</pre>\n"

    def footnote(self, tokens: Sequence[Token], idx: int, _: OptionsDict, env: EnvType) -> str:
        name = tokens[idx].content
        return f'<a href="#{escape(name)}">{env["footnotes"][name]}</a>'

    def definition_open(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        return f'<p><tg-reference name="{escape(str(tokens[idx].meta["name"]))}">'

    def definition_close(self, *_: Any) -> str:
        return "</tg-reference></p>\n"

    def list_item_open(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        if "checked" not in tokens[idx].meta:
            return "<li>"
        return f'<li><input type="checkbox"{" checked" if tokens[idx].meta["checked"] else ""}>'

    def cell_open(self, tokens: Sequence[Token], idx: int, *_: Any) -> str:
        token = tokens[idx]
        side = str(token.attrs.get("style", "")).removeprefix("text-align:")
        return f'<{token.tag} align="{side}">' if side else f"<{token.tag}>"

    th_open = td_open = cell_open

    def nothing(self, *_: Any) -> str:
        return ""

    thead_open = thead_close = tbody_open = tbody_close = nothing

    def html_block(self, tokens: Sequence[Token], idx: int, _: OptionsDict, env: EnvType) -> str:
        # Of HTML that stands on lines of its own, a summary alone has Markdown in it.
        return _SUMMARY.sub(
            lambda found: found[1] + str(_parser().renderInline(found[2], env)) + found[3], tokens[idx].content
        )

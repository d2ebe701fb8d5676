"""Templates of broadcasts: Jinja2 in a sandbox that cannot be made to work for long or to grow. Needs an extra.

A template may be written by whoever writes the message, so it is bounded by what it can do rather than by a clock:

- only the parts of the language that are named in `_ALLOWED`: no macros, no imports, no calls of anything;
- lists are those of the variables, or of constants: one of lists of lists could double with each line;
- only the filters that are named here, and none answers a text or a list that is longer than LONGEST; the clock is
  looked at before each, since what is short to write (`| sort | sort`) may be long to do;
- every step of a loop is counted over all loops together (MOST_STEPS), and so is every character (LONGEST): joined,
  multiplied or output. The clock is looked at in every loop as well.

What is output is escaped for the parse mode of the text that it stands in; `| raw` leaves it as it is.
"""

from __future__ import annotations

import html
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from dovecote.content import Fault, shown, sound
from dovecote.errors import MissingExtra

try:
    from jinja2 import StrictUndefined, TemplateError, nodes, pass_context
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError as error:
    raise MissingExtra("templates", "A broadcast with a template") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from jinja2 import Template
    from jinja2.runtime import Context

LONGEST: Final = 64 * 1024
MOST_STEPS: Final = 10_000
SECONDS: Final = 0.25
LARGEST_NUMBER: Final = 10**18

_ALLOWED: Final = (
    *("Template", "Output", "TemplateData", "Name", "Const", "Tuple", "List", "CondExpr", "Filter"),
    *("Test", "Getitem", "Getattr", "Slice", "Concat", "Compare", "Operand", "Add", "Sub", "Mul", "Div", "FloorDiv"),
    *("Mod", "Not", "And", "Or", "Neg", "Pos", "For", "If", "Assign", "Keyword"),
)
_MARKDOWN_V2 = re.compile(r"([_*\[\]()~`>#+\-=|{}.!\\])")
_MARKDOWN = re.compile(r"([_*`\[])")
_MARKERS = ("{{", "{%", "{#")


class Raw(str):
    """Text that is not escaped."""

    __slots__ = ()


def has_markers(text: str) -> bool:
    """Whether a text is a template at all."""
    return any(marker in text for marker in _MARKERS)


def escape_html(text: str) -> str:
    """For the parse mode HTML."""
    return html.escape(text, quote=True)


def escape_markdown_v2(text: str) -> str:
    """For the parse mode MarkdownV2: every sign that could mean something, outside of code blocks."""
    return _MARKDOWN_V2.sub(r"\\\1", text)


def escape_markdown(text: str) -> str:
    """For the old parse mode Markdown."""
    return _MARKDOWN.sub(r"\\\1", text)


def _as_it_is(text: str) -> str:
    return text


_ESCAPES: Final[Mapping[str, Callable[[str], str]]] = {
    "html": escape_html,
    "markdownv2": escape_markdown_v2,
    "markdown": escape_markdown,
}


class _Budget:
    """What one rendering may use."""

    def __init__(self) -> None:
        self._steps = MOST_STEPS
        self._ends_at = time.monotonic() + SECONDS

    def steps(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.spend(1)
            self.look()
            yield item

    def spend(self, steps: int) -> None:
        """Raise Fault when there are not so many left."""
        self._steps -= steps
        if self._steps < 0:
            raise Fault("template", f"its loops take more than {MOST_STEPS} steps: let them run over less.")

    def look(self) -> None:
        """Raise Fault when the time is over."""
        if time.monotonic() > self._ends_at:
            raise Fault("template", f"it takes longer than {SECONDS} s: make it simpler.")


def _bounded(text: str) -> str:
    if len(text) > LONGEST:
        raise Fault("template", f"it makes a text of more than {LONGEST} characters: shorten it.")
    return text


def _joined(*parts: Any) -> str:
    return _bounded("".join(map(str, parts)))


def _join(items: Iterable[Any], between: str = "") -> str:
    length, parts = 0, []
    for item in items:
        parts.append(str(item))
        length += len(parts[-1]) + len(between)
        if length > LONGEST:
            _bounded(" " * length)
    return str(between).join(parts)


def _grouped(value: float, sign: str = ",") -> str:
    return f"{value:,}".replace(",", str(sign)[:1])


def _round(value: float, precision: int = 0) -> float:
    rounded = round(value, max(0, min(int(precision), 12)))
    return int(rounded) if precision == 0 else rounded


_FILTERS: Final = frozenset(
    {
        *("abs", "capitalize", "count", "d", "default", "first", "float", "int", "last", "length", "list", "lower"),
        *("max", "min", "reverse", "sort", "string", "sum", "title", "trim", "truncate", "unique", "upper"),
        *("urlencode", "wordcount"),
    }
)
_MEMBER_FILTERS: Final = frozenset({"max", "min", "sort", "sum", "unique"})
_OWN_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "join": _join,
    "raw": Raw,
    "grouped": _grouped,
    "round": _round,
}


def _by_member(budget: _Budget, values: Sequence[Any], options: Mapping[str, Any]) -> list[Any]:
    """The items that a filter takes by a member of each: every part of its name, for every item, is a step."""
    items, *others = values
    items = list(items)
    texts = [each for each in (*others, *options.values()) if isinstance(each, str)]
    budget.spend(len(items) * sum(1 + each.count(".") + each.count(",") for each in texts))
    return [items, *others]


def _small(value: Any) -> Any:
    """What a filter answers, if it is not too long: the next one would have it all to do."""
    if isinstance(value, str | list) and len(value) > LONGEST:
        _bounded(" " * len(value))
    return value


def _timed(name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, which looks at the clock of its rendering before it begins, and answers nothing too long."""
    wanted = getattr(filter_, "jinja_pass_arg", None)

    # One that wants the context is never carried out as the template is compiled, where there is no clock.
    @pass_context
    def timed(context: Context, *values: Any, **options: Any) -> Any:
        budget: Any = context.resolve("dovecote_budget")
        budget.look()
        if name in _MEMBER_FILTERS:
            values = tuple(_by_member(budget, values, options))
        if wanted is None:
            return _small(filter_(*values, **options))
        own = context.environment if wanted.name == "environment" else context.eval_ctx
        return _small(filter_(own, *values, **options))

    return timed


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "%"})

    def __init__(self, escape: Callable[[str], str]) -> None:
        super().__init__(
            undefined=StrictUndefined,
            finalize=lambda value: value if isinstance(value, Raw) else _bounded(escape(_plain(value))),
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=0,
        )
        filters = {name: self.filters[name] for name in _FILTERS} | dict(_OWN_FILTERS)
        self.filters = {name: _timed(name, filter_) for name, filter_ in filters.items()}
        self.globals = {}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and not isinstance(left, int | float):
            raise Fault("template", "% is for numbers here: join texts with ~.")
        if operator == "*" and not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise Fault("template", "* is for numbers here.")
        if isinstance(left, str) and isinstance(right, str):
            return _joined(left, right)
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise Fault("template", f"{operator} is for two numbers or two texts here: join with ~.")
        answer = super().call_binop(context, operator, left, right)
        if abs(answer) > LARGEST_NUMBER:
            raise Fault("template", f"it makes numbers above {LARGEST_NUMBER}.")
        return answer

    def is_safe_callable(self, obj: Any) -> bool:
        """Nothing but what loops and joins are counted by."""
        return obj is _joined or getattr(obj, "__func__", None) is _Budget.steps

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Members of variables are items; attributes are those of a loop."""
        return type(obj).__name__ == "LoopContext" and super().is_safe_attribute(obj, attr, value)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, StrictUndefined | str | int | float):
        return str(value)
    raise Fault("template", f"{shown(value)} is no text: choose a member of it, or loop over it.")


def _checked(node: nodes.Node) -> nodes.Node:
    """The tree with every loop and every joining counted. Raises Fault for what a template may not do."""
    kind = type(node).__name__
    if kind not in _ALLOWED or (isinstance(node, nodes.For) and node.recursive):
        raise Fault("template", f"line {node.lineno}: {kind} is not for templates of broadcasts.")
    if isinstance(node, nodes.Name) and (node.name == "self" or node.name.startswith("dovecote_")):
        raise Fault("template", f"line {node.lineno}: {node.name} is no variable: choose another name.")
    listed = node.items if isinstance(node, nodes.List | nodes.Tuple) else []
    if getattr(node, "ctx", "load") == "load" and any(not isinstance(each, nodes.Const) for each in listed):
        raise Fault("template", f"line {node.lineno}: a list holds constants only: give the list as a variable.")
    for name, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            setattr(node, name, _checked(value))
        elif isinstance(value, list):
            setattr(node, name, [_checked(each) if isinstance(each, nodes.Node) else each for each in value])
    if isinstance(node, nodes.For):
        counting = nodes.Name("dovecote_steps", "load", lineno=node.lineno)
        node.iter = nodes.Call(counting, [node.iter], [], None, None, lineno=node.lineno)
    if isinstance(node, nodes.Concat):
        joining = nodes.Name("dovecote_joined", "load", lineno=node.lineno)
        return nodes.Call(joining, node.nodes, [], None, None, lineno=node.lineno)
    return node


@lru_cache(maxsize=512)
def _compiled(source: str, mode: str) -> Template:
    environment = _Environment(_ESCAPES.get(mode, _as_it_is))
    tree = _checked(environment.parse(source))
    assert isinstance(tree, nodes.Template)  # noqa: S101 (what is parsed is one, and its kind stays)
    code = environment.compile(tree)
    return environment.template_class.from_code(environment, code, {})


def check_template(source: str, mode: object) -> None:
    """Raise Fault for a template that could never be rendered. `mode` is the parse mode that it is escaped for."""
    if len(source) > LONGEST:
        raise Fault("template", f"it has {len(source)} characters, and {LONGEST} are the most: shorten it.")
    try:
        _compiled(source, _mode(mode))
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        message = (error.message or type(error).__name__).rstrip(".")
        raise Fault("template", f"{'' if line is None else f'line {line}: '}{message}.") from None
    except ValueError as error:
        raise Fault("template", f"it cannot be read: {shown(str(error))}.") from None
    except (RecursionError, SyntaxError, MemoryError):
        # What a template becomes is Python, which nests no more than 20 loops, and has words of its own for that.
        raise Fault("template", "it is nested too deep: make it simpler.") from None


def render(source: str, mode: object, variables: Mapping[str, Any]) -> str:
    """The text for one recipient, escaped for the parse mode. Raises Fault in words that name what is wrong."""
    check_template(source, mode)
    budget = _Budget()
    own = {"dovecote_steps": budget.steps, "dovecote_budget": budget, "dovecote_joined": _joined}
    names = {**variables, **own}
    parts, length = [], 0
    try:
        for part in _compiled(source, _mode(mode)).generate(names):
            length += len(part)
            if length > LONGEST:
                _bounded(" " * length)
            parts.append(part)
    except TemplateError as error:
        raise Fault("template", f"{(error.message or type(error).__name__).rstrip('.')}.") from None
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        raise Fault("template", f"it cannot be rendered with these variables: {shown(str(error))}.") from None
    return sound("".join(parts), "template")


def _mode(mode: object) -> str:
    return mode.lower() if isinstance(mode, str) else ""

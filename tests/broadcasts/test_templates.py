"""Templates: escaped for their parse mode, and bounded by what they can do, whoever has written them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovecote.broadcasts.templates import check_template, render
from dovecote.content import Fault
from dovecote.emulator.html import parse_html
from dovecote.emulator.markdown_v2 import parse_markdown_v2

VARIABLES: dict[str, Any] = {
    "name": "Ana & <b>Rui</b>_*!",
    "points": 1200,
    "items": [{"title": "tea", "price": 2.5}, {"title": "milk", "price": 1}],
    "many": list(range(200)),
    "long": "x" * 1000,
    "nothing": None,
}


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("Hello {{ nothing }}you", "Hello you"),
        ("{% if points > 1000 %}many{% else %}few{% endif %}", "many"),
        (
            "{% for i in items %}{{ loop.index }}. {{ i.title }} {{ i['price'] }}\n{% endfor %}",
            "1. tea 2.5\n2. milk 1\n",
        ),
        ("{{ points | grouped('.') }}", "1.200"),
        ("{{ missing | default('friend') }}", "friend"),
        ("{{ items | sum(attribute='price') }} {{ points * 2 + 1 }} {{ 'a' ~ points }}", "3.5 2401 a1200"),
        ("{{ [1, 2] | join(', ') }} {{ 'tea' in ['tea', 'milk'] }}", "1, 2 True"),
        ("{% set total = points / 7 %}{{ total | round(2) }} {{ total | round }}", "171.43 171"),
    ],
)
def test_what_it_can_do(source: str, shown: str) -> None:
    assert render(source, None, VARIABLES) == shown


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        (None, "<i>Ana & <b>Rui</b>_*!</i>"),
        ("HTML", "<i>Ana &amp; &lt;b&gt;Rui&lt;/b&gt;_*!</i>"),
        ("html", "<i>Ana &amp; &lt;b&gt;Rui&lt;/b&gt;_*!</i>"),
        ("MarkdownV2", r"<i>Ana & <b\>Rui</b\>\_\*\!</i>"),
        ("Markdown", r"<i>Ana & <b>Rui</b>\_\*!</i>"),
    ],
)
def test_variables_are_escaped_for_the_parse_mode_and_the_template_is_not(mode: str | None, shown: str) -> None:
    assert render("<i>{{ name }}</i>", mode, VARIABLES) == shown


def test_raw_is_not_escaped() -> None:
    assert render("{{ name | raw }}", "HTML", VARIABLES) == VARIABLES["name"]


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0\r")))
def test_whatever_a_variable_holds_the_markup_shows_just_that(value: str) -> None:
    """By the emulator's own parsers, which refuse what Telegram refuses."""
    assert parse_html(render("<b>-{{ v }}-</b>", "HTML", {"v": value}))[0] == f"-{value}-"
    assert parse_markdown_v2(render("*a{{ v }}a*", "MarkdownV2", {"v": value}))[0] == f"a{value}a"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ items }}", "is no text: choose a member of it"),
        ("{% if %}", "line 1: "),
        ("{{ name.upper() }}", "Call is not for templates"),
        ("{{ range(9) }}", "Call is not for templates"),
        ("{{ name.__class__ }}", "unsafe"),
        ("{{ items | sort(attribute='__class__') | length }}", "unsafe"),
        ("{{ name | attr('x') }}", "No filter named 'attr'"),
        ("{{ self }}", "self is no variable"),
        ("{{ dovecote_steps }}", "dovecote_steps is no variable"),
        ("{% include 'x' %}", "Include is not for templates"),
        ("{% import 'x' as y %}", "Import is not for templates"),
        ("{% macro x() %}{% endmacro %}", "Macro is not for templates"),
        ("{% for x in items recursive %}{% endfor %}", "For is not for templates"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ '%s' % name }}", "% is for numbers"),
        ("{{ -name }}", "bad operand"),
        ("{{ " + "9" * 5000 + " }}", "it cannot be read"),
        ("{{ '\\ud800' }}", "half of a surrogate pair"),
        ("{{ '\\x00' }}", "NUL"),
    ],
)
def test_what_it_cannot_do_is_told_in_words(source: str, why: str) -> None:
    with pytest.raises(Fault) as raised:
        render(source, "HTML", VARIABLES)
    assert why in raised.value.problem


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in many %}{% for b in many %}{% endfor %}{% endfor %}",
        "{% for a in many %}" * 6 + "{% endfor %}" * 6,
        "{% set x = long %}" + "{% set x = x ~ x %}" * 60 + "{{ x }}",
        "{% set x = long %}" + "{% set x = x + x %}" * 60 + "{{ x }}",
        "{{ 'a' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ 10 ** 1000000000 }}",
        "{% set x = 10 %}" + "{% set x = x * x %}" * 40 + "{{ x }}",
        "{{ 2 | round(1000000000) }}" + "{{ long }}" * 70,
        "{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x }}",
        "{% for a in many %}{{ long }}{% endfor %}",
        "{{ many | join(long) | length }}" * 2,
        "{% set x = long %}" + "{% set x = x ~ x %}" * 6 + "{% set y = x | sort | list %}" * 2000,
        "x" * 70_000 + "{{ name }}",
        "{{ long | list | sort(attribute='" + "0," * 20_000 + "0') | length }}",
        "{{ long | list | unique(attribute='" + "0." * 20_000 + "0') | list | length }}",
        "{{ long | list | sum('" + "0." * 20_000 + "0', '') }}",
        "{{ long" + " | list | string" * 9 + " | length }}",
        "{{ long" + " | urlencode | reverse | list | string" * 9 + " | length }}",
    ],
)
def test_it_neither_works_for_long_nor_grows(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(Fault):
        render(source, None, VARIABLES)
    # A bound in processor time that the longest of these misses a hundredfold if it is not stopped.
    assert time.thread_time() - began < 5


def test_what_can_never_be_rendered_is_refused_before_there_is_a_recipient() -> None:
    check_template("{{ name }}", "HTML")
    for source in ("{{ name ", "{% for a in many %}" * 21 + "{% endfor %}" * 21, f"{{{{ {'(' * 300}1{')' * 300} }}}}"):
        with pytest.raises(Fault, match="template"):
            check_template(source, "HTML")

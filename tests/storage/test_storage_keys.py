"""Keys: which ones there are, and that every other one is refused with the rule that it breaks."""

from __future__ import annotations

import unicodedata

import pytest
from file_keys import BAD, GOOD
from hypothesis import example, given
from hypothesis import strategies as st

from dovecote.errors import InvalidKey
from dovecote.storage.keys import LONGEST_KEY, is_key, normalised, normalised_prefix


@pytest.mark.parametrize("key", GOOD)
def test_a_good_key_stays_as_it_is(key: str) -> None:
    assert normalised(key) == key


@pytest.mark.parametrize(("key", "rule"), BAD)
def test_a_bad_key_is_refused_with_its_rule(key: str, rule: str) -> None:
    with pytest.raises(InvalidKey) as refused:
        normalised(key)

    assert rule in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("key", [b"bytes", None, 17])
def test_what_is_no_text_is_refused(key: object) -> None:
    with pytest.raises(InvalidKey, match="a key is text"):
        normalised(key)  # type: ignore[arg-type]


def test_two_spellings_of_one_text_are_one_key() -> None:
    assert normalised("caf\u0065\u0301") == normalised("caf\u00e9") == "caf\u00e9"


def test_keys_that_differ_in_case_alone_are_two() -> None:
    assert normalised("A/b") != normalised("a/b")


@given(st.text())
@example("\u1fef")
@example("a\u037e")
def test_what_is_taken_is_taken_again_as_it_is(text: str) -> None:
    if is_key(text):
        assert normalised(text) == text
        assert unicodedata.is_normalized("NFC", text)
        assert len(text.encode()) <= LONGEST_KEY
        assert not {"", ".", ".."} & set(text.split("/"))
    else:
        try:
            answer = normalised(text)
        except InvalidKey:
            return
        assert is_key(answer)


@pytest.mark.parametrize(("prefix", "answer"), [("", ""), ("a", "a"), ("a/", "a/"), ("a/b.", "a/b."), ("e\u0301", "é")])
def test_a_prefix_is_a_folder_and_the_beginning_of_a_name(prefix: str, answer: str) -> None:
    assert normalised_prefix(prefix) == answer


@pytest.mark.parametrize("prefix", ["/", "/etc", "../", "a/../b", "a//", "a\0"])
def test_a_prefix_that_no_key_has_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidKey):
        normalised_prefix(prefix)

"""Markup at the door: how much of it is looked at, and that the work grows no faster than its length."""

from __future__ import annotations

from time import process_time

import pytest

from dovecote.content import rendered
from dovecote.errors import InvalidNotification
from dovecote.model import Notification
from dovecote.validation import prepared


def refusal(notification: Notification) -> str:
    with pytest.raises(InvalidNotification) as caught:
        prepared(notification)
    return str(caught.value)


@pytest.mark.parametrize(
    ("piece", "parse_mode"),
    [
        ("<", "HTML"),
        ("<>", "HTML"),
        ("&#1", "HTML"),
        ("](", "MarkdownV2"),
        ("](\\", "MarkdownV2"),
        ("](\\)", "MarkdownV2"),
        ("```a", "Markdown"),
        ("```](", "Markdown"),
    ],
)
def test_markup_that_never_ends_takes_steps_in_proportion_to_its_length(piece: str, parse_mode: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        times = []
        for _ in range(3):
            started_at = process_time()
            rendered(text, parse_mode)
            times.append(process_time() - started_at)
        return min(times)

    # Sixteen times the length takes 16 times as long, and the square of it 256 times.
    assert seconds(2**20) < 100 * max(seconds(2**16), 0.001)


@pytest.mark.parametrize("parse_mode", ["HTML", "MarkdownV2"])
def test_more_markup_than_is_looked_at(parse_mode: str) -> None:
    words = "has 65537 characters with its markup, and at most 65536 are looked at"
    text = "<" * 65537
    caption = {"photo": "x", "caption": text, "parse_mode": parse_mode}

    assert words in refusal(Notification(bot="shop", chat_id=42, text=text, params={"parse_mode": parse_mode}))
    assert words in refusal(Notification(bot="shop", chat_id=42, method="sendPhoto", params=caption))


@pytest.mark.parametrize(
    ("text", "parse_mode", "shown"),
    [
        ("a](b\\)c", "MarkdownV2", "abc"),
        ("a](b)c](d", "MarkdownV2", "acd"),
        ("a](```py\nb", "MarkdownV2", "ab"),
        ("a](b\\", "MarkdownV2", "ab"),
        ("a<b>c<d", "HTML", "ac<d"),
        ("a<b", "HTML", "a<b"),
    ],
)
def test_what_is_no_whole_markup_is_shown(text: str, parse_mode: str, shown: str) -> None:
    assert rendered(text, parse_mode) == shown

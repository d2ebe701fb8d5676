"""Chats and recipients as an operator names them."""

from __future__ import annotations

import pytest

from dovecote.errors import InvalidNotification
from dovecote.validation import prepared_chat, prepared_recipient


@pytest.mark.parametrize(
    ("given", "held"), [(42, "42"), ("42", "42"), (-1001234, "-1001234"), ("@Shop_News", "@shop_news")]
)
def test_a_chat_is_written_as_the_outbox_holds_it(given: object, held: str) -> None:
    assert prepared_chat(given) == held
    assert prepared_recipient(given) == held


@pytest.mark.parametrize(("given", "held"), [("-1001234/5", "-1001234/5"), ("@Shop_News/7", "@shop_news/7")])
def test_a_topic_of_a_group_is_a_recipient_and_no_chat(given: str, held: str) -> None:
    assert prepared_recipient(given) == held
    with pytest.raises(InvalidNotification, match=f"'{given}' is no chat"):
        prepared_chat(given)


@pytest.mark.parametrize("given", [None, 0, True, "shop_news", "", "4 2", 1.5, 2**60])
def test_what_is_no_chat_is_refused(given: object) -> None:
    with pytest.raises(InvalidNotification, match="chat_id"):
        prepared_chat(given)
    with pytest.raises(InvalidNotification, match="chat_id"):
        prepared_recipient(given)


@pytest.mark.parametrize("given", ["42/5", "-1001234/", "-1001234/0", "-1001234/a", "-1001234/5/6"])
def test_what_is_no_topic_is_refused(given: str) -> None:
    with pytest.raises(InvalidNotification, match=f"'{given}' is no topic"):
        prepared_recipient(given)

"""Each typed helper spells what the Bot API calls it, and its notification passes the door."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dovecote import methods
from dovecote.model import DeliveryPolicy, Notification, Priority
from dovecote.validation import prepared

MARKUP = {"inline_keyboard": [[{"text": "Open", "url": "https://example.org"}]]}


@pytest.mark.parametrize(
    ("notification", "method", "params"),
    [
        (methods.message("shop", 42, "<b>hi</b>", parse_mode="HTML"), "sendMessage",
         {"text": "<b>hi</b>", "parse_mode": "HTML"}),
        (methods.message("shop", 42, "hi", link_preview_options={"is_disabled": True}, message_thread_id=5),
         "sendMessage", {"text": "hi", "link_preview_options": {"is_disabled": True}, "message_thread_id": 5}),
        (methods.photo("shop", 42, "x", caption="hi"), "sendPhoto", {"photo": "x", "caption": "hi"}),
        (methods.document("shop", 42, "x", protect_content=True), "sendDocument",
         {"document": "x", "protect_content": True}),
        (methods.video("shop", 42, "x", has_spoiler=True), "sendVideo", {"video": "x", "has_spoiler": True}),
        (methods.audio("shop", 42, "x", title="t"), "sendAudio", {"audio": "x", "title": "t"}),
        (methods.voice("shop", 42, "x"), "sendVoice", {"voice": "x"}),
        (methods.animation("shop", 42, "x"), "sendAnimation", {"animation": "x"}),
        (methods.sticker("shop", 42, "x", disable_notification=False), "sendSticker",
         {"sticker": "x", "disable_notification": False}),
        (methods.album("shop", 42, ({"type": "photo", "media": "x"},) * 2), "sendMediaGroup",
         {"media": [{"type": "photo", "media": "x"}] * 2}),
        (methods.location("shop", 42, 52.5, 13.4, live_period=60), "sendLocation",
         {"latitude": 52.5, "longitude": 13.4, "live_period": 60}),
        (methods.venue("shop", 42, 52.5, 13.4, title="t", address="a"), "sendVenue",
         {"latitude": 52.5, "longitude": 13.4, "title": "t", "address": "a"}),
        (methods.contact("shop", 42, "+1", "Ada"), "sendContact", {"phone_number": "+1", "first_name": "Ada"}),
        (methods.poll("shop", 42, "q", ["a", {"text": "b"}], is_anonymous=False), "sendPoll",
         {"question": "q", "options": [{"text": "a"}, {"text": "b"}], "is_anonymous": False}),
        (methods.dice("shop", 42), "sendDice", {}),
        (methods.copy_message("shop", 42, "@news", 5, caption="c"), "copyMessage",
         {"from_chat_id": "@news", "message_id": 5, "caption": "c"}),
        (methods.forward_message("shop", 42, 43, 5), "forwardMessage", {"from_chat_id": 43, "message_id": 5}),
        (methods.edit_text("shop", 42, 5, "hi", reply_markup=MARKUP), "editMessageText",
         {"message_id": 5, "text": "hi", "reply_markup": MARKUP}),
        (methods.edit_caption("shop", 42, 5), "editMessageCaption", {"message_id": 5}),
        (methods.edit_reply_markup("shop", 42, 5, MARKUP), "editMessageReplyMarkup",
         {"message_id": 5, "reply_markup": MARKUP}),
        (methods.delete_message("shop", 42, 5), "deleteMessage", {"message_id": 5}),
        (methods.pin_message("shop", 42, 5, disable_notification=True), "pinChatMessage",
         {"message_id": 5, "disable_notification": True}),
    ],
)  # fmt: skip
def test_parameters(notification: Notification, method: str, params: dict[str, Any]) -> None:
    written = prepared(notification)

    assert (written.bot, written.chat, written.method) == ("shop", "42", method)
    assert json.loads(written.params) == params


def test_how_to_deliver_it_is_the_notifications() -> None:
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert methods.message(
        "shop",
        42,
        "hi",
        key="a",
        priority=Priority.URGENT,
        due_at=noon,
        expires_at=noon,
        delivery=DeliveryPolicy.AT_MOST_ONCE,
        labels=("promo",),
    ) == Notification(
        bot="shop",
        chat_id=42,
        params={"text": "hi"},
        key="a",
        priority=Priority.URGENT,
        due_at=noon,
        expires_at=noon,
        delivery=DeliveryPolicy.AT_MOST_ONCE,
        labels=("promo",),
    )


def test_what_a_newer_bot_api_takes_goes_through() -> None:
    newer: dict[str, Any] = {"of_tomorrow": 1}

    assert methods.dice("shop", 42, params=newer).params == {"of_tomorrow": 1}
    assert methods.dice("shop", 42, **newer).params == {"of_tomorrow": 1}

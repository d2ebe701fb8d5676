"""A recorded call as a test sees it, and what of the package is public."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

import dovecote.testing
from dovecote.emulator import Record
from dovecote.testing.sent import Sent, SentFile, sent_of

PUBLIC = [
    "BlockingOutbox",
    "Button",
    "DatabaseInUse",
    "Faults",
    "Harness",
    "ManualClock",
    "Outbox",
    "Sent",
    "SentFile",
]


def sent(method: str = "sendMessage", **parameters: Any) -> Sent:
    record = Record(1, 7, method, 42, 0.0, 1_000_000.0, 200, accepted=True, message_ids=(1,), kept=parameters)
    return sent_of(record, {7: "shop"})


def test_it_knows_bot_chat_and_time() -> None:
    one = sent(text="hello")

    assert (one.bot, one.chat, one.text, one.message_ids) == ("shop", 42, "hello", (1,))
    assert one.at == datetime(1970, 1, 12, 13, 46, 40, tzinfo=UTC)
    assert str(one) == "sendMessage 'hello'"


@pytest.mark.parametrize("as_text", [False, True])
def test_buttons_are_read_from_json_and_from_a_form(as_text: bool) -> None:  # noqa: FBT001 (of pytest's)
    markup: Any = {
        "inline_keyboard": [[{"text": "Yes", "callback_data": "y"}], [{"text": "More", "url": "https://x.example"}]]
    }
    if as_text:
        markup = (
            '{"inline_keyboard":[[{"text":"Yes","callback_data":"y"}],[{"text":"More","url":"https://x.example"}]]}'
        )

    one = sent(text="?", reply_markup=markup)

    assert [[button.text for button in row] for row in one.buttons] == [["Yes"], ["More"]]
    assert one.button("Yes").callback_data == "y"
    assert one.button("More").url == "https://x.example"
    with pytest.raises(AssertionError, match="no button says 'No' \\(there are: 'Yes', 'More'\\)"):
        one.button("No")


def test_a_reply_keyboard_may_be_texts_alone() -> None:
    one = sent(text="?", reply_markup={"keyboard": [["Yes", {"text": "No"}]]})

    assert [button.text for button in one.buttons[0]] == ["Yes", "No"]


def test_an_album_has_the_files_of_its_items_and_the_first_caption() -> None:
    upload = {"file_name": "a.jpg", "content_type": "image/jpeg", "size": 3, "sha256": "ab"}
    media = '[{"type":"photo","media":"attach://a"},{"type":"video","media":"BAAD","caption":"Our day"}]'

    one = sent("sendMediaGroup", media=media, a=upload)

    assert one.files == [SentFile("photo", "a.jpg", 3, "ab"), SentFile("video", reference="BAAD")]
    assert one.text == "Our day"
    assert str(one) == "sendMediaGroup 'Our day' photo a.jpg video BAAD"


def test_a_text_that_only_looks_like_json_stays_a_text() -> None:
    assert sent(text="[sic] and {so on").text == "[sic] and {so on"


def test_the_public_names_are_these() -> None:
    assert sorted(dovecote.testing.__all__) == PUBLIC
    assert [name for name in PUBLIC if not hasattr(dovecote.testing, name)] == []
    with pytest.raises(AttributeError, match="Outbux"):
        _ = dovecote.testing.Outbux  # type: ignore[attr-defined] # it is not there


def test_the_plugin_costs_a_run_without_dovecote_nothing() -> None:
    script = (
        "import sys, dovecote.testing.plugin;"
        " print([name for name in ('sqlalchemy', 'pydantic', 'starlette', 'uvicorn') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"

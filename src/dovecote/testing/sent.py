"""What was sent: one accepted call of the Bot API, as a test wants to look at it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dovecote.emulator import Record

KINDS: Final = ("photo", "document", "video", "audio", "voice", "animation", "sticker", "video_note", "thumbnail")
ATTACHED: Final = "attach://"
SHOWN: Final = 60
"""How many characters of a text an error shows."""


@dataclass(frozen=True, slots=True)
class Button:
    """A button of a keyboard: its text, and for an inline one what it does (`url`, `callback_data`, ...)."""

    text: str
    action: Mapping[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str | None:
        """Where it leads, if it is a link."""
        return self.action.get("url")

    @property
    def callback_data(self) -> str | None:
        """What the bot hears when it is pressed, if it is one of those."""
        return self.action.get("callback_data")


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of a message. One that was uploaded with it has `name`, `size` in bytes and `sha256`.

    One that Telegram knew already was sent as `reference`: its `file_id`, or a URL.
    """

    kind: str
    name: str | None = None
    size: int | None = None
    sha256: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that Telegram would have acted on.

    `chat` is a number or an @name, None for a method without a chat. `parameters` are the call's own, objects and lists
    as such. `at` is the test's time.
    """

    bot: str
    chat: int | str | None
    method: str
    parameters: Mapping[str, Any]
    message_ids: tuple[int, ...]
    at: datetime

    @property
    def text(self) -> str:
        """Its text, or the caption; that of the first item of an album that has one. "" where there is none."""
        of_items = next((item["caption"] for item in self._items() if item.get("caption")), "")
        return str(self.parameters.get("text") or self.parameters.get("caption") or of_items)

    @property
    def buttons(self) -> list[list[Button]]:
        """The rows of its keyboard, inline or not."""
        markup = self.parameters.get("reply_markup") or {}
        rows = markup.get("inline_keyboard") or markup.get("keyboard") or []
        return [[_button(button) for button in row] for row in rows]

    @property
    def files(self) -> list[SentFile]:
        """Its files, in their order; those of an album one after the other."""
        found = [self._file(kind, self.parameters[kind]) for kind in KINDS if self.parameters.get(kind)]
        for item in self._items():
            found += [self._file(str(item.get("type")), item["media"])] if item.get("media") else []
        return found

    def button(self, text: str) -> Button:
        """The button with that text. Raises AssertionError, which names those that there are."""
        there = [button for row in self.buttons for button in row]
        for button in there:
            if button.text == text:
                return button
        names = ", ".join(repr(button.text) for button in there) or "none"
        raise AssertionError(f"no button says {text!r} (there are: {names}).")

    def __str__(self) -> str:
        """As errors show it."""
        words = [self.method]
        if self.text:
            words.append(repr(self.text if len(self.text) <= SHOWN else f"{self.text[:SHOWN]}..."))
        words += [f"{each.kind} {each.name or each.reference or ''}".strip() for each in self.files]
        return " ".join(words)

    def _items(self) -> Iterator[Mapping[str, Any]]:
        media = self.parameters.get("media")
        items: Sequence[Any] = media if isinstance(media, list) else [media]
        return (item for item in items if isinstance(item, dict))

    def _file(self, kind: str, value: Any) -> SentFile:
        if isinstance(value, str) and value.startswith(ATTACHED):
            value = self.parameters.get(value.removeprefix(ATTACHED), value)
        if isinstance(value, dict):
            return SentFile(kind, value.get("file_name"), value.get("size"), value.get("sha256"))
        return SentFile(kind, reference=str(value))


def _button(button: Any) -> Button:
    # A button of a reply keyboard may be its text alone.
    if not isinstance(button, dict):
        return Button(str(button))
    return Button(str(button.get("text", "")), {name: value for name, value in button.items() if name != "text"})


def sent_of(record: Record, bots: Mapping[int, str]) -> Sent:
    """What the emulator has recorded, with the bot's own name in place of its number."""
    parameters = {name: _opened(value) for name, value in record.parameters.items()}
    return Sent(
        bot=bots.get(record.bot_id, str(record.bot_id)),
        chat=record.chat_id,
        method=record.method,
        parameters=parameters,
        message_ids=record.message_ids,
        at=datetime.fromtimestamp(record.time, UTC),
    )


def _opened(value: Any) -> Any:
    """An object or a list that stands as JSON text in a form, as itself."""
    if not isinstance(value, str) or value[:1] not in {"{", "["}:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value

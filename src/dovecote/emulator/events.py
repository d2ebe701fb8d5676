"""What people do, as documents: the one form that the Python API and the control API share.

`user` is who does it, by id. `bot` is the bot that gets the update (None: the only one that there is). `chat` is where
it happens (None: in the private chat of the two).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 - pydantic resolves the annotations
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from dovecote.emulator.documents import STRICT, InvalidDocument, validated

Media = Literal["photo", "document", "video", "audio", "voice", "animation", "sticker", "video_note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event has."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    user: int
    bot: int | None = None
    chat: int | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Event):
    """A message: `text`, or a file of the kind `media` by its `file_id`, or whatever `members` gives the message.

    Commands, mentions, hashtags, links and addresses are found in the text unless `entities` are given. `caption` goes
    with a file. `members` are members of a Message as the Bot API writes them (contact, location, successful_payment).
    With `business`, the user whose account it is, it is a message in a chat of that account: `chat` is the other side.
    """

    event: Literal["message"] = "message"
    text: str = ""
    caption: str = ""
    media: Media | None = None
    file_id: str = ""
    file_name: str | None = None
    reply_to: int | None = None
    thread: int | None = None
    entities: Sequence[Mapping[str, Any]] | None = None
    members: Mapping[str, Any] = field(default_factory=dict)
    business: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if (self.media is None) == bool(self.file_id):
            raise ValueError("file_id: a file needs both its media (photo, document, ...) and its file_id.")
        if not (self.text or self.media or self.members):
            raise ValueError("text: nobody can send an empty message; give a text, a file or members.")
        if self.text and self.media:
            raise ValueError("text: a file has a caption and no text.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited(Event):
    """Somebody edits a message: a new text, or a new caption."""

    event: Literal["edit"] = "edit"
    message_id: int
    text: str | None = None
    caption: str | None = None
    business: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if (self.text is None) == (self.caption is None):
            raise ValueError("text: an edit has either a text or a caption.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed(Event):
    """Somebody presses an inline button, named by its callback `data` or by the text on it.

    With `ephemeral`, of a message that this user alone sees, which `message_id` names by its ephemeral_message_id.
    """

    event: Literal["press"] = "press"
    message_id: int
    data: str | None = None
    button: str | None = None
    business: int | None = None
    ephemeral: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if (self.data is None) == (self.button is None):
            raise ValueError("data: name the button by its data, or by the text on it as button.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reacted(Event):
    """Somebody's reactions to a message are these emoji now."""

    event: Literal["react"] = "react"
    message_id: int
    emoji: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Voted(Event):
    """Somebody votes in a poll: the options' places, from 0; none takes the vote back."""

    event: Literal["vote"] = "vote"
    message_id: int
    options: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Event):
    """Somebody types an inline query. Its chat says only of what kind it is typed in."""

    event: Literal["inline_query"] = "inline_query"
    query: str
    offset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated(Event):
    """A basic group becomes a supergroup, `to` (None: the one with the same digits)."""

    event: Literal["migrate"] = "migrate"
    to: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Event):
    """Who is where: what the user does to the bot, or in a group."""

    event: Literal[
        "block", "unblock", "join", "leave", "join_request", "join_query", "add_bot", "remove_bot", "promote_bot"
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Event):
    """The user lets the bot into the business account, with these rights (None: all), or takes it out again."""

    event: Literal["connect", "disconnect"]
    rights: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted(Event):
    """Messages of a business account's chat are deleted: the account is that of the user `business`."""

    event: Literal["delete"] = "delete"
    message_ids: Sequence[int]
    business: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked(Event):
    """Somebody marks tasks of a checklist as done, by their numbers, or as not done."""

    event: Literal["tick"] = "tick"
    message_id: int
    tasks: Sequence[int]
    business: int
    done: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Any update at all, as the Bot API writes it, without its update_id."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    event: Literal["update"] = "update"
    update: Mapping[str, Any]
    bot: int | None = None


AnyEvent = (
    Written | Edited | Pressed | Reacted | Voted | Asked | Migrated | Changed | Connected | Deleted | Ticked | Raw
)
_EVENTS: TypeAdapter[list[AnyEvent]] = TypeAdapter(list[Annotated[AnyEvent, Field(discriminator="event")]])


def parse_events(document: Any) -> list[AnyEvent]:
    """Events from JSON: one, or a list of them. Raises InvalidDocument."""
    given = document if isinstance(document, list) else [document]
    if not given:
        raise InvalidDocument("updates: send one event or a list of events.")
    return validated(_EVENTS, given, "updates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a user, or a group or channel, is called; which of them belong to it follows from the id."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: int
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = None
    is_premium: bool | None = None
    title: str | None = None
    is_forum: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        wrong = _GROUP_NAMES & self.given().keys() if self.id > 0 else self.given().keys() - _GROUP_NAMES - {"username"}
        if wrong:
            raise ValueError(f"{', '.join(sorted(wrong))}: {self.id} is {'a user' if self.id > 0 else 'a chat'}.")

    def given(self) -> dict[str, Any]:
        """Those that were given."""
        names = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "id"}
        return {name: value for name, value in names.items() if value is not None}


_GROUP_NAMES = frozenset({"title", "is_forum"})
_NAMES: TypeAdapter[list[Names]] = TypeAdapter(list[Names])


def parse_names(document: Any) -> list[Names]:
    """Names from JSON: of one, or of a list of them. Raises InvalidDocument."""
    return validated(_NAMES, document if isinstance(document, list) else [document], "names")


@dataclass(frozen=True, slots=True)
class Happened:
    """What came of an event: the updates that the bot gets, in order, as the Bot API writes them.

    `message_id` is the message that was written or that it is about (0: none), `query_id` the query to be answered
    ("": none), `connection_id` the business connection that was made or ended. A bot that did not ask for the kind of
    an update (`allowed_updates`) does not get it.
    """

    bot: int
    updates: tuple[dict[str, Any], ...]
    message_id: int = 0
    query_id: str = ""
    connection_id: str = ""

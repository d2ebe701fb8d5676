"""Stories, which bots post for business accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from dovecote.emulator.files import file_parameter, photo_sizes
from dovecote.emulator.methods.business import connection_parameter
from dovecote.emulator.methods.media import content_of
from dovecote.emulator.methods.registry import method
from dovecote.emulator.reading import integer_parameter, json_of, string_field
from dovecote.emulator.refusal import Refusal, bad_request
from dovecote.emulator.text import caption

if TYPE_CHECKING:
    from dovecote.emulator.business import BusinessConnection
    from dovecote.emulator.methods.registry import Call
    from dovecote.emulator.stories import Story

PERIODS: Final = frozenset({6 * 3600, 12 * 3600, 24 * 3600, 48 * 3600})
LONGEST_CAPTION: Final = 2048
RIGHT: Final = "can_manage_stories"


@method("postStory")
def post_story(call: Call) -> Any:
    """A picture or a film for a day or so."""
    content = _content(call)
    expires = _expires(call)
    connection = connection_parameter(call, RIGHT)
    return _shown(call, call.world.stories.add(connection.user, content, expires))


@method("repostStory")
def repost_story(call: Call) -> Any:
    """The story of another account, one that the bot is in as well."""
    expires = _expires(call)
    connection = connection_parameter(call, RIGHT)
    owner = call.world.chat(call.parameters.get("from_chat_id"))["id"]
    found = call.world.stories.find(owner, integer_parameter(call.parameters, "from_story_id"))
    if found is None or not call.world.business.has(call.bot_id, owner):
        raise Refusal(400, "Bad Request: STORY_ID_INVALID")
    return _shown(call, call.world.stories.add(connection.user, found.content, expires))


@method("editStory")
def edit_story(call: Call) -> Any:
    """Another picture or film, with its own caption."""
    content = _content(call)
    story = _own(call, connection_parameter(call, RIGHT))
    if content == story.content:
        raise Refusal(400, "Bad Request: STORY_NOT_MODIFIED")
    story.content = content
    return _shown(call, story)


@method("deleteStory")
def delete_story(call: Call) -> Any:
    """A story goes."""
    call.world.stories.delete(_own(call, connection_parameter(call, RIGHT)))
    return True


def _own(call: Call, connection: BusinessConnection) -> Story:
    found = call.world.stories.find(connection.user, integer_parameter(call.parameters, "story_id"))
    if found is None:
        raise Refusal(400, "Bad Request: STORY_ID_INVALID")
    return found


def _shown(call: Call, story: Story) -> dict[str, Any]:
    return {"chat": call.world.chat(story.user), "id": story.number}


def _expires(call: Call) -> float:
    period = integer_parameter(call.parameters, "active_period")
    if period not in PERIODS:
        raise Refusal(400, "Bad Request: STORY_PERIOD_INVALID")
    return call.world.clock.time() + period


def _content(call: Call) -> dict[str, Any]:
    """An InputStoryContent with the caption. Raises Refusal."""
    value = call.parameters.get("content", "")
    given = None if value == "" else json_of(value, "story content")
    try:
        kind, content = _file(call, given)
    except ValueError as error:
        raise bad_request(f"Can't parse InputStoryContent: {error}") from None
    formatted = caption(call.parameters)
    if formatted.length > LONGEST_CAPTION:
        raise bad_request("Message caption is too long")
    return {kind: content, "caption": formatted.text, "caption_entities": formatted.entities}


def _file(call: Call, given: Any) -> tuple[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError("expected an Object")  # noqa: TRY004 - Telegram's words travel as ValueError here
    kind = string_field(given, "type", required=True)
    if kind not in {"photo", "video"}:
        raise ValueError(f'type "{kind}" is unsupported')
    file = file_parameter(kind, string_field(given, kind), call.uploads, call.bot_id)
    if file is None or file.given_id is not None:
        raise ValueError(f"{kind} must be uploaded as a new file")
    if kind == "photo":
        return kind, photo_sizes(file, call.bot_id)
    return kind, content_of(kind, file, {}, call.uploads, call.bot_id)[kind]

"""From a framework's call to a notification: its parameters as JSON, its files stored and attached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dovecote.content import shown
from dovecote.errors import InvalidNotification
from dovecote.files.keys import check_name
from dovecote.model import Attachment, Notification
from dovecote.references import SCHEME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.app import Dovecote
    from dovecote.files.contents import Source
    from dovecote.methods import Delivery


class Upload(NamedTuple):
    """A content that a call brings along, and the name that recipients are to see, if any."""

    source: Source
    name: str | None


class Call(NamedTuple):
    """A call as a framework would make it: in `params`, `attach://name` stands for the upload of that name."""

    method: str
    params: Mapping[str, Any]
    uploads: Mapping[str, Upload]


async def notification_of(dovecote: Dovecote, bot: str, call: Call, delivery: Delivery) -> Notification:
    """Store what the call uploads, and answer the notification that makes the same call.

    A content that is stored already is not stored again. Raises InvalidNotification for a
    chat that is none, and what `Files.put` raises.
    """
    attachments = {name: await _stored(dovecote, upload) for name, upload in call.uploads.items()}
    named: set[str] = set()
    params = {name: _attached(value, attachments, named) for name, value in call.params.items()}
    # A file that is a parameter by itself is uploaded under the parameter's own name.
    params |= {name: file for name, file in attachments.items() if name not in named}
    fields: dict[str, Any] = dict(delivery)
    params |= fields.pop("params", {})
    chat_id = params.pop("chat_id", None)
    if chat_id is not None and not isinstance(chat_id, int | str):
        raise InvalidNotification("chat_id", f"{shown(chat_id)} is no chat: give its number or @name.")
    return Notification(bot=bot, chat_id=chat_id, method=call.method, params=params, **fields)


async def _stored(dovecote: Dovecote, upload: Upload) -> Attachment:
    name = valid_name(upload.name)
    return Attachment(await dovecote.files.put(upload.source, name=name), name=name)


def _attached(value: Any, attachments: Mapping[str, Attachment], named: set[str]) -> Any:
    """The value with attachments where it names uploads; adds the names to `named`."""
    if isinstance(value, str):
        name = value.removeprefix(SCHEME)
        if name == value or name not in attachments:
            return value
        named.add(name)
        return attachments[name]
    if isinstance(value, dict):
        return {name: _attached(inner, attachments, named) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_attached(inner, attachments, named) for inner in value]
    return value


def valid_name(name: str | None) -> str | None:
    """The name, if a file can have it: what somebody has typed into a phone may hold anything."""
    try:
        check_name(name or "")
    except ValueError:
        return None
    return name

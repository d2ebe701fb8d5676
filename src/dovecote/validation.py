"""Validation at the door: a `Notification` becomes what the outbox holds, or an error before anything is written.

Pure, and without a clock: what is valid now is valid a second later, so a transaction never fails for being slow. A
notification whose `expires_at` has passed already is therefore taken, and ends as a dead letter that says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from dovecote.content import Fault, attached, params_json, plain_params, shown, sound, weigh
from dovecote.errors import FileTooLarge, InvalidNotification
from dovecote.model import DeliveryPolicy, Notification, Priority, Quiet
from dovecote.references import LARGEST, place_of

KEY_LENGTH: Final = 255
LABEL_LENGTH: Final = 64
LABELS: Final = 16
PRIORITIES: Final = range(len(Priority))
# The years in UTC that an instant may lie in: no database and no zone overflows there, nor when a retry is added.
YEARS: Final = range(2000, 9999)
QUIET: Final = frozenset(str(choice) for choice in Quiet)
POLICIES: Final = frozenset(str(policy) for policy in DeliveryPolicy)
SMALLER: Final = {
    "photo": "make the picture smaller, or send it as a document",
    "thumbnail": "make it smaller, at most 320 pixels wide and high",
}
SEND_MORE: Final = "run a local Bot API server, which takes 2000 MB, and set telegram.largest_upload"
# Telegram promises that an id has at most 52 significant bits.
CHAT_IDS: Final = range(-(2**52) + 1, 2**52)

# It costs Stars, and only a claim knows how many of a budget are left.
PAID: Final = "allow_paid_broadcast"

# Methods that are nothing without a chat; names are compared in lower case, as Telegram does. No method that is not
# listed here is refused for having none.
NEEDS_CHAT: Final = frozenset(
    f"{verb}{what}"
    for verb, objects in {
        "send": (
            "message photo document video audio voice animation sticker videonote paidmedia mediagroup location venue"
            " contact poll dice chataction"
        ),
        "copy": "message messages",
        "forward": "message messages",
        "delete": "message messages",
        "pin": "chatmessage",
    }.items()
    for what in objects.split()
)

_CATEGORY = re.compile(r"[\w.:/-]{1,64}")
_METHOD = re.compile(r"[A-Za-z]{3,64}")
_NUMBER = re.compile(r"-?[1-9][0-9]{0,15}")
_THREAD = re.compile(r"[1-9][0-9]{0,15}")
# Telegram gives out five characters and more, and sells names of four.
_CHANNEL = re.compile(r"@[A-Za-z0-9_]{4,32}")
_BARE_CHANNEL = re.compile(r"[A-Za-z][A-Za-z0-9_]{3,31}")


class PreparedFile(NamedTuple):
    """A stored file that it sends: where it stands, and as what: a kind of file, a thumbnail, None for unknown."""

    field: str
    file_id: int
    kind: str | None


class PreparedNotification(NamedTuple):
    """A notification as the outbox holds it.

    `chat` is decimal text or `@channel` in lower case; `params` is JSON text without `chat_id`; the instants are in
    UTC; `weight` is how many slots it takes; `files` are the stored files that it sends, which may not be there.
    """

    bot: str
    chat: str | None
    method: str
    params: str
    key: str | None
    priority: int
    due_at: datetime | None
    expires_at: datetime | None
    at_most_once: bool
    labels: tuple[str, ...]
    weight: int
    files: tuple[PreparedFile, ...] = ()
    category: str | None = None
    quiet: str | None = None


def prepared(notification: Notification, *, index: int | None = None) -> PreparedNotification:
    """Check every field and write it as the outbox holds it.

    Raises InvalidNotification, and nothing else whatever the fields hold; `index` is the place in a sequence that
    it shall name.
    """
    try:
        return _prepared(notification)
    except Fault as fault:
        raise InvalidNotification(fault.field, fault.problem, index=index) from None


def _prepared(notification: Notification) -> PreparedNotification:
    if not isinstance(notification, Notification):
        raise Fault("notification", f"{shown(notification)} is no Notification: write Notification(bot=..., ...).")
    bot = _bot(notification.bot)
    method = _method(notification.method)
    params = plain_params(notification.params)
    if PAID in params:
        raise Fault(
            f'params["{PAID}"]',
            f"{shown(params[PAID])} is not for a notification to say: a bot's paid pace and its budget of Stars decide"
            " (`dovecote bot limits NAME --paid-pace 1000 --stars-per-day 500`), so leave it out.",
        )
    chat = _chat(notification.chat_id, params)
    if chat is None and method.lower() in NEEDS_CHAT:
        raise Fault("chat_id", f"None: {method} needs a chat: give its number or an @channel.")
    text_field = _put_text(notification.text, params)
    weight = weigh(method.lower(), params, text_field)
    due_at = _instant(notification.due_at, "due_at")
    expires_at = _instant(notification.expires_at, "expires_at")
    if due_at is not None and expires_at is not None and expires_at <= due_at:
        raise Fault(
            "expires_at",
            f"{notification.expires_at} is not after due_at {notification.due_at}, so it could never be sent:"
            " give a later one.",
        )
    written = params_json(params)
    return PreparedNotification(
        bot,
        chat,
        method,
        written,
        _key(notification.key),
        _priority(notification.priority),
        due_at,
        expires_at,
        _at_most_once(notification.delivery),
        checked_labels(notification.labels),
        weight,
        tuple(PreparedFile(slot.field, slot.file_id, slot.kind) for slot in attached(method, params, written)),
        None if notification.category is None else checked_category(notification.category),
        _quiet(notification.quiet),
    )


def check_file(file: PreparedFile, size: int, content_type: str, *, largest: int, index: int | None = None) -> None:
    """Check what only the stored file tells. `size` and `largest`, the most that the server takes, are in bytes.

    Raises FileTooLarge, and InvalidNotification; both name the place `index` in a sequence.
    """
    field, what = place_of(file.field), file.kind or "file"
    limit = min(largest, LARGEST.get(what, largest))
    if size > limit:
        where = field if index is None else f"notification {index}: {field}"
        raise FileTooLarge(
            f"{where}: file {file.file_id} is {size} bytes, and Telegram takes {limit} for a {what}:"
            f" {SMALLER.get(what, SEND_MORE)}."
        )
    if size == 0:
        problem = f"file {file.file_id} is empty, and Telegram refuses that: put one with a content."
        raise InvalidNotification(field, problem, index=index)
    if what == "photo" and not content_type.startswith("image/"):
        problem = f"file {file.file_id} is {content_type} and no picture: send it as a document, with sendDocument."
        raise InvalidNotification(field, problem, index=index)


def prepared_chat(chat_id: object) -> str:
    """A chat as the outbox holds it: decimal text or `@channel` in lower case. Raises InvalidNotification."""
    try:
        chat = _chat_text(chat_id, "chat_id")
    except Fault as fault:
        raise InvalidNotification(fault.field, fault.problem) from None
    if chat is None:
        raise InvalidNotification("chat_id", "None: give a chat's number, or the @name of a public channel.")
    return chat


def prepared_recipient(chat_id: object) -> str:
    """A chat, or a topic of a group as chat/thread, as the outbox holds it. Raises InvalidNotification."""
    group, slash, thread = chat_id.partition("/") if isinstance(chat_id, str) else (chat_id, "", "")
    chat = prepared_chat(group)
    if slash and not (chat.startswith(("-", "@")) and _THREAD.fullmatch(thread)):
        raise InvalidNotification("chat_id", f"{shown(chat_id)} is no topic: write group/thread, as -1001234/5.")
    return chat + slash + thread


def _bot(bot: object) -> str:
    if not isinstance(bot, str) or not bot:
        raise Fault("bot", f"{shown(bot)} is no name of a bot: give the name that it was added with.")
    return sound(str.__str__(bot), "bot")


def _method(method: object) -> str:
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise Fault("method", f"{shown(method)} is no name of a Bot API method: write it as sendMessage.")
    return str.__str__(method)


def _chat(chat_id: object, params: dict[str, Any]) -> str | None:
    """The chat that the field and `params`, from which it is taken out, agree on."""
    chat = _chat_text(chat_id, "chat_id")
    if "chat_id" not in params:
        return chat
    other = _chat_text(params.pop("chat_id"), 'params["chat_id"]')
    if chat is not None and chat != other:
        raise Fault("chat_id", f'{shown(chat_id)} is not params["chat_id"], {shown(other)}: give only one of them.')
    return other


def _chat_text(chat_id: object, field: str) -> str | None:
    match chat_id:
        case None:
            return None
        case bool():
            pass
        case int() if int(chat_id) in CHAT_IDS and chat_id != 0:
            return str(int(chat_id))
        case str() if _NUMBER.fullmatch(chat_id) and int(chat_id) in CHAT_IDS:
            return str.__str__(chat_id)
        case str() if _CHANNEL.fullmatch(chat_id):
            return str.lower(chat_id)
        case str() if _BARE_CHANNEL.fullmatch(chat_id):
            raise Fault(field, f'{shown(chat_id)} is no chat: the name of a channel begins with @, write "@{chat_id}".')
    raise Fault(
        field,
        f"{shown(chat_id)} is no chat: give its number (not 0, at most 52 bits), or the @name of a public channel.",
    )


def _put_text(text: object, params: dict[str, Any]) -> str:
    """Put the short form into `params`; answer what the caller calls the text."""
    if text is None:
        return 'params["text"]' if "text" in params else "text"
    if not isinstance(text, str):
        raise Fault("text", f"{shown(text)} is no text: give a str.")
    sound(text, "text")
    if params.setdefault("text", str.__str__(text)) != text:
        raise Fault("text", f'{shown(text)} is not params["text"], {shown(params["text"])}: give only one of them.')
    return "text"


def _key(key: object) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not key:
        raise Fault("key", f"{shown(key)} is no key: give text such as order-17-shipped, or None for no idempotency.")
    if len(key) > KEY_LENGTH:
        raise Fault("key", f"{shown(key)} has {len(key)} characters, and a key has at most {KEY_LENGTH}: hash it.")
    return sound(str.__str__(key), "key")


def _priority(priority: object) -> int:
    if isinstance(priority, int) and not isinstance(priority, bool) and int(priority) in PRIORITIES:
        return int(priority)
    raise Fault("priority", f"{shown(priority)} is none: give Priority.URGENT, Priority.NORMAL or Priority.BULK.")


def _instant(instant: object, field: str) -> datetime | None:
    if instant is None:
        return None
    if not isinstance(instant, datetime):
        raise Fault(field, f"{shown(instant)} is no datetime: give one with a zone, as datetime.now(UTC).")
    try:
        utc = None if instant.utcoffset() is None else instant.astimezone(UTC)
    except (OverflowError, ValueError):
        raise Fault(field, _beyond(instant)) from None
    if utc is None:
        raise Fault(field, f"{instant} has no zone: give one, as {field}.replace(tzinfo=ZoneInfo(...)).")
    if utc.year not in YEARS:
        raise Fault(field, _beyond(instant))
    return utc


def _beyond(instant: datetime) -> str:
    return f"{shown(instant)} is beyond the years {YEARS[0]} to {YEARS[-1]} in UTC: give a nearer one, or None."


def _at_most_once(delivery: object) -> bool:
    if isinstance(delivery, str) and delivery in POLICIES:
        return delivery == DeliveryPolicy.AT_MOST_ONCE
    policies = " or ".join(f"DeliveryPolicy.{policy.name}" for policy in DeliveryPolicy)
    raise Fault("delivery", f"{shown(delivery)} is no policy: give {policies}.")


def checked_category(category: object, field: str = "category") -> str:
    """A category, which recipients may opt out of. Raises Fault."""
    if not isinstance(category, str) or not _CATEGORY.fullmatch(category):
        raise Fault(
            field, f"{shown(category)} is no category: give 1 to 64 letters, digits and any of . : / - _, such as news."
        )
    return str.__str__(category)


def _quiet(quiet: object) -> str | None:
    if quiet is None:
        return None
    if isinstance(quiet, str) and quiet in QUIET:
        return str(Quiet(quiet))
    choices = ", ".join(f"Quiet.{choice.name}" for choice in Quiet)
    raise Fault("quiet", f"{shown(quiet)} is no choice: give {choices}, or None for what the recipient says.")


def checked_labels(labels: object, of: str = "a notification") -> tuple[str, ...]:
    """Labels, as a notification or a recipient has them. Raises Fault."""
    if isinstance(labels, tuple) and not labels:
        return ()
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise Fault("labels", f'{shown(labels)} is no sequence of labels: write ("promo",).')
    if len(labels) > LABELS:
        raise Fault("labels", f"there are {len(labels)}, and {of} has at most {LABELS}: leave some out.")
    for label in labels:
        if not isinstance(label, str) or not 0 < len(label) <= LABEL_LENGTH:
            raise Fault("labels", f"{shown(label)} is no label: give text of 1 to {LABEL_LENGTH} characters.")
        sound(label, "labels")
    return tuple(str.__str__(label) for label in labels)

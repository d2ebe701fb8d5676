"""What an answer of the Bot API means: a pure function from status and body to an outcome.

Telegram says that its codes may change, so code and description are read together. What keeps this correct:

- nothing here raises, whatever the body holds: a proxy's HTML, half a JSON, numbers that fit nowhere;
- only an answer that is Telegram's own may kill a notification or stop a bot. What another box on the way may have
  written (a body that is no JSON, a 5xx) proves nothing about delivery, and is unknown;
- a description may quote the caller's text (`can't parse entities: Unsupported start tag "..."`), so it means
  something only by how it begins: what a customer wrote must not stop a bot or disable a recipient;
- what comes out can be stored: bounded text without control characters, numbers that fit 64 bits, a wait that can
  be added to a date. One hostile answer would otherwise spoil the settlement of its whole batch.
"""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import orjson

from dovecote.model import BotStopped, Dead, Delivered, Failed, FileFault, Migrated, Refusal, Snoozed, Unknown

if TYPE_CHECKING:
    from dovecote.model import Outcome

LARGEST_ANSWER: Final = 2**20
"""Bytes of an answer that are read. Telegram's own are a few hundred, an album's a few ten thousand."""

MOST_MESSAGES: Final = 100
"""Message ids of one answer: no method makes more messages in one call."""

LONGEST_ERROR: Final = 500
"""Characters of an outcome's error."""

DEFAULT_RETRY_AFTER: Final = timedelta(seconds=1)
"""The wait after a 429 that names none."""

LONGEST_RETRY_AFTER: Final = timedelta(days=366)
"""Telegram's waits were seen from a second to hours. A longer one than this is no wait, and overflows dates."""

_OK, _CLIENT_ERROR, _TIMED_OUT, _SERVER_ERROR, _LARGEST_CODE = 200, 400, 408, 500, 599
_LARGEST_ID = 2**63 - 1
# The secret half of a token is told apart from a word by its length; a real one has 35 characters.
_SHORTEST_SECRET = 8
# What ends a line or reorders it on a terminal or a page, and what no database holds.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
# What the Bot API server writes before the reason, and before that of one message of an album.
_BEFORE_THE_REASON = re.compile(
    r"\s*(?:(?:bad request|unauthorized|forbidden|not found|method not allowed|conflict|too many requests"
    r"|internal server error): )?(?:failed to send message #[0-9]+ with the error message \")?"
)
_SECONDS = re.compile(r"[0-9]{1,18}")

# Whom a refusal means besides the notification: code, how the reason begins, and why the recipient takes nothing more.
_REFUSALS: Final = (
    (403, "bot was blocked by the user", Refusal.BLOCKED),
    (403, "user is deactivated", Refusal.DEACTIVATED),
    (403, "bot can't initiate conversation with a user", Refusal.NOT_STARTED),
    (403, "bot can't send messages to bots", Refusal.NOT_STARTED),
    (403, "bot was kicked", Refusal.REMOVED),
    (403, "bot is not a member", Refusal.REMOVED),
    (403, "the group chat was deleted", Refusal.REMOVED),
    (400, "chat not found", Refusal.NOT_FOUND),
    (400, "peer_id_invalid", Refusal.NOT_FOUND),
    (400, "not enough rights", Refusal.RESTRICTED),
    (400, "need administrator rights", Refusal.RESTRICTED),
    (400, "chat_write_forbidden", Refusal.RESTRICTED),
    (400, "message thread not found", Refusal.TOPIC_CLOSED),
    (400, "topic_closed", Refusal.TOPIC_CLOSED),
)
# How the names of those methods begin that put something into a chat.
_WRITING = ("send", "copy", "forward")
# Telegram could not fetch a URL: its servers may succeed a second time, and no more than that is to be hoped for.
_NOT_FETCHED = ("failed to get http url content", "wrong type of the web page content")
# The bot has no file of that identifier: another bot's, a damaged one, or one that Telegram has forgotten.
_WRONG_FILE = (
    "wrong file identifier",
    "wrong file_id",
    "wrong remote file identifier",
    "wrong remote file id",
    "invalid file id",
    "invalid file http url specified",
    "file_reference_expired",
    "file_reference_invalid",
    "can't use file of type",
)
_MIGRATED = "group chat was upgraded to a supergroup chat"
# It was accepted and taken away again; a second one would fare the same, or be a double.
_TAKEN_AWAY = "sent message was immediately deleted"

# The wish is already true, so there is nothing left to do.
_ALREADY_SO = ("message is not modified", "message to delete not found")
# Telegram refuses the bot itself, under more than one code.
_BOT_REFUSED = ("logged out", "frozen_method_invalid")


def classify(
    status: int,
    body: bytes | memoryview,
    *,
    retry_after: str | None = None,
    secret: str | None = None,
    method: str = "sendMessage",
) -> Outcome:
    """Say what an answer with HTTP `status` and `body` means.

    `retry_after` is the answer's Retry-After header (seconds), used when a 429's body names no wait. `secret` is
    a bot token that no error may repeat, even when the answer does. `method` is what was called: that a right is
    missing for another one than sending does not mean that the chat takes no messages. Of a body longer than
    LARGEST_ANSWER a caller may give one byte more than that. Never raises; answers `Failed` only where Telegram says
    what it could not do, since whoever answered had the request.
    """
    if len(body) > LARGEST_ANSWER:
        return too_large(status, retry_after=retry_after)
    try:
        answer = orjson.loads(body)
    except ValueError:
        return _unreadable(status, f"{len(body)} bytes", retry_after)
    if not isinstance(answer, dict):
        return _unreadable(status, f"{len(body)} bytes", retry_after)
    ok = answer.get("ok")
    if ok is True and status == _OK:
        return Delivered(_message_ids(answer.get("result")))
    if ok is not False:
        return _unreadable(status, f"{len(body)} bytes", retry_after)
    return _refused(status, answer, retry_after, secret, method)


def too_large(status: int, *, retry_after: str | None = None) -> Outcome:
    """Say what an answer of more than LARGEST_ANSWER bytes means, of which only the head was read."""
    return _unreadable(status, f"more than {LARGEST_ANSWER} bytes", retry_after)


def bounded(text: str, *, secret: str | None = None) -> str:
    """Make `text` fit to be an outcome's error: one line, at most LONGEST_ERROR characters, `secret` not in it.

    The secret goes before the cut, because a cut could leave half of it behind, unrecognised.
    """
    line = _CONTROL.sub(" ", text)
    if secret:
        line = line.replace(secret, "[token]")
        tail = secret.rpartition(":")[2]
        if len(tail) >= _SHORTEST_SECRET:
            line = line.replace(tail, "[token]")
    return line if len(line) <= LONGEST_ERROR else line[: LONGEST_ERROR - 1] + "…"


def says(error: str, *phrases: str) -> bool:
    """Whether the reason in `error`, a description of the Bot API, is one of `phrases` (lower case), or begins with it.

    Nothing later in it counts, since that may be the caller's own text.
    """
    words = error.lower()
    before = _BEFORE_THE_REASON.match(words)
    start = before.end() if before else 0
    for phrase in phrases:
        end = start + len(phrase)
        # A whole word: TOPIC_CLOSED is not the beginning of another code.
        if words.startswith(phrase, start) and not (words[end : end + 1].isalnum() or words[end : end + 1] == "_"):
            return True
    return False


def _refused(status: int, answer: dict[str, Any], retry_after: str | None, secret: str | None, method: str) -> Outcome:
    """`ok` is false: Telegram's own words, or those of a server that speaks like it."""
    code = _code(answer.get("error_code"), status)
    description = answer.get("description")
    error = bounded(description, secret=secret) if isinstance(description, str) else ""
    error = error or f"HTTP {status} without a description"
    outcome: Outcome
    match code:
        # A gateway that fails may pass on a body, so the status counts as well. A request that timed out on its way
        # in (408) may have been read all the same, and a redirect is no word of Telegram's.
        case _ if status >= _SERVER_ERROR or code >= _SERVER_ERROR or code == _TIMED_OUT or code < _CLIENT_ERROR:
            outcome = Unknown(error, code, again=not says(error, _TAKEN_AWAY))
        case 429:
            outcome = Snoozed(_wait(answer.get("parameters"), retry_after), error=error)
        case 401 | 421:
            outcome = BotStopped(error, code)
        case 404 if error.strip().lower() == "not found":
            outcome = BotStopped(error, code)
        case _ if says(error, *_BOT_REFUSED):
            outcome = BotStopped(error, code)
        case 400 if says(error, *_ALREADY_SO):
            outcome = Delivered()
        case 400 if says(error, _MIGRATED) and (chat := _new_chat(answer.get("parameters"))) is not None:
            outcome = Migrated(chat, error)
        case 400 if says(error, *_NOT_FETCHED):
            outcome = Failed(error, code, retries=1, file=FileFault.NOT_FETCHED)
        case 400 if says(error, *_WRONG_FILE):
            outcome = Dead(error, code, file=FileFault.UNKNOWN_ID)
        case _:
            outcome = Dead(error, code, _refusal(code, error, method))
    return outcome


def _refusal(code: int, error: str, method: str) -> Refusal | None:
    found = next((refusal for known, phrase, refusal in _REFUSALS if known == code and says(error, phrase)), None)
    # To pin, to delete, to restrict a member: each needs a right of its own, and whoever lacks it may still write.
    return None if found is Refusal.RESTRICTED and not method.lower().startswith(_WRITING) else found


def _new_chat(parameters: object) -> str | None:
    chat = parameters.get("migrate_to_chat_id") if isinstance(parameters, dict) else None
    return str(chat) if type(chat) is int and 0 < abs(chat) <= _LARGEST_ID else None


def _unreadable(status: int, size: str, retry_after: str | None) -> Outcome:
    """No answer of the Bot API's shape. Its text is not kept: error pages of proxies repeat the URL."""
    match status:
        # These two are refusals by their status alone: nginx in front of the API gives them without JSON.
        case 429:
            return Snoozed(_wait(None, retry_after), error="HTTP 429 without a readable answer")
        case 413:
            return Dead("HTTP 413 without a readable answer: the request is too large", 413)
        case _:
            return Unknown(f"HTTP {status} with {size} that are no answer of the Bot API", status)


def _code(error_code: object, status: int) -> int:
    """Telegram's code, or the HTTP status where it has none that can be."""
    if type(error_code) is int and _CLIENT_ERROR <= error_code <= _LARGEST_CODE:
        return error_code
    return status


def _wait(parameters: object, header: str | None) -> timedelta:
    """How long a 429 asks for: its parameters first, then the header, then DEFAULT_RETRY_AFTER."""
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    # bool is an int in Python, and true is no number of seconds; a comparison with NaN is false.
    if type(seconds) not in {int, float} and header is not None and _SECONDS.fullmatch(header.strip()):
        seconds = int(header)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        return DEFAULT_RETRY_AFTER
    return timedelta(seconds=ceil(min(seconds, LONGEST_RETRY_AFTER.total_seconds())))


def _message_ids(result: object) -> tuple[int, ...]:
    """The ids in a result: one message, an album or MessageIds, or none (`true`, anything unforeseen)."""
    if isinstance(result, dict):
        message_id = result.get("message_id")
        return (message_id,) if _is_id(message_id) else ()
    if isinstance(result, list):
        found = (item.get("message_id") for item in result if isinstance(item, dict))
        return tuple(islice((message_id for message_id in found if _is_id(message_id)), MOST_MESSAGES))
    return ()


def _is_id(value: object) -> TypeGuard[int]:
    """Whether it is a message id that a 64-bit column can hold."""
    return type(value) is int and 0 < value <= _LARGEST_ID

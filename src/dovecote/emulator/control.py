"""The control API under `/emulator/`: what arrived, reset, and all that makes answers worse. JSON both ways.

It knows nothing of HTTP but method, path, query and body, and answers a status and a body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from pydantic import TypeAdapter

from dovecote.emulator.connection import Connections
from dovecote.emulator.documents import InvalidDocument, parsed, validated
from dovecote.emulator.events import parse_events, parse_names
from dovecote.emulator.limits import NO_LIMITS, parse_limits
from dovecote.emulator.reading import form_parameters
from dovecote.emulator.recipients import parse_recipients
from dovecote.emulator.records import page_json
from dovecote.emulator.refusal import Refusal
from dovecote.emulator.script import parse_rules
from dovecote.emulator.tokens import checked

if TYPE_CHECKING:
    from dovecote.emulator.application import Application

DEFAULT_PAGE = 1_000
LARGEST_PAGE = 100_000

T = TypeVar("T")

Query = Mapping[str, str]
Route = Callable[[Query, bytes], bytes]

_CONNECTIONS: TypeAdapter[Connections] = TypeAdapter(Connections)
_TOKENS: TypeAdapter[dict[str, list[int | str]]] = TypeAdapter(dict[str, list[int | str]])


class InvalidQuery(ValueError):
    """A query parameter that cannot be; the message names it and what it may be."""


class Control:
    """The routes, and what they do."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._journal = application.journal
        self._script = application.script
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "/emulator/health"): self._health,
            ("GET", "/emulator/requests"): lambda query, _: self._page(query, accepted=False),
            ("GET", "/emulator/accepted"): lambda query, _: self._page(query, accepted=True),
            ("GET", "/emulator/counts"): self._counts,
            ("GET", "/emulator/uploads"): self._get_uploads,
            ("POST", "/emulator/reset"): self._post_reset,
            ("POST", "/emulator/files"): self._post_files,
            ("GET", "/emulator/messages"): self._get_messages,
            ("GET", "/emulator/updates"): self._get_updates,
            ("POST", "/emulator/updates"): self._post_updates,
            ("POST", "/emulator/names"): self._post_names,
            ("POST", "/emulator/stars"): self._post_stars,
            ("GET", "/emulator/script"): self._get_script,
            ("POST", "/emulator/script"): self._post_script,
            ("DELETE", "/emulator/script"): self._delete_script,
            ("GET", "/emulator/limits"): self._get_limits,
            ("POST", "/emulator/limits"): self._post_limits,
            ("DELETE", "/emulator/limits"): self._delete_limits,
            ("GET", "/emulator/recipients"): self._get_recipients,
            ("POST", "/emulator/recipients"): self._post_recipients,
            ("DELETE", "/emulator/recipients"): self._delete_recipients,
            ("GET", "/emulator/tokens"): self._get_tokens,
            ("POST", "/emulator/tokens"): self._post_tokens,
            ("GET", "/emulator/connections"): self._get_connections,
            ("POST", "/emulator/connections"): self._post_connections,
            ("DELETE", "/emulator/connections"): self._delete_connections,
        }

    def answer(self, method: str, path: str, query: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body for a request."""
        route = self._routes.get((method, path))
        if route is None:
            there = ", ".join(f"{known} {name}" for known, name in self._routes)
            return 404, _error(f"there is no {method} {path[:100]}; there are: {there}.")
        try:
            return 200, route(form_parameters(query), body)
        except (InvalidQuery, InvalidDocument) as error:
            return 400, _error(str(error))

    def _health(self, _query: Query, _body: bytes) -> bytes:
        return orjson.dumps({"ok": True})

    def _page(self, query: Query, *, accepted: bool) -> bytes:
        records, following = self._journal.page(
            accepted=accepted,
            bot=_number(query, "bot"),
            chat=_chat(query),
            after=_number(query, "after") or 0,
            limit=min(_number(query, "limit") or DEFAULT_PAGE, LARGEST_PAGE),
        )
        return page_json(records, following, compact=_flag(query, "compact"))

    def _counts(self, query: Query, _body: bytes) -> bytes:
        counts: dict[str, Any] = dict(self._journal.counts())
        by_chat = _flag(query, "by_chat")
        counts["bots"] = {str(bot): one.as_json(by_chat=by_chat) for bot, one in self._journal.traffic.items()}
        if by_chat:
            counts["accepted_by_chat"] = self._journal.accepted_by_chat(_number(query, "bot"))
        return orjson.dumps(counts)

    def _get_uploads(self, _query: Query, _body: bytes) -> bytes:
        return orjson.dumps({"uploads": self._application.uploads.as_json()})

    def _post_reset(self, _query: Query, _body: bytes) -> bytes:
        self._application.reset()
        return orjson.dumps({"ok": True})

    def _post_files(self, query: Query, body: bytes) -> bytes:
        bot_id = _number(query, "bot")
        if bot_id is None:
            raise InvalidQuery("bot: name the bot that the file is sent to, by its id.")
        kind, name = query.get("kind") or "document", query.get("name") or None
        try:
            received = self._application.life.receive_file(
                bot_id, kind=kind, content=body, size=_number(query, "size"), name=name
            )
        except ValueError as error:
            raise InvalidQuery(str(error)) from None
        return orjson.dumps(received)

    def _get_messages(self, query: Query, _body: bytes) -> bytes:
        chat = _chat(query)
        if chat is None:
            raise InvalidQuery("chat: name the chat whose messages you want.")
        numbers = (_number(query, "bot"), chat, _number(query, "business"), _number(query, "receiver"))
        return orjson.dumps({"messages": _told(self._application.life.messages, *numbers)})

    def _get_updates(self, query: Query, _body: bytes) -> bytes:
        return orjson.dumps({"updates": _told(self._application.life.updates, _number(query, "bot"))})

    def _post_updates(self, _query: Query, body: bytes) -> bytes:
        given = parse_events(parsed(body, "one event or a list of events"))
        return orjson.dumps({"happened": [_told(self._application.life.happen, event) for event in given]})

    def _post_names(self, _query: Query, body: bytes) -> bytes:
        given = parse_names(parsed(body, "one object of names, or a list of them"))
        described = [_told(self._application.life.describe, one.id, **one.given()) for one in given]
        return orjson.dumps({"names": described})

    def _post_stars(self, query: Query, _body: bytes) -> bytes:
        amount = _number(query, "amount") or 0
        return orjson.dumps({"stars": _told(self._application.life.give_stars, _number(query, "bot"), amount)})

    def _get_script(self, _query: Query, _body: bytes) -> bytes:
        return orjson.dumps({"rules": self._script.as_json()})

    def _post_script(self, query: Query, body: bytes) -> bytes:
        self._script.add(parse_rules(parsed(body, "one rule or a list of rules")))
        return self._get_script(query, b"")

    def _delete_script(self, query: Query, _body: bytes) -> bytes:
        self._script.clear()
        return self._get_script(query, b"")

    def _get_limits(self, _query: Query, _body: bytes) -> bytes:
        return orjson.dumps(self._application.limits)

    def _post_limits(self, query: Query, body: bytes) -> bytes:
        given = parsed(body, "the limits as an object")
        self._application.limits = parse_limits(given, self._application.limits)
        return self._get_limits(query, b"")

    def _delete_limits(self, query: Query, _body: bytes) -> bytes:
        self._application.limits = NO_LIMITS
        return self._get_limits(query, b"")

    def _get_recipients(self, _query: Query, _body: bytes) -> bytes:
        return orjson.dumps({"recipients": self._application.recipients})

    def _post_recipients(self, query: Query, body: bytes) -> bytes:
        recipients = parse_recipients(parsed(body, "one recipient or a list of recipients"))
        try:
            self._application.put_recipients(recipients)
        except Refusal as refusal:
            raise InvalidDocument(f"recipients: {refusal.description}.") from None
        return self._get_recipients(query, b"")

    def _delete_recipients(self, query: Query, _body: bytes) -> bytes:
        self._application.drop_recipients()
        return self._get_recipients(query, b"")

    def _get_tokens(self, _query: Query, _body: bytes) -> bytes:
        return orjson.dumps(self._application.tokens.as_json())

    def _post_tokens(self, query: Query, body: bytes) -> bytes:
        document = parsed(body, '{"revoke": [...]} or {"restore": [...]}')
        if not isinstance(document, dict) or not document.keys() <= {"revoke", "restore"}:
            raise InvalidDocument('tokens: send an object with "revoke", "restore" or both.')
        given = validated(_TOKENS, document, "tokens")
        # Both are checked before either is done.
        revoke, restore = (checked(given.get(name, [])) for name in ("revoke", "restore"))
        self._application.tokens.revoke(*revoke)
        self._application.tokens.restore(*restore)
        return self._get_tokens(query, b"")

    def _get_connections(self, _query: Query, _body: bytes) -> bytes:
        return orjson.dumps(self._application.ages.settings)

    def _post_connections(self, query: Query, body: bytes) -> bytes:
        self._application.ages.settings = validated(_CONNECTIONS, parsed(body, '{"age": seconds}'), "connections")
        return self._get_connections(query, b"")

    def _delete_connections(self, query: Query, _body: bytes) -> bytes:
        self._application.ages.settings = Connections(None)
        return self._get_connections(query, b"")


def _error(text: str) -> bytes:
    return orjson.dumps({"ok": False, "error": text})


def _told(do: Callable[..., T], *arguments: Any, **names: Any) -> T:
    try:
        return do(*arguments, **names)
    except ValueError as error:
        raise InvalidQuery(str(error)) from None


def _number(query: Query, name: str) -> int | None:
    value = query.get(name)
    if not value:
        return None
    try:
        return int(value)
    except ValueError:
        raise InvalidQuery(f'{name} "{value}": use a number.') from None


def _chat(query: Query) -> int | str | None:
    value = query.get("chat")
    if not value:
        return None
    return value if value.startswith("@") else _number(query, "chat")


def _flag(query: Query, name: str) -> bool:
    value = query.get(name, "").lower()
    if value in {"", "0", "false", "no"}:
        return False
    if value in {"1", "true", "yes"}:
        return True
    raise InvalidQuery(f'{name} "{value}": use true or false.')

"""The control API under `/emulator/`: what arrived, reset, scripted answers. JSON both ways.

It knows nothing of HTTP but method, path, query and body, and answers a status and a body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from dovecote.emulator.reading import form_parameters
from dovecote.emulator.records import Journal, page_json
from dovecote.emulator.script import InvalidScript, Script, parse_rules

DEFAULT_PAGE = 1_000
LARGEST_PAGE = 100_000

Query = Mapping[str, str]


class InvalidQuery(ValueError):
    """A query parameter that cannot be; the message names it and what it may be."""


class Control:
    """The routes, and what they do."""

    def __init__(self, journal: Journal, script: Script, reset: Callable[[], None]) -> None:
        self._journal = journal
        self._script = script
        self._reset = reset
        self._routes: dict[tuple[str, str], Callable[[Query, bytes], bytes]] = {
            ("GET", "/emulator/health"): self._health,
            ("GET", "/emulator/requests"): lambda query, _: self._page(query, accepted=False),
            ("GET", "/emulator/accepted"): lambda query, _: self._page(query, accepted=True),
            ("GET", "/emulator/counts"): self._counts,
            ("POST", "/emulator/reset"): self._post_reset,
            ("GET", "/emulator/script"): self._get_script,
            ("POST", "/emulator/script"): self._post_script,
            ("DELETE", "/emulator/script"): self._delete_script,
        }

    def answer(self, method: str, path: str, query: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body for a request."""
        route = self._routes.get((method, path))
        if route is None:
            there = ", ".join(f"{known} {name}" for known, name in self._routes)
            return 404, _error(f"there is no {method} {path[:100]}; there are: {there}.")
        try:
            return 200, route(form_parameters(query), body)
        except (InvalidQuery, InvalidScript) as error:
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
        if _flag(query, "by_chat"):
            counts["accepted_by_chat"] = self._journal.accepted_by_chat(_number(query, "bot"))
        return orjson.dumps(counts)

    def _post_reset(self, _query: Query, _body: bytes) -> bytes:
        self._reset()
        return orjson.dumps({"ok": True})

    def _get_script(self, _query: Query, _body: bytes) -> bytes:
        return orjson.dumps({"rules": self._script.as_json()})

    def _post_script(self, query: Query, body: bytes) -> bytes:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidScript(f"the body is no JSON ({error}); send one rule or a list of rules.") from None
        self._script.add(parse_rules(document))
        return self._get_script(query, b"")

    def _delete_script(self, query: Query, _body: bytes) -> bytes:
        self._script.clear()
        return self._get_script(query, b"")


def _error(text: str) -> bytes:
    return orjson.dumps({"ok": False, "error": text})


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

"""Which bots there are: by default every well-formed token is one, until it is revoked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dovecote.emulator.documents import InvalidDocument
from dovecote.emulator.refusal import not_found, unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT = 10_000

_TOKEN = re.compile(r"(\d{1,19}):[A-Za-z0-9_-]{30,}")

Named = int | str


def bot_in(token: str) -> int | None:
    """The bot's id in a well-formed token."""
    parsed = _TOKEN.fullmatch(token)
    return int(parsed.group(1)) if parsed else None


def checked(named: Iterable[Named]) -> list[Named]:
    """Tokens and bots' ids as they are. Raises InvalidDocument when one is neither."""
    named = list(named)
    if any(isinstance(name, str) and bot_in(name) is None for name in named):
        # Not echoed: it may be a mistyped secret.
        raise InvalidDocument("one of them is neither a token nor a bot's id: use whole tokens, or numbers.")
    return named


class Tokens:
    """The tokens that are valid. `tokens` limits which there are; None: every well-formed one is.

    A token is revoked by itself, or with every other of its bot by the bot's id. What is said of a single token goes
    before what is said of its bot.
    """

    def __init__(self, tokens: Iterable[str] | None) -> None:
        self._given = None if tokens is None else frozenset(tokens)
        # Well-formed tokens that are valid now, because the pattern is too slow for every request.
        self._known: dict[str, int] = {}
        self._single: dict[str, bool] = {}
        self._revoked_bots: set[int] = set()

    def bots(self) -> list[int]:
        """The ids of the bots that are known: those that were given, or those that have called."""
        tokens = self._known if self._given is None else self._given
        return sorted({bot for token in tokens if (bot := bot_in(token)) is not None})

    def reset(self) -> None:
        """As in the beginning."""
        self._known.clear()
        self._single.clear()
        self._revoked_bots.clear()

    def bot(self, token: str) -> int:
        """The bot's id. Raises Refusal for a token that is none, or is not valid."""
        bot_id = self._known.get(token)
        if bot_id is None:
            bot_id = bot_in(token)
            if bot_id is None:
                raise not_found()
            if not self._valid(token, bot_id):
                raise unauthorized()
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[token] = bot_id
        return bot_id

    def _valid(self, token: str, bot_id: int) -> bool:
        single = self._single.get(token)
        if single is not None:
            return single
        return bot_id not in self._revoked_bots and (self._given is None or token in self._given)

    def revoke(self, *named: Named) -> None:
        """Make tokens invalid, or all of a bot's by its id. Raises InvalidDocument; nothing is done then."""
        self._set(named, valid=False)

    def restore(self, *named: Named) -> None:
        """Make them valid; a token that was never one becomes one. Raises InvalidDocument; nothing is done then."""
        self._set(named, valid=True)

    def _set(self, named: Iterable[Named], *, valid: bool) -> None:
        named = checked(named)
        self._known.clear()
        for name in named:
            if isinstance(name, str):
                self._single[name] = valid
                continue
            self._single = {token: kept for token, kept in self._single.items() if bot_in(token) != name}
            if valid:
                self._revoked_bots.discard(name)
            else:
                self._revoked_bots.add(name)

    def as_json(self) -> dict[str, object]:
        """What is revoked, for the control API: bots by id, and how many single tokens; no token."""
        return {
            "revoked_bots": sorted(self._revoked_bots),
            "revoked_tokens": sum(not valid for valid in self._single.values()),
        }

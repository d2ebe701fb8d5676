"""Bots' tokens at rest: sealed with a ring of keys that is kept elsewhere than the database.

The ring is Fernet's: its first key seals, all of them open. To rotate, put a new key in front, reseal every token,
and take the old key away. Nothing here ever shows a token: not a message, not a repr, not the chain of an exception.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, MultiFernet
from cryptography.fernet import InvalidToken as NotSealedWithTheseKeys

from dovecote.errors import InvalidConfiguration, InvalidToken, TokenUnreadable
from dovecote.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import SecretStr

    from dovecote.model import Bot

__all__ = ["Vault", "check_token", "generate_key", "redact"]

_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]{30,}")


def generate_key() -> str:
    """A new key for `encryption.keys` or a file of keys: 44 characters of URL-safe Base64."""
    return Fernet.generate_key().decode("ascii")


def check_token(token: str) -> str:
    """`token` without the white space around it, if it looks like a bot's token.

    Raises InvalidToken, whose message does not hold the token.
    """
    token = token.strip()
    if _TOKEN.fullmatch(token):
        return token
    if not token:
        problem = "it is empty"
    elif ":" not in token:
        problem = f"its {len(token)} characters hold no colon"
    else:
        problem = f"it is not digits, a colon, and 30 or more of A-Z a-z 0-9 _ - ({len(token)} characters in all)"
    raise InvalidToken(f"this is no bot token (it is not shown): {problem}. Copy it again from @BotFather.")


class Vault:
    """Seals tokens and opens them with a ring of keys.

    Without a key it still opens the tokens of bots that are named by an environment variable.
    """

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        """Take the ring as `Encryption.ring()` gives it. Raises ValueError for what is no Fernet key."""
        self._count = len(keys)
        self._ring = MultiFernet([Fernet(key.get_secret_value()) for key in keys]) if keys else None

    def __repr__(self) -> str:
        return f"<Vault with {self._keys()}>"

    def seal(self, token: str) -> str:
        """Encrypt a token with the first key of the ring.

        Raises InvalidToken for what is no token, InvalidConfiguration when there is no key.
        """
        if self._ring is None:
            fault = (
                "encryption.keys and encryption.keys_file are not set, so no token can be stored: set one of them, or "
                "name an environment variable that holds the token."
            )
            raise InvalidConfiguration([fault])
        return self._ring.encrypt(check_token(token).encode("ascii")).decode("ascii")

    def open(self, bot: Bot, environ: Mapping[str, str]) -> str:
        """The token of `bot`: opened, or taken from its variable in `environ`.

        Raises TokenUnreadable, which names the bot and the remedy and holds neither token nor key.
        """
        if bot.token_variable is not None:
            return _from_variable(bot.name, bot.token_variable, environ)
        if bot.token_sealed is None:
            raise TokenUnreadable(f'bot "{bot.name}" has no token: give it one with `{_give(bot.name)}`.')
        if self._ring is None:
            raise TokenUnreadable(
                f'bot "{bot.name}": its token is sealed, and neither encryption.keys nor encryption.keys_file is set: '
                "set the keys it was sealed with."
            )
        token = self._unseal(bot.token_sealed)
        if token is None:
            raise TokenUnreadable(
                f'bot "{bot.name}": its token was not sealed with {self._any_key()} of encryption.keys and '
                f"encryption.keys_file: add the key it was sealed with, or give the token again with "
                f"`{_give(bot.name)}`."
            )
        return token

    def reseal(self, sealed: str) -> str:
        """The same token sealed with the first key, for a rotation of keys. Raises TokenUnreadable."""
        token = self._unseal(sealed)
        if self._ring is None or token is None:
            raise TokenUnreadable(
                f"a token was not sealed with {self._any_key()} of encryption.keys and encryption.keys_file: add the "
                "key it was sealed with at the end, and reseal again."
            )
        return self._ring.encrypt(token.encode("ascii")).decode("ascii")

    def _unseal(self, sealed: str) -> str | None:
        if self._ring is None:
            return None
        try:
            return self._ring.decrypt(sealed).decode("ascii")
        except (NotSealedWithTheseKeys, ValueError):
            return None

    def _keys(self) -> str:
        return f"{self._count} key{'' if self._count == 1 else 's'}"

    def _any_key(self) -> str:
        return f"any of the {self._keys()}"


def _from_variable(bot: str, variable: str, environ: Mapping[str, str]) -> str:
    value = environ.get(variable, "")
    if not value.strip():
        raise TokenUnreadable(f'bot "{bot}": the variable {variable}, which should hold its token, is not set: set it.')
    try:
        return check_token(value)
    except InvalidToken as error:
        raise TokenUnreadable(f'bot "{bot}": in the variable {variable}: {error}') from None


def _give(bot: str) -> str:
    return f"dovecote bot token {bot}"

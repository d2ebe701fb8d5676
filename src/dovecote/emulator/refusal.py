"""How the emulator says no: Telegram's code and words, raised anywhere below the application and answered there."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """The call is refused. `code` is the HTTP status, `description` Telegram's words with their prefix."""

    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(f"{code} {description}")
        self.code = code
        self.description = description
        self.parameters = parameters

    def as_json(self) -> dict[str, Any]:
        """The body that Telegram sends."""
        body: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.parameters:
            body["parameters"] = self.parameters
        return body


def bad_request(words: str) -> Refusal:
    """A 400 in Telegram's spelling: the first letter is lowered, but not in a constant such as BUTTON_DATA_INVALID."""
    if len(words) > 1 and (words[1] == "_" or words[1].isupper()):
        return Refusal(400, f"Bad Request: {words}")
    return Refusal(400, f"Bad Request: {words[:1].lower()}{words[1:]}")


def unauthorized() -> Refusal:
    """No bot has that token."""
    return Refusal(401, "Unauthorized")


def not_found() -> Refusal:
    """The path is none, or the token in it is malformed."""
    return Refusal(404, "Not Found")


def method_not_found(reason: str | None = None) -> Refusal:
    """The Bot API has no such method, or the emulator lacks it, for a reason."""
    lacks = f" in Dovecote's emulator: {reason}" if reason else ""
    return Refusal(404, f"Not Found: method not found{lacks}")


def too_large() -> Refusal:
    """The body is larger than Telegram takes."""
    return Refusal(413, "Request Entity Too Large")


def internal() -> Refusal:
    """The emulator itself failed."""
    return Refusal(500, "Internal Server Error")


def too_many_requests(seconds: int) -> Refusal:
    """A limit is reached; `seconds` is how long to wait."""
    return Refusal(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)

"""Scripted answers: rules that decide, before a call is executed, that it goes otherwise.

The first rule that matches a request and is not used up decides. `after` lets that many matching requests pass first,
`times` says how many it answers then (None: all).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, Literal, Self

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests: those that fit every member that is given. `chat_id` is compared as the client wrote it."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    bot: int | None = None
    method: str | None = None
    chat_id: int | str | None = None

    def fits(self, bot: int, method: str, chat_id: int | str | None) -> bool:
        """Whether a request is meant."""
        return (
            (self.bot is None or self.bot == bot)
            and (self.method is None or self.method.lower() == method.lower())
            and (self.chat_id is None or self.chat_id == chat_id)
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What happens instead.

    mode "answer": the status with `json` or `body`; when neither they nor a status is given, the real answer. mode
    "drop": accept, record, then close the connection without an answer. mode "close": close it without accepting. mode
    "stall": say nothing for `delay` seconds (0: until the client gives up), then close. `accept` executes the call and
    records it as accepted before the scripted answer, so that it is lost only on the way back. `delay` is in seconds
    and comes after the execution.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    status: int | None = None
    body: str | None = None
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    mode: Literal["answer", "drop", "close", "stall"] = "answer"
    accept: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.status is not None and not 200 <= self.status <= 599:  # noqa: PLR2004 - the final HTTP statuses
            raise ValueError(f"status {self.status}: use 200 to 599.")
        if self.delay < 0:
            raise ValueError(f"delay {self.delay}: use 0 or more seconds.")
        if self.mode not in {"answer", "drop", "close", "stall"}:
            raise ValueError(f'mode "{self.mode}": use "answer", "drop", "close" or "stall".')

    @classmethod
    def error(cls, code: int, description: str, *, delay: float = 0.0, accept: bool = False, **parameters: Any) -> Self:
        """A refusal as Telegram writes it; `retry_after` among the parameters is sent as a header as well."""
        body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
        if parameters:
            body["parameters"] = parameters
        headers = {"retry-after": str(parameters["retry_after"])} if "retry_after" in parameters else {}
        return cls(status=code, json=body, headers=headers, delay=delay, accept=accept)

    @property
    def is_real(self) -> bool:
        """Whether the call is answered by its own result, only later."""
        return self.mode == "answer" and self.status is None and self.body is None and self.json is None

    @property
    def executes(self) -> bool:
        """Whether the call is executed at all."""
        return self.accept or self.mode == "drop" or self.is_real

    def content(self) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """Status, body and headers of a scripted answer."""
        status = 200 if self.status is None else self.status
        body = orjson.dumps(self._document(status)) if self.body is None else self.body.encode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        headers.setdefault("content-type", "application/json" if self.body is None else "text/html")
        headers["content-length"] = str(len(body))
        return status, body, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

    def _document(self, status: int) -> Any:
        if self.json is not None:
            return self.json
        if status < HTTPStatus.BAD_REQUEST:
            return {"ok": True, "result": True}
        phrase = HTTPStatus(status).phrase if status in {known.value for known in HTTPStatus} else "Error"
        return {"ok": False, "error_code": status, "description": phrase}


@dataclass(frozen=True, slots=True)
class Rule:
    """`answer` for the requests of `match`, for `times` of them, `after` so many have passed."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    answer: Answer
    match: Match = Match()
    times: int | None = None
    after: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.times is not None and self.times < 1:
            raise ValueError(f"times {self.times}: use 1 or more, or null for all.")
        if self.after < 0:
            raise ValueError(f"after {self.after}: use 0 or more.")


class InvalidScript(ValueError):
    """Rules that cannot be; the message says where."""


_RULES: TypeAdapter[list[Rule]] = TypeAdapter(list[Rule])
_RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


def parse_rules(document: Any) -> list[Rule]:
    """Rules from JSON: one, a list of them, or {"rules": [...]}. Raises InvalidScript."""
    if isinstance(document, Mapping) and "rules" in document:
        document = document["rules"]
    given = document if isinstance(document, list) else [document]
    try:
        return _RULES.validate_python(given)
    except ValidationError as error:
        faults = (
            f"{'.'.join(str(part) for part in fault['loc']) or 'rules'}: {fault['msg']}" for fault in error.errors()
        )
        raise InvalidScript("; ".join(faults)) from None


class Script:
    """The rules in force, in the order in which they were added."""

    def __init__(self) -> None:
        self._rules: list[list[Any]] = []

    def __bool__(self) -> bool:
        return bool(self._rules)

    def add(self, rules: Sequence[Rule]) -> None:
        """Append rules."""
        self._rules.extend([rule, rule.after, rule.times] for rule in rules)

    def clear(self) -> None:
        """Drop them all."""
        self._rules.clear()

    def as_json(self) -> list[dict[str, Any]]:
        """The rules with what is left of each."""
        return [
            {**_RULE.dump_python(rule, mode="json"), "after": after, "times": times}
            for rule, after, times in self._rules
        ]

    def decide(self, bot: int, method: str, chat_id: int | str | None) -> Answer | None:
        """The scripted answer for a request, if there is one; counts it."""
        for entry in self._rules:
            rule: Rule = entry[0]
            if not rule.match.fits(bot, method, chat_id):
                continue
            if entry[1] > 0:
                entry[1] -= 1
                continue
            if entry[2] is not None:
                entry[2] -= 1
                if entry[2] == 0:
                    self._rules.remove(entry)
            return rule.answer
        return None

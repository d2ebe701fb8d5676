"""Scripted answers: rules that decide, before a call is executed, that it goes otherwise.

The first rule that matches a request, is not used up and whose turn it is decides. `after` lets that many matching
requests pass first; of those that follow, `every` takes each n-th and `rate` takes them by chance; `times` says how
many it answers (None: all). Chance is seeded for each rule by itself, so that one more rule does not change the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Any, ClassVar, Literal, Self, get_args

import orjson
from pydantic import ConfigDict, TypeAdapter

from dovecote.emulator.documents import STRICT, validated

Mode = Literal["answer", "drop", "close", "reset", "truncate", "stall"]
MODES: tuple[str, ...] = get_args(Mode)
# As the servers in front of Telegram's say it.
BAD_GATEWAY = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests: those that fit every member that is given. `chat_id` is compared as the client wrote it.

    `reused`: whether the connection has carried a request before.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    bot: int | None = None
    method: str | None = None
    chat_id: int | str | None = None
    reused: bool | None = None

    def fits(self, bot: int, method: str, chat_id: int | str | None, *, reused: bool) -> bool:
        """Whether a request is meant."""
        return (
            (self.bot is None or self.bot == bot)
            and (self.method is None or self.method.lower() == method.lower())
            and (self.chat_id is None or self.chat_id == chat_id)
            and (self.reused is None or self.reused == reused)
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What happens instead.

    mode "answer": the status with `json` or `body`; when neither they nor a status is given, the real answer. mode
    "drop": accept, record, then close the connection without an answer. mode "close": close it without accepting. mode
    "reset": half of the answer, then a reset. mode "truncate": half of the answer, then the end of the connection. mode
    "stall": say nothing for `delay` seconds (0: until the client gives up), then close. `accept` executes the call and
    records it as accepted before the scripted answer, so that it is lost only on the way back. `delay` is in the
    emulator's seconds and comes after the execution.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    status: int | None = None
    body: str | None = None
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    mode: Mode = "answer"
    accept: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.status is not None and not 200 <= self.status <= 599:  # noqa: PLR2004 - the final HTTP statuses
            raise ValueError(f"status {self.status}: use 200 to 599.")
        if self.delay < 0:
            raise ValueError(f"delay {self.delay}: use 0 or more seconds.")
        if self.mode not in MODES:
            raise ValueError(f'mode "{self.mode}": use one of {", ".join(MODES)}.')

    @classmethod
    def error(cls, code: int, description: str, *, delay: float = 0.0, accept: bool = False, **parameters: Any) -> Self:
        """A refusal as Telegram writes it; `retry_after` among the parameters is sent as a header as well."""
        body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
        if parameters:
            body["parameters"] = parameters
        headers = {"retry-after": str(parameters["retry_after"])} if "retry_after" in parameters else {}
        return cls(status=code, json=body, headers=headers, delay=delay, accept=accept)

    @classmethod
    def bad_gateway(cls, *, delay: float = 0.0, accept: bool = False) -> Self:
        """The 502 of a server in front of Telegram's: a page, no JSON."""
        return cls(status=502, body=BAD_GATEWAY, delay=delay, accept=accept)

    @property
    def is_cut(self) -> bool:
        """Whether only half of the answer is sent."""
        return self.mode in {"reset", "truncate"}

    @property
    def is_real(self) -> bool:
        """Whether the call is answered by its own result, only later or in part."""
        return (
            (self.mode == "answer" or self.is_cut) and self.status is None and self.body is None and self.json is None
        )

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

    def says(self, status: int) -> str | None:
        """The description in a scripted answer of that status, where it has one."""
        document = None if self.body is not None else self._document(status)
        description = document.get("description") if isinstance(document, dict) else None
        return description if isinstance(description, str) else None

    def _document(self, status: int) -> Any:
        if self.json is not None:
            return self.json
        if status < HTTPStatus.BAD_REQUEST:
            return {"ok": True, "result": True}
        phrase = HTTPStatus(status).phrase if status in {known.value for known in HTTPStatus} else "Error"
        return {"ok": False, "error_code": status, "description": phrase}


@dataclass(frozen=True, slots=True)
class Rule:
    """`answer` for the requests of `match`, for `times` of them, `after` so many have passed.

    `every` n: of the requests that follow, only each n-th. `rate`: only that share of them, between 0 and 1, by chance.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    answer: Answer
    match: Match = Match()
    times: int | None = None
    after: int = 0
    every: int = 1
    rate: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.times is not None and self.times < 1:
            raise ValueError(f"times {self.times}: use 1 or more, or null for all.")
        if self.after < 0:
            raise ValueError(f"after {self.after}: use 0 or more.")
        if self.every < 1:
            raise ValueError(f"every {self.every}: use 1 or more.")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate {self.rate}: use 0 to 1.")


_RULES: TypeAdapter[list[Rule]] = TypeAdapter(list[Rule])
_RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


def parse_rules(document: Any) -> list[Rule]:
    """Rules from JSON: one, a list of them, or {"rules": [...]}. Raises InvalidDocument."""
    if isinstance(document, Mapping) and "rules" in document:
        document = document["rules"]
    return validated(_RULES, document if isinstance(document, list) else [document], "rules")


class _Entry:
    """A rule in force, with what is left of it."""

    __slots__ = ("after", "chance", "passed", "rule", "times")

    def __init__(self, rule: Rule, chance: Random) -> None:
        self.rule = rule
        self.after = rule.after
        self.times = rule.times
        self.passed = 0
        self.chance = chance

    def takes(self) -> bool:
        """Whether it is the rule's turn for a request that matches; counts it."""
        rule = self.rule
        if self.after > 0:
            self.after -= 1
            return False
        self.passed += 1
        if self.passed % rule.every:
            return False
        if rule.rate < 1 and self.chance.random() >= rule.rate:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Script:
    """The rules in force, in the order in which they were added. `seed` makes chance repeatable."""

    def __init__(self, seed: int | None = None) -> None:
        self._entries: list[_Entry] = []
        self._seed = seed
        self._added = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, rules: Sequence[Rule]) -> None:
        """Append rules."""
        for rule in rules:
            self._added += 1
            chance = Random(None if self._seed is None else f"{self._seed}/{self._added}")  # noqa: S311 - faults, no secrets
            self._entries.append(_Entry(rule, chance))

    def clear(self) -> None:
        """Drop them all; chance begins again as well."""
        self._entries.clear()
        self._added = 0

    def as_json(self) -> list[dict[str, Any]]:
        """The rules with what is left of each."""
        return [
            {**_RULE.dump_python(entry.rule, mode="json"), "after": entry.after, "times": entry.times}
            for entry in self._entries
        ]

    def decide(self, bot: int, method: str, chat_id: int | str | None, *, reused: bool = False) -> Answer | None:
        """The scripted answer for a request, if there is one; counts it."""
        for entry in self._entries:
            if entry.rule.match.fits(bot, method, chat_id, reused=reused) and entry.takes():
                if entry.times == 0:
                    self._entries.remove(entry)
                return entry.rule.answer
        return None

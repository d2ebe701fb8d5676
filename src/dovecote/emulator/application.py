"""The ASGI application: `/bot{token}/{method}` by hand, because it is hot, and the control API beside it.

A request goes: token, method, parameters, script, execution, record, answer. Everything up to the record happens
without an await, so requests are recorded in the order in which they are executed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

import orjson

from dovecote.emulator.control import Control
from dovecote.emulator.methods import METHODS, Call, Method
from dovecote.emulator.reading import MISSING, Read, read, text_of
from dovecote.emulator.records import Journal, Record
from dovecote.emulator.refusal import Refusal, internal, method_not_found, not_found, too_large, unauthorized
from dovecote.emulator.script import Answer, Script

if TYPE_CHECKING:
    from dovecote.emulator.world import Clock, World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

LARGEST_BODY = 51 * 1024 * 1024
TOKENS_KEPT = 10_000

_TOKEN = re.compile(r"(\d{1,19}):[A-Za-z0-9_-]{30,}")
_NUMBER = re.compile(r"-?\d+")
_WORD = re.compile(r"[A-Za-z]{1,64}")
_LOG = logging.getLogger("dovecote.emulator")
_JSON_TYPE = (b"content-type", b"application/json")
_GET, _POST = "GET", "POST"


class Application:
    """One emulated Telegram. `tokens` limits which bots there are; None: every well-formed token is one."""

    def __init__(
        self, *, tokens: Iterable[str] | None, capacity: int, clock: Clock, world: Callable[[], World]
    ) -> None:
        self._tokens = None if tokens is None else frozenset(tokens)
        self._known: dict[str, int] = {}
        self._clock = clock
        self._new_world = world
        self._world = world()
        self.script = Script()
        self.journal = Journal(capacity, self._forget)
        self._control = Control(self.journal, self.script, self.reset)

    def reset(self) -> None:
        """Forget every record, message and rule; message ids begin again."""
        self._world = self._new_world()
        self.script.clear()
        self.journal.clear()

    def _forget(self, record: Record) -> None:
        if record.message_ids:
            self._world.messages.forget(record.space, record.message_ids)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope["path"]
        if path.startswith("/bot"):
            await self._bot_api(scope, path, receive, send)
        elif path.startswith("/emulator/"):
            body = await _body(receive)
            status, answer = self._control.answer(scope["method"], path, scope["query_string"], body or b"")
            await _respond(send, status, answer, _headers(answer))
        else:
            # Not echoed: in `/file/bot{token}/...` there is a token.
            await _body(receive)
            answer = orjson.dumps(not_found().as_json())
            await _respond(send, 404, answer, _headers(answer))

    async def _bot_api(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        token, method = _parts(path)
        try:
            bot_id = self._bot(token)
            if scope["method"] not in {_GET, _POST}:
                raise not_found()
            found = METHODS.get(method) or METHODS.get(method.lower())
            if found is None:
                raise method_not_found()
            if body is None:
                raise too_large()
            given = read(scope["query_string"], _content_type(scope), body)
        except Refusal as refusal:
            await self._refuse_early(send, token, method, refusal)
            return
        record = self._arrived(bot_id, found.name, given)
        answer = self.script.decide(bot_id, found.name, record.chat_id) if self.script else None
        if answer is None:
            status, content = self._execute(record, found, given)
            record.status = status
            await _respond(send, status, content, _headers(content))
            return
        real = self._execute(record, found, given) if answer.executes else None
        await self._scripted(answer, record, real, scope=scope, receive=receive, send=send)

    def _bot(self, token: str) -> int:
        """The bot's id. Raises Refusal for a token that is none."""
        bot_id = self._known.get(token)
        if bot_id is None:
            parsed = _TOKEN.fullmatch(token)
            if parsed is None:
                raise not_found()
            if self._tokens is not None and token not in self._tokens:
                raise unauthorized()
            bot_id = int(parsed.group(1))
            if len(self._known) >= TOKENS_KEPT:
                self._known.clear()
            self._known[token] = bot_id
        return bot_id

    def _arrived(self, bot_id: int, method: str, given: Read) -> Record:
        journal, clock = self.journal, self._clock
        record = Record(
            journal.next_sequence(), bot_id, method, _chat_of(given.parameters), clock.monotonic(), clock.time()
        )
        record.kept = given.kept
        journal.add(record)
        return record

    def _execute(self, record: Record, method: Method, given: Read) -> tuple[int, bytes]:
        """Run the method and note in the record what came of it; answers status and body."""
        call = Call(self._world, record.bot_id, given.parameters, given.uploads)
        try:
            content = orjson.dumps({"ok": True, "result": method.run(call)})
        except Refusal as refusal:
            self.journal.refuse(record, refusal.code, refusal.description)
            return refusal.code, orjson.dumps(refusal.as_json())
        except Exception:  # noqa: BLE001 - whatever it is, a client must get an answer and the log the traceback
            # A fault of the emulator must not look like one of the client's; the traceback holds no token.
            _LOG.exception("the emulator failed in %s", method.name)
            failure = internal()
            self.journal.refuse(record, failure.code, failure.description)
            return failure.code, orjson.dumps(failure.as_json())
        record.message_ids = call.message_ids
        record.space = call.space
        if method.acts:
            self.journal.accept(record)
        return 200, content

    async def _refuse_early(self, send: Send, token: str, method: str, refusal: Refusal) -> None:
        """Refuse what never becomes a call. Of a malformed token nothing is kept: it may be a mistyped secret."""
        parsed = _TOKEN.fullmatch(token)
        bot_id = int(parsed.group(1)) if parsed else 0
        known = METHODS.get(method.lower())
        name = known.name if known else method if parsed and _WORD.fullmatch(method) else ""
        record = self._arrived(bot_id, name, Read(MISSING, MISSING, b""))
        self.journal.refuse(record, refusal.code, refusal.description)
        content = orjson.dumps(refusal.as_json())
        await _respond(send, refusal.code, content, _headers(content))

    async def _scripted(
        self,
        answer: Answer,
        record: Record,
        real: tuple[int, bytes] | None,
        *,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer as the rule says; `real` is what came of the call where the rule lets it be executed."""
        if answer.delay and not await _wait(receive, answer.delay):
            return
        if answer.mode == "answer":
            if real is not None and answer.is_real:
                status, content, headers = *real, _headers(real[1])
            else:
                status, content, headers = answer.content()
                if not record.accepted and status >= 400:  # noqa: PLR2004 - where HTTP's refusals begin
                    self.journal.refuse(record, status, None)
            record.status = status
            await _respond(send, status, content, headers)
            return
        record.status = None
        if answer.mode == "stall" and not answer.delay:
            await _wait(receive, None)
            return
        scope["state"]["transport"].close()
        await _wait(receive, None)


def _parts(path: str) -> tuple[str, str]:
    """Token and method of `/bot{token}/{method}` or `/bot{token}/test/{method}`; an empty token if it is neither."""
    parts = path.split("/")
    if len(parts) == 3:  # noqa: PLR2004 - "", token, method
        return parts[1][3:], parts[2]
    if len(parts) == 4 and parts[2] == "test":  # noqa: PLR2004 - the same and "test"
        return parts[1][3:], parts[3]
    return "", ""


def _content_type(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type: bytes = value
            return content_type
    return b""


def _chat_of(parameters: Any) -> int | str | None:
    """The call's chat for the record and the script: a number wherever it is one."""
    chat = parameters.get("chat_id")
    if type(chat) is int or chat is None:
        return chat
    text = text_of(chat).strip()
    return int(text) if _NUMBER.fullmatch(text) else text


async def _body(receive: Receive) -> bytes | None:
    """The whole body; none when it is larger than Telegram takes."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    chunks = [body]
    size = len(body)
    while message.get("more_body"):
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= LARGEST_BODY:
            chunks.append(chunk)
        else:
            # Read on without keeping it, so that the client gets to read the answer.
            chunks.clear()
    return b"".join(chunks) if size <= LARGEST_BODY else None


def _headers(content: bytes) -> Headers:
    return [_JSON_TYPE, (b"content-length", b"%d" % len(content))]


async def _respond(send: Send, status: int, content: bytes, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _wait(receive: Receive, seconds: float | None) -> bool:
    """Wait; answers whether the client is still there. The client's leaving and the emulator's stopping end it."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                continue
    except TimeoutError:
        return True
    return False

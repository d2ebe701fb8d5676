"""The ASGI application: `/bot{token}/{method}` by hand, because it is hot, and the control API beside it.

A request goes: token, method, parameters, script, execution, record, answer. Everything up to the record happens
without an await, so requests are recorded in the order in which they are executed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

import orjson

from dovecote.emulator.bodies import LARGEST_BODY, LARGEST_LOCAL_BODY, MULTIPART, read_body
from dovecote.emulator.connection import Ages, Connection, Connections
from dovecote.emulator.control import Control
from dovecote.emulator.limits import Limiter, Limits
from dovecote.emulator.methods import METHODS, Call, Method
from dovecote.emulator.reading import MISSING, Read, read, text_of
from dovecote.emulator.recipients import Recipients
from dovecote.emulator.records import Journal, Record
from dovecote.emulator.refusal import (
    Refusal,
    internal,
    method_not_found,
    not_found,
    too_large,
    too_many_requests,
)
from dovecote.emulator.script import Answer, Script
from dovecote.emulator.tokens import Tokens, bot_in
from dovecote.emulator.uploads import Uploads

if TYPE_CHECKING:
    from dovecote.emulator.multipart import Multipart
    from dovecote.emulator.recipients import Recipient
    from dovecote.emulator.world import Clock, World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Reply = tuple[int, bytes, Headers]

DOWNLOADS = "/file/bot"

_NUMBER = re.compile(r"-?\d+")
_WORD = re.compile(r"[A-Za-z]{1,64}")
_LOG = logging.getLogger("dovecote.emulator")
_JSON_TYPE = (b"content-type", b"application/json")
_GET, _POST = "GET", "POST"


class Application:
    """One emulated Telegram. `tokens` limits which bots there are; None: every well-formed token is one.

    `is_local` is whether it takes what a local Bot API server does; `world` makes what gives files out.
    """

    def __init__(
        self,
        *,
        tokens: Iterable[str] | None,
        capacity: int,
        clock: Clock,
        world: Callable[[], World],
        seed: int | None,
        limits: Limits,
        connections: Connections,
        is_local: bool = False,
    ) -> None:
        self._clock = clock
        self._new_world = world
        self._world = world()
        self._given_limits = limits
        self._given_connections = connections
        self._largest_body = LARGEST_LOCAL_BODY if is_local else LARGEST_BODY
        self.limits = limits
        self.tokens = Tokens(tokens)
        self.script = Script(seed)
        self.ages = Ages(clock, connections)
        self.journal = Journal(capacity, self._forget)
        self.uploads = Uploads()
        self._control = Control(self)

    def reset(self) -> None:
        """As in the beginning: no record, message, rule and state of a recipient; limits and tokens as given."""
        self._world = self._new_world()
        self.script.clear()
        self.journal.clear()
        self.uploads.clear()
        self.tokens.reset()
        self.limits = self._given_limits
        self.ages.settings = self._given_connections

    @property
    def limits(self) -> Limits:
        """The limits in force. Setting them begins with full buckets and no wait."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._limiter = Limiter(limits) if limits else None

    @property
    def recipients(self) -> list[dict[str, Any]]:
        """The recipients that are in a state, as JSON."""
        return self._world.recipients.as_json()

    def put_recipients(self, recipients: Iterable[Recipient]) -> None:
        """Set the states of recipients. Raises Refusal for an @name that cannot be one; nothing has changed then."""
        found = [(self._world.chat(recipient.chat_id)["id"], recipient) for recipient in recipients]
        for number, recipient in found:
            self._world.recipients.put(number, recipient)

    def drop_recipients(self) -> None:
        """Every recipient is as usual again."""
        self._world.recipients = Recipients()

    def _forget(self, record: Record) -> None:
        if record.message_ids:
            self._world.messages.forget(record.space, record.message_ids)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope["path"]
        if path.startswith("/bot"):
            await self._bot_api(scope, path, receive, send)
        elif path.startswith(DOWNLOADS):
            await self._download(scope["method"], path.removeprefix(DOWNLOADS), receive, send)
        elif path.startswith("/emulator/"):
            body = await self._body(receive)
            status, answer = self._control.answer(scope["method"], path, scope["query_string"], body)
            await _respond(send, status, answer, _headers(answer))
        else:
            # Not echoed: in `/file/bot{token}/...` there is a token.
            await self._body(receive)
            answer = orjson.dumps(not_found().as_json())
            await _respond(send, 404, answer, _headers(answer))

    async def _download(self, method: str, rest: str, receive: Receive, send: Send) -> None:
        """Give out a file that getFile has named. It is no call: no record is made of it."""
        await self._body(receive)
        token, _, path = rest.partition("/")
        try:
            bot_id = self.tokens.bot(token)
            if method != _GET:
                raise not_found()
            content = self._world.downloads.content(bot_id, path)
        except Refusal as refusal:
            await _respond(send, *_refused(refusal))
            return
        headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % content.size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for block in content.blocks():
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def receive_file(
        self, bot_id: int, *, kind: str, content: bytes, size: int | None, name: str | None
    ) -> dict[str, Any]:
        """Let somebody send a file to a bot. Raises ValueError for what cannot be."""
        return self._world.downloads.receive(bot_id, kind=kind, content=content, size=size, name=name)

    async def _bot_api(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        connection: Connection = scope["state"]["connection"]
        if self.ages and connection.is_over:
            # It was sent into a connection that ends: nobody has read it.
            connection.reset()
            await _wait(receive, None)
            return
        token, method = _parts(path)
        content_type = _content_type(scope)
        body, crowded = await self._read_body(token, content_type, receive)
        try:
            bot_id = self.tokens.bot(token)
            if scope["method"] not in {_GET, _POST}:
                raise not_found()
            found = METHODS.get(method) or METHODS.get(method.lower())
            if found is None:
                raise method_not_found()
            if body is None:
                raise too_large()
            given = read(scope["query_string"], content_type, body)
            self._take_uploads(bot_id, given, crowded=crowded)
        except Refusal as refusal:
            await self._refuse_early(send, token, method, refusal)
            return
        record = self._arrived(bot_id, found.name, given)
        answer = None
        if self.script:
            answer = self.script.decide(bot_id, found.name, record.chat_id, reused=connection.requests > 1)
        if answer is None:
            reply = self._execute(record, found, given)
            if given.uploads and not await self._space(record, given, receive):
                return
            record.status = reply[0]
            await _respond(send, *reply)
            return
        real = self._execute(record, found, given) if answer.executes else None
        await self._scripted(answer, record, real, connection=connection, receive=receive, send=send)

    async def _read_body(
        self, token: str, content_type: bytes, receive: Receive
    ) -> tuple[bytes | Multipart | None, bool]:
        """The body, and whether it is an upload more than Telegram takes at a time."""
        if not content_type.startswith(MULTIPART):
            return await read_body(receive, content_type, largest=self._largest_body), False
        with self.uploads.arriving(token):
            crowded = self.uploads.are_too_many(self._limits.upload, token)
            return await read_body(receive, content_type, largest=self._largest_body), crowded

    async def _body(self, receive: Receive) -> bytes:
        """The body of what is no call."""
        body = await read_body(receive, largest=self._largest_body)
        return body if isinstance(body, bytes) else b""

    def _take_uploads(self, bot_id: int, given: Read, *, crowded: bool) -> None:
        """Count what was uploaded. Raises Refusal (429) when it was one too many at a time."""
        if given.uploads:
            self.uploads.count(bot_id, given.uploads)
            if crowded and self._limits.upload is not None:
                raise too_many_requests(self._limits.upload.retry_after)

    def _arrived(self, bot_id: int, method: str, given: Read) -> Record:
        journal, clock = self.journal, self._clock
        record = Record(
            journal.next_sequence(), bot_id, method, _chat_of(given.parameters), clock.monotonic(), clock.time()
        )
        record.kept = given.kept
        journal.add(record)
        return record

    def _execute(self, record: Record, method: Method, given: Read) -> Reply:
        """Run the method, if the limits let it, and note in the record what came of it."""
        call = Call(self._world, record.bot_id, method, given.parameters, given.uploads)
        charged = 0
        try:
            if self._limiter is not None:
                charged = self._limiter.admit(
                    record.bot_id, self._number(record.chat_id), method, given.parameters, record.monotonic
                )
            content = orjson.dumps({"ok": True, "result": method.run(call)})
        except Refusal as refusal:
            self.journal.refuse(record, refusal.code, refusal.description)
            return _refused(refusal)
        except Exception:  # noqa: BLE001 - whatever it is, a client must get an answer and the log the traceback
            # A fault of the emulator must not look like one of the client's; the traceback holds no token.
            _LOG.exception("the emulator failed in %s", method.name)
            failure = internal()
            self.journal.refuse(record, failure.code, failure.description)
            return _refused(failure)
        self._world.downloads.remember(given.uploads.values())
        record.message_ids = call.message_ids
        record.space = call.space
        if method.acts:
            self.journal.accept(record)
        if method.sends:
            traffic = self.journal.traffic[record.bot_id]
            traffic.sent(len(call.message_ids), record.monotonic)
            traffic.paid += charged
        return 200, content, _headers(content)

    async def _space(self, record: Record, given: Read, receive: Receive) -> bool:
        """Let a file that is uploaded again wait for its turn; answers whether the client is still there."""
        limit = self._limits.upload
        if limit is None:
            return True
        wait = self.uploads.wait(limit, record.bot_id, given.uploads.values(), record.monotonic)
        return wait <= 0 or await _wait(receive, wait / self._clock.scale)

    def _number(self, chat_id: int | str | None) -> int | None:
        """The chat's number for the limits; none for what is no chat, which the method itself refuses."""
        if not isinstance(chat_id, str):
            return chat_id
        with contextlib.suppress(Refusal):
            number: int = self._world.chat(chat_id)["id"]
            return number
        return None

    async def _refuse_early(self, send: Send, token: str, method: str, refusal: Refusal) -> None:
        """Refuse what never becomes a call. Of a malformed token nothing is kept: it may be a mistyped secret."""
        bot_id = bot_in(token)
        known = METHODS.get(method.lower())
        name = known.name if known else method if bot_id is not None and _WORD.fullmatch(method) else ""
        record = self._arrived(bot_id or 0, name, Read(MISSING, MISSING, b""))
        self.journal.refuse(record, refusal.code, refusal.description)
        await _respond(send, *_refused(refusal))

    async def _scripted(
        self,
        answer: Answer,
        record: Record,
        real: Reply | None,
        *,
        connection: Connection,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer as the rule says; `real` is what came of the call where the rule lets it be executed."""
        if answer.delay and not await _wait(receive, answer.delay / self._clock.scale):
            return
        if answer.mode == "answer" or answer.is_cut:
            if real is not None and answer.is_real:
                status, content, headers = real
            else:
                status, content, headers = answer.content()
                # What was executed has been counted already, accepted or refused.
                if real is None and status >= 400:  # noqa: PLR2004 - where HTTP's refusals begin
                    self.journal.refuse(record, status, None)
            if not answer.is_cut:
                record.status = status
                await _respond(send, status, content, headers)
                return
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
        record.status = None
        if answer.mode == "stall" and not answer.delay:
            await _wait(receive, None)
            return
        if answer.mode == "reset":
            await connection.written()
            connection.reset()
        else:
            connection.close()
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


def _headers(content: bytes) -> Headers:
    return [_JSON_TYPE, (b"content-length", b"%d" % len(content))]


def _refused(refusal: Refusal) -> Reply:
    content = orjson.dumps(refusal.as_json())
    headers = _headers(content)
    if "retry_after" in refusal.parameters:
        headers.append((b"retry-after", b"%d" % refusal.parameters["retry_after"]))
    return refusal.code, content, headers


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

"""The ASGI application: `/bot{token}/{method}` by hand, because it is hot, and the control API beside it.

A request goes: token, method, parameters, script, execution, record, answer. Everything up to the record happens
without an await, so requests are recorded in the order in which they are executed.
"""

from __future__ import annotations

import contextlib
import logging
import re
from typing import TYPE_CHECKING, Any

import orjson

from dovecote.emulator.bodies import LARGEST_BODY, LARGEST_LOCAL_BODY, MULTIPART, read_body, whole_body
from dovecote.emulator.connection import Ages, Connection, Connections
from dovecote.emulator.control import Control
from dovecote.emulator.exchange import (
    chat_of,
    content_type_of,
    first_of,
    json_headers,
    path_parts,
    refused,
    respond,
    still_there,
)
from dovecote.emulator.life import Life
from dovecote.emulator.limits import Limiter, Limits
from dovecote.emulator.methods import METHODS, Call, Method
from dovecote.emulator.methods.lacking import REASONS
from dovecote.emulator.methods.updates import prepare
from dovecote.emulator.reading import MISSING, Read, read, text_parameter
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
from dovecote.emulator.webhooks import Webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dovecote.emulator.exchange import Receive, Reply, Scope, Send
    from dovecote.emulator.multipart import Multipart
    from dovecote.emulator.recipients import Recipient
    from dovecote.emulator.world import Clock, World

DOWNLOADS = "/file/bot"

_WORD = re.compile(r"[A-Za-z]{1,64}")
_LOG = logging.getLogger("dovecote.emulator")
# In the answer to a webhook these are passed over, as is whatever gets something: nobody would see the result.
UNANSWERABLE = frozenset({"setwebhook", "deletewebhook", "close", "logout"})
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
        self._webhooks = Webhooks(clock, self._replied)
        self._begin()
        self._given_limits = limits
        self._given_connections = connections
        self._largest_body = LARGEST_LOCAL_BODY if is_local else LARGEST_BODY
        self.limits = limits
        self.tokens = Tokens(tokens)
        self.script = Script(seed)
        self.ages = Ages(clock, connections)
        self.journal = Journal(capacity, self._forget)
        self.uploads = Uploads()
        self.life = Life(lambda: self._world, self.tokens)
        self._control = Control(self)

    def reset(self) -> None:
        """As in the beginning: no record, message, rule and state of a recipient; limits and tokens as given."""
        self._webhooks.clear()
        before = self._world
        self._begin()
        # Whoever waits for updates waits for those of the new world from the next call on.
        before.inboxes.wake()
        self.script.clear()
        self.journal.clear()
        self.uploads.clear()
        self.tokens.reset()
        self.limits = self._given_limits
        self.ages.settings = self._given_connections

    def _begin(self) -> None:
        self._world = self._new_world()
        self._world.inboxes.changed = self._webhooks.changed

    async def close(self) -> None:
        """Leave nothing in the loop."""
        await self._webhooks.close()

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
            await respond(send, status, answer, json_headers(answer))
        else:
            # Not echoed: in `/file/bot{token}/...` there is a token.
            await self._body(receive)
            answer = orjson.dumps(not_found().as_json())
            await respond(send, 404, answer, json_headers(answer))

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
            await respond(send, *refused(refusal))
            return
        headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % content.size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for block in content.blocks():
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _replied(self, bot_id: int, content_type: bytes, body: bytes) -> None:
        """Execute the method that a bot has answered to its webhook, if there is one that may stand there."""
        try:
            given = read(b"", content_type, whole_body(content_type, body))
        except Refusal:
            return
        name = text_parameter(given.parameters, "method").lower()
        found = METHODS.get(name)
        if found is None or name.startswith("get") or name in UNANSWERABLE:
            return
        record = self._arrived(bot_id, found.name, given)
        record.status = self._execute(record, found, given)[0]

    async def _bot_api(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        connection: Connection = scope["state"]["connection"]
        if self.ages and connection.is_over:
            # It was sent into a connection that ends: nobody has read it.
            connection.reset()
            await still_there(receive, None)
            return
        token, method = path_parts(path)
        content_type = content_type_of(scope)
        body, crowded = await self._read_body(token, content_type, receive)
        try:
            bot_id = self.tokens.bot(token)
            if scope["method"] not in {_GET, _POST}:
                raise not_found()
            found = METHODS.get(method) or METHODS.get(method.lower())
            if found is None:
                raise method_not_found(REASONS.get(method.lower()))
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
            fault = None
            if found.name == "getUpdates":
                fault = await self._poll(bot_id, given, receive)
            reply = self._execute(record, found, given, fault)
            if given.uploads and not await self._space(record, given, receive):
                return
            record.status = reply[0]
            await respond(send, *reply)
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
            journal.next_sequence(), bot_id, method, chat_of(given.parameters), clock.monotonic(), clock.time()
        )
        record.kept = given.kept
        journal.add(record)
        return record

    async def _poll(self, bot_id: int, given: Read, receive: Receive) -> Refusal | None:
        """Wait until getUpdates has something to answer; answers what has ended the wait otherwise."""
        inbox = self._world.inboxes[bot_id]
        try:
            seconds = prepare(inbox, given.parameters)
        except Refusal as refusal:
            return refusal
        if not seconds:
            return None
        poll = inbox.begin_poll()
        try:
            return await first_of(poll, receive, seconds / self._clock.scale)
        finally:
            inbox.end_poll(poll)

    def _execute(self, record: Record, method: Method, given: Read, fault: Refusal | None = None) -> Reply:
        """Run the method, if the limits let it, and note in the record what came of it; `fault` came of it already."""
        call = Call(self._world, record.bot_id, method, given.parameters, given.uploads)
        charged = 0
        try:
            if fault is not None:
                raise fault  # noqa: TRY301 - it is answered and recorded as one of the method's own
            if self._limiter is not None:
                charged = self._limiter.admit(
                    record.bot_id, self._number(record.chat_id), method, given.parameters, record.monotonic
                )
            content = orjson.dumps({"ok": True, "result": method.run(call)})
        except Refusal as refusal:
            self.journal.refuse(record, refusal.code, refusal.description)
            return refused(refusal)
        except Exception:  # noqa: BLE001 - whatever it is, a client must get an answer and the log the traceback
            # A fault of the emulator must not look like one of the client's; the traceback holds no token.
            _LOG.exception("the emulator failed in %s", method.name)
            failure = internal()
            self.journal.refuse(record, failure.code, failure.description)
            return refused(failure)
        self._world.downloads.remember(given.uploads.values())
        record.message_ids = call.message_ids
        record.space = call.space
        if method.acts:
            self.journal.accept(record)
        if method.sends:
            traffic = self.journal.traffic[record.bot_id]
            traffic.sent(len(call.message_ids), record.monotonic)
            traffic.paid += charged
        return 200, content, json_headers(content)

    async def _space(self, record: Record, given: Read, receive: Receive) -> bool:
        """Let a file that is uploaded again wait for its turn; answers whether the client is still there."""
        limit = self._limits.upload
        if limit is None:
            return True
        wait = self.uploads.wait(limit, record.bot_id, given.uploads.values(), record.monotonic)
        return wait <= 0 or await still_there(receive, wait / self._clock.scale)

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
        await respond(send, *refused(refusal))

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
        if answer.delay and not await still_there(receive, answer.delay / self._clock.scale):
            return
        if answer.mode == "answer" or answer.is_cut:
            if real is not None and answer.is_real:
                status, content, headers = real
            else:
                status, content, headers = answer.content()
                # What was executed has been counted already, accepted or refused.
                if real is None and status >= 400:  # noqa: PLR2004 - where HTTP's refusals begin
                    self.journal.refuse(record, status, answer.says(status))
            if not answer.is_cut:
                record.status = status
                await respond(send, status, content, headers)
                return
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
        record.status = None
        if answer.mode == "stall" and not answer.delay:
            await still_there(receive, None)
            return
        if answer.mode == "reset":
            await connection.written()
            connection.reset()
        else:
            connection.close()
        await still_there(receive, None)

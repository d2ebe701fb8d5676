"""The channel to the Bot API: one HTTP request per notification, over pooled keep-alive connections.

The client is pyreqwest (Rust). What stands here between it and the engine, and how it stays correct:

- **Never sent** is claimed only on proof: no connection became free, or the client's chain of causes holds
  `client error (Connect)`, which it gives before a byte of the request is written. Its exception classes prove
  nothing: a stall after the request was read is a `ConnectTimeoutError`, a reset after it a `ConnectError`. All
  else is unknown.
- **The token** is in the URL, and the URL is in the client's exceptions. No exception of the client leaves this
  module; of its causes only those without a URL become words of an outcome.
- **Connections are recycled by age**, which the client cannot do: Telegram closes them at about 40 s, busy or not,
  and a reset in the middle of a send makes it uncertain. So the client itself is replaced before that age, with
  jitter; the old one keeps its requests in flight and is closed after the last of them.
- **A cancelled request** runs on in the client, holding its connection, until it is answered or its timeout ends;
  one that waited for a connection may even start. So cancelling means unknown, never "not sent", and no request
  outlives its `timeout`, counted from the call.
- **No second send**: redirects are off, and the client repeats a request by itself only where its connection was
  closed before it took any of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Final

import orjson
from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import PoolTimeoutError
from pyreqwest.http import Url
from pyreqwest.proxy import ProxyBuilder

from dovecote.channels.answers import LARGEST_ANSWER, bounded, classify, says, too_large
from dovecote.channels.sent_files import sent_files
from dovecote.channels.uploads import BrokenUpload, Form, Upload
from dovecote.errors import InvalidConfiguration
from dovecote.model import BotStopped, Dead, Delivered, Failed, Migrated, Released, Scope, Snoozed, Unknown, Uploaded
from dovecote.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from pyreqwest.client import Client

    from dovecote.model import ClaimedNotification, FilePart, Outcome

logger = logging.getLogger(__name__)

DEFAULT_BASE_URL: Final = "https://api.telegram.org"

# The client's own words for "there is no connection", before which nothing can have been written.
_NEVER_CONNECTED = "client error (Connect)"
# A client lives between this share of `recycle_after` and the whole, so that many workers do not reconnect at once.
_SHORTEST_LIFE = 0.8
_LARGEST_CACHE = 4096
_NOTHING = timedelta(0)
_PAID = "allow_paid_broadcast"
_SILENT = "disable_notification"
_TOO_MANY_REQUESTS = 429
_UNTOLD = -1
_NO_SUCH_REPLY = ("message to be replied not found", "replied message not found")
# Both become parts of a path: nothing may pass that has a meaning in a URL.
_TOKEN = re.compile(r"[A-Za-z0-9._~:-]+")
_METHOD = re.compile(r"[A-Za-z0-9_]+")
_SERVER = re.compile(r"https?://[^/?#\s][^?#\s]*")
_PROXY = re.compile(r"(?:https?|socks4a?|socks5h?)://")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)")


class TelegramChannel:
    """Sends through the Bot API; implements `dovecote.ports.attachments.FileChannel`.

    `base_url` is the server, with no slash at its end, such as a local Bot API server or the emulator. At most
    `max_connections` requests are in flight; one more waits up to `pool_timeout` for a connection and is then
    `Failed`. `recycle_after` is the oldest that a connection gets, requests in flight apart. `proxy` is a URL (http,
    https, socks5); without it none is used, whatever the environment says. `clock` is a monotonic clock in seconds.
    Raises InvalidConfiguration, with every fault.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        *,
        max_connections: int = 100,
        pool_timeout: timedelta = timedelta(seconds=5),
        connect_timeout: timedelta = timedelta(seconds=5),
        recycle_after: timedelta = timedelta(seconds=30),
        proxy: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        faults = _faults(base_url, max_connections, (pool_timeout, connect_timeout, recycle_after), proxy)
        if faults:
            raise InvalidConfiguration(faults)
        self._base_url = base_url.rstrip("/")
        self._max_connections = max_connections
        self._pool_timeout = pool_timeout
        self._connect_timeout = connect_timeout
        self._recycle_after = recycle_after.total_seconds()
        self._proxy = proxy
        self._clock = clock
        self._random = random or SystemRandom()
        self._urls: dict[tuple[str, str], str] = {}
        self._endings: set[asyncio.Task[None]] = set()
        # None once the channel is closed: a client frees its connections only when nobody holds it any more.
        self._generation: _Generation | None = _Generation(self._build())
        self._recycle_at = self._next_recycling()

    def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Coroutine[Any, Any, Outcome]:
        """Make the request and classify the answer. Raises nothing that the network can cause.

        `timeout` covers all of it: waiting for a connection, connecting, the request, the whole answer. After
        `close` everything is `Released`, since it was never tried. Cancelling raises CancelledError; whether the
        request arrives, within what is left of `timeout`, is then unknown. Raises ValueError for a timeout that is
        not positive.
        """
        if timeout <= _NOTHING:
            raise ValueError(f"the timeout of a request must be positive, not {timeout}")
        return self._delivered(claimed, token, timeout, None)

    async def upload(
        self, claimed: ClaimedNotification, token: str, files: Sequence[FilePart], *, timeout: timedelta
    ) -> Uploaded:
        """See `dovecote.ports.attachments.FileChannel.upload`. `timeout` covers all of it, as in `send`.

        A connection that breaks before the files were given out whole is `Failed`: no message can have come of it.
        """
        if timeout <= _NOTHING:
            raise ValueError(f"the timeout of a request must be positive, not {timeout}")
        upload = Upload(files)
        try:
            outcome = await self._delivered(claimed, token, timeout, upload)
        except asyncio.CancelledError:
            upload.cancelled = True
            raise
        return Uploaded(outcome, sent_files(upload.answer) if isinstance(outcome, Delivered) else ())

    async def _delivered(
        self, claimed: ClaimedNotification, token: str, timeout: timedelta, upload: Upload | None
    ) -> Outcome:
        started_at = self._clock()
        outcome = await self._request(claimed, claimed.params, token, timeout, upload)
        if type(outcome) is Dead and says(outcome.error, *_NO_SUCH_REPLY):
            # Refused for certain, so sending again makes no second copy.
            params = without_reply(claimed.params)
            left = timeout - timedelta(seconds=self._clock() - started_at)
            if params is not None and left > _NOTHING:
                outcome = await self._request(claimed, params, token, left, upload)
        if type(outcome) is Migrated and outcome.chat == claimed.chat:
            # It would be sent there again, and for ever.
            return Dead(outcome.error, HTTPStatus.BAD_REQUEST)
        # A group has a limit of its own, and Telegram does not say which was met: two groups at a time mean the bot.
        if type(outcome) is Snoozed and claimed.chat is not None and claimed.chat[0] in "-@":
            return replace(outcome, scope=Scope.CHAT)
        return outcome

    async def _request(
        self, claimed: ClaimedNotification, params: str, token: str, timeout: timedelta, upload: Upload | None
    ) -> Outcome:
        url = self._urls.get((token, claimed.method)) or self._remember(token, claimed.method)
        if url is None:
            return _unspeakable(claimed, token)
        try:
            parameters = request_body(claimed.chat, params, paid=claimed.paid, silent=claimed.silent)
            body = parameters if upload is None else upload.form(parameters)
        except ValueError as error:
            return Dead(bounded(f"it cannot be put into a request: {error}", secret=token))
        generation = self._generation
        if generation is None:
            return Released()
        if self._clock() >= self._recycle_at:
            generation = self._recycle(generation)
        generation.in_flight += 1
        try:
            status, retry_after, answer = await _exchange(generation.client, url, body, timeout)
        except Exception as error:  # noqa: BLE001 (whatever comes out of the client holds the URL, and so the token)
            return _unanswered(error, token) if upload is None else _broken(upload, error, token)
        finally:
            generation.in_flight -= 1
            if generation.retired and not generation.in_flight:
                generation.idle.set()
        if answer is None:
            return too_large(status, retry_after=retry_after)
        if upload is not None:
            upload.answer = answer
        return classify(status, answer, retry_after=retry_after, secret=token, method=claimed.method)

    async def close(self) -> None:
        """Let requests in flight end, then close every connection. May be called again."""
        if self._generation is not None:
            self._retire(self._generation)
            self._generation = None
        # Waited for and not gathered: whoever gives up waiting must not leave the clients unclosed.
        if self._endings:
            await asyncio.wait(self._endings)

    def _build(self) -> Client:
        """Make a client with a pool of its own; milliseconds, and nothing is connected yet."""
        builder = (
            ClientBuilder()
            .user_agent(f"dovecote/{__version__}")
            .default_headers({"Content-Type": "application/json"})
            .http1_only()
            .follow_redirects(enable=False)
            .referer(enable=False)
            .max_connections(self._max_connections)
            .pool_max_idle_per_host(self._max_connections)
            .pool_timeout(self._pool_timeout)
            .connect_timeout(self._connect_timeout)
        )
        # Answers are a few hundred bytes: unpacking them costs more than it saves.
        builder = builder.gzip(enable=False).brotli(enable=False).zstd(enable=False).deflate(enable=False)
        return (builder.proxy(ProxyBuilder.all(self._proxy)) if self._proxy else builder.no_proxy()).build()

    def _next_recycling(self) -> float:
        return self._clock() + self._recycle_after * self._random.uniform(_SHORTEST_LIFE, 1.0)

    def _recycle(self, old: _Generation) -> _Generation:
        """Replace the client and answer the new one; the old one is closed after its last request."""
        self._recycle_at = self._next_recycling()
        try:
            client = self._build()
        except Exception as error:  # noqa: BLE001 (no trust store, no descriptors: an old client is better than none)
            logger.warning("the HTTP client could not be replaced and is kept: %s", type(error).__name__)
            return old
        self._retire(old)
        self._generation = _Generation(client)
        return self._generation

    def _retire(self, generation: _Generation) -> None:
        generation.retired = True
        if not generation.in_flight:
            generation.idle.set()
        ending = asyncio.create_task(_end(generation))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    def _remember(self, token: str, method: str) -> str | None:
        """Build a URL once per bot and method; None if it cannot be one."""
        if not (_TOKEN.fullmatch(token) and _METHOD.fullmatch(method)):
            return None
        # It holds tokens that were replaced as well; a service has far fewer bots and methods than this.
        if len(self._urls) >= _LARGEST_CACHE:
            self._urls.clear()
        url = f"{self._base_url}/bot{token}/{method}"
        self._urls[token, method] = url
        return url


class _Generation:
    """A client between two recyclings, and how many requests are on it."""

    __slots__ = ("client", "idle", "in_flight", "retired")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.in_flight = 0
        self.retired = False
        self.idle = asyncio.Event()


async def _end(generation: _Generation) -> None:
    """Close a retired client after its last request. Its idle connections close as the client is freed."""
    await generation.idle.wait()
    await generation.client.close()


async def _exchange(
    client: Client, url: str, body: bytes | Form, timeout: timedelta
) -> tuple[int, str | None, memoryview | None]:
    """Make a request; answers status, Retry-After, and the answer's body, None when it is longer than can be."""
    builder = client.post(url).timeout(timeout)
    if isinstance(body, bytes):
        builder = builder.body_bytes(body)
    else:
        builder = builder.multipart(body.builder).headers({"Content-Type": body.content_type})
    request = builder.build_streamed()
    # No `async with`: an answer that was read whole has nothing left to close, and the way out is a tenth of the cost.
    response = await request.__aenter__()
    status = response.status
    retry_after = response.get_header("Retry-After") if status == _TOO_MANY_REQUESTS else None
    length = int(response.get_header("Content-Length") or _UNTOLD)
    if _UNTOLD < length <= LARGEST_ANSWER:
        return status, retry_after, memoryview(await response.bytes())
    try:
        # Read to the bound and a byte more, which tells that it is passed; what is left unread ends with the
        # connection, so an answer without end costs neither memory nor a place in the pool.
        if length > LARGEST_ANSWER:
            return status, retry_after, None
        return status, retry_after, memoryview(await response.body_reader.read(LARGEST_ANSWER + 1) or b"")
    finally:
        await request.__aexit__(None, None, None)


def request_body(chat: str | None, params: str, *, paid: bool = False, silent: bool = False) -> bytes:
    """Splice `chat_id` into `params`, JSON text of an object without it, unparsed. Answers UTF-8.

    `chat` is decimal text, which goes as a number, other text, which goes as a string, or None. `paid` alone decides
    about `allow_paid_broadcast`, whatever stands in `params`: it costs Stars. `silent` makes no sound, whatever
    they say. Raises ValueError for params that are no object or no valid text.
    """
    members = params.strip()
    if not (members.startswith("{") and members.endswith("}")):
        raise ValueError("params: the stored text is no JSON object; enqueue the notification again.")
    if _PAID in members or (silent and _SILENT in members):
        values = orjson.loads(members)
        values.pop(_PAID, None)
        if silent:
            values.pop(_SILENT, None)
        members = orjson.dumps(values).decode()
    head = "" if chat is None else f'"chat_id":{chat if _NUMBER.fullmatch(chat) else json.dumps(chat)},'
    if paid:
        head += f'"{_PAID}":true,'
    if silent:
        head += f'"{_SILENT}":true,'
    members = members[1:].lstrip()
    return f"{{{head[:-1] if members == '}' else head}{members}".encode()


def without_reply(params: str) -> str | None:
    """The same parameters without the reply; None where they hold none, or do not allow to send without it."""
    values = orjson.loads(params)
    reply = values.pop("reply_parameters", None)
    allowed = values.get("allow_sending_without_reply")
    if isinstance(reply, str):
        reply = orjson.loads(reply)
    if isinstance(reply, dict):
        allowed = reply.get("allow_sending_without_reply", allowed)
    if allowed is not True or (values.pop("reply_to_message_id", None) is None and reply is None):
        return None
    return orjson.dumps(values).decode()


def _unanswered(error: Exception, token: str) -> Outcome:
    """There is no whole answer: certainly never sent, or unknown."""
    if isinstance(error, PoolTimeoutError):
        return Failed("never sent: no connection became free in time")
    causes = _causes(error)
    # No cause holds the URL once those with one are gone; what is left is the client's own vocabulary.
    words = "; ".join(cause for cause in causes if "://" not in cause) or type(error).__name__
    if _NEVER_CONNECTED in causes:
        return Failed(bounded(f"never sent: {words}", secret=token))
    return Unknown(bounded(f"no whole answer: {words}", secret=token))


def _broken(upload: Upload, error: Exception, token: str) -> Outcome:
    """There is no whole answer to an upload: raises what reading its contents raised, or says what is known."""
    if upload.error is not None and not isinstance(upload.error, BrokenUpload):
        raise upload.error
    outcome = _unanswered(error, token)
    if upload.is_whole or isinstance(outcome, Failed):
        return outcome
    words = str(upload.error) if upload.error is not None else getattr(outcome, "error", "")
    return Failed(bounded(f"never sent whole: {words}", secret=token))


def _causes(error: Exception) -> list[str]:
    """The messages of the client's chain of causes, the outermost first."""
    details = getattr(error, "details", None)
    causes = details.get("causes") if isinstance(details, dict) else None
    return [str(cause["message"]) for cause in causes or ()]


def _unspeakable(claimed: ClaimedNotification, token: str) -> Outcome:
    """Say why there is no URL for it: the token's fault is the bot's, the method's is the notification's."""
    if not _TOKEN.fullmatch(token):
        return BotStopped(
            f'the token of the bot "{claimed.bot}" is none: it is empty or holds a character that no token has. '
            "Set it again, as BotFather gave it."
        )
    return Dead(bounded(f'method: "{claimed.method}" is no name of a Bot API method, such as sendMessage.'))


def _faults(base_url: str, max_connections: int, times: tuple[timedelta, ...], proxy: str | None) -> list[str]:
    """Every fault of the settings as a sentence. A proxy's URL is not repeated: it may hold a password."""
    faults = []
    if not (_SERVER.fullmatch(base_url) and Url.is_valid(base_url)):
        faults.append(f'base_url: "{base_url}" is no http(s) address such as {DEFAULT_BASE_URL}.')
    if max_connections < 1:
        faults.append(f"max_connections: {max_connections} lets nothing through; it must be at least 1.")
    for name, value in zip(("pool_timeout", "connect_timeout", "recycle_after"), times, strict=True):
        if value <= _NOTHING:
            faults.append(f"{name}: {value} must be a positive duration.")
    if proxy is not None and not (_PROXY.match(proxy) and Url.is_valid(proxy)):
        faults.append("proxy: it is no URL such as http://proxy.example:3128.")
    return faults

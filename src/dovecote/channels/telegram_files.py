"""Files that people have sent to a bot: `getFile`, and the download of what it names.

The token is in both URLs, and in the path that a local Bot API server answers, so all that leaves this module is text
that was looked at for it, and no exception of the HTTP client does, not even as a cause.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote, urlsplit

import orjson
from pyreqwest.client import ClientBuilder
from pyreqwest.proxy import ProxyBuilder

from dovecote.channels.answers import LARGEST_ANSWER, bounded
from dovecote.errors import FileTooLarge, TelegramRefused, TelegramUnavailable
from dovecote.model import RemoteFile
from dovecote.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pyreqwest.client import Client

TELEGRAMS_HOST: Final = "api.telegram.org"
LARGEST_DOWNLOAD: Final = 20 * 1024 * 1024
"""What Telegram's own server gives out, in bytes. A local one has no limit."""
IDLE: Final = timedelta(seconds=30)
"""Connections that wait for longer are closed: Telegram does so at 40 s."""

_OK, _TOO_MANY_REQUESTS, _SERVER_ERROR = 200, 429, 500
_UNAUTHORIZED = frozenset({401, 404})
_TOKEN = re.compile(r"[A-Za-z0-9._~:-]+")
_LOCAL = re.compile(r"/|[A-Za-z]:[\\/]")
_TOO_BIG: Final = "file is too big"
LOCAL_SERVER: Final = (
    "run a local Bot API server (github.com/tdlib/telegram-bot-api, with --local) on this machine and name it in"
    " telegram.base_url: it has no such limit."
)


class TelegramFiles:
    """Locates and downloads through a Bot API server; implements `dovecote.ports.files.FileSource`.

    `base_url` is the server, as for `TelegramChannel`. `timeout` is how long an answer to getFile may take, and how
    long a download may stand still. `proxy` is a URL; without it none is used.
    """

    def __init__(self, base_url: str, *, timeout: timedelta = timedelta(seconds=20), proxy: str | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._is_telegrams = urlsplit(base_url).hostname == TELEGRAMS_HOST
        self._timeout = timeout
        self._proxy = proxy
        self._client: Client | None = None

    async def locate(self, token: str, file_id: str) -> RemoteFile:
        """See `ports.files.FileSource.locate`."""
        answer = await self._ask(self._url(token, "bot", "getFile"), {"file_id": file_id}, token)
        path, size = answer.get("file_path"), answer.get("file_size")
        if not isinstance(path, str) or not path:
            raise TelegramRefused("Telegram knows the file and does not say where it is: try again later.")
        is_local = bool(_LOCAL.match(path))
        if is_local and self._is_telegrams:
            raise TelegramRefused("the answer to getFile names a file of this machine, which Telegram never does.")
        return RemoteFile(path, size if isinstance(size, int) else None, is_local=is_local)

    async def download(self, token: str, remote: RemoteFile) -> AsyncIterator[bytes]:
        """See `ports.files.FileSource.download`."""
        url = self._url(token, "file/bot", quote(remote.path, safe="/"))
        received, problem = 0, ""
        try:
            async with self._built().get(url).build_streamed() as response:
                if response.status != _OK:
                    _refuse(response.status, bytes(await response.body_reader.read(LARGEST_ANSWER) or b""), token)
                while chunk := await response.body_reader.read_chunk():
                    received += len(chunk)
                    yield bytes(chunk)
        except (TelegramRefused, TelegramUnavailable, FileTooLarge):
            raise
        except Exception as error:  # noqa: BLE001 - whatever comes out of the client holds the URL, and so the token
            problem = _words(error, token)
        if problem:
            raise TelegramUnavailable(f"the download broke off after {received:,} bytes ({problem}).")
        if remote.size is not None and received != remote.size:
            raise TelegramUnavailable(f"the download ended after {received:,} of {remote.size:,} bytes.")

    async def close(self) -> None:
        """Close every connection. May be called again."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _ask(self, url: str, parameters: dict[str, str], token: str) -> dict[str, Any]:
        """Make a call and answer its result."""
        problem = ""
        status, content = 0, b""
        try:
            request = self._built().post(url).body_bytes(orjson.dumps(parameters))
            request = request.header("Content-Type", "application/json").timeout(self._timeout)
            async with request.build_streamed() as response:
                status = response.status
                content = bytes(await response.body_reader.read(LARGEST_ANSWER) or b"")
        except Exception as error:  # noqa: BLE001 - as above
            problem = _words(error, token)
        if problem:
            raise TelegramUnavailable(f"the Bot API server does not answer ({problem}).")
        result = _json(content).get("result")
        if status != _OK or not isinstance(result, dict):
            _refuse(status, content, token)
        return result

    def _url(self, token: str, place: str, rest: str) -> str:
        # It becomes a part of a path: nothing may pass that has a meaning in a URL.
        if not _TOKEN.fullmatch(token):
            raise TelegramRefused("the bot's token is none: it is empty or holds a character that no token has.")
        return f"{self._base_url}/{place}{token}/{rest}"

    def _built(self) -> Client:
        if self._client is None:
            builder = (
                ClientBuilder()
                .user_agent(f"dovecote/{__version__}")
                .http1_only()
                .follow_redirects(enable=False)
                .referer(enable=False)
                .connect_timeout(self._timeout)
                .read_timeout(self._timeout)
                .pool_idle_timeout(IDLE)
            )
            # What is downloaded is stored as it is.
            builder = builder.gzip(enable=False).brotli(enable=False).zstd(enable=False).deflate(enable=False)
            proxied = builder.proxy(ProxyBuilder.all(self._proxy)) if self._proxy else builder.no_proxy()
            self._client = proxied.build()
        return self._client


def _refuse(status: int, content: bytes, token: str) -> NoReturn:
    """Raise what an answer means that is not the wanted one."""
    answer = _json(content)
    described = answer.get("description")
    said = bounded(described, secret=token) if isinstance(described, str) else f"HTTP {status}"
    if _TOO_BIG in said:
        raise FileTooLarge(
            f"Telegram's own server gives out files of up to {LARGEST_DOWNLOAD // 1024**2} MB, and this one is larger"
            f' ("{said}"): {LOCAL_SERVER}'
        )
    if status == _TOO_MANY_REQUESTS:
        parameters = answer.get("parameters")
        wait = parameters.get("retry_after") if isinstance(parameters, dict) else None
        raise TelegramUnavailable(
            f'Telegram asks to wait ("{said}").', retry_after=float(wait) if isinstance(wait, int) else None
        )
    if status >= _SERVER_ERROR or not isinstance(described, str):
        raise TelegramUnavailable(f'the Bot API server has no proper answer ("{said}").')
    if status in _UNAUTHORIZED:
        raise TelegramRefused(
            f'Telegram does not know this bot, or no such file any more ("{said}"): see whether its token is right'
            " (`dovecote bot show`), and ask for the file again, since a link is good for an hour."
        )
    raise TelegramRefused(
        f'Telegram does not give the file ("{said}"): a file_id is good for the bot that received it, and for no other.'
    )


def _json(content: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _words(error: Exception, token: str) -> str:
    """What is wrong, in the client's own vocabulary: of its causes those without a URL."""
    details = getattr(error, "details", None)
    causes = details.get("causes") if isinstance(details, dict) else None
    messages = [str(cause["message"]) for cause in causes or ()]
    return bounded("; ".join(each for each in messages if "://" not in each) or type(error).__name__, secret=token)

"""Fetching a file behind a URL that Telegram could not fetch, so that it can be uploaded as it is read.

The URL is the application's, and may be somebody else's in truth. So where private networks are out of bounds, the name
is looked up here, every address that it has must be public, and the connection goes to the very address that was
looked at; a redirect is followed by the same rules. No proxy, no cookie, no credentials go along.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from pyreqwest.client import ClientBuilder

from dovecote.errors import UrlNotFetched
from dovecote.model import FilePart
from dovecote.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from pyreqwest.client import Client
    from pyreqwest.response import Response

    Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

MOST_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
CONNECT: Final = timedelta(seconds=5)
_PORTS: Final = {"http": 80, "https": 443}


class UrlFetcher:
    """Files behind URLs; implements `dovecote.ports.attachments.UrlReader`.

    `timeout` is for all of one file. With `private` any address will do. `resolve` answers the addresses of a name.
    """

    def __init__(
        self, *, timeout: timedelta = timedelta(minutes=5), private: bool = False, resolve: Resolve | None = None
    ) -> None:
        self._timeout = timeout
        self._private = private
        self._resolve = resolve or _addresses

    @asynccontextmanager
    async def open(self, url: str, *, part: str, largest: int) -> AsyncIterator[FilePart]:
        """See `dovecote.ports.attachments.UrlReader.open`."""
        async with self._answered(url, MOST_REDIRECTS) as (where, response):
            size = _size(response)
            if size is not None and size > largest:
                raise UrlNotFetched(f"{_shown(where)} is {size} bytes, and {largest} are the most that can be sent.")
            if size == 0:
                raise UrlNotFetched(f"{_shown(where)} is empty.")
            content_type = (response.get_header("Content-Type") or "").partition(";")[0].strip()
            name = unquote(where.path.rpartition("/")[2]) or "file"
            yield FilePart(part, name, content_type, size, lambda: _chunks(where, response, largest))

    @asynccontextmanager
    async def _answered(self, url: str, redirects: int) -> AsyncIterator[tuple[SplitResult, Response]]:
        where = _parsed(url)
        client = await self._client(where)
        async with client:
            request = client.get(where.geturl()).timeout(self._timeout).build_streamed()
            try:
                response = await request.__aenter__()
            except Exception as error:  # noqa: BLE001 (whatever comes out of the client holds the URL)
                raise _broken(where, error) from None
            try:
                target = response.get_header("Location") if response.status in REDIRECTS else None
                if target is None:
                    _check_status(where, response.status)
                    yield where, response
                    return
            finally:
                await request.__aexit__(None, None, None)
        if not redirects:
            raise UrlNotFetched(f"{_shown(where)} leads on and on, more than {MOST_REDIRECTS} times.")
        async with self._answered(urljoin(where.geturl(), target), redirects - 1) as answered:
            yield answered

    async def _client(self, where: SplitResult) -> Client:
        """A client for this host alone, which connects to an address that may be connected to."""
        host, port = str(where.hostname), where.port or _PORTS[where.scheme]
        builder = (
            ClientBuilder()
            .user_agent(f"dovecote/{__version__}")
            .follow_redirects(enable=False)
            .referer(enable=False)
            .connect_timeout(CONNECT)
            .no_proxy()
        )
        if not self._private:
            try:
                addresses = await self._resolve(host, port)
            except OSError as error:
                raise UrlNotFetched(
                    f"{_shown(where)}: the name {host} is not known ({error.strerror}).", again=True
                ) from None
            for address in addresses:
                if not ipaddress.ip_address(address).is_global:
                    raise UrlNotFetched(
                        f"{_shown(where)} is in a private network ({address}): telegram.fetch_urls would allow it."
                    )
            builder = builder.resolve(host, addresses[0], port)
        return builder.build()


async def _addresses(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _parsed(url: str) -> SplitResult:
    try:
        where = urlsplit(url)
        known = where.scheme in _PORTS and bool(where.hostname) and where.port != 0
    except ValueError:
        known = False
    if not known:
        raise UrlNotFetched("a URL of a file must be one of http or https with a host.")
    # Whatever stands before the host would be sent as credentials.
    return where._replace(netloc=where.netloc.rpartition("@")[2], fragment="")


def _shown(where: SplitResult) -> str:
    """The URL without its query, which may be a secret."""
    return f"{where.scheme}://{where.netloc}{where.path}"[:200]


def _check_status(where: SplitResult, status: int) -> None:
    if status != HTTPStatus.OK:
        again = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
        raise UrlNotFetched(f"{_shown(where)} answers {status}.", again=again)


def _size(response: Response) -> int | None:
    given = response.get_header("Content-Length")
    encoded = response.get_header("Content-Encoding")
    return int(given) if given is not None and given.isascii() and given.isdigit() and not encoded else None


async def _chunks(where: SplitResult, response: Response, largest: int) -> AsyncIterator[bytes]:
    read = 0
    while True:
        try:
            chunk = await response.body_reader.read_chunk()
        except Exception as error:  # noqa: BLE001 (whatever comes out of the client holds the URL)
            raise _broken(where, error) from None
        if chunk is None:
            return
        read += len(chunk)
        if read > largest:
            raise UrlNotFetched(f"{_shown(where)} is larger than the {largest} bytes that can be sent.")
        yield bytes(chunk)


def _broken(where: SplitResult, error: Exception) -> UrlNotFetched:
    """There is no whole answer. The client's own words hold the URL with its query, and so are not repeated."""
    return UrlNotFetched(f"{_shown(where)} could not be read ({type(error).__name__}).", again=True)

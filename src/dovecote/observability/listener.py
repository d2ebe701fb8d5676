"""The one HTTP listener: health, readiness, metrics, and whatever else is registered as a route.

What it holds to:

- reading (GET, HEAD) is open to whoever reaches the address, which is loopback unless a token is set (the
  configuration sees to that); everything else needs the token, whichever route it is for, present or to come;
- it runs in the caller's event loop and leaves signals to whoever owns the process;
- it answers while the database does not: readiness and metrics then say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import socket
import time
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dovecote.errors import DovecoteError, InvalidConfiguration
from dovecote.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence

    from pydantic import SecretStr
    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from dovecote.model import Stats
    from dovecote.observability.metrics import Metrics

    Check = Callable[[], Awaitable[str | None]]
    """Answers None when it is ready, else a sentence that says what is missing. It may raise a DovecoteError."""

_log = logging.getLogger(__name__)

ANSWER_WITHIN: Final = 2.0
"""Seconds that a check or the statistics may take: well under the ten that Prometheus waits."""
STATS_KEPT: Final = 1.0
"""Seconds for which statistics are fresh enough: scrapes in a row cost the database one query."""
_READING: Final = frozenset({"GET", "HEAD"})
_BACKLOG: Final = 128
_GRACE: Final = 5


class Listener:
    """Listens on `host` and `port` between `start` and `stop`. Port 0 takes a free one; `url` then names it.

    `checks` decide about /readyz, `information` is told there and decides nothing, `stats` feeds the gauges of
    /metrics, `routes` stand beside them: build on it by handing in routes, not by another listener.
    """

    def __init__(
        self,
        *,
        metrics: Metrics,
        stats: Callable[[], Awaitable[Stats]] | None = None,
        checks: Mapping[str, Check] | None = None,
        information: Mapping[str, Check] | None = None,
        routes: Sequence[BaseRoute] = (),
        host: str = "127.0.0.1",
        port: int = 8089,
        token: SecretStr | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._port = port
        self._metrics = metrics
        self._checks = dict(checks or {})
        self._information = dict(information or {})
        self._statistics = _Statistics(metrics, stats, clock)
        own = [Route("/healthz", _health), Route("/readyz", self._readiness), Route("/metrics", self._metrics_page)]
        self._app = Starlette(
            routes=[*own, *routes],
            middleware=[Middleware(_Guard, token=token)],
            exception_handlers={HTTPException: _refusal},
        )
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """The address without a trailing slash, such as http://127.0.0.1:8089. Raises RuntimeError before `start`."""
        if self._url is None:
            raise RuntimeError("the listener has no address before start()")
        return self._url

    async def start(self) -> None:
        """Listen. Raises InvalidConfiguration when nothing can listen there, RuntimeError when it listens already."""
        if self._serving is not None:
            raise RuntimeError(f"the listener is listening already, on {self._url}")
        listening = await _bind(self._host, self._port)
        host, port = listening.getsockname()[:2]
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._server = _Server(self._app)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]), name="listener")
        started = asyncio.create_task(self._server.ready.wait())
        try:
            await asyncio.wait({self._serving, started}, return_when=asyncio.FIRST_COMPLETED)
            if self._serving.done():
                await self._serving  # raises what ended it
        except BaseException:
            if self._server.ready.is_set():
                await self.stop()
            else:
                self._serving.cancel()
                self._serving = None
                listening.close()
            raise
        finally:
            started.cancel()
        _log.info("listening on %s", self._url)

    async def stop(self) -> None:
        """Take no more requests, finish those under way within seconds, give the port back. Harmless twice."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        serving, self._serving = self._serving, None
        # Whoever gives up waiting does not stop the stopping.
        await asyncio.shield(serving)

    async def _readiness(self, _request: Request) -> Response:
        answers = await asyncio.gather(*(_ask(name, check) for name, check in self._checks.items()))
        missing = {name: answer for name, answer in zip(self._checks, answers, strict=True) if answer is not None}
        page: dict[str, object] = {"ready": not missing, "checked": list(self._checks), "not_ready": missing}
        if self._information:
            told = await asyncio.gather(*(_ask(name, check) for name, check in self._information.items()))
            page["information"] = dict(zip(self._information, told, strict=True))
        return JSONResponse(page, 503 if missing else 200)

    async def _metrics_page(self, request: Request) -> Response:
        await self._statistics.refresh()
        page, content_type = self._metrics.exposition(request.headers.get("accept", ""))
        return Response(page, headers={"content-type": content_type})


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _ask(name: str, check: Check) -> str | None:
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            return await check()
    except TimeoutError:
        return f"no answer within {ANSWER_WITHIN:g} s"
    except DovecoteError as error:
        return redact(str(error))
    except Exception:  # noqa: BLE001 - a check that fails in a new way means not ready, not a broken page
        _log.exception("the readiness check %s failed", name)
        return "the check itself failed; the log says how"


class _Statistics:
    """The gauges of the outbox, brought up to date when they are read, at most once in STATS_KEPT."""

    def __init__(
        self, metrics: Metrics, stats: Callable[[], Awaitable[Stats]] | None, clock: Callable[[], float]
    ) -> None:
        self._metrics = metrics
        self._stats = stats
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked: float | None = None

    async def refresh(self) -> None:
        if self._stats is None:
            return
        async with self._asking:
            if self._asked is not None and self._clock() - self._asked < STATS_KEPT:
                return
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    self._metrics.set_stats(await self._stats())
            except TimeoutError:
                self._metrics.stats_unknown()
                _log.warning("no statistics for the metrics: no answer within %g s", ANSWER_WITHIN)
            except DovecoteError as error:
                self._metrics.stats_unknown()
                _log.warning("no statistics for the metrics: %s", error)
            except Exception:  # noqa: BLE001 - whatever ails the database, the other metrics are still worth reading
                self._metrics.stats_unknown()
                _log.exception("no statistics for the metrics")
            self._asked = self._clock()


class _Guard:
    """Lets reading pass and asks everything else for the token."""

    def __init__(self, app: ASGIApp, token: SecretStr | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # There are no web sockets (see _Server), so what is not "http" is the application's own start and end.
        refusal = None if scope["type"] != "http" or scope["method"] in _READING else self._judge(scope)
        await (refusal or self._app)(scope, receive, send)

    def _judge(self, scope: Scope) -> Response | None:
        if self._token is None:
            problem = (
                "this changes something, and http.token is not set: set it (or DOVECOTE_HTTP_TOKEN) and send it as "
                "Authorization: Bearer TOKEN."
            )
            return JSONResponse({"error": problem}, 403)
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = (given[0] if len(given) == 1 else b"").partition(b" ")
        expected = self._token.get_secret_value().encode()
        if hmac.compare_digest(token.strip(), expected) and scheme.lower() == b"bearer":
            return None
        problem = "this changes something: send http.token as Authorization: Bearer TOKEN."
        return JSONResponse({"error": problem}, 401, headers={"www-authenticate": "Bearer"})


class _Server(uvicorn.Server):
    """uvicorn in a loop that is not its own: it takes no signal and tells when it listens."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE,
            )
        )
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _bind(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that two who want the same port learn of it here."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # `localhost` may be both: one address is enough, and every client tries IPv4.
        family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
            listening.setblocking(False)  # noqa: FBT003 - its only parameter has no name
        except OSError:
            listening.close()
            raise
    except OSError as error:
        fault = (
            f'http.host is "{host}" and http.port is {port}, where nothing can listen ({error.strerror}): stop what '
            "listens there, or set another http.port."
        )
        raise InvalidConfiguration([fault]) from error
    return listening

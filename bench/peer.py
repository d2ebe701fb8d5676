"""The one HTTP peer that everything is measured against, and how fast it is itself.

nginx where it is found, granian otherwise. Both answer every POST with what the Bot API says to sendMessage, and both
can say how many requests have arrived, so that no measurement can count a message that was never sent.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.database import free_port
from bench.peer_app import AFTER, BEFORE
from bench.processes import MeasurementFailed, running

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 20.0
NGINX_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /status {{ stub_status; }}
        location / {{
            return 200 '{answer}';
        }}
    }}
}}
"""


@dataclass(slots=True)
class Peer:
    """A running peer. `name` says which, with its version; `url` is what a bot's base URL would be."""

    name: str
    url: str
    asked: int = 0

    def arrived(self) -> int:
        """How many requests have arrived, without those that this method makes."""
        if self.name.startswith("nginx"):
            numbers = re.search(r"^\s*\d+\s+\d+\s+(\d+)", self._get("/status"), re.MULTILINE)
            if numbers is None:
                raise MeasurementFailed("nginx said no number of requests at /status")
            total = int(numbers[1])
        else:
            total = int(json.loads(self._get("/count"))["result"]["message_id"])
        self.asked += 1
        return total - self.asked

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}") as answer:  # noqa: S310 (it is our own, over HTTP)
            return str(answer.read(), "utf-8")


@contextlib.contextmanager
def peer(kind: str) -> Iterator[Peer]:
    """Run the peer during the body of the `with`: "nginx", "granian", or "auto" for nginx where it is found."""
    nginx = shutil.which("nginx")
    if kind == "nginx" and nginx is None:
        raise MeasurementFailed("--peer nginx: there is no nginx on the PATH; install it or take --peer granian")
    if nginx is not None and kind != "granian":
        with _nginx(nginx) as found:
            yield found
    else:
        with _granian() as own:
            yield own


@contextlib.contextmanager
def _granian() -> Iterator[Peer]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "rsgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--http", "1", "--no-ws", "--no-log", "--workers", "1", "--runtime-mode", "st", "bench.peer_app:app"]
    with running(command) as process:
        here = Peer(f"granian {importlib.metadata.version('granian')}", f"http://127.0.0.1:{port}")
        _wait_for(here, process)
        yield here


@contextlib.contextmanager
def _nginx(program: str) -> Iterator[Peer]:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr  # noqa: S603 (from the PATH, and no argument is foreign)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="dovecote-bench-") as directory:
        answer = f"{BEFORE}$connection_requests{AFTER}"
        configuration = Path(directory) / "nginx.conf"
        configuration.write_text(NGINX_CONFIGURATION.format(directory=directory, port=port, answer=answer))
        with running([program, "-p", directory, "-e", "stderr", "-c", str(configuration)]) as process:
            here = Peer(f"nginx {said.strip().rpartition('/')[2]}", f"http://127.0.0.1:{port}")
            _wait_for(here, process)
            yield here


def _wait_for(peer: Peer, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            peer.arrived()
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise MeasurementFailed(f"the peer ({peer.name}) did not start: {process.args!r}") from None
            time.sleep(0.05)
        else:
            return

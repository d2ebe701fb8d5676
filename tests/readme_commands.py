"""Follows a README: its commands one after the other, as a reader types them, in a copy of its folder.

The commands are the lines of its console blocks that begin with `$ `, less the blocks that are marked `not run`. A
command that ends with `&` goes on in the background, `export` lasts, and a reader waits until a server listens before
going on. Only the ports are others, so that documents can be followed side by side.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BLOCK = re.compile(r"(?P<mark><!-- not run:[^>]*-->\n)?^```console\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 120.0
"""For a command, and for what is waited for."""


def commands(readme: str) -> list[str]:
    """The commands of a README, in order."""
    blocks = [block["text"] for block in BLOCK.finditer(readme) if block["mark"] is None]
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


class Reader:
    """Somebody who follows the README of `folder` in `copy`. `ports` says which port stands for one of the README's."""

    def __init__(self, folder: Path, copy: Path, ports: Mapping[int, int]) -> None:
        self._folder = shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
        self._ports = ports
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("DOVECOTE_")}
        self._environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # Not of the README: servers of documents that are followed side by side must not meet at the metrics' port.
        self._environment["DOVECOTE_HTTP_PORT"] = "0"
        self._background: list[subprocess.Popen[bytes]] = []
        self.commands = commands((folder / "README.md").read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._background:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def follow(self, after: Callable[[str], None]) -> str:
        """Run all commands; answers the output of the last that ended. `after` is told of each, and may wait."""
        output = ""
        for command in self.commands:
            output = self._run(command) or output
            after(command)
        return output

    def _run(self, command: str) -> str:
        for port, other in self._ports.items():
            command = re.sub(rf"\b{port}\b", str(other), command)
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._environment[name] = value
            return ""
        if command.endswith("&"):
            with (self._folder / "output.txt").open("ab") as output:
                process = subprocess.Popen(
                    ["bash", "-c", f"exec {command.removesuffix('&')}"],
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._background.append(process)
            return ""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, (
            f"{command}\n{done.stdout.decode()}{done.stderr.decode()}{self.background_output()}"
        )
        return done.stdout.decode()

    def background_output(self) -> str:
        """What the servers have printed."""
        return (self._folder / "output.txt").read_text()

    def get(self, port: int, path: str) -> Any:
        """The JSON document at a path of a server, by the README's port; None while nobody listens."""
        connection = HTTPConnection("127.0.0.1", self._ports[port], timeout=SECONDS)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except (OSError, HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until it is so."""
        ends_at = time.monotonic() + SECONDS
        while not condition():
            dead = [process.args for process in self._background if process.poll() is not None]
            assert not dead, f"{dead} ended: {self.background_output()}"
            assert time.monotonic() < ends_at, f"it is not so after {SECONDS} s: {self.background_output()}"
            time.sleep(0.02)

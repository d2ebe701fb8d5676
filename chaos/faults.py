"""Carrying out the faults of a plan: each begins, lasts, and is mended again, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from chaos import TESTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from s3_server import S3Server

    from chaos.place import Place
    from chaos.plan import Fault
    from chaos.programs import Program, Programs

    Carry = Callable[[Fault], Awaitable[None]]

SHIFTED = str(TESTS / "worker" / "shifted_worker.py")
LONGEST_SHIFT = 5400.0
SCRIPTED = "(scripted)"
MOST_CONNECTIONS = 200
S3_TRIES = 3
SQLITE_PAGE = 4096
WITH_RIGHTS_TO_WRITE = "-c default_transaction_read_only=off"


class Faults:
    """Makes faults, one after another in each lane, and tells of each with its times."""

    def __init__(self, place: Place, programs: Programs, tell: Callable[..., None]) -> None:
        self._place = place
        self._programs = programs
        self._tell = tell
        self._kinds: dict[str, Carry] = {
            "kill a worker": lambda fault: self._kill(fault, self._one_of("worker", fault)),
            "freeze a worker": lambda fault: self._freeze(fault, self._one_of("worker", fault)),
            "freeze a worker beyond its lease": lambda fault: self._freeze(fault, self._one_of("worker", fault)),
            "kill the leader": self._kill_the_leader,
            "freeze the leader": self._freeze_the_leader,
            "kill a scheduler": lambda fault: self._kill(fault, self._one_of("scheduler", fault)),
            "freeze a scheduler": lambda fault: self._freeze(fault, self._one_of("scheduler", fault)),
            "replace all one by one": self._replace_all,
            "start a worker with a wrong clock": self._wrong_clock,
            "kill the application": lambda fault: self._kill(fault, self._one_of("application", fault)),
            "kill all workers": lambda fault: self._kill(fault, *self._programs.of("worker")),
            "kill the database": self._kill_the_database,
            "restart the database": self._restart_the_database,
            "freeze the database": self._freeze_the_database,
            "make the database read-only": self._read_only,
            "use up the connections": self._use_up_connections,
            "slow the database down": lambda fault: self._delay(fault, "the database"),
            "fill the database's disk": self._fill_the_databases_disk,
            "kill the pooler": self._kill_the_pooler,
            "freeze the pooler": self._freeze_the_pooler,
            "lock the file": self._lock_the_file,
            "fill the disk": self._fill_the_disk,
            "kill Valkey": self._kill_valkey,
            "flush Valkey": self._flush_valkey,
            "freeze Valkey": self._freeze_valkey,
            "kill the S3 server": self._kill_s3,
        }
        for network in place.networks:
            self._add_network(network)
        for kind, rules in TELEGRAM.items():
            self._kinds[kind] = lambda fault, rules=rules: self._script(fault, rules)  # type: ignore[misc]

    async def carry_out(self, fault: Fault) -> None:
        """Make a fault and mend it. Raises KeyError for a kind that there is not."""
        carry = self._kinds[fault.kind]
        begins = time.time()
        try:
            await carry(fault)
        finally:
            self._tell("fault", lane=fault.lane, kind=fault.kind, begins=begins, ends=time.time())

    # Processes.

    def _one_of(self, role: str, fault: Fault) -> Program:
        programs = self._programs.of(role)
        return programs[int(fault.chance * len(programs))]

    async def _kill(self, fault: Fault, *programs: Program) -> None:
        for program in programs:
            await self._programs.kill(program)
        await asyncio.sleep(fault.lasts)
        for program in programs:
            self._programs.start(program)

    async def _freeze(self, fault: Fault, program: Program) -> None:
        self._programs.freeze(program)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            self._programs.thaw(program)

    async def _leader(self, fault: Fault) -> Program:
        """The process that leads by the database's record; another where nobody does, or nobody can be asked."""
        with suppress(psycopg.Error, sqlite3.Error):
            rows = await asyncio.to_thread(
                self._place.ask,
                "SELECT i.pid FROM {}leadership_term t JOIN {}instance i ON i.id = t.instance"
                " ORDER BY t.number DESC LIMIT 1",
            )
            if rows and (program := self._programs.with_pid(rows[0][0])) is not None:
                return program
        return self._one_of("worker", fault)

    async def _kill_the_leader(self, fault: Fault) -> None:
        await self._kill(fault, await self._leader(fault))

    async def _freeze_the_leader(self, fault: Fault) -> None:
        await self._freeze(fault, await self._leader(fault))

    async def _replace_all(self, _fault: Fault) -> None:
        """A rolling upgrade: each is told to stop, and another is started in its place."""
        for program in (*self._programs.of("worker"), *self._programs.of("scheduler")):
            await self._programs.stop(program)
            self._programs.start(program)
            await self._programs.until_working([program])

    async def _wrong_clock(self, fault: Fault) -> None:
        program = self._one_of("worker", fault)
        right = program.command
        shift = (2 * fault.chance - 1) * LONGEST_SHIFT
        await self._programs.stop(program)
        program.command = lambda _: [SHIFTED, str(shift)]
        self._programs.start(program)
        program.command = right

    # The database.

    async def _kill_the_database(self, fault: Fault) -> None:
        if (server := self._place.postgres) is not None:
            await asyncio.to_thread(server.kill)
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                await asyncio.to_thread(server.start)

    async def _restart_the_database(self, fault: Fault) -> None:
        if (server := self._place.postgres) is not None:
            await asyncio.to_thread(server.stop)
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                await asyncio.to_thread(server.start)

    async def _freeze_the_database(self, fault: Fault) -> None:
        if (server := self._place.postgres) is not None:
            await asyncio.to_thread(server.freeze)
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                await asyncio.to_thread(server.thaw)

    async def _read_only(self, fault: Fault) -> None:
        await asyncio.to_thread(self._set_read_only, "on")
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            await asyncio.to_thread(self._set_read_only, "off")

    def _set_read_only(self, value: str) -> None:
        with psycopg.connect(
            self._place.url, autocommit=True, connect_timeout=10, options=WITH_RIGHTS_TO_WRITE
        ) as connection:
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
            connection.execute("SELECT pg_reload_conf()")

    async def _use_up_connections(self, fault: Fault) -> None:
        held: list[psycopg.Connection] = []
        try:
            await asyncio.to_thread(self._take_connections, held)
            await asyncio.sleep(fault.lasts)
        finally:
            for connection in held:
                connection.close()

    def _take_connections(self, held: list[psycopg.Connection]) -> None:
        with suppress(psycopg.OperationalError):
            while len(held) < MOST_CONNECTIONS:
                held.append(psycopg.connect(self._place.url, connect_timeout=5))

    async def _fill_the_databases_disk(self, fault: Fault) -> None:
        if (server := self._place.postgres) is not None:
            await asyncio.to_thread(server.fill_disk)
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                await asyncio.to_thread(server.make_room)

    async def _kill_the_pooler(self, fault: Fault) -> None:
        if (pooler := self._place.pooler) is not None:
            await asyncio.to_thread(pooler.kill)
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                await asyncio.to_thread(pooler.start)

    async def _freeze_the_pooler(self, fault: Fault) -> None:
        if (pooler := self._place.pooler) is not None:
            await pooler.freeze(fault.lasts)

    async def _lock_the_file(self, fault: Fault) -> None:
        path = self._place.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)) as connection:
            await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                connection.execute("ROLLBACK")

    async def _fill_the_disk(self, fault: Fault) -> None:
        """No process may make a file any larger, as a quota or a full disk does it, without rights of root.

        The application is left out: what it commits it must be able to write down for the judge.
        """
        limited = [one.pid for one in self._programs.all if one.is_running and one.role != "application"]
        # One page, so that none that is written to again has room: the log of SQLite is cut back to nothing at times.
        for pid in limited:
            _limit(pid, SQLITE_PAGE)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            for pid in limited:
                _limit(pid, None)

    # Networks.

    def _add_network(self, name: str) -> None:
        self._kinds[f"hang {name}"] = lambda fault: self._hang(fault, name)
        self._kinds[f"reset {name}"] = lambda fault: self._reset(fault, name)
        self._kinds[f"cut {name}"] = lambda fault: self._cut(fault, name)
        self._kinds[f"delay {name}"] = lambda fault: self._delay(fault, name)

    async def _hang(self, fault: Fault, name: str) -> None:
        network = self._place.networks[name]
        network.hang()
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            network.heal()

    async def _reset(self, _fault: Fault, name: str) -> None:
        self._place.networks[name].reset()

    async def _cut(self, fault: Fault, name: str) -> None:
        network = self._place.networks[name]
        network.cut()
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            network.heal()

    async def _delay(self, fault: Fault, name: str) -> None:
        network = self._place.networks[name]
        network.delay(0.02 + 0.2 * fault.chance)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            network.heal()

    # Telegram, Valkey, storage.

    async def _script(self, fault: Fault, rules: list[dict[str, Any]]) -> None:
        await self._place.control("POST", "script", rules)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            await self._place.control("DELETE", "script")

    async def _kill_valkey(self, fault: Fault) -> None:
        if (server := self._place.valkey) is not None:
            await asyncio.to_thread(server.kill)
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                await asyncio.to_thread(server.start)

    async def _flush_valkey(self, _fault: Fault) -> None:
        if (server := self._place.valkey) is not None:
            await asyncio.to_thread(server.flush)

    async def _freeze_valkey(self, fault: Fault) -> None:
        if (server := self._place.valkey) is not None:
            await asyncio.to_thread(server.freeze)
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                server.thaw()

    async def _kill_s3(self, fault: Fault) -> None:
        if (server := self._place.s3) is not None:
            await asyncio.to_thread(server.kill)
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                await asyncio.to_thread(_start_again, server)


def _start_again(server: S3Server) -> None:
    """Start it; on a machine that has no time for it, a few times more."""
    for _ in range(S3_TRIES):
        with suppress(RuntimeError):
            server.start()
            return
    server.start()


def _limit(pid: int, size: int | None) -> None:
    """Let a process write no file beyond so many bytes; None lifts it."""
    with suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


_SENDING: dict[str, Any] = {"match": {}}
_REFUSAL = {"ok": False, "error_code": 429, "description": f"Too Many Requests: retry after 3 {SCRIPTED}"}
TELEGRAM: dict[str, list[dict[str, Any]]] = {
    "answer late": [{**_SENDING, "rate": 0.5, "answer": {"delay": 1.0}}, {"rate": 0.3, "answer": {"delay": 2.5}}],
    "lose answers": [{**_SENDING, "rate": 0.3, "answer": {"mode": "drop"}}],
    "storm of 429": [
        {
            **_SENDING,
            "every": 5,
            "answer": {
                "status": 429,
                "json": {**_REFUSAL, "parameters": {"retry_after": 3}},
                "headers": {"retry-after": "3"},
            },
        }
    ],
    "errors 500": [
        {"rate": 0.3, "answer": {"status": 500}},
        {"rate": 0.2, "answer": {"status": 500, "accept": True}},
    ],
    "pages 502": [
        {"rate": 0.3, "answer": {"status": 502, "body": "<html>502</html>"}},
        {"rate": 0.2, "answer": {"status": 502, "body": "<html>502</html>", "accept": True}},
    ],
    "cut answers": [{"rate": 0.2, "answer": {"mode": "reset"}}, {"rate": 0.2, "answer": {"mode": "truncate"}}],
    "close connections": [{"rate": 0.3, "answer": {"mode": "close"}}, {"rate": 0.1, "answer": {"mode": "stall"}}],
}

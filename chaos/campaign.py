"""One campaign: servers, processes and an application, faults by a seed, and then peace until all is drained."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from chaos import start
from chaos.faults import Faults
from chaos.judge.evidence import write_tables
from chaos.place import TOKEN, TOKEN_VARIABLE, made
from chaos.plan import lanes, plan
from chaos.programs import Programs
from chaos.setting import as_environment
from dovecote import Dovecote, Notification
from dovecote.config import Settings
from dovecote.schedule import CatchUp, Every, Policies, Schedule, Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from chaos.place import Place
    from chaos.plan import Fault
    from chaos.setting import Setting

SCHEDULE_CHATS = range(3001, 3100)
JOB_CHATS = range(4001, 4100)
INTERVAL = 2.0
PAGE = 5000
STALL_SECONDS = 0.25
START_SECONDS = 120.0
UNDRAINED = {
    "notifications": "SELECT count(*) FROM {}notification",
    "broadcasts": "SELECT count(*) FROM {}broadcast WHERE state = 'running'",
    "schedules": "SELECT count(*) FROM {}schedule WHERE due_at IS NOT NULL",
    "occurrences": "SELECT count(*) FROM {}occurrence WHERE turn_at IS NOT NULL",
    "jobs": "SELECT count(*) FROM {}job WHERE next_run_at IS NOT NULL",
    "runs": "SELECT count(*) FROM {}job_run WHERE due_at IS NOT NULL",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """What a campaign says of itself, beside what the judge says: how long it took to drain, and what was left."""

    drained_after: float
    left: dict[str, int]
    cpu_seconds: float
    faults: int


class Campaign:
    """Runs one, and leaves the judge's evidence in `folder`."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self._setting = setting
        self._folder = folder
        self._told = (folder / "campaign.jsonl").open("a", buffering=1)
        self._first_fire = self._ends = 0.0
        self._watchers: list[Callable[[], Coroutine[Any, Any, None]]] = []

    async def run(self) -> Summary:
        """All of it. Raises what a server raises that does not start."""
        async with AsyncExitStack() as stack:
            stack.callback(self._told.close)
            place = await made(self._setting, self._folder, stack)
            environment = {**as_environment(self._setting.of_dovecote(place)), TOKEN_VARIABLE: TOKEN}
            environment["DOVECOTE_LOG_FORMAT"] = "json"
            programs = stack.enter_context(Programs(self._folder, environment, self._tell))
            self._watchers = [programs.watch, lambda: self._notice_stalls(place), *self._more_watchers(place, programs)]
            await self._begin(place, programs)
            return await self._run(place, programs)

    async def _run(self, place: Place, programs: Programs) -> Summary:
        watch = asyncio.create_task(self._watch())
        try:
            faults = await self._make_faults(place, programs)
            drained_after, left = await self._drain(place)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        cpu_seconds = programs.cpu_seconds()
        for role in ("application", "scheduler", "worker"):
            for program in programs.of(role):
                await programs.stop(program)
        await self._write_evidence(place)
        return Summary(drained_after, left, cpu_seconds, faults)

    def _more_watchers(self, _place: Place, _programs: Programs) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What else is to go on all the time; a soak takes samples."""
        return []

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as group:
            for watcher in self._watchers:
                group.create_task(watcher())

    async def _notice_stalls(self, place: Place) -> None:
        """Tell the judge of times in which the machine gave us or the emulator no turn: nothing is on time then."""
        while True:
            begun = time.time()
            await asyncio.sleep(STALL_SECONDS)
            await place.control("GET", "health")
            if time.time() - begun > 2 * STALL_SECONDS:
                self._tell("fault", lane="machine", kind="the machine stood still", begins=begun, ends=time.time())

    def _tell(self, event: str, **members: Any) -> None:
        self._told.write(json.dumps({"event": event, **members}) + "\n")

    # Before.

    async def _begin(self, place: Place, programs: Programs) -> None:
        """Start everything, and let the time begin when all of it works: a busy machine takes its own."""
        settings = Settings.model_validate({"storage": place.storage})
        async with Dovecote(place.url, settings=settings) as dovecote:
            await dovecote.add_bot(
                "shop",
                token_variable=TOKEN_VARIABLE,
                pace=self._setting.pace,
                private_limit=self._setting.private_limit,
                group_limit=self._setting.group_limit,
            )
            self._add_programs(place, programs)
            for program in programs.all:
                programs.start(program)
            await programs.until_working(programs.all, bound=START_SECONDS)
            self._first_fire = float(int(time.time()) + 2)
            self._ends = time.time() + self._setting.seconds
            jobs = [self._timed(f"j{number}", chat) for number, chat in enumerate(JOB_CHATS[: self._setting.jobs])]
            start.give(self._folder / "start.json", {"ends": self._ends, "jobs": jobs})
            await self._fill(dovecote)

    async def _fill(self, dovecote: Dovecote) -> None:
        """The schedules, by the application's interface and past every network; the jobs are the schedulers'."""
        for number, chat in enumerate(SCHEDULE_CHATS[: self._setting.schedules]):
            row = self._timed(f"s{number}", chat)
            await dovecote.schedules.add(_schedule(row))
            self._tell("schedule", **row)
        for number, chat in enumerate(JOB_CHATS[: self._setting.jobs]):
            self._tell("job", **self._timed(f"j{number}", chat))

    def _timed(self, name: str, chat: int) -> dict[str, Any]:
        """What fires every few seconds from the beginning to the end, inclusive."""
        last = max(self._first_fire, self._first_fire + (self._ends - self._first_fire) // INTERVAL * INTERVAL)
        return {"name": name, "chat": chat, "text": name, "start": self._first_fire, "end": last, "interval": INTERVAL}

    def _add_programs(self, place: Place, programs: Programs) -> None:
        setting = self._setting
        for number in range(setting.workers):
            programs.add(f"worker{number}", "worker", _same("-m", "dovecote", "worker"), "delivering from")
        given: dict[str, Any] = {
            "url": place.database_url(),
            "settings": setting.of_dovecote(place),
            "redis": None if place.valkey is None else ["127.0.0.1", place.networks["Valkey"].port],
            "log": str(self._folder / "application.jsonl"),
            "start": str(self._folder / "start.json"),
        }
        for number in range(setting.schedulers if setting.jobs else 0):
            command = _same("-m", "chaos.node", json.dumps(given))
            programs.add(f"scheduler{number}", "scheduler", command, "the scheduler runs")
        application = {
            "url": place.database_url(),
            "settings": setting.of_dovecote(place),
            "log": str(self._folder / "application.jsonl"),
            "seed": setting.seed,
            "per_second": setting.per_second,
            "start": str(self._folder / "start.json"),
            "recipients": setting.recipients,
            "pooled": setting.pooler,
        }
        programs.add(
            "application",
            "application",
            lambda runs: ["-m", "chaos.application", json.dumps({**application, "run": runs})],
            "enqueuing",
        )

    # Meanwhile.

    async def _make_faults(self, place: Place, programs: Programs) -> int:
        """Carry out the plan, each lane by itself, and wait for the campaign's end."""
        setting = self._setting
        kinds = lanes(setting.database, valkey=setting.valkey, s3=setting.s3, pooler=setting.pooler)
        if setting.only:
            kinds = {
                lane: {kind: lasts for kind, lasts in some.items() if kind in setting.only}
                for lane, some in kinds.items()
                if any(kind in setting.only for kind in some)
            }
        planned = plan(setting.seed, setting.seconds, kinds, begins=setting.begins, pause=setting.pause)
        faults = Faults(place, programs, self._tell)
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for lane in kinds:
                some = [fault for fault in planned if fault.lane == lane]
                group.create_task(_carry_out_lane(faults, some, begun, setting.seconds))
        await asyncio.sleep(max(0.0, self._ends - time.time()))
        return len(planned)

    async def _drain(self, place: Place) -> tuple[float, dict[str, int]]:
        """Wait until nothing is left to be done; answers how long that took, and what is left."""
        begun = time.monotonic()
        left = {"the database": 1}
        while left and time.monotonic() - begun < self._setting.drain_seconds:
            await asyncio.sleep(0.3)
            with suppress(psycopg.Error, sqlite3.Error):
                left = await asyncio.to_thread(_left, place)
        return time.monotonic() - begun, left

    # After.

    async def _write_evidence(self, place: Place) -> None:
        with (self._folder / "requests.jsonl").open("w") as file:
            after = 0
            while True:
                page = await place.control("GET", f"requests?limit={PAGE}&after={after}")
                file.writelines(json.dumps(record) + "\n" for record in page["records"])
                if page["next"] is None:
                    break
                after = page["next"]
        await asyncio.to_thread(write_tables, place.url, self._folder / "tables.json")
        setting = self._setting.for_the_judge(time.time())
        (self._folder / "setting.json").write_text(json.dumps(setting))


async def _carry_out_lane(faults: Faults, planned: list[Fault], begun: float, seconds: float) -> None:
    for fault in planned:
        await asyncio.sleep(max(0.0, begun + fault.at - time.monotonic()))
        if time.monotonic() > begun + seconds:
            return  # a busy machine takes longer to start a server again than the plan allows for
        await faults.carry_out(fault)


def _same(*arguments: str) -> Callable[[int], Sequence[str]]:
    """The same command whenever it is started."""
    return lambda _runs: arguments


def _left(place: Place) -> dict[str, int]:
    counts = {name: int(place.ask(query)[0][0]) for name, query in UNDRAINED.items()}
    return {name: count for name, count in counts.items() if count}


def _schedule(row: dict[str, Any]) -> Schedule:
    start, end = (datetime.fromtimestamp(row[name], UTC).replace(tzinfo=None) for name in ("start", "end"))
    return Schedule(
        name=row["name"],
        timing=Timing(recurrence=Every(timedelta(seconds=row["interval"]), start), start=start, end=end),
        notification=Notification(bot="shop", chat_id=row["chat"], text=row["text"]),
        policies=Policies(catch_up=CatchUp.ALL, catch_up_cap=1000),
    )


def summary_as_json(setting: Setting, summary: Summary) -> dict[str, Any]:
    """For `chaos.json`."""
    return {"setting": asdict(setting), "campaign": asdict(summary)}

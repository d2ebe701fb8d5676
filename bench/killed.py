"""A broadcast that is killed in the middle and started again, while answers are lost: who was missed, who got two.

The emulator judges, by what it has accepted; it closes one connection in a hundred after it has accepted the message
and before it has answered. Each system sends one text to as many chats, gets SIGKILL when half have arrived, is started
again as its documentation has it, and runs until it says that it is done. What it says itself stands beside that.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.database import fresh_database
from bench.peers.environments import python_of, version_of
from bench.processes import MeasurementFailed, answer_of, measure, started
from bench.work import TOKEN, chat_of
from dovecote.emulator import Answer, Emulator, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from servers import PostgresServer

LOST = 0.01
POLL_SECONDS = 0.005
LONGEST_SECONDS = 1500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Who broadcasts: its module, its environment (none for ours), and what its two actions are given."""

    name: str
    title: str
    module: str
    environment: str | None = None
    package: str = ""
    prepare: Mapping[str, Any]
    """With `action`; the number of recipients is added as `counted_as`."""
    counted_as: str = "recipients"
    again: Sequence[str] = field(default_factory=list)
    """What of that the action `broadcast` wants as well."""


CONTESTANTS = (
    *(
        Contestant(
            name=f"dovecote_{delivery}",
            title=f"Dovecote, {delivery.replace('_', ' ')}",
            module="dovecote_run",
            prepare={"action": "prepare_broadcast", "delivery": delivery},
        )
        for delivery in ("at_least_once", "at_most_once")
    ),
    Contestant(
        name="tgcast",
        title="tgcast",
        module="peers.tgcast_run",
        environment="tgcast",
        package="tgcast",
        prepare={"action": "prepare_broadcast"},
        again=["recipients"],
    ),
    Contestant(
        name="aiogram_broadcaster",
        title="aiogram-broadcaster",
        module="peers.aiogram_broadcaster_run",
        environment="aiogram_broadcaster",
        package="aiogram-broadcaster",
        prepare={"action": "fill"},
        counted_as="notifications",
    ),
)


def killed(server: PostgresServer, recipients: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Everybody's broadcast to `recipients`, one after the other; answers what the emulator and they themselves say."""
    runs = {one.name: asyncio.run(_killed(one, server, recipients, seed, say)) for one in CONTESTANTS}
    return {"recipients": recipients, "seed": seed, "lost_answers": LOST, "runs": runs}


async def _killed(
    one: Contestant, server: PostgresServer, recipients: int, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    with _store(one, server) as url:
        python = sys.executable if one.environment is None else python_of(one.environment, say)
        given = {one.counted_as: recipients}
        await asyncio.to_thread(measure, one.module, python, **one.prepare, url=url, **given)
        again: dict[str, Any] = {"action": "broadcast", "url": url, **{name: given[name] for name in one.again}}
        async with Emulator(tokens=[TOKEN], seed=seed) as emulator:
            emulator.script(Rule(Answer(mode="drop"), rate=LOST))
            with started(one.module, python, **again, peer=emulator.url) as process:
                async with asyncio.timeout(LONGEST_SECONDS):
                    while len(emulator.accepted) < recipients // 2:
                        if process.poll() is not None:
                            raise MeasurementFailed(f"{one.title} ended too early:\n{process.communicate()[1][-4000:]}")
                        await asyncio.sleep(POLL_SECONDS)
                process.kill()
                await asyncio.to_thread(process.communicate)
            before = len(emulator.accepted)
            with started(one.module, python, **again, peer=emulator.url) as process:
                try:
                    told = await asyncio.to_thread(answer_of, process)
                except MeasurementFailed as failure:
                    told = {"failure": str(failure).splitlines()[-1]}
            records = list(emulator.accepted)
    version = "" if one.environment is None else f" {version_of(one.package, one.environment)}"
    verdict = judged([record.chat_id for record in records], [chat_of(number) for number in range(recipients)])
    lost = sum(record.status is None for record in records)
    say(f"{one.title}: killed after {before:,}; {verdict}, {lost} answers lost; it says {told}")
    return {"title": f"{one.title}{version}", "killed_after": before, "lost": lost, **verdict, "told": told}


def judged(accepted: Sequence[int | str | None], recipients: Sequence[int]) -> dict[str, int]:
    """How many of `recipients` were missed, got one copy, got more, and how many copies were for nobody of them."""
    copies = Counter(accepted)
    own = [copies.pop(chat, 0) for chat in recipients]
    return {
        "missed": sum(count == 0 for count in own),
        "once": sum(count == 1 for count in own),
        "more_than_once": sum(count > 1 for count in own),
        "to_others": copies.total(),
    }


@contextlib.contextmanager
def _store(one: Contestant, server: PostgresServer) -> Iterator[str]:
    if one.environment is None:
        with fresh_database(server) as url:
            yield url
    else:
        with tempfile.TemporaryDirectory(prefix="dovecote-bench-") as folder:
            yield str(Path(folder) / "store")

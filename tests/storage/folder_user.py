"""Uses a folder as a process of its own, to be killed or kept out: python folder_user.py ROOT HOW [STEP].

HOW is `killed`: replace the content of "folder/k" with 3 MiB of "n", and be killed at STEP; or `kept-out`: try each
call as a user who has no more rights than the folder gives, and print what is raised; or `limited`: be allowed no file
over 1 MiB, and print what uploading 3 MiB raises.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from folder_programs import NEW, STEPS

from dovecote.errors import DovecoteError
from dovecote.storage import LocalStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(name: str, *, call: int, before: bool) -> None:
    """Let this process be killed before or after the `call`th call of a function of os."""
    real: Callable[..., Any] = getattr(os, name)
    calls = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and before:
            die()
        answer = real(*arguments, **named)
        if calls == call:
            die()
        return answer

    setattr(os, name, counted)


async def source() -> AsyncIterator[bytes]:
    for start in range(0, len(NEW), 100_000):
        yield NEW[start : start + 100_000]


async def killed(files: LocalStorage, step: str) -> None:
    name, call, before = STEPS[step]
    dying(name, call=call, before=before)
    await files.upload(source(), "folder/k")


async def kept_out(files: LocalStorage) -> None:
    for call in (
        files.check(),
        files.upload(b"x", "folder/k"),
        files.upload(source(), "new"),
        files.delete("folder/k"),
    ):
        try:
            await call
        except DovecoteError as error:
            print(type(error).__name__, error)  # noqa: T201 - the answer
    print((await files.download("folder/k")).decode())  # noqa: T201 - the answer


async def limited(files: LocalStorage) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, 1024 * 1024))
    for file in (source(), NEW):
        try:
            await files.upload(file, "folder/k")
        except DovecoteError as error:
            print(type(error).__name__, error)  # noqa: T201 - the answer
    print((await files.download("folder/k")).decode())  # noqa: T201 - the answer


def main() -> None:
    root, how, *step = sys.argv[1:]
    if how == "kept-out" and os.geteuid() == 0 and "AGAIN" not in os.environ:
        # Root is kept out by no folder, until it gives up that capability; exec makes it so.
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "AGAIN": "yes"})  # noqa: S606
    files = LocalStorage(root)
    match how:
        case "killed":
            asyncio.run(killed(files, *step))
        case "kept-out":
            asyncio.run(kept_out(files))
        case "limited":
            asyncio.run(limited(files))


if __name__ == "__main__":
    main()

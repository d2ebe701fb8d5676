"""Runs the code blocks of Markdown documents, so that what a reader copies is what was tested.

- Python blocks run, in the order of the document, in one namespace for each document, with `await` at the top level.
- A shell block (`bash`, `sh`) runs, and must end with 0, where `<!-- run -->` stands before it; what it leaves in the
  background is ended with it. The programs of this environment are on its PATH.
- `<!-- not run: reason -->` before a Python block is the only way to leave it out, and the reason is not optional.
- A document's blocks share a temporary working directory and an event loop, and see no DOVECOTE_* variable that they
  have not set themselves.

A mark that nothing follows, or that cannot be what its author meant, is an error: no block is left out by a slip.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PYTHON = {"python", "python3", "py"}
SHELL = {"bash", "sh"}
SHELL_SECONDS = 120.0
SANDBOX = "__sandbox__"

MARK = re.compile(r"^[ \t]*<!--\s*(?P<mark>run|not run)\b\s*:?\s*(?P<reason>.*?)\s*-->[ \t]*$", re.MULTILINE)
BLOCKS = RawFencedCodeBlockLexer(
    info_pattern=re.compile(r"(?P<info>[^\n]*)\n"), mapping={"info": "info", "source": "source"}
)


class Sandbox:
    """Where a document's blocks run: a working directory, an event loop, an environment to be put back."""

    def __init__(self) -> None:
        """Take the present environment, less what configures Dovecote."""
        self._directory = tempfile.TemporaryDirectory(prefix="dovecote-document-")
        self._environment = dict(os.environ)
        self._runner = asyncio.Runner()
        self.path = Path(self._directory.name)
        for name in [name for name in os.environ if name.startswith("DOVECOTE_")]:
            del os.environ[name]

    def run_python(self, example: Example) -> None:
        """Execute a block; its line numbers in a traceback are the document's."""
        # The source begins on the line after the fence, `example.line` is the fence's.
        source = "\n" * example.line + example.parsed
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, example.path, "exec", flags=flags, dont_inherit=True)
        with contextlib.chdir(self.path):
            result = eval(code, example.namespace)  # noqa: S307 -- running the project's own documents is the purpose
            if code.co_flags & inspect.CO_COROUTINE:
                self._runner.run(result)

    def run_shell(self, source: str) -> str | None:
        """Run a block; answer what went wrong, or None."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # To a file and not through a pipe, which would last as long as anything in the background.
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", source],
                cwd=self.path,
                env={**os.environ, "PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                ending = f"ended with {code}" if (code := process.wait(SHELL_SECONDS)) else None
            except subprocess.TimeoutExpired:
                ending = f"did not end within {SHELL_SECONDS} s"
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            output.seek(0)
            return ending and f"{ending}:\n{source}\nIt printed:\n{output.read().decode(errors='replace')}"

    def close(self) -> None:
        """Cancel what still runs in the loop, put the environment back, remove the directory."""
        self._runner.close()
        os.environ.clear()
        os.environ.update(self._environment)
        self._directory.cleanup()


def parse(document: Document) -> Iterator[Region]:
    """The blocks of a document that run, and its mistakes in marking them, which fail when they run."""
    blocks = list(BLOCKS(document))
    marks = [
        mark
        for mark in MARK.finditer(document.text)
        if not any(block.start <= mark.start() < block.end for block in blocks)  # a block may show a mark
    ]
    for block in blocks:
        before = [mark for mark in marks if mark.end() <= block.start]
        mark = before[-1] if before and not document.text[before[-1].end() : block.start].strip() else None
        if mark is not None:
            marks.remove(mark)
        language = (block.lexemes["info"].split() or [""])[0]
        evaluator = evaluator_of(language, mark)
        if evaluator is not None:
            block.parsed = block.lexemes["source"]
            block.evaluator = evaluator
            yield block
    for mark in marks:
        yield Region(mark.start(), mark.end(), evaluator=mistake(f"no code block follows {mark.group()!r}"))


def evaluator_of(language: str, mark: re.Match[str] | None) -> Callable[[Example], str | None] | None:
    """What to do with a block of that language and mark: None for nothing."""
    kind = mark and (mark["mark"], bool(mark["reason"]))
    match kind:
        case None if language in PYTHON:
            return run_python
        case None if language == "pycon":
            return mistake("a pycon block cannot be run: write it as python, with assert for what is shown")
        case ("run", False) if language in SHELL:
            return run_shell
        case None | ("not run", True):
            return None
        case ("not run", False):
            return mistake("say why: <!-- not run: reason -->")
        case _:
            return mistake(f"<!-- run --> is for bash and sh blocks and takes no reason; this block is {language!r}")


def run_python(example: Example) -> None:
    """Evaluate a Python block in its document's sandbox."""
    sandbox: Sandbox = example.namespace[SANDBOX]
    sandbox.run_python(example)


def run_shell(example: Example) -> str | None:
    """Evaluate a shell block in its document's sandbox."""
    sandbox: Sandbox = example.namespace[SANDBOX]
    return sandbox.run_shell(example.parsed)


def mistake(message: str) -> Callable[[Example], str]:
    """An evaluator that only complains."""
    return lambda _: message


def collector(root: Path, *patterns: str, excludes: Sequence[str] = ()) -> Callable[[Path, Any], Any]:
    """A `pytest_collect_file` for the documents under `root` that match one of the patterns, less the `excludes`.

    Under pytest-xdist the blocks of a document must stay on one worker: `--dist loadscope` keeps them there.
    """

    def set_up(namespace: dict[str, Any]) -> None:
        namespace[SANDBOX] = Sandbox()
        namespace["__name__"] = "__main__"

    def tear_down(namespace: dict[str, Any]) -> None:
        sandbox: Sandbox = namespace.pop(SANDBOX)
        sandbox.close()

    sybil = Sybil([parse], path=str(root), patterns=patterns, excludes=excludes, setup=set_up, teardown=tear_down)
    return sybil.pytest()

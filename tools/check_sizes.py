"""The house's limits that no linter knows: sizes, and nothing left over.

    python tools/check_sizes.py [ROOT]

Prints every fault under ROOT/src as file:line: what is wrong, and ends with 1 if there is any:
a file over 400 lines, a function over 70, a Protocol among the ports with more than 8 methods, and leftovers: TODO,
FIXME and their kin, a raised NotImplementedError, an exception that is caught and dropped.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FILE_LINES = 400
FUNCTION_LINES = 70
PORT_METHODS = 8
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Fault(NamedTuple):
    """One breach of a limit."""

    path: Path
    line: int
    problem: str


def faults(root: Path) -> Iterator[Fault]:
    """Every fault of the Python files under `root`/src, in the order of paths and lines."""
    for path in sorted((root / "src").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(root)
        found = [*too_long(source), *leftover_words(source), *code_faults(ast.parse(source))]
        if path.name.endswith("ports.py") or path.parent.name == "ports":
            found += wide_ports(ast.parse(source))
        yield from (Fault(name, line, problem) for line, problem in sorted(found))


def too_long(source: str) -> Iterator[tuple[int, str]]:
    """The file itself, when it is too long."""
    lines = len(source.splitlines())
    if lines > FILE_LINES:
        yield FILE_LINES + 1, f"the file has {lines} lines, {FILE_LINES} are allowed: split it"


def leftover_words(source: str) -> Iterator[tuple[int, str]]:
    """Comments that put work off."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (word := LEFTOVER.search(token.string)):
            yield token.start[0], f"{word.group()} in a comment: do it now or leave it out"


def code_faults(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Functions that are too long, what is not implemented, exceptions that are dropped."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield node.lineno, f"{node.name} has {lines} lines, {FUNCTION_LINES} are allowed: split it"
            case ast.Raise(exc=ast.Name(id="NotImplementedError") | ast.Call(func=ast.Name(id="NotImplementedError"))):
                yield node.lineno, "NotImplementedError: implement it or leave it out"
            case ast.ExceptHandler(body=[statement]) if is_nothing(statement):
                yield node.lineno, "an exception is caught and dropped: handle it, or contextlib.suppress with a reason"
            case _:
                pass


def is_nothing(statement: ast.stmt) -> bool:
    """Whether the statement is `pass` or `...`."""
    match statement:
        case ast.Pass():
            return True
        case ast.Expr(value=ast.Constant(value=value)):
            return value is ...
        case _:
            return False


def wide_ports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Protocols with too many methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(is_protocol(base) for base in node.bases):
            methods = sum(isinstance(member, Function) for member in node.body)
            if methods > PORT_METHODS:
                yield node.lineno, f"{node.name} has {methods} methods, {PORT_METHODS} are allowed: split the port"


def is_protocol(base: ast.expr) -> bool:
    """Whether a base class is Protocol, however it was imported, generic or not."""
    if isinstance(base, ast.Subscript):
        return is_protocol(base.value)
    return (isinstance(base, ast.Name) and base.id == "Protocol") or (
        isinstance(base, ast.Attribute) and base.attr == "Protocol"
    )


def main(arguments: Sequence[str]) -> int:
    """Print the faults; answer the exit code."""
    root = Path(arguments[0]) if arguments else Path()
    if not (root / "src").is_dir():
        print(f"{root / 'src'} is no directory: name the root of the repository")
        return 2
    found = list(faults(root))
    for fault in found:
        print(f"{fault.path}:{fault.line}: {fault.problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

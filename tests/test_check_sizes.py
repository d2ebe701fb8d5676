"""The check of sizes and leftovers: each limit at its edge, each fault with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from check_sizes import main


def check(root: Path, source: str, name: str = "module.py") -> int:
    path = root / "src" / "dovecote" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return main([str(root)])


def function(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


def port(methods: int, base: str) -> str:
    return f"class Port({base}):\n" + "".join(f"    def m{number}(self): ...\n" for number in range(methods))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("module.py", "x = 1\n" * 400),
        ("module.py", function(70)),
        ("ports.py", port(8, "Protocol")),
        ("module.py", port(9, "Protocol")),
        ("ports.py", port(9, "Base")),
        ("module.py", 'x = "TODO is a word of the user"  # mastodon, not todo\n'),
        ("module.py", "try:\n    f()\nexcept NotImplementedError:\n    g()\n"),
        ("module.py", "try:\n    f()\nexcept ValueError:\n    'a word'\n"),
    ],
)
def test_what_keeps_the_limits_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, source: str
) -> None:
    assert check(tmp_path, source, name) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("module.py", "x = 1\n" * 401, "401: the file has 401 lines, 400 are allowed: split it"),
        ("module.py", "\n" + function(71), "2: f has 71 lines, 70 are allowed: split it"),
        ("module.py", "class C:\n    async " + function(71).replace("\n", "\n    ").rstrip(" "), "2: f has 71 lines"),
        ("ports.py", port(9, "Protocol"), "1: Port has 9 methods, 8 are allowed: split the port"),
        ("ports/storage.py", port(9, "Protocol"), "1: Port has 9 methods, 8 are allowed: split the port"),
        ("ports.py", port(9, "typing.Protocol[T]"), "1: Port has 9 methods, 8 are allowed: split the port"),
        ("module.py", "x = 1\ny = 2  # TODO: more\n", "2: TODO in a comment: do it now or leave it out"),
        ("module.py", "# FIXME\n", "1: FIXME in a comment: do it now or leave it out"),
        ("module.py", "def f():\n    raise NotImplementedError\n", "2: NotImplementedError: implement it or leave it"),
        ("module.py", "def f():\n    raise NotImplementedError('x')\n", "2: NotImplementedError: implement it"),
        ("module.py", "try:\n    f()\nexcept ValueError:\n    pass\n", "3: an exception is caught and dropped"),
        ("module.py", "try:\n    f()\nexcept ValueError:\n    ...\n", "3: an exception is caught and dropped"),
    ],
)
def test_a_breach_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, source: str, complaint: str
) -> None:
    assert check(tmp_path, source, name) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"src/dovecote/{name}:{complaint}")


def test_every_fault_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(tmp_path, "# TODO\n", "b.py")
    capsys.readouterr()

    assert check(tmp_path, "# TODO\n# FIXME\n", "a.py") == 1

    assert [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "src/dovecote/a.py:1:",
        "src/dovecote/a.py:2:",
        "src/dovecote/b.py:1:",
    ]


def test_a_wrong_place_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "name the root of the repository" in capsys.readouterr().out


def test_the_repository_passes(capsys: pytest.CaptureFixture[str]) -> None:
    code = main([str(Path(__file__).parent.parent)])

    assert (code, capsys.readouterr().out) == (0, "")

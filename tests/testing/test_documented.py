"""The blocks of docs/testing.md are files: here pytest runs them, as a reader's own would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.md"
FILE = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_is_a_file_that_passes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    files = dict(FILE.findall(text))
    assert len(files) == text.count("```python")
    for name, source in files.items():
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
    monkeypatch.setenv("SHOP_TEST_DATABASE", postgres_url)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist")

    tests = sum(len(re.findall(r"^ *(?:async )?def test_", source, re.MULTILINE)) for source in files.values())
    assert tests == 11
    result.assert_outcomes(passed=tests)

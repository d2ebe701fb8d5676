"""The mechanism that runs the documents' code blocks: what runs, what fails, and what cannot be left out by a slip."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = """
from pathlib import Path
from documents import collector

pytest_collect_file = collector(Path(__file__).parent, "*.md")
"""


@pytest.fixture(autouse=True)
def _project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")


def run(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    """Run a document in which fences are written with ' instead of `, so that this file has none."""
    pytester.makefile(".md", document=text.replace("'''", "```"))
    return pytester.runpytest_subprocess("document.md", "-p", "no:cacheprovider", *options)


class TestPython:
    def test_blocks_run_in_order_in_one_namespace_and_one_directory(self, pytester: pytest.Pytester) -> None:
        text = """
'''python
from pathlib import Path
Path("note").write_text("kept")
number = 1
'''
Words.
'''python title="any word after the language"
assert number == 1
assert Path("note").read_text() == "kept"
'''
"""
        run(pytester, text).assert_outcomes(passed=2)
        assert not pytester.path.joinpath("note").exists()

    def test_await_works_at_the_top_level_and_blocks_share_a_loop(self, pytester: pytest.Pytester) -> None:
        text = """
'''python
import asyncio
event = asyncio.Event()
task = asyncio.create_task(event.wait())
await asyncio.sleep(0)
'''
'''python
event.set()
assert await task
async with asyncio.timeout(1):
    pass
'''
"""
        run(pytester, text).assert_outcomes(passed=2)

    def test_a_block_that_fails_is_told_with_its_line_in_the_document(self, pytester: pytest.Pytester) -> None:
        text = """
Words.

'''python
x = 1
assert x == 2
'''
"""
        result = run(pytester, text)

        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["document.md:5: AssertionError"])

    def test_a_failure_after_an_await_is_a_failure(self, pytester: pytest.Pytester) -> None:
        text = """
'''python
import asyncio
await asyncio.sleep(0)
raise LookupError("seen")
'''
"""
        result = run(pytester, text)

        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*LookupError: seen*"])

    def test_the_environment_is_put_back_and_begins_without_settings(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOVECOTE_DATABASE", "the developer's own")
        pytester.makepyfile(
            test_after="""
            import os
            def test_environment():
                assert os.environ["DOVECOTE_DATABASE"] == "the developer's own"
                assert "LEFT" not in os.environ
            """
        )
        text = """
'''python
import os
assert "DOVECOTE_DATABASE" not in os.environ
os.environ["LEFT"] = "behind"
'''
"""
        run(pytester, text, "test_after.py").assert_outcomes(passed=2)

    def test_blocks_of_a_document_stay_together_on_one_worker(self, pytester: pytest.Pytester) -> None:
        text = "'''python\nnumbers = []\n'''\n" + "".join(
            f"'''python\nnumbers.append({number})\nassert len(numbers) == {number + 1}\n'''\n" for number in range(9)
        )

        run(pytester, text, "-n2", "--dist", "loadscope").assert_outcomes(passed=10)


class TestShell:
    def test_a_marked_block_runs_and_the_others_do_not(self, pytester: pytest.Pytester) -> None:
        text = """
'''bash
exit 1
'''
'''console
$ exit 1
'''
<!-- run -->
'''bash
echo made by the shell > note
python -c 'import sys; print(sys.prefix)' > prefix
'''
'''python
import sys
from pathlib import Path
assert Path("note").read_text() == "made by the shell\\n"
assert Path("prefix").read_text().strip() == sys.prefix
'''
"""
        run(pytester, text).assert_outcomes(passed=2)

    def test_a_marked_block_that_fails_shows_what_it_printed(self, pytester: pytest.Pytester) -> None:
        result = run(pytester, "<!-- run -->\n'''sh\necho before\nfalse | cat\necho after\n'''\n")

        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["ended with 1:", "It printed:", "before"])
        result.stdout.no_fnmatch_line("after")

    def test_what_a_block_leaves_in_the_background_is_ended(self, pytester: pytest.Pytester) -> None:
        text = """
<!-- run -->
'''bash
sleep 600 &
echo $! > pid
'''
'''python
from pathlib import Path
import psutil
pid = int(Path("pid").read_text())
assert not psutil.pid_exists(pid) or psutil.Process(pid).wait(10) is None
'''
"""
        run(pytester, text).assert_outcomes(passed=2)


class TestMarks:
    def test_a_python_block_is_left_out_with_a_reason(self, pytester: pytest.Pytester) -> None:
        text = """
<!-- not run: it needs a bot of one's own -->
'''python
raise SystemExit
'''
'''python
pass
'''
"""
        run(pytester, text).assert_outcomes(passed=1)

    def test_a_slip_is_an_error(self, pytester: pytest.Pytester) -> None:
        slips = {
            "no-reason": "<!-- not run -->\n'''python\npass\n'''\n",
            "empty-reason": "<!-- not run: -->\n'''python\npass\n'''\n",
            "python": "<!-- run -->\n'''python\npass\n'''\n",
            "console": "<!-- run -->\n'''console\n$ true\n'''\n",
            "words-between": "<!-- run -->\n\nWords.\n\n'''bash\ntrue\n'''\n",
            "at-the-end": "'''bash\ntrue\n'''\n<!-- run -->\n",
            "pycon": "'''pycon\n>>> 1\n1\n'''\n",
        }
        for name, text in slips.items():
            pytester.path.joinpath(f"{name}.md").write_text(text.replace("'''", "```"))

        result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *[f"{name}.md" for name in slips])

        result.assert_outcomes(failed=7)
        result.stdout.fnmatch_lines(
            [
                "*say why*",
                "no-reason.md:2: SybilFailure",
                "*say why*",
                "empty-reason.md:2: SybilFailure",
                "*is for bash and sh blocks*'python'*",
                "python.md:2: SybilFailure",
                "*is for bash and sh blocks*'console'*",
                "console.md:2: SybilFailure",
                "*no code block follows*",
                "words-between.md:1: SybilFailure",
                "*no code block follows*",
                "at-the-end.md:4: SybilFailure",
                "*write it as python*",
                "pycon.md:1: SybilFailure",
            ]
        )

    def test_a_block_may_show_a_mark(self, pytester: pytest.Pytester) -> None:
        run(pytester, "'''html\n<!-- run -->\n'''\n'''python\npass\n'''\n").assert_outcomes(passed=1)

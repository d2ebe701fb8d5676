"""Campaigns of faults against real processes, a judge that knows nothing of the engine, and a soak. See docs/chaos.md.

    python -m chaos --seed 7 --minutes 3
    python -m chaos.judge FOLDER
    python -m chaos.soak --minutes 60

The servers are those of the tests, so `tests` is put on the path.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"

if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

"""`python -m chaos.judge FOLDER`: judge what a campaign has left in its folder, again. Exit code 1 if it was broken."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from chaos.judge import judge, read_evidence


def main() -> int:
    """Read, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m chaos.judge", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    options = parser.parse_args()
    verdict = judge(read_evidence(options.folder))
    sys.stdout.write((json.dumps(verdict.as_json(), indent=2) if options.json else verdict.table()) + "\n")
    return 0 if verdict.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())

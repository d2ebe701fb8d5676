"""What the tests share with the program that uses a folder as a process of its own."""

from __future__ import annotations

from pathlib import Path

PROGRAM = Path(__file__).parent / "storage" / "folder_user.py"
NEW = b"n" * (3 * 1024 * 1024)
# A function of os, which of its calls, and whether the kill comes before it. The first fsync is the content's, the
# second its folder's.
STEPS = {
    "write": ("write", 2, True),
    "written": ("write", 3, False),
    "fsync": ("fsync", 1, True),
    "fsynced": ("fsync", 1, False),
    "rename": ("rename", 1, True),
    "renamed": ("rename", 1, False),
    "folder fsync": ("fsync", 2, True),
    "folder fsynced": ("fsync", 2, False),
}

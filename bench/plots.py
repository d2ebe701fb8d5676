"""Bar charts as SVG, by hand: nothing is installed for a picture of ten numbers."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 760
ROW = 26
BAR = 18
LABELS = 260
FIGURES = 90
TOP = 40
OURS = "#1f6f5c"
THEIRS = "#9aa5b1"


def bars(title: str, rows: Sequence[tuple[str, float]], ours: Sequence[str] = ("Dovecote",)) -> str:
    """A chart with a bar for each row, as long as its value; those named in `ours` in another colour.

    Raises ValueError for values of which none is above zero.
    """
    largest = max((value for _, value in rows), default=0.0)
    if largest <= 0:
        raise ValueError(f"{title}: there is nothing to draw in {list(rows)}")
    room = WIDTH - LABELS - FIGURES
    height = TOP + ROW * len(rows) + 10
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="24" font-size="15" font-weight="bold" fill="#1b1f24">{escape(title)}</text>',
    ]
    for number, (label, value) in enumerate(rows):
        y = TOP + ROW * number
        length = max(1.0, room * value / largest)
        colour = OURS if label in ours else THEIRS
        lines += [
            f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end" fill="#1b1f24">{escape(label)}</text>',
            f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LABELS + length + 6:.1f}" y="{y + 14}" fill="#1b1f24">{value:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])

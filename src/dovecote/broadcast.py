"""The words in which broadcasts are written: import them from here. See `docs/broadcasts.md`."""

from dovecote.model import (
    Added,
    Addressee,
    BadLine,
    Brake,
    Broadcast,
    BroadcastCounts,
    BroadcastKind,
    BroadcastRecord,
    BroadcastState,
    DryRun,
    Estimate,
    RecipientRecord,
    RecipientState,
    Rendering,
    Segment,
)

__all__ = [
    "Added",
    "Addressee",
    "BadLine",
    "Brake",
    "Broadcast",
    "BroadcastCounts",
    "BroadcastKind",
    "BroadcastRecord",
    "BroadcastState",
    "DryRun",
    "Estimate",
    "RecipientRecord",
    "RecipientState",
    "Rendering",
    "Segment",
]

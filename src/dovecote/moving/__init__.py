"""Moving to Dovecote step by step, and back: from an outbox of one's own, or from sending in the request.

- `adopting`: what waits in an old table comes into the outbox, a bounded batch at a time, each row once.
- `shadow`: Dovecote runs beside the old path and sends to the emulator; what both have sent is compared.
- `switch`: which chats of a bot have moved, by a share that an operator sets while everything runs.

See `docs/moving.md`.
"""

from dovecote.moving.adopting import Adopted, adopt
from dovecote.moving.old_table import OldTable, read_old_table
from dovecote.moving.shadow import Comparison, Delivery, compare
from dovecote.moving.switch import Switch, place_of

__all__ = [
    "Adopted",
    "Comparison",
    "Delivery",
    "OldTable",
    "Switch",
    "adopt",
    "compare",
    "place_of",
    "read_old_table",
]

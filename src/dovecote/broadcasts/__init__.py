"""Broadcasts: one content for many recipients, and to know and steer what becomes of it.

- A recipient is a row by (broadcast, chat): that key is the promise that nobody gets one twice. The fan-out takes the
  next of them in the order of their chats, enqueues them, marks them and moves the cursor in one transaction, under the
  lock of the broadcast's row: a crash anywhere goes on behind the last commit.
- The outbox never holds more of a broadcast than a window, some seconds of its bot's pace. So a pause has a bounded
  number of rows to put off, and does so in the call itself: they are given a due time in the year 9999 and are found
  by no claim. What a worker has in its hands by then (half a second's slots) is sent.
- The statement of the claim knows nothing of broadcasts. A notification names its broadcast in its parameters, and an
  outbox around the outbox (`RenderedOutbox`) puts the content there when it has been claimed, rendered for the
  recipient.
- Outcomes are collected from the history, at most a window of them, and counted in the transaction that writes them to
  the recipients. So progress is one row, whatever the number of recipients, and the record outlives the history.
- A recall and an edit are broadcasts of their own, over the recorded message ids of another.
- The database judges; leadership only saves work. Whoever looks at a broadcast that another has locked leaves it.
"""

from dovecote.broadcasts.api import Broadcasts
from dovecote.broadcasts.claims import RenderedChannel, RenderedOutbox, Renderer
from dovecote.broadcasts.loop import Broadcaster, BroadcasterSettings

__all__ = ["Broadcaster", "BroadcasterSettings", "Broadcasts", "RenderedChannel", "RenderedOutbox", "Renderer"]

"""Attachments: what stands between a notification with stored files and the channel.

Telegram gives every file that a bot sends a `file_id`, by which that bot may send it again for nothing. So a content is
uploaded once, by whichever worker needs it first, and sent by its `file_id` ever after. What keeps this correct:

- **The parameters hold references**, and a text without one passes by: one look for a mark in it is all that a
  notification without files pays. What is known of the files of a batch is read in one statement when it is claimed.
- **A `file_id` stands for more than a content**: the name that is shown, a thumbnail, a video's length are part of it
  at Telegram, so they are part of the key. It belongs to one bot.
- **An upload is a turn.** A row of the database says who uploads a content and until when. Whoever else needs it gives
  its notification back (no lease, no connection, no attempt) until the turn ends at the latest, and is woken when it is
  over. A worker that dies with a turn holds up the others no longer than the lease of the turn. If two upload all the
  same, because one was frozen, both get a `file_id`, and either is right: a turn saves uploads, nothing depends on it.
- **What was not read to its end was not sent.** A content is given out one chunk behind, its hash verified before the
  last; a file that is missing or damaged breaks the request off, so that Telegram never has all of it.
- **A `file_id` that Telegram does not know** is forgotten by its value, so that a newer one stays, and the file is
  uploaded once more within the same attempt: the refusal is certain, so there is no second copy.
"""

from dovecote.attachments.known import Knowledge, PreparedOutbox
from dovecote.attachments.patience import Patience
from dovecote.attachments.sending import AttachmentChannel
from dovecote.attachments.turns import Turns
from dovecote.attachments.urls import UrlSender

__all__ = ["AttachmentChannel", "Knowledge", "Patience", "PreparedOutbox", "Turns", "UrlSender"]

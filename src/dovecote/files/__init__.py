"""Files: contents that are stored once, found again by id, and removed when nobody needs them any more.

How it stays correct, whatever is killed, frozen or late:

- **The database decides.** A content is a row, unique by its SHA-256: of two that put the same content at the same time
  one becomes the file, and the other's object is removed. A store promises nothing about who comes first.
- **A key is used once.** `sha256/ab/cd/<hash>-<chance>` begins with the hash, and ends with chance, so that a content
  that was removed and is put again gets another key. A removal that comes late (a leader that was frozen, a request
  that a server still had) can only ever remove what it was meant for.
- **What is in a store is written down before it is there.** An upload announces its key as a loose object; in one
  transaction the announcement goes and the file comes. A crash before that transaction leaves an announcement, whose
  object is removed when its window of a day is over; after it there is nothing to mend. The window is kept by the
  database: an upload that took longer finds its announcement doomed, makes no file of it and begins again.
- **What is removed is written down before it is gone.** Removing a file turns its objects into doomed loose ones in the
  same transaction. Then the store is asked, and only after its answer are they forgotten: a crash in between asks
  again, and deleting twice is harmless.
- **Nobody removes what is being attached.** Whoever attaches a file reads its row with a share lock (FOR KEY SHARE) in
  the transaction that writes the attachment; sharing blocks no other application. Whoever removes locks the row for
  update first, passing over rows that are locked, and looks for attachments *in the next statement*, whose picture
  holds everything that was committed before the lock. So either the attachment is seen, or the attaching transaction
  finds no row and is told so (UnknownFile). On SQLite one writer excludes the other.
- **In use** is what a notification in the outbox needs: an attachment whose notification is there. A settle touches no
  attachment. Attachments of what was delivered are forgotten later, by the collection; those of dead letters and
  unknown ones stay, since they may be replayed. The grace period begins when the last one was forgotten.
- **A move** is a second store that is written as well, the mirror. Each copy is a row with a key of its own, so what a
  process has put that is late in noticing a move is found where it put it. Roles are changed in a transaction that sees
  that the mirror lacks nothing.
"""

from dovecote.files.collector import FileCollector
from dovecote.files.contents import Content, Source, taken_in
from dovecote.files.library import Files
from dovecote.files.storages import Storages

__all__ = ["Content", "FileCollector", "Files", "Source", "Storages", "taken_in"]

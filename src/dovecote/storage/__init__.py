"""Where the contents of files are kept: a folder, an S3-compatible store, and memory for tests. One port for all."""

from dovecote.ports import FileStorage
from dovecote.storage.local import LocalStorage
from dovecote.storage.memory import MemoryStorage
from dovecote.storage.s3 import S3Storage

__all__ = ["FileStorage", "LocalStorage", "MemoryStorage", "S3Storage"]

"""What is counted of files, for Prometheus: implements `dovecote.ports.files.FileObserver`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter

from dovecote.errors import FileDamaged, FileMissing, StorageRefused, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovecote.model import Collection, Outcome

ERRORS: Final[dict[type[Exception], str]] = {
    FileDamaged: "damaged",
    FileMissing: "missing",
    StorageRefused: "refused",
    StorageUnavailable: "unavailable",
}
PUT: Final = ("stored", "known", "failed")


class FileMetrics:
    """The counters of one process, in `registry`. `outcomes` are the words for what comes of a request."""

    def __init__(self, registry: CollectorRegistry, outcomes: Mapping[type[Outcome], str]) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"dovecote_{name}", about, labels, registry=registry)

        self._put = counter("files_put", "Contents that were put.", "outcome")
        self._put_bytes = counter("files_put_bytes", "Bytes of the contents that were stored.")
        self._uploads = counter("file_uploads", "Requests to Telegram with files, by their outcome.", "outcome")
        self._uploaded_bytes = counter("file_uploads_bytes", "Bytes of the files of those requests.")
        self._file_ids = counter("file_ids", "Files to be sent, by whether Telegram's name is known.", "known")
        self._collected = counter("files_collected", "Files that nobody needed.")
        self._collected_bytes = counter("files_collected_bytes", "Bytes of the files that nobody needed.")
        self._errors = counter("storage_errors", "Calls of a file storage that failed.", "error")
        self._outcomes = outcomes
        # So that each is 0 and not absent until something happens.
        for outcome in PUT:
            self._put.labels(outcome)
        for outcome in outcomes.values():
            self._uploads.labels(outcome)
        for known in ("yes", "no"):
            self._file_ids.labels(known)
        for error in (*ERRORS.values(), "other"):
            self._errors.labels(error)

    def put(self, outcome: str, size: int) -> None:
        """See `ports.files.FileObserver.put`."""
        self._put.labels(outcome).inc()
        self._put_bytes.inc(size if outcome == "stored" else 0)

    def sending(self, *, known: int, unknown: int) -> None:
        """See `ports.files.FileObserver.sending`."""
        self._file_ids.labels("yes").inc(known)
        self._file_ids.labels("no").inc(unknown)

    def uploaded(self, outcome: Outcome, size: int) -> None:
        """See `ports.files.FileObserver.uploaded`."""
        self._uploads.labels(self._outcomes[type(outcome)]).inc()
        self._uploaded_bytes.inc(size)

    def collected(self, done: Collection) -> None:
        """See `ports.files.FileObserver.collected`."""
        self._collected.inc(done.files)
        self._collected_bytes.inc(done.size)

    def storage_failed(self, error: Exception) -> None:
        """See `ports.files.FileObserver.storage_failed`."""
        self._errors.labels(next((word for kind, word in ERRORS.items() if isinstance(error, kind)), "other")).inc()

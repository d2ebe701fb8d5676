"""The architecture in one place: what the engine asks of the world. Adapters implement these, nothing else.

No port has more than eight methods. Each port has one conformance suite that runs over all of its adapters.
"""

from dovecote.ports.administration import (
    BotStore,
    CountStore,
    ErasingStore,
    HealthStore,
    HistoryStore,
    OverviewStore,
    PruneStore,
    RecipientBook,
    RecipientStore,
    RestoreStore,
    RetentionStore,
)
from dovecote.ports.broadcasts import (
    BroadcastBook,
    BroadcastObserver,
    BroadcastRecipients,
    BroadcastStore,
    ContentStore,
)
from dovecote.ports.delivery import Channel, EnqueueSpan, Observer, OutboxStore, TokenSource, TraceStore
from dovecote.ports.direct import DirectSlots
from dovecote.ports.jobs import JobRunStore, JobStore
from dovecote.ports.leadership import Election, Leadership, LeaseStore, Loop, TermStore
from dovecote.ports.schedules import ScheduleBook, ScheduleObserver, ScheduleStore
from dovecote.ports.storage import FileStorage, ManagedStorage, StorageUpkeep

__all__ = [
    "BotStore",
    "BroadcastBook",
    "BroadcastObserver",
    "BroadcastRecipients",
    "BroadcastStore",
    "Channel",
    "ContentStore",
    "CountStore",
    "DirectSlots",
    "Election",
    "EnqueueSpan",
    "ErasingStore",
    "FileStorage",
    "HealthStore",
    "HistoryStore",
    "JobRunStore",
    "JobStore",
    "Leadership",
    "LeaseStore",
    "Loop",
    "ManagedStorage",
    "Observer",
    "OutboxStore",
    "OverviewStore",
    "PruneStore",
    "RecipientBook",
    "RecipientStore",
    "RestoreStore",
    "RetentionStore",
    "ScheduleBook",
    "ScheduleObserver",
    "ScheduleStore",
    "StorageUpkeep",
    "TermStore",
    "TokenSource",
    "TraceStore",
]

"""The numbers of a campaign: how long, how many, and the settings of Dovecote that it runs with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaos.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a campaign is made of. Seconds, and messages per second."""

    seed: int
    seconds: float
    database: str = "postgresql"
    workers: int = 3
    schedulers: int = 2
    valkey: bool = True
    elect_by_valkey: bool = False
    s3: bool = True
    pooler: bool = False
    """Whether a transaction pooler stands before PostgreSQL; workers only poll then."""
    per_second: float = 10.0
    pace: float = 25.0
    recipients: int = 200
    schedules: int = 3
    jobs: int = 2
    drain_seconds: float = 120.0
    timeout: float = 2.0
    lease: float = 8.0
    private_limit: tuple[int, float] = (3, 3.0)
    group_limit: tuple[int, float] = (5, 5.0)
    begins: float = 3.0
    """Seconds of peace at the beginning."""
    pause: tuple[float, float] = (1.0, 6.0)
    """Between what goes wrong in one lane."""
    only: tuple[str, ...] = ()
    """The kinds of faults that are made; all, if none is named."""

    def for_the_judge(self, read_at: float) -> dict[str, Any]:
        """What the judge has to know of it. `read_at` is when the tables were read."""
        return {**asdict(self), "bot_limit": (self.pace, self.pace), "read_at": read_at}

    def of_dovecote(self, place: Place) -> dict[str, dict[str, Any]]:
        """Dovecote's settings: everything is short, so that what is lost is found again within the campaign."""
        redis = {"url": place.redis_url()} if self.elect_by_valkey else {}
        return {
            "database": {"url": place.database_url()},
            "telegram": {
                "base_url": f"http://127.0.0.1:{place.networks['the Bot API'].port}",
                "timeout": f"{self.timeout}s",
                "upload_timeout": "4s",
            },
            "worker": {
                "batch_size": 100,
                "concurrency": 32,
                "lease": f"{self.lease}s",
                "drain_deadline": "5s",
                **({"listen": False} if self.pooler else {}),
            },
            # At least once never gives up: what is lost is then lost for certain.
            "retry": {"attempts": 1000, "unknown_attempts": 1000, "first": "200ms", "longest": "2s"},
            "leadership": {"lease": "3s", "renew_interval": "800ms", "poll_interval": "300ms"},
            "scheduler": {"look_interval": "500ms", "sweep_interval": "2s"},
            "storage": place.storage,
            "redis": redis,
        }


def as_environment(settings: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The same as variables."""
    return {
        f"DOVECOTE_{section}_{name}".upper(): str(value)
        for section, members in settings.items()
        for name, value in members.items()
    }

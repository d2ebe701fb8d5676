"""Jobs are run by whoever is elected among the schedulers, whoever leads among the workers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import urlsplit

import job_functions
import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from deliveries import until

from dovecote.app import Dovecote
from dovecote.config import Settings
from dovecote.integrations.apscheduler import RedisJobStore, elected
from dovecote.service import Supervised

BY_REDIS = [False, True]


@pytest.mark.parametrize("by_redis", BY_REDIS)
async def test_jobs_run_while_a_worker_leads(url: str, valkey_url: str, *, by_redis: bool) -> None:
    lease = {"lease": timedelta(seconds=3), "renew_interval": timedelta(seconds=1)}
    settings = Settings.model_validate({"leadership": lease, "redis": {"url": valkey_url if by_redis else None}})
    async with Dovecote(url, settings=settings) as worker, Dovecote(url, settings=settings) as program:
        standing = Supervised(worker.elector("worker"))
        standing_for_election = asyncio.create_task(standing.run())
        await until(lambda: worker.elector().term is not None)

        server = urlsplit(valkey_url)
        store = RedisJobStore(host=server.hostname, port=server.port, db=1)
        scheduler = elected(AsyncIOScheduler(jobstores={"default": store}), program)
        scheduler.start()
        scheduler.add_job(job_functions.note, "date", id="j")
        await until(lambda: len(job_functions.CALLS) == 1)

        found = await worker.leadership()
        assert found.leader == worker.elector().instance.id
        assert found.jobs is not None
        assert found.jobs.leader == program.jobs_elector().instance.id
        assert [peer.role for peer in found.jobs.instances] == ["scheduler"]
        assert sorted(peer.role for peer in found.instances) == ["scheduler", "worker"]
        assert worker.elector().term is not None

        async def handed_over() -> bool:
            return (await worker.leadership()).jobs is None

        scheduler.shutdown()
        await until(handed_over)
        standing.stop()
        await standing_for_election

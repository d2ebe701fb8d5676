"""APScheduler under an election: one instance runs the jobs, the others follow, and no fire time runs twice.

    scheduler = elected(AsyncIOScheduler(jobstores={"default": RedisJobStore(host="localhost", port=6379, db=1)}))

How it stays correct, whoever believes to lead:

- the database has the jobs, their next runs and the record of their runs; Redis has a copy, which is never believed;
- a run is planned in one transaction with its job's next run, if the job is still as the planner saw it; it begins by
  taking a lease in the database, which only one can; a unit of work ends it inside of its own transaction;
- the scheduler's calls look at memory; all that waits does so in a thread of its own (`backstage`).
"""

try:
    import apscheduler  # noqa: F401 (an extra)
except ImportError as error:
    from dovecote.errors import MissingExtra

    raise MissingExtra("apscheduler", "Running APScheduler under an election") from error

from dovecote.integrations.apscheduler.election import elected
from dovecote.integrations.apscheduler.functions import retried
from dovecote.integrations.apscheduler.keeper import Timing
from dovecote.integrations.apscheduler.running import JobUnit
from dovecote.integrations.apscheduler.store import RedisJobStore

__all__ = ["JobUnit", "RedisJobStore", "Timing", "elected", "retried"]

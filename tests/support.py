"""What tests of the rules share: jobs made in one word, and a worker without a process.

The driver claims and ends runs through `django_flare.lifecycle` as the real worker does, but only when
a test says so. Each job that `make_job` makes has a queue of its own, so that it can be claimed alone.
"""

import itertools

from django_flare import JobState, jobs
from django_flare.definitions import registry
from django_flare.lifecycle import claim, finish, recovery
from django_flare.lifecycle.claim import ClaimRequest
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Job
from django_flare.states import Event
from django_flare.store import rows
from django_flare.store.claim import claimable_queues
from tests.testapp.jobs import plain

USING = "default"

_numbers = itertools.count(1)


def make_job(handler=plain, payload=None, *, parents=None, when=None, **options):
    """Create a job with a queue of its own unless one is given; return its id."""
    options.setdefault("queue", f"q{next(_numbers)}")
    if parents is not None:
        return jobs.continue_with(parents, handler, payload, when=when, **options)
    if when is not None:
        return jobs.schedule(handler, payload, when=when, **options)
    return jobs.enqueue(handler, payload, **options)


def row(job_id):
    """Return the row of a job as it is now."""
    return Job.objects.get(public_id=job_id)


def columns(job_id):
    """Return the whole row of a job as a dict, to be compared."""
    return Job.objects.filter(public_id=job_id).values().get()


def state(job_id):
    """Return the state of a job."""
    return JobState(row(job_id).state)


def states(*job_ids):
    """Return the states of several jobs, in order."""
    return [state(job_id) for job_id in job_ids]


def force(job_id, **values):
    """Write columns past all rules, for what no verb brings about: a corrupted or a foreign row."""
    assert rows.jobs(USING).filter(public_id=job_id).update(**values) == 1


class Driver:
    """Play a worker: register, claim, and end runs as the test says.

    The verbs that end a run take the job's id and start the job first unless it runs already; they
    return whether the outcome was accepted.
    """

    def __init__(self, worker_id=None, *, registered=True):
        self.worker_id = worker_id or f"wrk_test_{next(_numbers)}"
        self.runs = {}
        if registered:
            self.register()

    def register(self):
        recovery.register(
            USING,
            id=self.worker_id,
            hostname="host",
            pid=1,
            version="0",
            queues=[],
            job_types=[],
            slots=10,
            running=0,
        )

    def claim(self, *queues, limit=100, known_types=None):
        """Claim from `queues`, or from all that have claimable jobs; return the claimed rows."""
        types = registry.names() if known_types is None else known_types
        request = ClaimRequest(self.worker_id, queues or claimable_queues(USING), types, limit)
        claimed = claim.claim(request, USING)
        self.runs.update({str(run.public_id): run for run in claimed})
        return claimed

    def start(self, job_id):
        """Claim this very job; return the claimed row."""
        claimed = self.claim(row(job_id).queue, limit=1)
        assert [str(run.public_id) for run in claimed] == [job_id], f"{job_id} is {state(job_id)}"
        return claimed[0]

    def outcome(self, job_id, event, **facts):
        """Return the outcome of the job's run, which is started if need be."""
        if job_id not in self.runs:
            self.start(job_id)
        run = self.runs.pop(job_id)
        return Outcome(id=run.id, fence=run.fence, event=event, **facts)

    def end(self, job_id, event, **facts):
        outcome = self.outcome(job_id, event, **facts)
        applied = finish.apply([outcome], USING)
        assert not applied.busy
        return bool(applied.states)

    def succeed(self, job_id, result=None):
        return self.end(job_id, Event.SUCCEED, result=result)

    def fail(self, job_id, error=None, **facts):
        return self.end(job_id, Event.FAIL, failure=describe(error or ValueError("boom")), **facts)

    def discard(self, job_id, reason="no use"):
        return self.end(job_id, Event.EXHAUST, failure=describe(RuntimeError(reason)))

    def snooze(self, job_id, delay=60):
        return self.end(job_id, Event.SNOOZE, delay=delay)

    def release(self, job_id):
        return self.end(job_id, Event.RELEASE)

    def lose(self, job_id):
        return self.end(job_id, Event.LOSE)

    def leave(self, job_id):
        """Leave because the run was asked to stop."""
        return self.end(job_id, Event.STOPPED)

    def request_stop(self, job_id):
        """Ask the run to stop; the job is started if need be."""
        if job_id not in self.runs:
            self.start(job_id)
        assert jobs.stop(job_id) is True

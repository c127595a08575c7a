"""The operations of the race matrix, and the small graphs that they are let loose on.

A graph is parent → subject → child. Every operation aims at the subject, or at the parent whose end decides
about it; what it has to say is told in names, so that two orders can be compared.
"""

# ruff: noqa: E501

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import chain

from django.db import connection
from django.db.models import F
from django.db.transaction import atomic

from django_flare import FlareError, jobs
from django_flare.lifecycle import claim as claims
from django_flare.lifecycle import recovery, retention
from django_flare.lifecycle.claim import take_turn
from django_flare.models import Attempt, Continuation, Job, Worker
from django_flare.states import FINAL, JobState
from django_flare.store import rows
from django_flare.store.clock import read_now
from tests.races.support import (
    USING,
    apply,
    apply_until_recorded,
    claim_one,
    discarded,
    failed,
    let_vanish,
    register,
    released,
    request,
    succeeded,
    work,
)

LEASE = timedelta(minutes=10)
AN_HOUR = timedelta(hours=1)


# --- graphs -----------------------------------------------------------------------------------------------------


class World:
    """A graph of jobs as it is before a race, kept as rows so that it can be put back."""

    def __init__(self, name):
        self.name = name
        _empty()
        for worker_id in ("wrk_a", "wrk_0", "wrk_1"):
            register(worker_id)
        self.ids = WORLDS[name]()
        self.names = {job_id: name for name, job_id in self.ids.items()}
        # What has ended did so long ago, and the worker has not been heard of since.
        rows.jobs(USING).filter(state__in=FINAL).update(completed_at=F("completed_at") - 2 * AN_HOUR)
        let_vanish("wrk_a")
        self.runs = {
            name: Run(Job.objects.get(public_id=job_id).pk, job_id) for name, job_id in self.ids.items()
        }
        self._saved = [(model, list(model.objects.all())) for model in (Job, Continuation, Worker, Attempt)]

    def restore(self):
        with atomic():
            _empty()
            for model, saved in self._saved:
                rows.QuerySet(model, using=USING).bulk_create(saved)


@dataclass(frozen=True)
class Run:
    """Name a run as an outcome does; it is the first of its job."""

    id: int
    public_id: str
    fence: int = 1


def _empty():
    for model in (Attempt, Continuation, Worker, Job):
        rows.QuerySet(model, using=USING)._raw_delete(USING)


def _graph(parent):
    subject = jobs.continue_with(parent, work)
    return {"parent": parent, "subject": subject, "child": jobs.continue_with(subject, work)}


def _waiting():
    parent = jobs.enqueue(work)
    claim_one(parent)
    return _graph(parent)


def _pending():
    parent = jobs.enqueue(work)
    apply(succeeded(claim_one(parent)))
    return _graph(parent)


def _running():
    ids = _pending()
    claim_one(ids["subject"])
    return ids


def _ended(end):
    ids = _pending()
    apply(end(claim_one(ids["subject"])))
    return ids


WORLDS = {
    "waiting": _waiting,
    "pending": _pending,
    "running": _running,
    "failed": lambda: _ended(_failed),
    "dead": lambda: _ended(discarded),
}


# --- operations -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """Something that is done to the subject of a world by rival 0 or 1.

    `home` is the world in which it has most to do. `may_wait` tells whether it may wait for a lock: callers
    may, a worker never. `passes_over` tells that it leaves out what others have locked and finds it the next time.
    """

    do: Callable
    home: str
    may_wait: bool = False
    passes_over: bool = False

    def sum_up(self, *answers):
        """Return what it said, all in all, when it came more than once."""
        return sorted(chain(*answers)) if isinstance(answers[0], list) else sum(answers)


def _claim(world, rival, *, is_idle=False):
    asked = replace(request(f"wrk_{rival}"), is_idle=is_idle, free_slots=None)
    return sorted(_name(world, found.public_id) for found in claims.claim(asked, USING))


def _end(make, job, world, rival):
    states = apply_until_recorded(make(world.runs[job]), write=_take_turn)
    return [state.value for state in states.values()]


def _take_turn(*outcomes):
    return take_turn(outcomes, None, USING).applied


def _failed(claimed):
    # Long enough that no slow machine sees it pass.
    return replace(failed(claimed), delay=AN_HOUR.total_seconds())


def _beat(world, rival):
    found = recovery.beat("wrk_a", 1, USING)
    return found.alive, sorted((fence, stop) for fence, stop in found.held.values())


def _recover(world, rival):
    return recovery.recover(LEASE, USING)


def _verb(verb, world, rival, **options):
    return verb(world.ids["subject"], **options)


def _attach(world, rival):
    jobs.continue_with(world.ids["subject"], work, tags={"name": f"attached by {rival}"})


def _prune(world, rival):
    # One state: between those of a whole round anything may happen.
    state = JobState.DEAD_LETTER if world.name == "dead" else JobState.SUCCEEDED
    return retention.prune({state: AN_HOUR}, USING)


OPERATIONS = {
    "claim": Operation(_claim, "pending", passes_over=True),
    "complete": Operation(partial(_end, succeeded, "subject"), "running"),
    "fail": Operation(partial(_end, _failed, "subject"), "running"),
    "release": Operation(partial(_end, released, "subject"), "running"),
    "beat": Operation(_beat, "running", may_wait=True),
    "recover": Operation(_recover, "running", passes_over=True),
    "cancel": Operation(partial(_verb, jobs.cancel), "pending", may_wait=True),
    "retry": Operation(partial(_verb, jobs.retry), "dead", may_wait=True),
    "revive": Operation(partial(_verb, jobs.retry, revive=True), "dead", may_wait=True),
    "discard": Operation(partial(_verb, jobs.discard), "failed", may_wait=True),
    "stop": Operation(partial(_verb, jobs.stop), "running", may_wait=True),
    "attach": Operation(_attach, "running", may_wait=True),
    "activate": Operation(partial(_end, succeeded, "parent"), "waiting"),
    "cascade": Operation(partial(_end, discarded, "parent"), "waiting"),
    "prune": Operation(_prune, "dead", passes_over=True),
}
if connection.vendor == "postgresql":  # elsewhere it is the same
    OPERATIONS["claim at once"] = Operation(partial(_claim, is_idle=True), "pending", passes_over=True)


NEVER_MEET = {
    "activate": "complete discard fail prune release retry revive stop",
    "cascade": "claim complete discard fail prune release retry revive stop",
    "cancel": "complete discard fail prune stop",
    "discard": "claim complete prune release stop",
    "prune": "claim fail release stop",
    "retry": "complete release stop",
    "revive": "complete release stop",
}
"""Pairs of which one finds nothing to do in every order: they want the job, or its parent, in other states.

A parent that retention may delete has no child that the other could change.
"""


def may_meet(one, other):
    """Tell whether the two can race each other for a job at all."""
    one, other = ("claim" if name == "claim at once" else name for name in (one, other))
    return other not in NEVER_MEET.get(one, "").split() and one not in NEVER_MEET.get(other, "").split()


def answer(operation, world, rival):
    """Do the operation; return what it says, in names, also what it refuses."""
    try:
        return operation.do(world, rival)
    except FlareError as error:
        return error.code


# --- what is compared -------------------------------------------------------------------------------------------


def snapshot(world):
    """Return all that is there afterwards, without times and keys."""
    now = read_now(USING)
    found = {job.pk: job for job in Job.objects.all()}
    name = {key: job.tags.get("name") or _name(world, job.public_id) for key, job in found.items()}
    return {
        "jobs": {name[key]: _columns(world, job, now) for key, job in found.items()},
        "links": sorted((name[link.parent_id], name[link.child_id]) for link in Continuation.objects.all()),
        "attempts": sorted((name[each.job_id], each.fence, each.outcome) for each in Attempt.objects.all()),
        "workers": {each.pk: each.last_beat_at > now - LEASE for each in Worker.objects.all()},
    }


def _columns(world, job, now):
    return {
        **{field: getattr(job, field) for field in _COMPARED},
        "is_due": job.run_at <= now,
        "is_started": job.started_at is not None,
        "cancelled_by": job.cancelled_by and _name(world, job.cancelled_by),
    }


_COMPARED = (
    "state",
    "attempt",
    "max_attempts",
    "fence",
    "losses",
    "worker_id",
    "stop_requested",
    "open_parents",
    "parent_count",
    "progress",
    "result",
    "error_message",
)


def _name(world, public_id):
    return world.names.get(str(public_id), "attached")

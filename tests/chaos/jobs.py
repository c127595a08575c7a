"""The work of the campaign."""

import functools
import os
import signal
from datetime import timedelta
from pathlib import Path

from django.db import transaction

from django_flare import Discard, JobContext, Snooze, job
from tests.chaos.ledger import Entry
from tests.chaos.models import Effect

_BLINK = 0.05


@job(name="chaos.noop")
def noop(payload: dict, ctx: JobContext):
    with Entry(ctx) as entry:
        ctx.sleep(payload.get("seconds", 0))
        return entry.result()


@job(name="chaos.write")
def write(payload: dict, ctx: JobContext):
    """Write into the business data in a transaction of its own."""
    with Entry(ctx) as entry:
        with transaction.atomic():
            ctx.sleep(payload["seconds"])
            Effect.objects.create(job=ctx.job_id, kind="plain")
        return entry.result()


@job(name="chaos.atomic", atomic=True)
def atomic(payload: dict, ctx: JobContext):
    """Write into the business data in one transaction with the outcome."""
    with Entry(ctx) as entry:
        Effect.objects.create(job=ctx.job_id, kind="atomic")
        ctx.sleep(payload["seconds"])
        return entry.result()


@job(name="chaos.progress")
def progress(payload: dict, ctx: JobContext):
    with Entry(ctx) as entry:
        for step in range(10):
            ctx.report_progress(step / 10)
            ctx.sleep(payload["seconds"] / 10)
            ctx.raise_if_cancelled()
        return entry.result()


@job(name="chaos.long")
def long(payload: dict, ctx: JobContext):
    """Outlive leases; leave when told to."""
    with Entry(ctx) as entry:
        if ctx.sleep(payload["seconds"]):
            ctx.raise_if_cancelled()
        return entry.result()


@job(name="chaos.deaf")
def deaf(payload: dict, ctx: JobContext):
    """Outlive leases, and do not leave when told to."""
    with Entry(ctx) as entry:
        _hold(payload["seconds"])
        return entry.result()


def _hold(seconds):
    # Many calls, as an exception that is raised in the thread arrives between two of them.
    import time

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(_BLINK)


@job(name="chaos.flaky")
def flaky(payload: dict, ctx: JobContext):
    """Fail a few times, then succeed."""
    with Entry(ctx) as entry:
        if ctx.attempt_number <= payload["failures"]:
            raise entry.error("not yet")
        return entry.result()


@job(name="chaos.hopeless", max_attempts=2)
def hopeless(ctx: JobContext):
    with Entry(ctx) as entry:
        raise entry.error("never")


@job(name="chaos.overlong", max_attempts=2, timeout=timedelta(seconds=2))
def overlong(ctx: JobContext):
    with Entry(ctx):
        ctx.sleep(30)
        ctx.raise_if_cancelled()


@job(name="chaos.snoozer")
def snoozer(payload: dict, ctx: JobContext):
    """Snooze until a time that the payload gives."""
    with Entry(ctx) as entry:
        sign = Path(os.environ["CHAOS_LOGS"]) / f"snoozed-{payload['token']}"
        if not sign.exists():
            sign.touch()
            raise Snooze(payload["seconds"])
        return entry.result()


@job(name="chaos.node")
def node(payload: dict, ctx: JobContext):
    """Be a part of a graph; some die."""
    with Entry(ctx) as entry:
        ctx.sleep(payload.get("seconds", 0))
        if payload.get("dies"):
            raise Discard(f"chaos[{entry.nonce}] this one dies")
        return entry.result([job_id for job_id, _ in ctx.parents])


@job(name="chaos.parent")
def parent(payload: dict, ctx: JobContext):
    """Enqueue jobs, some of them behind this one, while it runs."""
    from tests.chaos import inside

    with Entry(ctx) as entry:
        inside.enqueue_children(payload, ctx)
        return entry.result()


# Those that do not behave.


def _raise_nul(entry):
    raise RuntimeError(f"chaos[{entry.nonce}] a\x00b\ud800c")


def _raise_huge(entry):
    raise RuntimeError(f"chaos[{entry.nonce}] " + "x" * 5_000_000)


def _raise_exit(entry):
    raise SystemExit(f"chaos[{entry.nonce}]")


def _leave_transaction(entry):
    transaction.atomic().__enter__()
    Effect.objects.create(job="nobody", kind="dirt")
    return entry.result()


def _return_nonsense(entry):
    return {"nonce": entry.nonce, "at": object()}


_NASTY = {
    "nul": _raise_nul,
    "huge": _raise_huge,
    "exit": _raise_exit,
    "transaction": _leave_transaction,
    "result": _return_nonsense,
}


@job(name="chaos.nasty", max_attempts=2)
def nasty(payload: dict, ctx: JobContext):
    with Entry(ctx) as entry:
        return _NASTY[payload["how"]](entry)


_POISONS = {
    "exit": functools.partial(os._exit, 0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


@job(name="chaos.poison", queue="poison")
def poison(payload: dict, ctx: JobContext):
    """End the process."""
    with Entry(ctx):
        _POISONS[payload["how"]]()

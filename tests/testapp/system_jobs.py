"""What real workers run in the tests of the whole system; most handlers write down what they did."""

import asyncio
import contextvars
import ctypes
import faulthandler
import logging
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from django.db import connection, transaction
from django.utils import timezone, translation

from django_flare import Discard, JobContext, Retry, Snooze, failpoints, job
from tests.testapp.models import Effect, Ledger

_BLINK = 0.02


def note(ctx, event):
    Ledger.objects.create(job_id=ctx.job_id, attempt=ctx.attempt_number, pid=os.getpid(), event=event)


async def anote(ctx, event):
    await Ledger.objects.acreate(job_id=ctx.job_id, attempt=ctx.attempt_number, pid=os.getpid(), event=event)


def has_noted(ctx, event):
    return Ledger.objects.filter(job_id=ctx.job_id, event=event).exists()


# Every kind of handler.


@dataclass
class Parcel:
    number: int
    price: Decimal
    due: datetime
    within: timedelta


@job(name="system.typed")
def typed(payload: Parcel, ctx: JobContext):
    assert isinstance(payload, Parcel)
    return {
        "number": payload.number,
        "price": str(payload.price),
        "due": payload.due.isoformat(),
        "tags": ctx.tags,
    }


@job(name="system.typed_async")
async def typed_async(payload: Parcel):
    await asyncio.sleep(0)
    return [payload.number, payload.within.total_seconds()]


@job(name="system.Typed")
class Typed:
    def execute(self, payload: Parcel, ctx: JobContext):
        self.seen = getattr(self, "seen", 0) + 1
        return {"seen": self.seen, "attempt": ctx.attempt_number, "queue": ctx.queue}


@job(name="system.TypedAsync")
class TypedAsync:
    async def execute(self, ctx: JobContext, payload: Parcel):
        await anote(ctx, "ran")
        return payload.price == Decimal("9.99")


@job(name="system.bare")
def bare(): ...


@job(name="system.good")
def good(ctx: JobContext):
    note(ctx, "started")
    note(ctx, "finished")


@job(name="system.quick")
def quick(payload: dict):
    return payload.get("n")


@job(name="system.halfway")
def halfway(payload: dict, ctx: JobContext):
    ctx.report_progress(0.25)
    ctx.report_progress(0.5)
    ctx.report_progress(0.1)
    ctx.report_progress(float("nan"))
    _wait_for(payload["gate"])


# A chain of four, each using its parent's result.


@job(name="system.validate")
def validate(payload: dict, ctx: JobContext):
    note(ctx, "started")
    return {"order": payload["order"]}


@job(name="system.charge")
async def charge(ctx: JobContext):
    await anote(ctx, "started")
    ((_, validated),) = ctx.parents
    return {**validated, "charged": True}


@job(name="system.fulfil")
def fulfil(ctx: JobContext):
    note(ctx, "started")
    ((_, charged),) = ctx.parents
    return {**charged, "fulfilled": True}


@job(name="system.receipt")
def receipt(ctx: JobContext):
    note(ctx, "started")
    return [list(parent) for parent in ctx.parents]


# Wishes.


@job(name="system.retrier")
def retrier(payload: dict, ctx: JobContext):
    note(ctx, f"attempt {ctx.attempt_number}")
    if ctx.attempt_number == 1:
        raise Retry(payload["delay"])


@job(name="system.snoozer")
def snoozer(ctx: JobContext):
    before = has_noted(ctx, "attempt 1")
    note(ctx, f"attempt {ctx.attempt_number}")
    if not before:
        raise Snooze(0.1)


@job(name="system.discarder")
def discarder():
    raise Discard("no such customer")


@job(name="system.unprintable_result")
def unprintable_result():
    return {"at": object()}


if "FLARE_TEST_NEWCOMER" in os.environ:

    @job(name="system.newcomer")
    def newcomer(): ...


# Holding on.


@job(name="system.hold")
def hold(payload: dict, ctx: JobContext):
    """Run until the gate opens, whatever anybody says."""
    note(ctx, "started")
    _wait_for(payload["gate"])
    note(ctx, "finished")
    return f"by {os.getpid()}"


@job(name="system.heed")
def heed(payload: dict, ctx: JobContext):
    """Run until the gate opens or the job should end."""
    note(ctx, "started")
    while not Path(payload["gate"]).exists():
        ctx.raise_if_cancelled()
        time.sleep(_BLINK)


@job(name="system.heed_async")
async def heed_async(payload: dict, ctx: JobContext):
    await anote(ctx, "started")
    while not Path(payload["gate"]).exists():
        if await ctx.asleep(3600):
            ctx.raise_if_cancelled()


@job(name="system.pass_through")
def pass_through(payload: dict, ctx: JobContext):
    """Hold the slot a moment, so that others arrive meanwhile."""
    note(ctx, "started")
    time.sleep(payload.get("seconds", 0.05))
    note(ctx, "finished")


@job(name="system.wait")
def wait(payload: dict):
    """Hold on without a word to the database."""
    _wait_for(payload["gate"])


@job(name="system.clock", queue="clocked")
def clock():
    """Tell what time it is for the worker, in seconds since 1970."""
    return time.time()


@job(name="system.brief")
def brief():
    time.sleep(0.03)


def _wait_for(gate):
    while not Path(gate).exists():
        time.sleep(_BLINK)


# Misbehaving.


@job(name="system.kills_its_process")
def kills_its_process(ctx: JobContext):
    note(ctx, "started")
    os.kill(os.getpid(), signal.SIGKILL)


@job(name="system.ends_its_process")
def ends_its_process(payload: dict, ctx: JobContext):
    note(ctx, "started")
    _wait_for(payload["gate"])
    os._exit(0)


class Odd(BaseException):
    """Nobody expects it."""


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


ERRORS = {
    "SystemExit": lambda: SystemExit(0),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "BaseException": BaseException,
    "Odd": lambda: Odd("odd"),
    "ValueError": lambda: ValueError("boom"),
    "nul": lambda: ValueError("a\x00b\ud800c"),
    "huge": lambda: ValueError("x" * 10_000_000),
    "unspeakable": Unspeakable,
    "ring": lambda: _ring(),
    "lines": lambda: ValueError("first\nsecond\x1b[31m"),
}


def _ring():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


@job(name="system.raiser")
def raiser(payload: dict):
    raise ERRORS[payload["error"]]()


@job(name="system.raiser_async")
async def raiser_async(payload: dict):
    await asyncio.sleep(0)
    raise ERRORS[payload["error"]]()


@job(name="system.raiser_in_task")
async def raiser_in_task(payload: dict):
    async def inner():
        await asyncio.sleep(0)
        raise ERRORS[payload["error"]]()

    await asyncio.gather(inner())


_LEAK = contextvars.ContextVar("leak", default="clean")


@job(name="system.dirty")
def dirty(payload: dict):
    DIRT[payload["kind"]]()


@job(name="system.dirty_async")
async def dirty_async(payload: dict):
    _LEAK.set("dirty")
    timezone.activate("Asia/Tokyo")


@job(name="system.probe", atomic=False)
def probe(ctx: JobContext):
    """Look for what the job before left behind, and use the database as any handler does."""
    seen = {
        "leak": _LEAK.get(),
        "timezone": timezone.get_current_timezone_name(),
        "language": translation.get_language(),
        "in_atomic_block": connection.in_atomic_block,
        "autocommit": connection.get_autocommit(),
    }
    Effect.objects.create(job_id=ctx.job_id, note="plain")
    with transaction.atomic():
        Effect.objects.create(job_id=ctx.job_id, note="atomic")
    return seen


CLEAN = {
    "leak": "clean",
    "timezone": "UTC",
    "language": "en-us",
    "in_atomic_block": False,
    "autocommit": True,
}


def _open_transaction():
    transaction.atomic().__enter__()
    Effect.objects.create(job_id="dirt", note="open transaction")


def _raw_begin():
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    Effect.objects.create(job_id="dirt", note="raw begin")


def _aborted_transaction():
    transaction.atomic().__enter__()
    with connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")


def _autocommit_off():
    connection.set_autocommit(False)
    Effect.objects.create(job_id="dirt", note="autocommit off")


def _close():
    connection.close()


def _close_in_transaction():
    transaction.atomic().__enter__()
    connection.close()


def _close_the_driver():
    connection.ensure_connection()
    connection.connection.close()


def _thread():
    threading.Thread(target=time.sleep, args=[3600], daemon=True).start()


DIRT = {
    "open transaction": _open_transaction,
    "raw begin": _raw_begin,
    "aborted transaction": _aborted_transaction,
    "autocommit off": _autocommit_off,
    "closed": _close,
    "closed in a transaction": _close_in_transaction,
    "closed driver": _close_the_driver,
    "timezone": lambda: timezone.activate("Asia/Tokyo"),
    "language": lambda: translation.activate("de"),
    "contextvar": lambda: _LEAK.set("dirty"),
    "thread": _thread,
}


# One transaction with its outcome.


@job(name="system.atomic", atomic=True)
def atomic_work(payload: dict, ctx: JobContext):
    Effect.objects.create(job_id=ctx.job_id, note=f"attempt {ctx.attempt_number}")
    if payload.get("sign"):
        # The ledger cannot say it: its row would be part of the transaction.
        sign = Path(f"{payload['sign']}.{os.getpid()}")
        sign.touch()
    if payload.get("gate"):
        _wait_for(payload["gate"])
    time.sleep(payload.get("seconds", 0))
    if payload.get("raise"):
        raise ValueError("no")
    return "done"


# Too long.


@job(name="system.overlong")
def overlong(ctx: JobContext):
    """Take no notice of the token; end by the exception."""
    note(ctx, "started")
    told = False
    try:
        while True:
            # Not noted at once: the query would be cancelled, which comes right after the token.
            told = told or ctx.is_cancelled
            time.sleep(_BLINK)
    except BaseException as error:
        if told:
            note(ctx, "told")
        note(ctx, f"raised {type(error).__name__}")
        raise


@job(name="system.overlong_async")
async def overlong_async(ctx: JobContext):
    await anote(ctx, "started")
    try:
        while True:
            await asyncio.sleep(_BLINK)
    except BaseException as error:
        await anote(ctx, f"raised {type(error).__name__}")
        raise


@job(name="system.late_but_done")
def late_but_done(ctx: JobContext):
    note(ctx, "started")
    assert ctx.sleep(3600)
    return "in time"


@job(name="system.late_wish")
def late_wish(payload: dict, ctx: JobContext):
    assert ctx.sleep(3600)
    raise {"snooze": Snooze(0), "value": ValueError("late")}[payload["wish"]]


def be_deaf_until(gate):
    """Swallow whatever is raised in this thread, until the gate opens."""
    while True:
        # All of the waiting inside: it may strike at any line.
        try:
            while not Path(gate).exists():
                time.sleep(_BLINK)
        except BaseException:
            continue
        return


@job(name="system.deaf")
def deaf(payload: dict, ctx: JobContext):
    """Swallow whatever is raised here, until the gate opens."""
    note(ctx, "started")
    be_deaf_until(payload["gate"])
    note(ctx, "finished")


# For those who watch.


@job(name="system.block_the_claim_loop")
def block_the_claim_loop(payload: dict):
    """Hold the thread that claims, between two turns, until the gate opens."""
    failpoints.activate("turn.after_commit", lambda: _wait_for(payload["gate"]))


@job(name="system.log_and_fail")
def log_and_fail(payload: dict, ctx: JobContext):
    ctx.logger.info("about to fail: %s", payload["text"])
    if payload.get("elsewhere"):
        logging.getLogger("shop").error("theirs: %s", payload["text"])
        warnings.warn("careful", stacklevel=1)
    raise ValueError(payload["text"])


# Ending the process.


@job(name="system.poison")
def poison(payload: dict, ctx: JobContext):
    """End the process in the way that the payload names."""
    note(ctx, "started")
    POISONS[payload["kind"]]()


def _kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def _read_at_null():
    faulthandler.disable()
    ctypes.string_at(0)


def _exhaust_memory():
    """Be killed as a process is that goes beyond its limit: RLIMIT_AS alone is a MemoryError."""
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 28, 1 << 28))
    try:
        held = [bytearray(1 << 20) for _ in range(4096)]
    except MemoryError:
        os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError(f"{len(held)} MiB were there")


def _overflow_the_stack():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    library, numbers = ctypes.CDLL(None), (ctypes.c_int * 2)(2, 1)

    @compare
    def again(*_):
        return library.qsort(numbers, 2, 4, again) or 0

    sys.setrecursionlimit(1 << 30)
    again(None, None)


def _close_all_files():
    os.closerange(0, 1001)
    time.sleep(3600)


@job(name="system.wants_files")
def wants_files(ctx: JobContext):
    """Fail as soon as somebody has closed what this process had open."""
    note(ctx, "started")
    until = time.monotonic() + 5
    while time.monotonic() < until:
        os.fstat(2)
        time.sleep(0.005)


POISONS = {
    "exit": lambda: os._exit(0),
    "kill": _kill_itself,
    "null": _read_at_null,
    "memory": _exhaust_memory,
    "stack": _overflow_the_stack,
    "files": _close_all_files,
}


@job(name="system.swell")
def swell(payload: dict, ctx: JobContext):
    """Keep memory for good, as a leak does."""
    note(ctx, "started")
    _LEAKED.append(b"x" * payload["bytes"])
    time.sleep(0.4)
    note(ctx, "finished")


_LEAKED: list[bytes] = []


@job(name="system.hog")
def hog(payload: dict, ctx: JobContext):
    """Hold the interpreter: no other thread of the process runs meanwhile."""
    note(ctx, "started")
    # PyDLL keeps the lock that CDLL gives up.
    ctypes.PyDLL(None).sleep(payload["seconds"])


@job(name="system.gasp")
def gasp(payload: dict, ctx: JobContext):
    """Hold the interpreter in bursts, and let the other threads have it hardly for a moment in between."""
    note(ctx, "started")
    until = time.monotonic() + payload["seconds"]
    while time.monotonic() < until:
        ctypes.PyDLL(None).usleep(int(payload["burst"] * 1e6))
    note(ctx, "finished")


@job(name="system.stop_own_beats")
def stop_own_beats(ctx: JobContext):
    """Let this process never beat again; in the next process do nothing."""
    if not has_noted(ctx, "started"):
        failpoints.activate("beat.before_write", lambda: time.sleep(3600))
    note(ctx, "started")


@job(name="system.pass_over_an_hour")
def pass_over_an_hour(ctx: JobContext):
    """Let it be an hour later by the clock that counts suspend, as after one."""
    clock_gettime = time.clock_gettime

    def an_hour_later(clock):
        return clock_gettime(clock) + (3600 if clock == time.CLOCK_BOOTTIME else 0)

    time.clock_gettime = an_hour_later
    note(ctx, "started")


@job(name="system.stop_own_loop")
def stop_own_loop(ctx: JobContext):
    """Let the claim loop of this process never come round again; in the next process do nothing."""
    if not has_noted(ctx, "started"):
        # Without a transaction, which would keep SQLite from taking the beats.
        failpoints.activate("turn.after_commit", lambda: time.sleep(3600))
    note(ctx, "started")


@job(name="system.backend")
def backend():
    """Tell who runs this, on which connection, and what a random number is."""
    time.sleep(_BLINK)
    queries = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
    with connection.cursor() as cursor:
        cursor.execute(queries.get(connection.vendor, "SELECT 0"))
        (number,) = cursor.fetchone()
    return {"pid": os.getpid(), "backend": number, "token": random.getrandbits(63)}


@job(name="system.needs_gate")
def needs_gate(payload: dict):
    if not Path(payload["gate"]).exists():
        raise ValueError("the gate is closed")

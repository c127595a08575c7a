"""Handlers that do not end by themselves, each in another way, and what it takes to end them."""

import asyncio
import contextlib
import re
import socket
import subprocess
import time
from pathlib import Path

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection

from django_flare import JobContext, job
from tests.testapp.system_jobs import anote, be_deaf_until, note

_BLINK = 0.02
_FOR_EVER = 600
"""Seconds; no thread of a test's worker outlives its process."""

LONG_QUERY = {
    "postgresql": "SELECT pg_sleep(600)",
    "mysql": "SELECT SLEEP(600)",
    # It reads no table, so that it locks nobody out of the file.
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e12)"
    " SELECT COUNT(i) FROM n",
}


def query_for_long():
    """Run a query that takes minutes unless it is cancelled."""
    with connection.cursor() as cursor:
        cursor.execute(LONG_QUERY[connection.vendor])


# What is raised in the handler, or its query's error, ends these.


@job(name="endless.spin")
def spin(ctx: JobContext):
    note(ctx, "started")
    while True:
        pass


@job(name="endless.query")
def query(ctx: JobContext):
    note(ctx, "started")
    query_for_long()


@job(name="endless.query_again")
def query_again(ctx: JobContext):
    """Take the first cancelled query for bad luck."""
    note(ctx, "started")
    with contextlib.suppress(DatabaseError):
        query_for_long()
    query_for_long()


@job(name="endless.await_sleep")
async def await_sleep(ctx: JobContext):
    await anote(ctx, "started")
    await asyncio.sleep(_FOR_EVER)


@job(name="endless.await_query")
async def await_query(ctx: JobContext):
    await anote(ctx, "started")
    await sync_to_async(query_for_long)()


# Nothing ends these.


@job(name="endless.sleep")
def sleep(ctx: JobContext):
    note(ctx, "started")
    time.sleep(_FOR_EVER)


@job(name="endless.receive")
def receive(ctx: JobContext):
    note(ctx, "started")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)


@job(name="endless.swallow")
def swallow(payload: dict, ctx: JobContext):
    note(ctx, "started")
    be_deaf_until(payload["gate"])


@job(name="endless.await_and_swallow")
async def await_and_swallow(payload: dict, ctx: JobContext):
    await anote(ctx, "started")
    while not Path(payload["gate"]).exists():
        with contextlib.suppress(BaseException):
            await asyncio.sleep(_BLINK)


@job(name="endless.await_thread")
async def await_thread(ctx: JobContext):
    await anote(ctx, "started")
    await sync_to_async(time.sleep)(_FOR_EVER)


@job(name="endless.block_the_loop")
async def block_the_loop(ctx: JobContext):
    """Keep the others' coroutines from going on, too."""
    await anote(ctx, "started")
    time.sleep(_FOR_EVER)


@job(name="endless.spin_in_the_loop")
async def spin_in_the_loop(ctx: JobContext):
    await anote(ctx, "started")
    while True:
        pass


@job(name="endless.receive_in_the_loop")
async def receive_in_the_loop(ctx: JobContext):
    await anote(ctx, "started")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)


@job(name="endless.match")
def match(ctx: JobContext):
    """Hold the interpreter: no other thread of the process runs meanwhile."""
    note(ctx, "started")
    re.match("(a+)+$", "a" * 99 + "b")


@job(name="endless.wait_for_helper")
def wait_for_helper(ctx: JobContext):
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    helper = subprocess.Popen(["sleep", "777"], **quiet)
    note(ctx, f"helper {helper.pid}")
    while True:
        with contextlib.suppress(BaseException):
            helper.wait()


SOFT = [spin, query, query_again, await_sleep, await_query]
HARD = [sleep, receive, swallow, await_and_swallow, await_thread]
BLOCKING = [block_the_loop, spin_in_the_loop, receive_in_the_loop]
"""Coroutines that hold up their loop by a sleep, by computing, by a socket."""

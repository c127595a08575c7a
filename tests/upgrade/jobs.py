"""What runs meanwhile. Both releases take these handlers, so they use nothing that one of them has not."""

from pathlib import Path

from asgiref.sync import sync_to_async
from django.db import connection

import django_flare
from django_flare import JobContext, Retry, job

CODE = str(Path(django_flare.__file__).parents[1])
"""The folder of the code that this process runs."""


def write(event, *job_ids):
    """Write into the ledger, which is nobody's model and changes with no release."""
    with connection.cursor() as cursor:
        rows = [(event, job_id, CODE) for job_id in job_ids]
        cursor.executemany("INSERT INTO upgrade_ledger (event, job_id, code) VALUES (%s, %s, %s)", rows)


@job(name="upgrade.plain")
def plain(ctx: JobContext):
    write("done", ctx.job_id)


@job(name="upgrade.atomic", atomic=True)
def atomic(ctx: JobContext):
    write("done", ctx.job_id)


@job(name="upgrade.coroutine")
async def coroutine(ctx: JobContext):
    await sync_to_async(write)("done", ctx.job_id)


@job(name="upgrade.again")
def again(ctx: JobContext):
    if ctx.attempt_number == 1:
        raise Retry(0.1)
    write("done", ctx.job_id)

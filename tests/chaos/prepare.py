"""Prepare the campaign's database and print an API key: `python -m tests.chaos.prepare`."""

import os
import sys

import django
from django.core.management import call_command
from django.db import connection


def main(planted):
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    from tests.chaos import auditor

    auditor.install(os.environ["CHAOS_LEDGER_URL"])
    call_command("flare_apikey", "create", "chaos", "--scope", "write")
    with connection.cursor() as cursor:
        if planted == "read_then_insert":
            cursor.execute("DROP INDEX flare_job_idempotency")
        # A server that forgets commits is to forget jobs, not their tables.
        cursor.execute("CHECKPOINT")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))

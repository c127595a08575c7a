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
    if planted == "read_then_insert":
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX flare_job_idempotency")
    call_command("flare_apikey", "create", "chaos", "--scope", "write")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))

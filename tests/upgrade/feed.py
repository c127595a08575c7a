"""Enqueue jobs of every kind until stdin ends, and write down which: `python -m tests.upgrade.feed`."""

import itertools
import select
import sys
from datetime import timedelta

import django

PAUSE = 0.05
AT_FIRST = 500
"""Jobs of the first round, so that the tables are not empty."""


def feed(number):
    """Enqueue in every way there is; return the ids."""
    from django_flare import jobs
    from tests.upgrade import jobs as work

    parents = jobs.enqueue(work.plain), jobs.enqueue(work.atomic)
    key = f"{work.CODE}#{number}"
    keyed = [jobs.enqueue(work.plain, idempotency_key=key) for _ in range(2)]
    return {
        *parents,
        jobs.continue_with(parents, work.coroutine),
        jobs.enqueue(work.again),
        jobs.schedule(work.plain, when=timedelta(milliseconds=200)),
        *keyed,
        *jobs.enqueue_many(work.plain, [None] * (4 if number else AT_FIRST)),
    }


def main():
    django.setup()
    from tests.upgrade.jobs import write

    for number in itertools.count():
        write("asked", *feed(number))
        if select.select([sys.stdin], [], [], PAUSE)[0]:
            break


if __name__ == "__main__":
    main()

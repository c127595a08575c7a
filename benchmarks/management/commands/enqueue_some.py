"""One of several processes that enqueue at once: says `ready`, waits for a line, tells its begin and end."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from benchmarks import workers
from benchmarks.steps.enqueues import timed


class Command(BaseCommand):
    """Enqueue as many jobs as told."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", type=int)

    def handle(self, *, number: int, **_: Any) -> None:
        workers.one()(0)
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(timed(number)), flush=True)

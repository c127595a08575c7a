"""One measurement in this process: `measure STEP NUMBER` prints its numbers as JSON."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from benchmarks import workers
from benchmarks.steps import STEPS


class Command(BaseCommand):
    """Make the tables and measure."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("step", choices=STEPS)
        parser.add_argument("number", type=int)

    def handle(self, *, step: str, number: int, **_: Any) -> str:
        call_command("migrate", verbosity=0)
        if hasattr(workers.module(), "install"):
            workers.module().install()
        return json.dumps(STEPS[step](number))

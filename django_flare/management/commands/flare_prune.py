"""Delete jobs that ended longer ago than the setting KEEP says."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from django_flare.conf import flare_settings
from django_flare.lifecycle.retention import count_expired, prune


class Command(BaseCommand):
    """Do at once what workers do as they go."""

    help = "Delete jobs that ended longer ago than FLARE['KEEP'] says. Workers do the same as they go."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what would be deleted")

    def handle(self, *, dry_run: bool, **_: Any) -> None:
        settings = flare_settings()
        if dry_run:
            for state, count in count_expired(settings.keep, settings.database).items():
                self.stdout.write(f"{state}: {count}")
            return
        total = 0
        while deleted := prune(settings.keep, settings.database):
            total += deleted
        self.stdout.write(f"{total} jobs deleted")

"""The measured project's one app."""

import itertools
import os
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created

_number = itertools.count()


class BenchmarksConfig(AppConfig):
    """Trace every connection to PostgreSQL when `BENCHMARKS_TRACE` names a folder."""

    name = "benchmarks"

    def ready(self) -> None:
        if os.environ.get("BENCHMARKS_TRACE"):
            connection_created.connect(_trace)


def _trace(connection: Any, **_: Any) -> None:
    # By libpq itself, so that BEGIN, COMMIT and what goes past Django is there too.
    file = Path(os.environ["BENCHMARKS_TRACE"]) / f"{os.getpid()}-{next(_number)}"
    connection.connection.pgconn.trace(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))

"""A job type that only the process knows which queues it: no worker imports this module."""

from django_flare import job


@job(name="benchmarks.unknown")
def unknown() -> None:
    """Never run."""

"""Serve probes where a port was given; what they need, 15 MB, is loaded only then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from django_flare.worker.vitals import Limits, Vitals


class PortTakenError(Exception):
    """The port of `--health-port` cannot be had."""


@contextmanager
def probed(
    port: int | None,
    limits: Limits,
    vitals: Callable[[], Sequence[Vitals]],
    is_stopping: Callable[[], bool],
    counts: Callable[[], Mapping[str, int]],
) -> Iterator[None]:
    """Answer probes on `port` meanwhile, if there is one; raises PortTakenError before anything is run."""
    if port is None:
        yield
        return
    from django_flare.worker.health import HOST, HealthServer  # noqa: PLC0415

    try:
        server = HealthServer(port, limits, vitals, is_stopping, counts)
    except OSError as error:
        raise PortTakenError(
            f"--health-port: {HOST}:{port} cannot be had: {error.strerror or error}"
        ) from None
    server.start()
    try:
        yield
    finally:
        server.stop()

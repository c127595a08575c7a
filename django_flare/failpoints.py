"""Named places where a test may pause, break or kill the process; inert everywhere else."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable

from django.conf import settings

logger = logging.getLogger("django_flare.failpoints")

_active: dict[str, Callable[[], object]] = {}


def reach(name: str) -> None:
    """Run what a test has put at the place `name`, if anything."""
    if _active and name in _active:
        _active[name]()


def activate(name: str, action: Callable[[], object]) -> None:
    """Run `action` each time that the place `name` is reached."""
    _active[name] = action


def clear() -> None:
    """Make every place inert again."""
    _active.clear()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def activate_from_environment() -> None:
    """Kill this process at the places named in `FLARE_FAILPOINTS` (comma-separated).

    Only with `FLARE_FAILPOINTS_ALLOWED = True` in the project's settings; otherwise the
    variable is ignored with a warning, so that nobody can break a worker from outside.
    """
    names = [name for name in os.environ.get("FLARE_FAILPOINTS", "").split(",") if name]
    if not names:
        return
    if not getattr(settings, "FLARE_FAILPOINTS_ALLOWED", False):
        logger.warning("FLARE_FAILPOINTS is set and ignored: FLARE_FAILPOINTS_ALLOWED is not True")
        return
    for name in names:
        activate(name, _kill)

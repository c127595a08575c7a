"""A supervisor without Django: it takes over the process that `manage.py flare_worker` has started.

A Django process that only waits for its children would hold as much memory as they do before their first
job. So this one, when all is checked, replaces its own program by Python with nothing but the supervisor:
the same process id, environment, folder and open output, and a third of the memory or less. The project's
LOGGING applies there too; where that cannot be made sure, the process stays what it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import django_flare
from django_flare.worker import log_routes, logs

if TYPE_CHECKING:
    from django_flare.worker.supervision import Plan

VARIABLE = "FLARE_WORKER_SUPERVISOR"
"""The variable by which the new program learns what it is to do."""
_STAY = "FLARE_WORKER_STAY"
"""The variable by which it says why it gives the process back."""
_PROGRAM = (
    f"import json, os, sys; told = json.loads(os.environ.pop({VARIABLE!r})); sys.path[:] = told['path']; "
    "from django_flare.worker.light_supervisor import main; main(told)"
)


def take_over(plan: Plan, log_format: str) -> str:
    """Let a light supervisor carry out the plan from here on, in this process; say why not if that failed.

    The log must have been set up, since the lines of the supervisor are to go where they go now.
    """
    if reason := os.environ.pop(_STAY, "") or _reason_to_stay():
        return reason
    told = {
        "path": _path(),
        "plan": plan.as_json(),
        "log_format": log_format,
        "routes": log_routes.routes(),
        "has_logging": not log_routes.are_own(),
    }
    try:
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        # What follows the program is for those who look for the worker among the processes.
        line = [sys.executable, *flags, "-P", "-c", _PROGRAM, *sys.argv]
        log_routes.flush()
        _execute(line, {**os.environ, VARIABLE: json.dumps(told, default=os.fspath)})
    except (AttributeError, OSError, TypeError, ValueError) as error:
        return f"the program could not be replaced: {error}"


def _reason_to_stay() -> str:
    if os.name != "posix" or not sys.executable or getattr(sys, "frozen", False):
        return "this platform cannot replace a running program"
    if name := log_routes.unknown_handler():
        return f"the log handler {name} may need Django's apps"
    return ""


def _path() -> list[str]:
    """Return where modules are found here; ours among them, whoever has imported them."""
    ours = str(Path(django_flare.__file__).parents[1])
    return sys.path if ours in sys.path else [*sys.path, ours]


def _execute(line: list[str], environment: dict[str, str]) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        # A service may be started without.
        if stream is not None:
            stream.flush()
    os.execve(line[0], line, environment)  # noqa: S606 - ourselves


def main(told: dict[str, Any]) -> NoReturn:
    """Be the supervisor; ends the process."""
    try:
        _set_up_log(told)
    except Exception as error:
        _give_back(json.loads(told["plan"])["command"], f"{type(error).__name__}: {error}")
    # Only now: a LOGGING may disable the loggers that exist when it is applied.
    from django_flare.worker import supervision  # noqa: PLC0415
    from django_flare.worker.probes import PortTakenError  # noqa: PLC0415
    from django_flare.worker.supervisor import StartError  # noqa: PLC0415

    try:
        supervision.supervise(supervision.Plan.from_json(told["plan"]))
    except (PortTakenError, StartError) as error:
        line = f"CommandError: {error}\n"
        (logs.LoggedOutput() if told["log_format"] == "json" else sys.stderr).write(line)
        sys.exit(2 if isinstance(error, PortTakenError) else 1)
    sys.exit(0)


class _OtherwiseError(Exception):
    """The lines would go elsewhere."""


def _set_up_log(told: dict[str, Any]) -> None:
    if told["has_logging"]:
        _apply_logging()
    logs.set_up(told["log_format"])
    differences = set(told["routes"]) ^ set(routes := log_routes.routes())
    if differences or len(routes) != len(told["routes"]):
        raise _OtherwiseError(f"without Django's apps the log differs in {sorted(differences)}")
    log_routes.rehearse()


def _apply_logging() -> None:
    """Do what Django does with LOGGING before it loads any app.

    Without its own defaults, which are about no logger of ours and bring half of Django along.
    """
    from django.conf import settings  # noqa: PLC0415
    from django.utils.module_loading import import_string  # noqa: PLC0415

    if settings.LOGGING_CONFIG and settings.LOGGING:
        import_string(settings.LOGGING_CONFIG)(settings.LOGGING)


def _give_back(command: list[str], reason: str) -> NoReturn:
    """Let the process be Django's again, which supervises then."""
    _execute(command, {**os.environ, _STAY: reason})

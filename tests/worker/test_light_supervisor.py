"""When Django's process is left to a light supervisor, as far as one process can show it."""

import json
import logging
import os
import subprocess
import sys

import pytest

from django_flare.worker import light_supervisor as module
from django_flare.worker import log_routes
from django_flare.worker.supervision import Plan
from django_flare.worker.supervisor import Terms
from django_flare.worker.vitals import Limits
from tests.docs.pages import ROOT

PLAN = Plan(
    command=["a", "b"],
    terms=Terms(processes=2, shutdown_timeout=1.5, stuck_after=60.0),
    limits=Limits(overdue=1.0, beat_age=2.0, lost_beat=3.0),
    health_port=None,
)


@pytest.fixture
def executed(monkeypatch):
    """Return what would have been executed, and leave out what pytest does to the log."""
    monkeypatch.setattr(log_routes, "_chain", lambda: iter([logging.getLogger("alone")]))
    found = []

    def execve(*call):
        found.append(call)
        raise OSError(7, "Argument list too long")

    monkeypatch.setattr(os, "execve", execve)
    return found


def test_a_plan_survives_the_way():
    assert Plan.from_json(PLAN.as_json()) == PLAN


def test_where_the_program_cannot_be_replaced_the_process_goes_on(executed, monkeypatch):
    reason = module.take_over(PLAN, "text")
    assert reason == "the program could not be replaced: [Errno 7] Argument list too long"
    ((program, line, environment),) = executed
    assert (program, line[0]) == (sys.executable, sys.executable)
    assert line[-len(sys.argv) :] == sys.argv
    told = json.loads(environment[module.VARIABLE])
    assert Plan.from_json(told["plan"]) == PLAN
    # Or its children would take themselves for supervisors.
    assert module.VARIABLE not in os.environ


def test_a_platform_that_replaces_no_programs_keeps_this_one(executed, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert module.take_over(PLAN, "text") == "this platform cannot replace a running program"
    assert executed == []


def test_a_process_that_was_given_back_stays_so_once(executed, monkeypatch):
    """Or it would be replaced again and again."""
    monkeypatch.setenv("FLARE_WORKER_STAY", "because")
    assert module.take_over(PLAN, "text") == "because"
    assert executed == []
    module.take_over(PLAN, "text")
    assert len(executed) == 1


def test_it_finds_our_package_even_if_no_folder_of_the_path_has_it(executed, monkeypatch):
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(ROOT))])
    module.take_over(PLAN, "text")
    ((_, _, environment),) = executed
    assert json.loads(environment[module.VARIABLE])["path"] == [*sys.path, str(ROOT)]


@pytest.mark.parametrize("change", [None, "django_flare.worker: level 10, disabled below 0"])
def test_it_only_begins_if_its_lines_go_where_they_went(change):
    """Otherwise it gives the process back."""
    script = """
import json, os, sys
from django_flare.worker import light_supervisor as module, log_routes, logs
if len(sys.argv) == 1:
    logs.set_up("text")
    print(json.dumps(log_routes.routes()))
else:
    try:
        told = json.loads(sys.argv[1])
        module._set_up_log(told)
    except Exception as error:
        print(type(error).__name__)
    print(sorted(name for name in sys.modules if name.split(".")[0] == "django"))
"""

    def run(*arguments):
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        ).stdout.splitlines()

    routes = json.loads(run()[0])
    told = {"log_format": "text", "has_logging": False, "routes": routes}
    if change:
        told["routes"] = [change, *routes[1:]]
    assert run(json.dumps(told)) == [*(["_OtherwiseError"] if change else []), "[]"]

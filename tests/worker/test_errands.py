"""Processes that a supervisor sends to take back runs, with commands that do nothing of the kind."""

import json
import os
import signal
import subprocess
import sys

import pytest

from django_flare.states import Event
from django_flare.worker import errands as module
from django_flare.worker.board import Overrun
from django_flare.worker.errands import Errand, Errands, take_errand
from tests.worker.support import PATIENCE, eventually

SCRIPT = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
deaf = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
name = f"{os.getpid()}"
(folder / f".{name}").write_text(repr([[*map(int, deaf)], os.getsid(0), os.environ["FLARE_WORKER_ERRAND"]]))
(folder / f".{name}").rename(folder / name)
deadline = time.monotonic() + 60
while not (folder / "end").exists() and time.monotonic() < deadline:
    time.sleep(0.01)
"""


@pytest.fixture
def errands(tmp_path):
    errands = Errands([sys.executable, "-c", SCRIPT, str(tmp_path)])
    yield errands
    (tmp_path / "end").touch()
    errands.finish(PATIENCE)


def sent(folder):
    """Return what each process found: the signals it does not hear, its session, and its errand."""
    return {int(file.name): eval(file.read_text()) for file in folder.glob("[0-9]*")}


def told(found):
    return [json.loads(errand)["runs"] for _, _, errand in found.values()]


def test_those_who_died_together_are_one_errand(errands, tmp_path):
    errands.put("wrk_a", Event.LOSE)
    errands.put("wrk_b", Event.RELEASE)
    errands.look()
    errands.look()
    found = eventually(lambda: sent(tmp_path))
    assert told(found) == [{"wrk_a": "lose", "wrk_b": "release"}]


def test_two_are_under_way_at_most(errands, tmp_path):
    """A third waits until one is back, and takes along who died meanwhile."""
    for name in "abcd":
        errands.put(f"wrk_{name}", Event.LOSE)
        errands.look()
    eventually(lambda: len(sent(tmp_path)) == 2)
    os.kill(next(iter(sent(tmp_path))), signal.SIGKILL)

    def third():
        errands.look()
        return len(sent(tmp_path)) == 3

    eventually(third)
    assert sorted(map(len, told(sent(tmp_path)))) == [1, 1, 2]


def test_a_process_manager_that_signals_all_does_not_end_it(errands, tmp_path):
    """From its first moment on, before Python could handle anything."""
    errands.put("wrk_a", Event.LOSE)
    errands.look()
    ((pid, (deaf, session, _)),) = eventually(lambda: sent(tmp_path)).items()
    assert {signal.SIGTERM, signal.SIGINT} <= set(deaf)
    assert session == pid
    # This process hears as before.
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_at_the_end_it_is_waited_for(tmp_path):
    command = [sys.executable, "-c", f"import time; time.sleep(0.3); open({str(tmp_path / 'done')!r}, 'w')"]
    errands = Errands(command)
    errands.put("wrk_a", Event.LOSE)
    errands.finish(PATIENCE)
    assert (tmp_path / "done").exists()


def test_but_not_for_ever(errands, tmp_path, caplog):
    errands.put("wrk_a", Event.LOSE)
    errands.look()
    (pid,) = eventually(lambda: sent(tmp_path))
    errands.finish(0.1)
    assert "could not be taken back in time; the lease ends them" in caplog.text
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_fails_is_told(caplog):
    errands = Errands([sys.executable, "-c", "raise SystemExit(3)"])
    errands.put("wrk_a", Event.LOSE)
    errands.finish(PATIENCE)
    assert "which was to take back runs, failed: exit code 3; the lease ends them" in caplog.text


def test_without_room_for_a_process_it_is_tried_again(errands, tmp_path, monkeypatch, caplog):
    """And not at each look: the supervisor looks at every report."""
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", _no_room)
        errands.put("wrk_a", Event.LOSE)
        for _ in range(3):
            errands.look()
    assert caplog.text.count("No process could be started to take back runs") == 1
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    monkeypatch.setattr(module.time, "monotonic", lambda now=module.time.monotonic: now() + 6)
    errands.look()
    assert told(eventually(lambda: sent(tmp_path))) == [{"wrk_a": "lose"}]


def _no_room(*_, **__):
    raise BlockingIOError("Resource temporarily unavailable")


def test_what_is_sent_is_taken_once(monkeypatch):
    errand = Errand(supervisor=7, runs={"wrk_a": Event.LOSE}, overran=[Overrun(4, 2, True)], asks=True)
    for name, value in errand.environment().items():
        monkeypatch.setenv(name, value)
    assert take_errand() == errand
    assert take_errand() is None

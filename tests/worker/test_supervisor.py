"""The supervisor's dealings with children that are no workers."""

import contextlib
import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest

from django_flare.states import Event
from django_flare.worker import children
from django_flare.worker import supervisor as module
from django_flare.worker.board import Overrun
from django_flare.worker.channel import Report
from django_flare.worker.children import ChildProcess
from django_flare.worker.supervisor import Supervisor, Terms
from django_flare.worker.vitals import Vitals
from tests.system.support import is_there
from tests.worker.support import PATIENCE, eventually

TERMS = Terms(processes=1, shutdown_timeout=600, stuck_after=60)
VITALS = Vitals(worker_id="wrk_1", slots=1, running=0, overdue=1.0, failing=0, beat_age=5.0)


class TestVitals:
    @pytest.fixture
    def child(self):
        child = ChildProcess([sys.executable, "-c", ""], 0.0)
        yield child
        child._process.wait()
        child.close()

    def at(self, child, now):
        supervisor = Supervisor(TERMS, [], lambda: now)
        supervisor._places[0].serving = child
        (found,) = supervisor.vitals() or [None]
        supervisor._places[0].serving = None
        supervisor._close()
        return found and (found.overdue, found.beat_age)

    def test_what_a_silent_child_has_said_ages(self, child):
        """Or probes would call it well until it is killed."""
        assert self.at(child, 100.0) is None
        child.report = Report(vitals=VITALS)
        child.watch.note(child.report, 100.0, 60.0)
        assert self.at(child, 100.0) == (1.0, 5.0)
        assert self.at(child, 140.0) == (39.0, 45.0)

    def test_the_time_between_two_reports_is_no_delay(self, child):
        child.report = Report(vitals=VITALS)
        child.watch.note(child.report, 100.0, 60.0)
        assert self.at(child, 101.5) == (1.0, 6.5)


def test_signals_are_passed_on_to_those_that_can_handle_them():
    """Before its first report a child has no handler, and would end."""
    supervisor, sent = Supervisor(TERMS, []), []
    supervisor._places[0].leaving = [
        SimpleNamespace(report=None, send_signal=lambda number: sent.append("new")),
        SimpleNamespace(report=Report(vitals=VITALS), send_signal=lambda number: sent.append(number)),
    ]
    supervisor.pass_on(signal.SIGQUIT)
    assert sent == [signal.SIGQUIT]
    supervisor._places[0].leaving = []
    supervisor._close()


SCRIPT = """
import os, pathlib, subprocess, sys, time
from django_flare.worker.channel import take_leash
leash, stage = take_leash(), pathlib.Path(sys.argv[1])
def wait_for(name):
    deadline = time.monotonic() + 60
    while not (stage / name).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
helper = subprocess.Popen(["sleep", "60"])
(stage / "new").write_text(str(helper.pid))
(stage / "new").rename(stage / "helper")
wait_for("close")
os.close(leash.reports)
wait_for("end")
os._exit(0)
"""


class TestAClosedPipe:
    @pytest.fixture
    def stage(self, tmp_path, monkeypatch):
        """Have a child that is to stop, with a process that it has started and left behind."""
        monkeypatch.setattr(module, "_LOOK", 0.05)
        supervisor = Supervisor(TERMS, [sys.executable, "-c", SCRIPT, str(tmp_path)])
        thread = threading.Thread(target=supervisor.run, daemon=True)
        thread.start()
        eventually((tmp_path / "helper").exists)
        (child,) = supervisor._children()
        supervisor.stop()
        helper = int((tmp_path / "helper").read_text())
        yield SimpleNamespace(path=tmp_path, thread=thread, child=child, helper=helper)
        (tmp_path / "close").touch()
        (tmp_path / "end").touch()
        thread.join(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.kill(helper, signal.SIGKILL)

    def test_at_a_normal_end_what_was_left_running_goes_on(self, stage, monkeypatch):
        """The pipe closes a moment before the end can be seen."""
        monkeypatch.setattr(children, "_LAST_MOMENT", PATIENCE)
        monkeypatch.setattr(children, "is_exiting", lambda pid: pid == stage.child.pid)
        (stage.path / "close").touch()
        eventually(lambda: stage.child.receiver.is_closed)
        (stage.path / "end").touch()
        stage.thread.join(PATIENCE)
        assert not stage.thread.is_alive()
        assert stage.child.poll() == 0
        assert is_there(stage.helper)

    def test_a_child_that_goes_on_without_it_is_killed(self, stage):
        (stage.path / "close").touch()
        stage.thread.join(PATIENCE)
        assert not stage.thread.is_alive()
        assert stage.child.poll() == -signal.SIGKILL
        eventually(lambda: not is_there(stage.helper))


WORKER = "import time; time.sleep(60)"
"""A child, and also an errand, that says nothing."""
STOP_IS_DUE = "import sys; sys.exit(10)"
"""An errand that finds a stop."""


class TestAnOverrunInASilentChild:
    """F49: it cannot end it itself."""

    @pytest.fixture
    def clock(self):
        return [100.0]

    @pytest.fixture
    def supervisor(self, clock):
        supervisor = Supervisor(TERMS, [sys.executable, "-c", WORKER], lambda: clock[0])
        supervisor._start_children()
        (child,) = supervisor._children()
        child.was_ready, child.worker_ids = True, ["wrk_1"]
        child.report = Report(vitals=VITALS)
        child.watch.note(child.report, clock[0], 60.0)
        supervisor.child, supervisor.sent = child, []
        supervisor._errands.put = lambda *errand: supervisor.sent.append(errand)
        yield supervisor
        child._end_inquiry()
        supervisor._close()

    def attend(self, supervisor, clock, moment):
        clock[0] = moment
        supervisor._attend(supervisor._places[0], supervisor.child, moment)

    def test_it_is_killed_when_the_run_should_be_over(self, supervisor, clock):
        child = supervisor.child
        child._board.entry(0).write(7, 4, 110.0)
        assert supervisor._patience(101.0) == pytest.approx(1.5)
        self.attend(supervisor, clock, 110.4)
        assert supervisor._patience(110.4) == pytest.approx(0.1)
        assert supervisor._patience(103.5) == pytest.approx(1.5)
        assert child in supervisor._children()
        self.attend(supervisor, clock, 110.5)
        eventually(lambda: child._process.poll() is not None)
        # The next one starts without waiting for the end, or a pause.
        assert supervisor._places[0].is_vacant(110.5)
        self.attend(supervisor, clock, 110.6)
        assert supervisor.sent == [("wrk_1", Event.RELEASE, [Overrun(7, 4, stop=False)])]
        assert supervisor._children() == []

    def test_one_that_speaks_ends_it_itself(self, supervisor, clock):
        child = supervisor.child
        child._board.entry(0).write(7, 4, 90.0)
        self.attend(supervisor, clock, 102.0)
        assert not child.is_leaving
        child.watch.note(child.report, 110.0, 60.0)
        self.attend(supervisor, clock, 112.0)
        assert not child.is_leaving

    def test_silence_without_one_is_none(self, supervisor, clock):
        supervisor.child._board.entry(0).write(7, 4, 200.0)
        self.attend(supervisor, clock, 140.0)
        assert not supervisor.child.is_leaving

    def test_somebody_asks_whether_it_is_to_stop(self, supervisor, clock):
        child = supervisor.child
        child._board.entry(0).write(7, 4, 900.0)
        child._command = [sys.executable, "-c", STOP_IS_DUE]
        self.attend(supervisor, clock, 104.9)
        assert child._inquiry is None
        self.attend(supervisor, clock, 105.1)
        eventually(lambda: child.is_to_stop)
        self.attend(supervisor, clock, 106.0)
        assert child.was_cut_short
        assert child.overran == []

    def test_nobody_asks_any_more_when_it_speaks(self, supervisor, clock):
        child = supervisor.child
        child._board.entry(0).write(7, 4, 900.0)
        self.attend(supervisor, clock, 105.1)
        asking = child._inquiry
        child.watch.note(child.report, 105.2, 60.0)
        self.attend(supervisor, clock, 105.3)
        assert asking.returncode is not None
        assert not child.is_to_stop
        assert not child.is_leaving

    def test_nobody_asks_about_one_that_runs_nothing(self, supervisor, clock):
        self.attend(supervisor, clock, 140.0)
        assert supervisor.child._inquiry is None

    def test_a_stop_of_all_knows_it_too(self, supervisor, clock):
        child = supervisor.child
        child.kill_at, child.was_told = 105.0, True
        child._board.entry(0).write(7, 4, 104.0)
        self.attend(supervisor, clock, 105.0)
        assert child.overran == [Overrun(7, 4, stop=False)]

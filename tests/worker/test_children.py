"""A child as its supervisor holds it, with commands that are no worker."""

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_flare.worker.children import ChildProcess, is_exiting

NOTHING = [sys.executable, "-c", ""]


def descriptors():
    # Other tests have left some to be closed with what holds them.
    gc.collect()
    return set(os.listdir("/dev/fd"))


@pytest.mark.parametrize("opened", [0, 1])
def test_without_room_for_its_pipes_nothing_stays_open(monkeypatch, opened):
    """The supervisor tries again and again: each leak would make it worse."""
    pipe, left = os.pipe, [None] * opened

    def scarce():
        if not left:
            raise OSError(errno.EMFILE, "Too many open files")
        left.pop()
        return pipe()

    before = descriptors()
    monkeypatch.setattr(os, "pipe", scarce)
    with pytest.raises(OSError, match="Too many open files"):
        ChildProcess(NOTHING, 0.0)
    assert descriptors() == before


def test_without_its_command_nothing_stays_open():
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        ChildProcess(["/nowhere/there"], 0.0)
    assert descriptors() == before


def test_with_the_close_nothing_stays_open():
    before = descriptors()
    child = ChildProcess(NOTHING, 0.0)
    assert len(descriptors()) == len(before) + 3
    child._process.wait()
    child.close()
    assert descriptors() == before


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="about /proc")
def test_whether_a_process_is_ending():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert not is_exiting(process.pid)
    process.stdin.close()
    # Not reaped before it is asked for.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_exiting(process.pid)
    process.wait()
    assert not is_exiting(process.pid)

"""The memory in which a child's slots show what they run."""

import math
import os
import subprocess
import sys

import pytest

from django_flare.worker.board import PLACES, Board, Overrun, open_board
from django_flare.worker.options import MAX_SLOTS

WRITER = """
import os, sys
from django_flare.worker.board import Board
board = Board(int(sys.argv[1]))
os.close(int(sys.argv[1]))
board.entry(0, grace=5.0).write(2**62, 3, 100.0)
board.entry(999).write(8, 1, 50.0, stop=True)
other = board.entry(1)
other.write(9, 1, 1.0)
other.clear()
os._exit(0)
"""


@pytest.fixture
def descriptor():
    descriptor = open_board()
    yield descriptor
    os.close(descriptor)


def test_what_another_process_wrote_is_there_when_it_is_dead(descriptor):
    board = Board(descriptor)
    assert (board.overruns(math.inf), board.next_end) == ([], math.inf)
    subprocess.run([sys.executable, "-c", WRITER, str(descriptor)], pass_fds=[descriptor], check=True)
    assert board.next_end == 50.0
    assert board.overruns(49.9) == []
    assert board.overruns(50.0) == [Overrun(8, 1, stop=True)]
    assert board.overruns(105.0) == [Overrun(2**62, 3, stop=False), Overrun(8, 1, stop=True)]
    board.close()


def test_without_a_descriptor_it_is_for_this_process_alone():
    board = Board()
    board.entry(2).write(1, 1, 3.0)
    assert Board().next_end == math.inf
    assert board.next_end == 3.0


def test_there_is_a_place_for_each_slot():
    assert PLACES == MAX_SLOTS

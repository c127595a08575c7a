"""What the slots of a child run at this moment, in memory that its supervisor reads when the child is silent.

A handler that holds the interpreter keeps every thread of its process from saying anything, the one that
watches deadlines too (F49). What was written here before it began stands there all the same.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

PLACES = 1000
_ENTRY = struct.Struct("=qqd?7x")
_NOBODY = 0
_SIZE = PLACES * _ENTRY.size


class Overrun(NamedTuple):
    """Name a run that is past its end, by key and fence; whether by a stop, otherwise by its timeout."""

    key: int
    fence: int
    stop: bool


class Entry:
    """Where one slot says what it runs."""

    def __init__(self, memory: mmap.mmap, place: int, grace: float) -> None:
        self._memory = memory
        self._offset = place * _ENTRY.size
        self._grace = grace

    def write(self, key: int, fence: int, must_end: float, *, stop: bool = False) -> None:
        """Say that a run is made to end from the monotonic time `must_end` on, and over a grace later.

        That clock is the system's, and the same in every process.
        """
        _ENTRY.pack_into(self._memory, self._offset, key, fence, must_end + self._grace, stop)

    def clear(self) -> None:
        """Say that nothing runs."""
        # With no end: a process that freezes in the middle of its next entry is not judged by the last one's.
        _ENTRY.pack_into(self._memory, self._offset, _NOBODY, 0, math.inf, False)


class Board:
    """An entry for each slot; without a descriptor nobody else sees it."""

    def __init__(self, descriptor: int = -1) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)

    def entry(self, place: int, grace: float = 0.0) -> Entry:
        """Return the entry of the slot at `place`, from 0 on, whose runs have `grace` seconds to end."""
        return Entry(self._memory, place, grace)

    def overruns(self, now: float) -> list[Overrun]:
        """Return the runs that should be over by now."""
        return [run for run, over_by in self._runs() if over_by <= now]

    @property
    def next_end(self) -> float:
        """When the next run must be over; infinite if nothing runs."""
        return min((over_by for _, over_by in self._runs()), default=math.inf)

    def _runs(self) -> Iterator[tuple[Overrun, float]]:
        for key, fence, over_by, stop in _ENTRY.iter_unpack(self._memory[:]):
            if key != _NOBODY:
                yield Overrun(key, fence, stop), over_by

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()


def open_board() -> int:
    """Return the descriptor of an empty board; raises OSError when there is no room for it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("flare-board")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        # Written once, so that there is room for it later.
        os.write(descriptor, bytes(_SIZE))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor

"""What ties a child to its supervisor: two pipes, one for orders and one for reports, and a board.

Each report is one line of JSON with all there is to know, so that a lost one does no harm.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from django_flare.worker.vitals import Vitals

_CHUNK = 1 << 16
_LONGEST_TEXT = 1200
"""Bytes of a text in a line, which has two at most: a pipe takes 4096 (PIPE_BUF) in one piece, the rest needs
less than 1000, and so lines never mix."""

PULSE = 1.0
"""Seconds between reports when there is nothing new to tell."""
VARIABLE = "FLARE_WORKER_CHILD"
"""The variable by which a supervisor tells a process that it is its child."""
STOP = b"."
"""What a supervisor writes to ask for the end; the second one means not to wait."""


@dataclass(frozen=True, kw_only=True)
class Leash:
    """Say what ties a child to its supervisor: two pipes and a board by descriptor, and the parent's id."""

    orders: int
    reports: int
    board: int
    supervisor: int

    def environment(self) -> dict[str, str]:
        """Return the variables by which the child learns it."""
        return {VARIABLE: json.dumps(asdict(self))}


def take_leash() -> Leash | None:
    """Return the leash of this process if it is a child; what its handlers start is no child of that kind."""
    found = os.environ.pop(VARIABLE, None)
    if found is None:
        return None
    leash = Leash(**json.loads(found))
    for descriptor in (leash.orders, leash.reports, leash.board):
        os.set_inheritable(descriptor, False)
    return leash


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Say how a child is.

    `announced_id` is the id under which it may have claimed, told before it registers.

    `is_ready` once it has registered; `retiring` is why it claims nothing more, empty while it does;
    `within` the seconds in which it will have ended then, infinite if it waits for its runs as long as
    they take. It `has_overrun` when a handler in it did not end when told to. After `has_resigned` it holds
    no run any more; when it `has_ended` without, it has tried to give them back in vain. `fatal` is an error
    at the start that will not pass by itself.
    """

    vitals: Vitals
    announced_id: str = ""
    retiring: str = ""
    within: float = math.inf
    is_ready: bool = False
    has_overrun: bool = False
    has_resigned: bool = False
    has_ended: bool = False
    fatal: str = ""


def file_of(descriptor: int) -> tuple[int, int] | None:
    """Return which file the descriptor stands for, None when it is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Sender:
    """The child's end of the pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # A supervisor that stands still must not hold up its children.
        os.set_blocking(descriptor, False)

    def send(self, report: Report) -> None:
        """Send a report, or drop it if there is no room for it or nobody who reads."""
        report = replace(report, retiring=_shortened(report.retiring), fatal=_shortened(report.fatal))
        line = json.dumps(asdict(report), separators=(",", ":")).encode() + b"\n"
        try:
            os.write(self._descriptor, line)
        except OSError:
            # The end of the supervisor is noticed elsewhere, and the next report says all of this again. Only
            # the last one is missed, by a supervisor that has read nothing for a minute.
            return


class Receiver:
    """The supervisor's end of the pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.is_closed = False
        """Whether nothing more can come: the child has ended, or its end was closed or spoiled."""
        os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self._descriptor

    def receive(self) -> list[Report]:
        """Return the reports that have arrived."""
        while not self.is_closed:
            try:
                data = os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                break
            self.is_closed = not data
            self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        try:
            return [_decode(line) for line in lines]
        except (ValueError, TypeError, KeyError):
            # Not by our hand: a handler has written where it should not. Whoever did is trusted no more.
            self.is_closed = True
            return []

    def close(self) -> None:
        """Close this end."""
        os.close(self._descriptor)


def _shortened(text: str) -> str:
    # What is not ASCII is written in escapes, and takes up to twelve bytes a character.
    while len(json.dumps(text)) > _LONGEST_TEXT:
        text = text[: len(text) * 9 // 10]
    return text


def _decode(line: bytes) -> Report:
    found: dict[str, Any] = json.loads(line)
    return Report(**{**_known(Report, found), "vitals": Vitals(**_known(Vitals, found["vitals"]))})


def _known(kind: type[Report | Vitals], found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a child of a later release says: it may be installed under a running supervisor."""
    return {field.name: found[field.name] for field in fields(kind) if field.name in found}

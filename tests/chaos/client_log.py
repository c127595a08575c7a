"""What clients tried: each intent is in the file before the call, the answer after it."""

import contextlib
import itertools
import json
import os
import secrets
import threading
import time
from pathlib import Path

from tests.chaos.records import Operation


class ClientLog:
    """A file of lines that only grows; each is one write, so a killed process leaves whole lines."""

    def __init__(self, folder, name):
        # One file for each log: ids of processes come again, and its numbers begin anew.
        path = Path(folder) / f"{name}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def asking(self, verb, channel, **facts):
        """Note the intent, give a dict for the answer, and note that; what is raised leaves it unknown."""
        with self._lock:
            number = next(self._numbers)
        self._write(number, {"verb": verb, "channel": channel, "asked": time.time(), **facts})
        answer = {"result": "unknown"}
        try:
            yield answer
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"[:300]
            raise
        finally:
            self._write(number, {**answer, "answered": time.time()})

    def _write(self, number, facts):
        os.write(self._file, json.dumps({"number": number, **facts}).encode() + b"\n")


def read(folder):
    """Return all operations in the logs of a folder."""
    found = []
    for file in sorted(Path(folder).glob("*.jsonl")):
        facts = {}
        for line in file.read_text().splitlines():
            said = json.loads(line)
            facts.setdefault(said.pop("number"), {}).update(said)
        found += [_operation(each) for each in facts.values()]
    return found


def _operation(facts):
    facts.setdefault("answered", float("inf"))
    facts["statuses"] = tuple((status, bool(after)) for status, after in facts.get("statuses", ()))
    return Operation(**facts)

"""What processes and PostgreSQL have used, as the operating system and the server count it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """One process as Linux tells of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        text = (_PROC / str(pid) / "stat").read_text()
        # The name, in parentheses, may hold anything.
        self.name = text[text.index("(") + 1 : text.rindex(")")]
        fields = text[text.rindex(")") + 2 :].split()
        self.parent = int(fields[1])
        self.seconds = sum(map(int, fields[11:13])) / _TICKS
        self.seconds_of_ended_children = sum(map(int, fields[13:15])) / _TICKS

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        pages = int((_PROC / str(self.pid) / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tree(pid: int) -> list[Process]:
    """Return a process and all its descendants; empty where there is no /proc."""
    there = _all()
    found = [each for each in there if each.pid == pid]
    for parent in found:  # it grows while we look
        found += [each for each in there if each.parent == parent.pid]
    return found


def _all() -> list[Process]:
    processes = []
    for folder in _PROC.glob("[0-9]*"):
        try:
            processes.append(Process(int(folder.name)))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return processes


def megabytes(processes: list[Process]) -> float:
    """Return the resident memory of all; what they share counts once for each."""
    return sum(each.megabytes for each in processes)


def seconds(processes: list[Process]) -> float:
    """Return the processor time of all, children that have ended included."""
    return sum(each.seconds + each.seconds_of_ended_children for each in processes)


class Server:
    """The PostgreSQL server of the measured database."""

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [backend] = cursor.fetchone()
        self._main = self._local(backend)

    def read(self) -> dict[str, float]:
        """Return the commits of this database, the WAL and the processor time of the whole server so far."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_stat_get_db_xact_commit(oid), pg_current_wal_lsn() - '0/0'::pg_lsn"
                " FROM pg_database WHERE datname = current_database()"
            )
            commits, written = cursor.fetchone()
        used = {"commits": float(commits), "WAL bytes": float(written)}
        return used | ({"server CPU µs": seconds(tree(self._main)) * 1e6} if self._main else {})

    @staticmethod
    def _local(backend: int) -> int | None:
        """Return the process id of the server, None when it runs on another machine."""
        try:
            process = Process(backend)
        except OSError:
            return None
        return process.parent if process.name == "postgres" else None


@contextmanager
def server_per_job(count: int) -> Iterator[dict[str, float]]:
    """Fill the yielded dict with what the server uses for each of `count` jobs; empty elsewhere."""
    used: dict[str, float] = {}
    if connection.vendor != "postgresql":
        yield used
        return
    server = Server()
    before = server.read()
    connection.close()
    yield used
    time.sleep(0.5)  # sessions hand in their counts when they end
    after = server.read()
    used |= {f"{name}/job": (after[name] - before[name]) / count for name in before}

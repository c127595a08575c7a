"""The HTTP API under gunicorn, and somebody who asks it."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks import workers

PROCESSES = 2
CALLERS = 4
"""How many ask at the same time: more than there are processes, so that none of these waits for us."""

_HOST = "127.0.0.1"


@contextmanager
def served() -> Iterator[int]:
    """Serve the measured project; yield the port once it answers."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    command = ("-m", "gunicorn", "django.core.wsgi:get_wsgi_application()", "--workers", str(PROCESSES))
    # Gunicorn itself would refuse long addresses.
    options = ("--bind", f"{_HOST}:{port}", "--limit-request-line", "0", "--log-level", "critical")
    with workers.running((*command, *options)):
        workers.wait_until(lambda: _answers(port))
        yield port


def _answers(port: int) -> bool:
    with suppress(OSError):
        return Caller(port).ask("GET", "/flare/health/live")[0] == 200
    return False


class Caller:
    """Ask with a key or without.

    Each request has a connection of its own: the default workers of gunicorn keep none open.
    """

    def __init__(self, port: int, key: str | None = None) -> None:
        self.port = port
        self.headers = {"Content-Type": "application/json"}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"

    def ask(self, method: str, address: str, body: Any = None) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=60)
        try:
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
            connection.request(method, address, data, self.headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def pour(self, method: str, address: str, body: bytes) -> int:
        """Send a body to its end, or as far as the server lets us; return the status that came back.

        A server that has answered may close before all was sent. What it said is then read, if it is
        still there; otherwise the status is 0.
        """
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=60)
        try:
            connection.putrequest(method, address)
            for name, value in {**self.headers, "Content-Length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders()
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.send(body)
            try:
                return connection.getresponse().status
            except (ConnectionError, http.client.BadStatusLine):
                return 0
        finally:
            connection.close()

    def announce(self, method: str, address: str, length: int, sent: bytes) -> int:
        """Announce a body of so many bytes, send the first of them, and return the status that comes back."""
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=60)
        try:
            connection.putrequest(method, address)
            for name, value in {**self.headers, "Content-Length": str(length)}.items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.send(sent)
            return connection.getresponse().status
        finally:
            connection.close()


def timed(work: Callable[[], object]) -> float:
    """Return how many milliseconds the work takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def together(count: int, work: Callable[[], object]) -> dict[str, float]:
    """Do the work so many times from several callers at once."""

    def some(_: int) -> list[float]:
        return [timed(work) for _ in range(count // CALLERS)]

    some(0)  # connects, imports, caches
    start = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        took = sorted(each for several in pool.map(some, range(CALLERS)) for each in several)
    return {"requests/s": len(took) / (time.perf_counter() - start), **percentiles(took)}


def percentiles(took: list[float]) -> dict[str, float]:
    """Return p50 and p99 of sorted milliseconds."""
    last = len(took) - 1
    return {
        f"{name} ms": took[min(last, int(share * len(took)))] for name, share in (("p50", 0.5), ("p99", 0.99))
    }


def require(status: int, found: tuple[int, bytes]) -> bytes:
    """Return the body, or fail for another status."""
    if found[0] != status:
        raise RuntimeError(f"{found[0]}: {found[1][:500]!r}")
    return found[1]

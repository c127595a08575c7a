"""How long anybody waited for a lock."""

import threading
import time
from dataclasses import dataclass

import psycopg

_PAUSE = 0.01
_WAITING = """
    SELECT l.pid, l.mode, coalesce(l.relation::regclass::text, l.locktype), a.query,
        extract(epoch FROM clock_timestamp() - l.waitstart)::float8
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.datname = current_database()
    """


@dataclass(frozen=True)
class Wait:
    """A session that waited, as it was last seen."""

    pid: int
    mode: str
    wanted: str
    query: str
    seconds: float


class Sampler(threading.Thread):
    """Look at a database's locks every few milliseconds, as a context manager."""

    def __init__(self, url):
        super().__init__(name="locks", daemon=True)
        self.longest = None
        """The longest wait seen, or None."""
        self.samples = 0
        self.gap = 0.0
        """The most seconds between two looks; a longer wait cannot have gone unseen."""
        self._url = url
        self._ended = threading.Event()

    def run(self):
        with psycopg.connect(self._url, autocommit=True) as connection:
            before = time.monotonic()
            while not self._ended.wait(_PAUSE):
                self._look(connection)
                self.gap = max(self.gap, time.monotonic() - before)
                before = time.monotonic()

    def _look(self, connection):
        for row in connection.execute(_WAITING).fetchall():
            wait = Wait(*row)
            if self.longest is None or wait.seconds > self.longest.seconds:
                self.longest = wait
        self.samples += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self.join()

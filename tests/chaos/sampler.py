"""What the server and the machine look like while the campaign goes on, about once a second."""

import os
import threading
import time
from pathlib import Path

import psycopg

from tests.chaos import auditor
from tests.chaos.records import Fault, Sample, Usage

_STALL = 1.0
_SESSIONS = """
    SELECT application_name, state LIKE 'idle in transaction%',
        EXTRACT(epoch FROM clock_timestamp() - state_change)::float8
    FROM pg_stat_activity WHERE application_name LIKE 'chaos-worker-%'
    """
_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


class Sampler(threading.Thread):
    """Look at sessions, at the witness's memory, and at whether the machine itself stood still."""

    def __init__(self, site):
        super().__init__(name="sampler", daemon=True)
        self.samples, self.usages, self.stalls = [], [], []
        self._site = site
        self._ended = threading.Event()

    def run(self):
        before = time.time()
        while not self._ended.wait(1.0):
            now = time.time()
            if now - before > 1.0 + _STALL:
                # Everybody was held up, and some may have been taken for dead.
                self.stalls.append(Fault("stall of the machine", 0, before, now))
            self._look_at_witness()
            self._look_at_server()
            self._site.mend()
            before = time.time()

    def stop(self):
        self._ended.set()
        self.join(10)

    def _look_at_server(self):
        try:
            with auditor.connect(self._site.url) as connection:
                rows = connection.execute(_SESSIONS).fetchall()
                ((locks,),) = connection.execute(_LOCKS).fetchall()
        except psycopg.Error:
            return
        idle = tuple((int(name.rpartition("-")[2]), seconds) for name, is_idle, seconds in rows if is_idle)
        self.samples.append(Sample(time.time(), idle, len(rows), locks))

    def _look_at_witness(self):
        for pid in self._site.witness.look():
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            except (OSError, IndexError):
                continue
            kibibytes = pages * os.sysconf("SC_PAGE_SIZE") // 1024
            self.usages.append(Usage(time.time(), pid, kibibytes, descriptors))

"""What goes wrong: each fault does its harm, waits, and mends what it broke."""

import contextlib
import os
import signal
import threading
import time

import psycopg

from tests.chaos import auditor
from tests.chaos.processes import send
from tests.chaos.records import Fault
from tests.proxy import COMMIT

STATEMENTS = (b'UPDATE "django_flare_job"', b"WITH found", b"INSERT INTO", b'UPDATE "django_flare_worker"')
"""Statements that are their own transactions, to cut around."""


class Nemesis:
    """Bring about one fault at a time of those that hit all, and others beside it; write each down."""

    def __init__(self, site, draw):
        self.site = site
        self.faults = []
        self._draw = draw
        self._global = threading.Lock()
        self._lock = threading.Lock()

    def strike(self, kind):
        """Bring about a fault of this kind and return when it has been mended."""
        method = getattr(self, kind)
        if kind in GLOBAL:
            with self._global:
                self._note(kind, method)
        elif kind in NETWORK:
            self._note(kind, method)
        else:
            with self._group() as group:
                self._note(kind, method, group)

    def _note(self, kind, method, group=None):
        began = time.time()
        pids = tuple(group.look()) if group else ()
        in_flight = self._in_flight(pids) if group else ()
        hit = method(group) if group else method()
        # Those that a network fault cuts off; a fault on all has none.
        if kind in NETWORK:
            pids = tuple(hit or _NOBODY)
        if group:
            pids = tuple({*pids, *(hit or ())})
        with self._lock:
            number = len(self.faults) + 1
            self.faults.append(Fault(kind, number, began, time.time(), pids, in_flight))

    @contextlib.contextmanager
    def _group(self):
        """Take a group that no other fault is at work on."""
        while True:
            groups = list(self.site.targets)
            self._shuffle(groups)
            for group in groups:
                if group.is_alive and group.lock.acquire(blocking=False):
                    try:
                        yield group
                    finally:
                        group.lock.release()
                    return
            time.sleep(0.05)

    def _shuffle(self, found):
        with self._lock:
            self._draw.shuffle(found)

    def _between(self, least, most):
        with self._lock:
            return self._draw.uniform(least, most)

    def _choice(self, found):
        with self._lock:
            return self._draw.choice(found)

    def _in_flight(self, pids):
        workers = [f"%\\_{pid}\\_%" for pid in pids]
        query = (
            "SELECT public_id FROM django_flare_job WHERE state = 'processing' AND worker_id LIKE ANY (%s)"
        )
        try:
            with auditor.connect(self.site.url) as connection:
                return tuple(str(job) for (job,) in connection.execute(query, [workers]))
        except psycopg.Error:
            return ()

    # Processes.

    def _start_again(self, group, most=3.0):
        time.sleep(self._between(0, most))
        group.start()

    def kill_group(self, group):
        """N1: SIGKILL all of a worker, as when its machine loses power."""
        hit = group.signal_all(signal.SIGKILL)
        group.expected.update(hit)
        group.wait(10)
        self._start_again(group)
        return hit

    def kill_child(self, group):
        """N2: SIGKILL one child; its supervisor replaces it."""
        children = group.look()[1:]
        if children:
            pid = self._choice(children)
            group.expected.add(pid)
            send(pid, signal.SIGKILL)
            return [pid]
        return []

    def kill_supervisor(self, group):
        """N2: SIGKILL the supervisor alone; its children end by themselves."""
        hit = group.look()
        group.expected.update(hit)
        send(group.supervisor, signal.SIGKILL)
        group.wait(10)
        self._start_again(group)
        return hit

    def freeze(self, group):
        """N3: SIGSTOP for 2 to 15 s, then SIGCONT: zombies."""
        hit = group.signal_all(signal.SIGSTOP)
        group.expected.update(hit)
        time.sleep(self._between(*self.site.frozen))
        for pid in hit:
            send(pid, signal.SIGCONT)
        # Until it is clear what became of it. Whoever lives then has no excuse for a later end.
        time.sleep(3)
        group.expected.difference_update(set(group.look()))
        return hit

    def stop_cleanly(self, group):
        """N4: SIGTERM, and a new worker when it has ended."""
        hit = group.look()
        group.expected.update(hit)
        is_up = group.is_up
        send(group.supervisor, signal.SIGTERM)
        began = time.monotonic()
        code = group.wait(30)
        if is_up:  # else Python itself may have been ended, before it was a worker
            self.site.clean_stops.append((time.monotonic() - began, code))
        if code is None:
            group.signal_all(signal.SIGKILL)
            group.wait(10)
        self._start_again(group, 0.5)
        return hit

    def stop_and_kill(self, group):
        """N4: SIGTERM, then SIGKILL within half a second."""
        hit = group.look()
        group.expected.update(hit)
        send(group.supervisor, signal.SIGTERM)
        time.sleep(self._between(0, 0.5))
        group.signal_all(signal.SIGKILL)
        for pid in hit:
            send(pid, signal.SIGKILL)
        group.wait(10)
        self._start_again(group)
        return hit

    def shift_clock(self):
        """N11: the realtime clock of a worker two hours off, then back."""
        for seconds in (7200, -7200, 0):
            self.site.clock.shift(seconds)
            time.sleep(self._between(1, 3))
        return self.site.shifted.look()

    # The network.

    def _victim(self):
        """Return a proxy, and the processes behind it."""
        proxy, group = self._choice(
            [(each.proxy, each) for each in self.site.groups] + [(self.site.entry, None)]
        )
        return proxy, (group.look() if group else [1])

    def cut_commit(self):
        """N8: cut the connection that commits next, before or after the server has done it."""
        proxy, pids = self._victim()
        patterns = self._choice([COMMIT, COMMIT, STATEMENTS])
        cut = proxy.cut(patterns, after=self._choice([True, False]))
        until = time.monotonic() + 2
        while not cut.happened and time.monotonic() < until:
            time.sleep(0.01)
        return pids

    def swallow(self):
        """N9: nothing gets through for 3 to 12 s; then the connections are reset."""
        proxy, pids = self._victim()
        proxy.swallow()
        time.sleep(self._between(3, 12))
        proxy.pass_on()
        proxy.reset()
        return pids

    def slow_down(self):
        """N10: each packet is held back 200 ms, for 5 s."""
        proxy, pids = self._victim()
        proxy.slow_down(0.2)
        time.sleep(5)
        proxy.slow_down(0)
        return pids

    def reset(self):
        """All connections through a proxy are reset or half closed."""
        proxy, pids = self._victim()
        if self._choice([True, False]):
            proxy.reset()
        else:
            for connection in list(proxy.connections):
                connection.half_close()
        return pids

    # The server.

    def _tell_server(self, *statements):
        with auditor.connect(self.site.url) as connection:
            for statement in statements:
                connection.execute(statement)

    def terminate_backends(self):
        """N5: the server ends all other sessions."""
        self._tell_server(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )

    def crash(self):
        """N6: an immediate stop, and up to 8 s without a server."""
        self._restart(signal.SIGQUIT, 8)

    def restart(self):
        """N7: a fast stop, or a smart one that is followed by a fast one."""
        if self._choice([True, False]):
            os.kill(self.site.cluster.process.pid, signal.SIGTERM)
            time.sleep(2)
        self._restart(signal.SIGINT, 3)

    def _restart(self, how, most):
        self.site.cluster.go_down(how)
        time.sleep(self._between(0, most))
        self.site.cluster.come_back()

    def read_only(self):
        """N12: the server takes no writes for 5 s."""
        self._tell_server("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        time.sleep(5)
        self._tell_server("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")

    def lock_table(self):
        """N13: somebody holds a lock on the job table against all writers, for 2 s."""
        with auditor.connect(self.site.url) as connection, contextlib.suppress(psycopg.Error):
            with connection.transaction():
                connection.execute("LOCK TABLE django_flare_job IN SHARE ROW EXCLUSIVE MODE")
                time.sleep(2)

    def lock_rows(self):
        """N13: somebody locks waiting and running rows in no order at all, for a second."""
        # The server may be down meanwhile by another fault.
        with contextlib.suppress(psycopg.Error), auditor.connect(self.site.url) as connection:
            with connection.transaction():
                connection.execute(
                    "SELECT id FROM django_flare_job WHERE state IN ('processing', 'scheduled')"
                    " ORDER BY id DESC LIMIT 20 FOR UPDATE"
                )
                time.sleep(1)

    def long_transaction(self):
        """N14: a REPEATABLE READ transaction stays open."""
        # The server may be down meanwhile by another fault.
        with contextlib.suppress(psycopg.Error), auditor.connect(self.site.url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with connection.transaction():
                connection.execute("SELECT count(*) FROM django_flare_job")
                time.sleep(self.site.long_transaction)

    def roll(self):
        """N16: all workers are stopped and started again, one after the other."""
        hit = []
        for group in self.site.targets:
            with group.lock:
                hit += self.stop_cleanly(group)
        return hit


_NOBODY = (0,)
"""The process ids of a fault that costs no worker its lease."""
GLOBAL = frozenset({"terminate_backends", "crash", "restart", "read_only", "lock_table"})
"""Faults that hit everybody; never two of them at once."""
NETWORK = frozenset(
    {"cut_commit", "swallow", "slow_down", "reset", "lock_rows", "long_transaction", "shift_clock", "roll"}
)
"""Faults that take no group for themselves."""
FULL = {
    "kill_group": 200,
    "kill_child": 20,
    "kill_supervisor": 10,
    "freeze": 30,
    "stop_cleanly": 30,
    "stop_and_kill": 20,
    "terminate_backends": 20,
    "crash": 10,
    "restart": 5,
    "cut_commit": 300,
    "swallow": 15,
    "slow_down": 20,
    "reset": 15,
    "shift_clock": 10,
    "read_only": 5,
    "lock_table": 5,
    "lock_rows": 10,
    "long_transaction": 1,
    "roll": 3,
}
"""How many of each there are in a full campaign."""
LEFT_OUT = {
    "N11, a clock that drifts": "the steps of two hours are the harder case",
    "N13, a ring of locks": "rows are locked against the order; rings are brought about in tests/races",
    "N15, bulk actions of the admin": "single ones are there; tests/system/test_bulk.py has bulk ones",
    "N16, previous version": "tests/upgrade lets both run side by side",
    "N17, memory cgroup shrink": "needs a cgroup of one's own; who is killed for memory gets a SIGKILL",
}
"""Faults of the plan that are not brought about, and why."""

"""What the specification says of jobs (sections 2, 5, 6 and 7), about dicts: it knows nothing of Django."""

from collections import defaultdict

from django_flare.states import Event, JobState

PENDING, SCHEDULED, PROCESSING, SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER = JobState
BROKEN = {CANCELLED, DEAD_LETTER}
BASE = 15


class Model:
    """Say what the specification says, about dicts."""

    def __init__(self):
        self.now = 0
        self.jobs = {}  # in the order of creation, which is that of the keys
        self.keys = {}
        self.workers = {}
        self.claims = 0
        self.attempts = defaultdict(int)
        self.free_causes = {}
        self.is_paused = False

    def add(self, name, *, run_at=None, parents=(), max_attempts=3, priority=0):
        self.jobs[name] = {
            "state": SCHEDULED,
            "run_at": self.now if run_at is None or run_at <= self.now else run_at,
            "parents": parents,
            "max_attempts": max_attempts,
            "priority": priority,
            "attempt": 0,
            "fence": 0,
            "losses": 0,
            "cancelled_by": None,
            "worker": None,
            "stop": False,
        }
        self.settle([name])

    def settle(self, waiting):
        """Let each waiting job follow from its parents and its time, and on through its descendants."""
        for name in waiting:
            self._settle(name)

    def _settle(self, name):
        job = self.jobs[name]
        if job["state"] is not SCHEDULED:
            return
        parents = [self.jobs[parent] for parent in job["parents"]]
        if any(parent["state"] in BROKEN for parent in parents):
            self.finish(name, CANCELLED)
            # Which of several broken parents is named is free; the database's answer is taken over.
            self.free_causes[name] = True
            self.settle(self.children(name))
        elif all(parent["state"] is SUCCEEDED for parent in parents) and job["run_at"] <= self.now:
            self.make_pending(name)

    def root_causes(self, name):
        """Return the jobs that may be named as the cause of a cascade's reaching `name`."""
        return {
            self.jobs[parent]["cancelled_by"] or parent
            for parent in self.jobs[name]["parents"]
            if self.jobs[parent]["state"] in BROKEN
        }

    def children(self, name):
        return [child for child, job in self.jobs.items() if name in job["parents"]]

    def make_pending(self, name, *, keep_run_at=False):
        job = self.jobs[name]
        job["state"], job["worker"] = PENDING, None
        if not keep_run_at:
            job["run_at"] = self.now

    def finish(self, name, state):
        self.jobs[name].update(state=state, ended=self.now)

    def end(self, name, state):
        self.finish(name, state)
        self.settle(self.children(name))

    def in_state(self, *states):
        return [name for name, job in self.jobs.items() if job["state"] in states]

    def prune(self, keep):
        """Forget what ended more than `keep` seconds ago and no child needs; return what that was."""
        gone = [name for state in (SUCCEEDED, CANCELLED, DEAD_LETTER) for name in self._prune(state, keep)]
        self.keys = {key: held for key, held in self.keys.items() if held[0] not in gone}
        return gone

    def _prune(self, state, keep):
        # A child that may run again reads the results of parents that have succeeded.
        enough = {SUCCEEDED} if state is SUCCEEDED else {SUCCEEDED, *BROKEN}
        gone = [
            name
            for name in self.in_state(state)
            if self.jobs[name]["ended"] < self.now - keep
            and all(self.jobs[child]["state"] in enough for child in self.children(name))
        ]
        for name in gone:
            del self.jobs[name]
            self.attempts.pop(name, None)
        for job in self.jobs.values():
            job["parents"] = tuple(parent for parent in job["parents"] if parent not in gone)
        return gone

    def claim(self, worker, limit):
        if worker not in self.workers or self.is_paused:
            return []
        ordered = sorted(
            self.in_state(PENDING), key=lambda name: (-self.jobs[name]["priority"], self.jobs[name]["run_at"])
        )
        for name in ordered[:limit]:
            job = self.jobs[name]
            self.claims += 1
            job.update(state=PROCESSING, worker=worker, attempt=job["attempt"] + 1, fence=job["fence"] + 1)
            job["claimed"] = self.claims
        return ordered[:limit]

    def decide(self, name, event, delay):
        """Write what became of one run, without its consequences."""
        job = self.jobs[name]
        run_at, stop, job["stop"] = job["run_at"], job["stop"], False
        self._decide(name, event, delay)
        if (stop and event is not Event.SUCCEED) or event is Event.STOPPED:
            # What was given back stays given back, what was recorded stays recorded.
            job.update(state=CANCELLED, run_at=run_at, ended=self.now)

    def _decide(self, name, event, delay):
        job = self.jobs[name]
        used_up = job["attempt"] >= job["max_attempts"]
        if event is Event.SUCCEED:
            self.finish(name, SUCCEEDED)
        elif event is Event.EXHAUST or (event is Event.FAIL and used_up):
            self.attempts[name] += 1
            self.finish(name, DEAD_LETTER)
        elif event is Event.FAIL:
            self.attempts[name] += 1
            wait = min(6 * 3600, BASE * 2 ** (job["attempt"] - 1)) if delay is None else delay
            job.update(state=FAILED, run_at=self.now + wait)
        elif event is Event.SNOOZE:
            job.update(state=SCHEDULED, attempt=job["attempt"] - 1, run_at=self.now + delay, worker=None)
        elif event is Event.RELEASE:
            job["attempt"] -= 1
            self.make_pending(name, keep_run_at=True)
        elif event is Event.LOSE:
            self.attempts[name] += 1
            job.update(attempt=job["attempt"] - 1, losses=job["losses"] + 1)
            if job["losses"] >= 3 or job["max_attempts"] == 1:
                self.finish(name, DEAD_LETTER)
            else:
                self.make_pending(name)

    def flush(self, endings):
        """End several runs at once: first all of them, then what follows."""
        for name, event, delay in endings:
            self.decide(name, event, delay)
        for name, _, _ in endings:
            if self.jobs[name]["state"] in {SUCCEEDED, *BROKEN}:
                self.settle(self.children(name))

    def due(self):
        return [
            name
            for name in self.in_state(SCHEDULED, FAILED)
            if self.jobs[name]["run_at"] <= self.now
            and all(self.jobs[parent]["state"] is SUCCEEDED for parent in self.jobs[name]["parents"])
        ]

    def explain(self, name):
        """Return the codes that may explain why the job is not running."""
        job = self.jobs[name]
        if job["state"] in {SUCCEEDED, *BROKEN}:
            return {"final"}
        if job["state"] is PROCESSING:
            return {"stop_requested" if job["stop"] else "running"}
        if any(self.jobs[parent]["state"] is not SUCCEEDED for parent in job["parents"]):
            return {"waiting_for_parents"}
        if job["state"] is not PENDING and job["run_at"] > self.now:
            return {"retry_at" if job["state"] is FAILED else "scheduled_until"}
        return {"queue_paused"} if self.is_paused else {"claimable", "workers_busy"}

    def retry(self, name, revive):
        job = self.jobs[name]
        if job["state"] not in {FAILED, DEAD_LETTER}:
            return False
        job["max_attempts"] = max(job["max_attempts"], job["attempt"] + 1)
        self.make_pending(name)
        if revive:
            revived = [
                child
                for child, found in self.jobs.items()
                if found["state"] is CANCELLED and found["cancelled_by"] == name
            ]
            for child in revived:
                self.jobs[child].update(state=SCHEDULED, cancelled_by=None)
            self.settle(revived)
        return True

"""What a campaign has collected, as plain data: the checker reads this and nothing else."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from tests.chaos.records import Birth, Change, Effect, Execution, Exit, Fault, Operation, Row, Sample, Usage

FINAL = frozenset({"succeeded", "cancelled", "dead_letter"})
BROKEN = frozenset({"cancelled", "dead_letter"})
WAITING = frozenset({"pending", "scheduled"})


@dataclass(eq=False)
class Run:
    """A job in the hands of a worker, from the claim under `fence` until it left `processing`."""

    job: str
    fence: int
    pid: int
    claimed: Change
    left: Change | None = None
    starts: list[Execution] = field(default_factory=list)

    @property
    def how(self):
        return self.left.how if self.left else "never"

    @property
    def until(self):
        return self.left.at if self.left else math.inf


@dataclass
class Evidence:
    """All that there is to judge by."""

    changes: list[Change] = field(default_factory=list)
    births: list[Birth] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    lease: float = 5.0
    session_bound: int = 1000
    repairs: int = 0

    @cached_property
    def history(self):
        """The changes of each job, in order."""
        found = defaultdict(list)
        for change in sorted(self.changes, key=lambda change: change.seq):
            found[change.job].append(change)
        return found

    @cached_property
    def birth_of(self):
        return {birth.job: birth for birth in self.births}

    @cached_property
    def runs(self):
        """The runs of each job, in order, each with the starts that belong to it."""
        found = {job: list(_runs(job, changes)) for job, changes in self.history.items()}
        for execution in self.executions:
            run = _run_of(execution, found.get(execution.job, []))
            if run is not None:
                run.starts.append(execution)
        return found

    @cached_property
    def strays(self):
        """The executions that belong to no run."""
        attributed = {start.nonce for runs in self.runs.values() for run in runs for start in run.starts}
        return [execution for execution in self.executions if execution.nonce not in attributed]

    @cached_property
    def starts(self):
        """The executions of each job, by time."""
        found = defaultdict(list)
        for execution in sorted(self.executions, key=lambda execution: execution.started):
            found[execution.job].append(execution)
        return found

    @cached_property
    def deaths(self):
        """When each deleted job's deletion was committed."""
        return {change.job: change.committed for change in self.changes if change.after is None}

    def kind_of(self, job):
        birth = self.birth_of.get(job)
        return birth.kind if birth else ""

    def with_descendants(self, job):
        """The job and all that are below it."""
        found, below = set(), {job}
        while below:
            found |= below
            below = {child for each in below for child in self._children[each]} - found
        return found

    @cached_property
    def _children(self):
        found = defaultdict(list)
        for parent, child in self.links:
            found[parent].append(child)
        return found

    def last_state(self, job):
        """The state in which the job was last seen, also when it has been deleted since."""
        last = self.history[job][-1]
        return last.before if last.after is None else last.after

    def state_at(self, job, moment):
        """The committed state of the job at a moment; None before its creation and after its deletion."""
        state = None
        for change in self.history[job]:
            if change.committed > moment:
                break
            state = change.after
        return state

    def states_between(self, job, first, last):
        """All committed states of the job between two moments."""
        found = {self.state_at(job, first)}
        found.update(change.after for change in self.history[job] if first < change.committed <= last)
        return found

    def faults_on(self, pid, first, last):
        """The faults that may have concerned a process between two moments."""
        return [
            fault
            for fault in self.faults
            if fault.began <= last and fault.ended >= first and (fault.is_global or pid in fault.pids)
        ]

    @cached_property
    def poisoned(self):
        """When a poison was started in each process."""
        found = defaultdict(list)
        for execution in self.executions:
            if self.kind_of(execution.job) == "chaos.poison":
                found[execution.pid].append(execution.started)
        return found

    def explains_loss(self, run):
        """Name what may have cost this run its worker, or "" if nothing is known."""
        faults = self.faults_on(run.pid, run.claimed.at, run.until)
        if faults:
            return faults[0].kind
        was_poisoned = any(run.claimed.at <= moment <= run.until for moment in self.poisoned[run.pid])
        return "poison" if was_poisoned else ""


def _runs(job, changes):
    run = None
    for change in changes:
        if run is not None and change.before == "processing":
            run.left = change
            yield run
            run = None
        if change.after == "processing" and change.before != "processing":
            run = Run(job, change.fence, pid_of(change.worker), change)
    if run is not None:
        yield run


def pid_of(worker):
    """Return the process id in a worker's id, `wrk_<host>_<pid>_<random>`."""
    parts = worker.rsplit("_", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else 0


def _run_of(execution, runs):
    """Return the newest run that had been given to the execution's process when it started."""
    mine = [
        run
        for run in runs
        if run.pid == execution.pid
        and run.claimed.at <= execution.started
        and run.claimed.attempt == execution.attempt
    ]
    return mine[-1] if mine else None

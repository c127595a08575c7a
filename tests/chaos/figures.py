"""The figures of a campaign, beside its verdict."""

from collections import Counter

from tests.chaos.settings import LEASE

_KILLS = frozenset({"kill_group", "kill_child", "kill_supervisor", "stop_and_kill"})
_DISTURBANCES = frozenset(
    {"terminate_backends", "crash", "restart", "read_only", "lock_table", "swallow", "slow_down", "reset"}
    | {"stall of the machine", "freeze", "lock_rows"}
)


BOUNDS = {
    "recovery p99, undisturbed, s": LEASE + 3,
    "worker exits by database faults": 0,
    "attempts burned by clean stops": 0,
    "longest idle in transaction, unexplained, s": 5,
}
"""What a figure may be at most."""
BOUNDS_OF_FULL = {**BOUNDS, "explained duplicates, %": 0.5}
"""Those of a full campaign; in a small one the jobs that fill the slots weigh more."""


def figures(evidence, clean_stops=()):
    """Return the figures by name."""
    runs = [run for each in evidence.runs.values() for run in each]
    executions = len(evidence.executions)
    # What kills its worker is started again on purpose, up to three times (I17).
    extra = [
        run
        for job, each in evidence.runs.items()
        if evidence.birth_of[job].kind != "chaos.poison"
        for run in each
        if run.starts and run.how in ("lost", "released")
    ]
    quiet, disturbed = _recoveries(evidence, runs)
    return {
        "jobs": len(evidence.births),
        "executions": executions,
        "explained duplicates, %": round(100 * len(extra) / max(1, executions), 3),
        "what had happened to them": dict(
            Counter(evidence.explains_loss(run) or "none" for run in extra).most_common()
        ),
        "runs lost": sum(run.how == "lost" for run in runs),
        "runs given back": sum(run.how == "released" for run in runs),
        "starts after their lease was lost": sum(
            run.how == "lost" and start.started > run.left.committed for run in runs for start in run.starts
        ),
        "recoveries after SIGKILL": len(quiet) + len(disturbed),
        "recovery p50, undisturbed, s": _quantile(quiet, 0.5),
        "recovery p99, undisturbed, s": _quantile(quiet, 0.99),
        "recovery p99, with another fault meanwhile, s": _quantile(disturbed, 0.99),
        "worker exits by database faults": len(evidence.exits),
        "attempts burned by clean stops": sum(
            change.after == "failed" and change.error.startswith("JobCancelled")
            for change in evidence.changes
        ),
        "clean stops": len(clean_stops),
        "slowest clean stop, s": round(max((seconds for seconds, _ in clean_stops), default=0), 1),
        "longest idle in transaction, unexplained, s": _longest_idle(evidence),
        "most worker sessions": max((sample.sessions for sample in evidence.samples), default=0),
        "answers over HTTP": sum(len(operation.statuses) for operation in evidence.operations),
        "of these 503": sum(
            status == 503 for operation in evidence.operations for status, _ in operation.statuses
        ),
        "operations of clients": dict(Counter(operation.verb for operation in evidence.operations)),
        "results of clients": dict(Counter(operation.result for operation in evidence.operations)),
        "states at the end": dict(Counter(evidence.last_state(job) for job in evidence.birth_of)),
        "kinds of jobs": dict(sorted(Counter(birth.kind for birth in evidence.births).items())),
        "deleted by retention": len(evidence.deaths),
    }


def _recoveries(evidence, runs):
    """Return the seconds from SIGKILL to recovery of what was in flight: without other faults, and with."""
    quiet, disturbed = [], []
    lost = [run for run in runs if run.how == "lost" and run.left.after == "pending"]
    for run in lost:
        kill = next(
            (f for f in evidence.faults_on(run.pid, run.claimed.at, run.until) if f.kind in _KILLS), None
        )
        if kill is None or kill.began < run.claimed.at:
            continue
        meanwhile = [
            fault
            for fault in evidence.faults
            if fault.kind in _DISTURBANCES and fault.began <= run.until and fault.ended >= kill.began
        ]
        (disturbed if meanwhile else quiet).append(run.left.at - kill.began)
    return quiet, disturbed


def _quantile(found, share):
    return round(sorted(found)[min(len(found) - 1, int(share * len(found)))], 2) if found else None


def _longest_idle(evidence):
    found = [
        seconds
        for sample in evidence.samples
        for pid, seconds in sample.idle
        if not evidence.faults_on(pid, sample.at - seconds, sample.at)
    ]
    return round(max(found, default=0.0), 2)

"""What the runs left behind in the database and on the machine."""

from collections import Counter, defaultdict

LONGEST_IDLE = 5.0
"""Seconds that a worker's session may be idle in a transaction."""
GROWTH = 1.1
LEAST_TREND = 30.0
"""Seconds that the witness must have been watched for its memory to say something."""


def effects_happen_once(evidence):
    """Effects of `atomic=True` are there exactly once, others at least once, if the job succeeded."""
    counts = Counter(evidence.effects)
    by_job = {(effect.job, effect.kind): count for effect, count in counts.items()}
    for birth in evidence.births:
        succeeded = evidence.last_state(birth.job) == "succeeded"
        if birth.kind == "chaos.atomic":
            count = by_job.get((birth.job, "atomic"), 0)
            if count != succeeded:
                yield f"{birth.job} is {evidence.last_state(birth.job)} with {count} atomic effects"
        if birth.kind == "chaos.write" and succeeded and not by_job.get((birth.job, "plain")):
            yield f"{birth.job} succeeded without its effect"


def the_server_is_left_alone(evidence):
    """No session idles in a transaction, none is one too many, nothing is left behind, memory is flat."""
    for sample in evidence.samples:
        for pid, seconds in sample.idle:
            if seconds > LONGEST_IDLE and not evidence.faults_on(pid, sample.at - seconds, sample.at):
                yield f"process {pid} was idle in a transaction for {seconds:.1f} s"
        if sample.sessions > evidence.session_bound:
            yield f"{sample.sessions} sessions of workers, at most {evidence.session_bound}"
        if sample.advisory_locks:
            yield f"{sample.advisory_locks} advisory locks"
    for orphan in evidence.orphans:
        yield f"left behind: {orphan}"
    yield from _growth(evidence)


def _growth(evidence):
    by_pid = defaultdict(list)
    for usage in evidence.usages:
        by_pid[usage.pid].append(usage)
    for pid, usages in by_pid.items():
        if usages[-1].at - usages[0].at < LEAST_TREND:
            continue
        last_third = usages[len(usages) * 2 // 3 :]
        for name in ("kibibytes", "descriptors"):
            first, last = getattr(last_third[0], name), getattr(last_third[-1], name)
            if last > first * GROWTH and last - first > 10:
                yield f"process {pid} grew from {first} to {last} {name} in the last third"

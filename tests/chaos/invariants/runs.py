"""The way of each job through its states and runs."""

import math
from itertools import pairwise

ALLOWED = frozenset(
    {
        (None, "pending"),
        (None, "scheduled"),
        (None, "cancelled"),
        ("scheduled", "pending"),
        ("scheduled", "cancelled"),
        ("scheduled", "scheduled"),
        ("pending", "processing"),
        ("pending", "cancelled"),
        ("failed", "pending"),
        ("failed", "dead_letter"),
        ("dead_letter", "pending"),
        ("cancelled", "scheduled"),
        ("cancelled", "pending"),
        ("cancelled", "cancelled"),
        ("processing", "processing"),
        ("processing", "pending"),
        ("processing", "scheduled"),
        ("processing", "succeeded"),
        ("processing", "failed"),
        ("processing", "cancelled"),
        ("processing", "dead_letter"),
        ("succeeded", None),
        ("cancelled", None),
        ("dead_letter", None),
    }
)
"""All pairs of states that the specification allows; the same state twice is a note on the row."""

CEILING = 3
"""How often a job that kills its worker may be started."""
_LEDGER = "LedgerUnavailableError"
_WORKER_LOST = "worker_lost"
_ENDED_BY_HANDLER = {"succeeded", "failed", "exhausted", "snoozed"}


def one_way_through_the_states(evidence):
    """History holds only allowed transitions, each from where the one before has led."""
    risen, revived = _retries(evidence)
    for job, changes in evidence.history.items():
        if changes[0].before is not None:
            yield f"{job} appears as {changes[0].before}"
        for change in changes:
            if (change.before, change.after) not in ALLOWED:
                yield f"{job} went from {change.before} to {change.after}"
            if _is_early(change, "dead_letter", risen):
                yield f"{job} rose from the dead letters, and nobody had asked for that"
            if _is_early(change, "cancelled", revived):
                yield f"{job} was revived, and nobody had asked for that"
        for first, second in pairwise(changes):
            if first.after != second.before:
                yield f"{job} was left {first.after} and found {second.before}"


def _is_early(change, before, asked):
    is_back = change.before == before and change.after in ("pending", "scheduled")
    return is_back and change.at < asked.get(change.job, math.inf)


def _retries(evidence):
    """Return from when on each job may rise from the dead letters, and be revived under one that does."""
    risen, revived = {}, {}
    for operation in _asked("retry", evidence):
        _note_earliest(risen, [operation.job], operation.asked)
        if operation.revive:
            _note_earliest(revived, evidence.with_descendants(operation.job), operation.asked)
    return risen, revived


def _note_earliest(found, jobs, moment):
    found.update({job: min(moment, found.get(job, math.inf)) for job in jobs})


def _asked(verb, evidence):
    """Return the operations of which nobody said that nothing came; a lost answer may have been a yes."""
    return [
        operation
        for operation in evidence.operations
        if operation.verb == verb and operation.answer is not False and operation.result != "refused"
    ]


def final_states_have_their_runs(evidence):
    """What succeeded or died has been started; what was cancelled unclaimed has not."""
    for job, changes in evidence.history.items():
        last, starts = evidence.last_state(job), evidence.starts[job]
        if last == "succeeded" and not starts:
            yield f"{job} succeeded and was never started"
        if last == "dead_letter" and not starts and not _died_without_a_start(changes):
            yield f"{job} is a dead letter and was never started"
        if last == "cancelled" and starts and not evidence.runs[job]:
            yield f"{job} was cancelled, never claimed, and started"


def _died_without_a_start(changes):
    """Tell whether it died of losses before its start, or because the ledger could not be written."""
    return any(change.error.startswith((_WORKER_LOST, _LEDGER)) for change in changes)


def every_extra_execution_is_explained(evidence):
    """Between two executions of a job there is a failure, a stop, or a loss with a known cause."""
    for execution in evidence.strays:
        yield f"{execution.job} was started by process {execution.pid}, which had not claimed it"
    for job, runs in evidence.runs.items():
        for run in runs:
            if len(run.starts) > 1:
                yield f"{job} was started {len(run.starts)} times under the fence {run.fence}"
        started = [run for run in runs if run.starts]
        for run in started[:-1]:
            if run.how in ("lost", "released") and not evidence.explains_loss(run):
                yield f"{job} was {run.how} by process {run.pid}, to which nothing had happened"


def runs_do_not_overlap(evidence):
    """Two executions of a job overlap only after a lost lease."""
    for job, runs in evidence.runs.items():
        starts = sorted(
            ((start, run) for run in runs for start in run.starts), key=lambda pair: pair[0].started
        )
        for (first, run), (second, _) in pairwise(starts):
            if _lasted(first, run) > second.started and run.how != "lost":
                yield f"{job} was started again while process {first.pid} ran it, which was {run.how}"


def _lasted(execution, run):
    """Return when an execution had ended: as it says, or at the latest when its outcome was written."""
    if execution.ended is not None:
        return execution.ended
    return run.until if run.left else math.inf


def outcomes_are_of_the_newest_run(evidence):
    """No outcome is accepted of a run that has lost its fence, and no fence goes back."""
    run_of = {start.nonce: run for runs in evidence.runs.values() for run in runs for start in run.starts}
    for job, changes in evidence.history.items():
        for change in changes:
            raised = change.after == "processing" != change.before
            if change.after is not None and change.fence != change.fence_before + raised:
                yield f"{job}: the fence went from {change.fence_before} to {change.fence}"
        for run in evidence.runs[job]:
            if run.left is None or run.how not in _ENDED_BY_HANDLER:
                continue
            author = run_of.get(run.left.nonce)
            if author is not None and author is not run:
                yield f"{job}: the outcome under fence {run.fence} is of the run under {author.fence}"
            elif run.left.writer and run.left.writer != f"chaos-worker-{run.pid}":
                yield f"{job}: the outcome of process {run.pid} was written by {run.left.writer}"


def no_attempt_is_burned(evidence):
    """An attempt is counted at the claim, kept by outcomes, given back by releases, losses and snoozes."""
    for job, changes in evidence.history.items():
        for change in changes:
            if change.after is None or change.before is None:
                continue
            difference = change.attempt - change.attempt_before
            if difference not in _differences(change):
                way = f"{change.before} → {change.after} ({change.how})"
                yield f"{job}: {way} changed the attempt by {difference}"
            if change.after == "processing" and change.attempt > change.max_attempts:
                yield f"{job}: attempt {change.attempt} of {change.max_attempts}"
            if change.after == "failed" and change.error.startswith("JobCancelled"):
                yield f"{job}: its worker's stop was recorded as a failure"
        runs = evidence.runs[job]
        if len(evidence.starts[job]) > len(runs):
            yield f"{job}: {len(evidence.starts[job])} starts of {len(runs)} claims"


def _differences(change):
    """Return by how much the attempt may change."""
    if change.after == "processing" != change.before:
        return {1}
    if change.before != "processing" or change.after == "processing":
        return {0}
    if change.how == "stopped":
        # Asked to stop, a run ends cancelled also by a release or a snooze, which give the attempt back.
        return {0, -1}
    return {-1} if change.how in ("released", "lost", "snoozed") else {0}


def nothing_starts_before_its_time(evidence):
    """Nothing becomes claimable or starts before its time by the database's clock."""
    retried = {operation.job for operation in _asked("retry", evidence)}
    asked = {operation.token: operation.asked for operation in evidence.operations}
    for job, changes in evidence.history.items():
        for change in changes:
            if change.before in ("scheduled", "failed") and change.after == "pending":
                early = change.run_at_before - change.at
                if early > 0 and not (change.before == "failed" and job in retried):
                    yield f"{job} became pending {early:.3f} s before its time"
        birth = evidence.birth_of.get(job)
        delay = birth.payload.get("delay", 0) if birth else 0
        for start in evidence.starts[job][:1]:
            # From the moment of the call on: its insert may have had to wait.
            due = asked.get(birth.token, 0) + delay
            if delay and start.started < due:
                yield f"{job} started {due - start.started:.3f} s before its time"


def poison_is_contained(evidence):
    """What kills its worker is started at most three times, then it is a dead letter that says so."""
    # Cancelled in time, or asked to stop, it ends cancelled.
    ended_by_hand = {operation.job for verb in ("cancel", "stop") for operation in _asked(verb, evidence)}
    for birth in evidence.births:
        if birth.kind != "chaos.poison":
            continue
        starts = len(evidence.starts[birth.job])
        if starts > CEILING:
            ends = ", ".join(run.how for run in evidence.runs[birth.job])
            yield f"{birth.job} was started {starts} times, and its runs were {ends}"
        deaths = [change for change in evidence.history[birth.job] if change.after == "dead_letter"]
        state = evidence.last_state(birth.job)
        if state == "cancelled" and birth.job in ended_by_hand:
            continue
        if state != "dead_letter":
            yield f"{birth.job} is poison and {state}"
        elif deaths and not deaths[-1].error.startswith((_WORKER_LOST, _LEDGER)):
            yield f"{birth.job} died of {deaths[-1].error[:60]!r}"

"""Record outcomes of runs, any number in one transaction, each only while its fence holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter

from django.db import DatabaseError, InterfaceError

from django_flare.failpoints import reach
from django_flare.lifecycle.continuations import lock_concerned, settle_children
from django_flare.lifecycle.outcomes import Decision, Outcome, decide, recorded, succeeded
from django_flare.states import FINAL, JobState
from django_flare.store import runs
from django_flare.store.faults import Fault, classify
from django_flare.store.rollups import Ended
from django_flare.store.runs import RunRow
from django_flare.store.transactions import in_transaction, transaction


class LeaseLostError(Exception):
    """Tell that a run's fence is outdated: somebody else decides about the job now."""


class NotRecordedError(Exception):
    """Tell that the database did not take the success of an `atomic` run now.

    In a conflict with others, as a deadlock, for no fault of the run's. An outage may be its fault, as when
    it has left its transaction idle for too long, and the commit may have been done all the same.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.is_outage = fault is Fault.OUTAGE


@dataclass(slots=True)
class Applied:
    """Tell what became of each outcome.

    `states` holds the new state of every job whose outcome was recorded; `busy` those whose row
    somebody else had locked: try them again; `refused` those whose fence is outdated: drop them.
    `activated` tells whether children of the ended jobs are claimable now.
    """

    states: dict[int, JobState] = field(default_factory=dict)
    activated: bool = False
    busy: list[Outcome] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)


def apply(outcomes: Sequence[Outcome], using: str) -> Applied:
    """Record `outcomes` in one transaction; pass over rows that others have locked."""
    return in_transaction(partial(apply_within, outcomes, using), using)


def total(each: Iterable[Applied]) -> Applied:
    """Return all of them as one."""
    summed = Applied()
    for applied in each:
        summed.states |= applied.states
        summed.activated = summed.activated or applied.activated
        summed.busy += applied.busy
        summed.refused += applied.refused
    return summed


def apply_within(
    outcomes: Sequence[Outcome],
    using: str,
    lock: Callable[[Collection[int], str], list[RunRow]] | None = None,
) -> Applied:
    """Do the work of `apply` inside a transaction of the caller, which must be READ COMMITTED.

    Lock, decide, write; then, in a new statement, find and settle the children: one that was
    attached while the lock was waited for is seen there (F11). `lock` locks and reads the rows.
    """
    applied = Applied()
    if not outcomes:
        return applied
    # A worker may end a run that it lost together with the job's next run: the newest fence counts.
    by_id = {outcome.id: outcome for outcome in sorted(outcomes, key=attrgetter("fence"))}
    applied.refused = [outcome for outcome in outcomes if by_id[outcome.id] is not outcome]
    rows = (lock or runs.lock_runs)(by_id.keys(), using)
    decisions = [decide(row, by_id[row.id]) for row in rows if row.fence == by_id[row.id].fence]
    ended = {each.write.id: each.write.state for each in decisions if each.write.state in FINAL}
    concerned = lock_concerned(ended, using)
    decisions = [each for each in decisions if each.write.id not in concerned.blocked]
    ended = {key: ended[key] for key in concerned.parents if key not in concerned.blocked}
    _write(decisions, using)
    applied.states = {decision.write.id: decision.write.state for decision in decisions}
    applied.activated = settle_children(ended, using)
    _sort_missing([by_id[key] for key in by_id.keys() - applied.states.keys()], applied, using)
    return applied


def _write(decisions: Sequence[Decision], using: str) -> None:
    if not decisions:
        return
    reach("finish.before_write")
    records = [decision.attempt for decision in decisions if decision.attempt]
    if records:
        runs.write_attempts(records, using)
    ended = [decision.ended for decision in decisions if decision.ended]
    runs.write_runs([decision.write for decision in decisions], ended, using)


def _sort_missing(missing: Sequence[Outcome], applied: Applied, using: str) -> None:
    if not missing:
        return
    seen = runs.look_at_runs([outcome.id for outcome in missing], using)
    for outcome in missing:
        still_ours = seen.get(outcome.id) == (JobState.PROCESSING, outcome.fence)
        (applied.busy if still_ours else applied.refused).append(outcome)


def look_back(outcomes: Sequence[Outcome], using: str) -> dict[int, JobState]:
    """Return the states to which those of these refused outcomes led that had been recorded before (F08)."""
    ids = [outcome.id for outcome in outcomes]
    seen = runs.look_at_runs(ids, using)
    records = runs.look_at_records(ids, using)
    found = {}
    for outcome in outcomes:
        # Nothing is known of a row that has been deleted.
        state, fence = seen.get(outcome.id, ("", -1))
        state_then = recorded(outcome, state, fence, records.get((outcome.id, outcome.fence)))
        if state and state_then:
            found[outcome.id] = state_then
    return found


def record_with(
    work: Callable[[], Outcome], queue: str, job_type: str, using: str
) -> tuple[Outcome, JobState]:
    """Run `work` and record the outcome that it returns in one transaction (`atomic=True`).

    It is counted for the job's `queue` and `job_type`.

    Returns the outcome and the job's new state. Raises what `work` raises; LeaseLostError when the fence is
    outdated; NotRecordedError when the database failed after `work`, by a deadlock or an outage. What `work`
    wrote in this database is rolled back then, unless an outage hides that the commit was done.
    """
    outcome = None
    try:
        with transaction(using):
            outcome = work()
            _record_success(outcome, queue, job_type, using)
    except (DatabaseError, InterfaceError) as error:
        fault = classify(error)
        if outcome is None or fault not in {Fault.CONFLICT, Fault.OUTAGE}:
            raise
        raise NotRecordedError(fault) from error
    return outcome, JobState.SUCCEEDED


def _record_success(outcome: Outcome, queue: str, job_type: str, using: str) -> None:
    # Only a success comes here, and that is decided without a look at the row.
    ended = Ended(queue, job_type, JobState.SUCCEEDED, outcome.waited, outcome.ran)
    success = runs.write_success(succeeded(outcome), ended, using)
    if not success.is_written:
        raise LeaseLostError
    if success.has_children:
        settle_children([outcome.id], using)

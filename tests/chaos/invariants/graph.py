"""Parents and children."""

from collections import defaultdict

from tests.chaos.evidence import BROKEN, FINAL


def children_come_after_their_parents(evidence):
    """No child starts before the successes of all its parents are committed, and it sees them."""
    for child, parents in _parents(evidence).items():
        for start in evidence.starts[child]:
            early = [each for each in parents if not _had_succeeded(each, start.started, evidence)]
            if early:
                yield f"{child} started before its parent {early[0]} had succeeded"
            elif set(start.parents) - {"succeeded"}:
                yield f"{child} saw its parents as {sorted(set(start.parents))}"


def _had_succeeded(job, moment, evidence):
    return any(change.after == "succeeded" and change.committed <= moment for change in evidence.history[job])


def no_child_survives_a_broken_parent(evidence):
    """No child starts after its parent's dead letter or cancellation; it ends cancelled."""
    for child, parents in _parents(evidence).items():
        for parent in parents:
            broken = [
                start
                for start in evidence.starts[child]
                if evidence.state_at(parent, start.started) in BROKEN
            ]
            if broken:
                yield f"{child} started although its parent {parent} was broken"
            state = evidence.last_state(child) if child in evidence.birth_of else "cancelled"
            if evidence.last_state(parent) in BROKEN and state in FINAL - {"cancelled"}:
                yield f"{child} is {state} under its {evidence.last_state(parent)} parent {parent}"


def nothing_is_stuck(evidence):
    """After the drain nothing waits or runs, and the sweeper had nothing to repair."""
    states = {row.job: row.state for row in evidence.rows}
    parents = _parents(evidence)
    for row in evidence.rows:
        if row.state in FINAL:
            continue
        above = [states.get(parent, "deleted") for parent in parents[row.job]]
        under = f" under parents that are {', '.join(sorted(set(above)))}" if above else ""
        yield f"{row.job} ({evidence.kind_of(row.job)}) is still {row.state}{under}"
    if evidence.repairs:
        yield f"the sweeper settled {evidence.repairs} children that nobody else had"


def _parents(evidence):
    found = defaultdict(list)
    for parent, child in evidence.links:
        # A link may be of a transaction that was rolled back in part; both rows are committed together.
        if parent in evidence.history and child in evidence.history:
            found[child].append(parent)
    return found

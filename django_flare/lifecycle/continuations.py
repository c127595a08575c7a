"""Settle the children of jobs that ended, cascade to their descendants, and revive those."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django_flare.failpoints import reach
from django_flare.lifecycle import announce
from django_flare.lifecycle.eligibility import Standing, stand
from django_flare.states import BROKEN, Event, JobState, sources
from django_flare.store import links, rollups
from django_flare.store.links import ParentFact, WaitingRow

# A cancelled child may be about to wait again: the revival that has not committed yet holds its row,
# so it is locked, which waits for that commit, and looked at then (F15).
_WAITING_OR_REVIVABLE = sources(Event.CASCADE) | sources(Event.REVIVE)


@dataclass(frozen=True, slots=True)
class Concerned:
    """Tell which jobs that are about to end have children to settle, and which cannot end now.

    `blocked` are those for which somebody else has locked a row that has to be settled.
    """

    parents: Collection[int]
    blocked: Collection[int]


def lock_concerned(ended: Mapping[int, JobState], using: str) -> Concerned:
    """Lock, without waiting, all waiting descendants that the ends of these locked jobs concern.

    `ended` says how each is about to end. A worker's finish does this before it writes, so that it
    never waits for a row that a caller's transaction holds, and is in no deadlock (F12, F20).
    """
    parents: set[int] = set()
    blocked: set[int] = set()
    seen: dict[int, set[int]] = defaultdict(set)
    level = {key: {key} for key in ended}
    while level:
        roots_of: dict[int, set[int]] = defaultdict(set)
        for part in links.chunks(level):
            for parent, child in links.links_of(part, _WAITING_OR_REVIVABLE, using):
                roots_of[child] |= level[parent] - seen[child]
        free = {key for part in links.chunks(roots_of) for key in links.lock_free(part, using)}
        level = {}
        for child, roots in roots_of.items():
            seen[child] |= roots
            parents |= roots
            if child not in free:
                blocked |= roots
            # Only a broken job concerns more than its own children.
            elif deeper := {root for root in roots if ended[root] in BROKEN}:
                level[child] = deeper
    return Concerned(parents, blocked)


def lock_descendants(root: int, using: str) -> None:
    """Lock all descendants of `root` that a cascade from it, or a revival, concerns, ids ascending.

    Done before any of them is changed: level by level, two verbs whose descendants cross would wait for
    each other, in a caller's transaction with nobody to try again (F20). A child's id is greater than its
    parents', and none is attached below a row that is locked.
    """
    found: set[int] = set()
    level: Collection[int] = [root]
    while level:
        below = (links.children_of(part, _WAITING_OR_REVIVABLE, using) for part in links.chunks(level))
        level = set().union(*below) - found
        found |= level
    for part in links.chunks(found):
        links.lock(part, using)


def settle_children(ended: Collection[int], using: str) -> bool:
    """Settle every waiting descendant that the end of the jobs `ended` concerns; tell if one is claimable.

    Part of the transaction that ended them, so that no child starts before its parent's success is
    committed (F13) and a cascade is whole or not there (F14). Locks children after their parents,
    ids ascending; the parents' states are read in a statement after the locks, so that of two
    parents ending at once the later one sees the earlier (F11).
    """
    worklist: Collection[int] = ended
    activated = False
    while worklist:
        cancelled: set[int] = set()
        for parents in links.chunks(worklist):
            children = links.children_of(parents, _WAITING_OR_REVIVABLE, using)
            for part in links.chunks(children):
                settled = _settle(part, using)
                cancelled |= settled[JobState.CANCELLED]
                activated = activated or bool(settled[JobState.PENDING])
        worklist = cancelled
        reach("cascade.between_levels")
    return activated


def _settle(children: Collection[int], using: str) -> dict[JobState, set[int]]:
    """Settle these children; return them by state. The children of those cancelled are next."""
    waiting = links.lock_waiting(children, using)
    facts = _facts_by_child(waiting, using)
    standings = {child.id: stand(facts[child.id], due=child.due) for child in waiting}
    changed = [child for child in waiting if standings[child.id] != _standing_now(child)]
    _write(changed, standings, using)
    by_state: dict[JobState, set[int]] = defaultdict(set)
    for key, standing in standings.items():
        by_state[standing.state].add(key)
    return by_state


def _standing_now(child: WaitingRow) -> Standing:
    return Standing(JobState.SCHEDULED, open_parents=child.open_parents)


def _facts_by_child(children: Iterable[WaitingRow], using: str) -> dict[int, list[ParentFact]]:
    facts: dict[int, list[ParentFact]] = defaultdict(list)
    for fact in links.parents_of([child.id for child in children], using):
        facts[fact.child].append(fact)
    return facts


def _write(children: Iterable[WaitingRow], standings: dict[int, Standing], using: str) -> None:
    groups: dict[Standing, list[int]] = defaultdict(list)
    for child in children:
        groups[standings[child.id]].append(child.id)
    reach("activate.before_write")
    for standing, ids in groups.items():
        if standing.state is JobState.PENDING:
            links.activate(ids, using)
            announce.claimable(using)
        elif standing.cancelled_by:
            links.cancel_waiting(ids, standing.cancelled_by, using)
            rollups.write_unrun(ids, JobState.CANCELLED, using)
        else:
            links.set_open_parents(ids, standing.open_parents, using)


def repair(limit: int, using: str) -> int:
    """Settle up to `limit` waiting jobs whose parents have all ended; return how many there were.

    The second line behind the locks: a parent cancelled inside a caller's REPEATABLE READ
    transaction may miss a child that was attached after its snapshot.
    """
    stuck = links.stuck_children(limit, using)
    settle_children(_settle(stuck, using)[JobState.CANCELLED], using)
    return len(stuck)


def revive_descendants(root: int, cause: UUID, using: str) -> None:
    """Return the descendants that `cause` cancelled to waiting and settle each anew.

    One with another dead or cancelled parent stays cancelled, now because of that parent, and so
    do its descendants.
    """
    revived = _cancelled_descendants(root, cause, using)
    for part in links.chunks(revived):
        links.revive(part, cause, using)
    cancelled_again: set[int] = set()
    for part in links.chunks(revived):
        cancelled_again |= _settle(part, using)[JobState.CANCELLED]
    settle_children(cancelled_again, using)


def _cancelled_descendants(root: int, cause: UUID, using: str) -> set[int]:
    found: set[int] = set()
    worklist: Collection[int] = [root]
    while worklist:
        level: set[int] = set()
        for parents in links.chunks(worklist):
            level.update(links.children_of(parents, sources(Event.REVIVE), using))
        locked: set[int] = set()
        for part in links.chunks(level - found):
            locked.update(links.lock_cancelled_by(part, cause, using))
        found |= locked
        worklist = locked
    return found

"""Give claimable jobs to a worker."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from django_flare.failpoints import reach
from django_flare.lifecycle.eligibility import is_suspect
from django_flare.lifecycle.finish import Applied, apply_within
from django_flare.lifecycle.outcomes import Outcome
from django_flare.store import claim as store
from django_flare.store.claim import ClaimedRow as ClaimedRow
from django_flare.store.claim import claimable_queues as claimable_queues
from django_flare.store.clock import parse_time as parse_time
from django_flare.store.links import parent_results as parent_results
from django_flare.store.transactions import in_transaction, statement

# A pause that commits between the look at a queue and the claim is seen by the next look.
_TRIES = 2


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Ask for up to `limit` jobs of the known types, from `queues` in this order.

    With `free_slots` given, no job is taken that could be blamed for its neighbours: one that lost
    its worker before comes alone, and only to a worker that `is_idle`; one with a single attempt
    comes only if it can start at once. Of the queues in `mixed`, which hold jobs of unknown types,
    only the known types are looked at. An idle worker that `seeks_suspect` takes one from the head of
    any of its queues before anything else.
    """

    worker_id: str
    queues: Sequence[str]
    known_types: Collection[str]
    limit: int
    free_slots: int | None = None
    is_idle: bool = False
    mixed: Collection[str] = frozenset()
    seeks_suspect: bool = False


@dataclass(slots=True)
class Turn:
    """Hold what one turn of a worker did: outcomes recorded, jobs claimed, and whether more are claimable.

    `mixed` are the queues among whose first jobs some were of unknown types. It `keeps_waiting` when the
    first job of a queue has lost its worker before and this one is not idle.
    """

    applied: Applied = field(default_factory=Applied)
    claimed: list[ClaimedRow] = field(default_factory=list)
    has_more: bool = False
    mixed: set[str] = field(default_factory=set)
    keeps_waiting: bool = False


def claim(request: ClaimRequest, using: str) -> list[ClaimedRow]:
    """Claim jobs; each comes with its attempt counted and its fence raised. Not started yet."""
    return take_turn([], request, using).claimed


def take_turn(outcomes: Sequence[Outcome], request: ClaimRequest | None, using: str) -> Turn:
    """Record outcomes and claim the next jobs in one transaction."""
    turn = _claim_at_once(request, using) if request and not outcomes else None
    if turn is None:
        turn = in_transaction(partial(_turn, outcomes, request, using), using)
    reach("turn.after_commit")
    return turn


def _claim_at_once(request: ClaimRequest, using: str) -> Turn | None:
    """Claim for an idle worker, as fast as it goes; None when that takes a whole transaction."""
    if not request.is_idle or len(request.queues) != 1:
        return None
    (queue,) = request.queues
    if queue in request.mixed:
        return None
    reach("turn.before_commit")
    work = partial(store.claim_at_once, queue, request.known_types, request.limit, request.worker_id, using)
    rows = statement(work, using)
    return None if rows is None else Turn(claimed=rows, has_more=len(rows) == request.limit)


def _turn(outcomes: Sequence[Outcome], request: ClaimRequest | None, using: str) -> Turn:
    turn = Turn(apply_within(outcomes, using))
    if request:
        _claim(request, turn, using)
    reach("turn.before_commit")
    return turn


def _claim(request: ClaimRequest, turn: Turn, using: str) -> None:
    for _ in range(_TRIES):
        rows = _find(request, turn, using)
        if not rows:
            return
        reach("claim.after_lock")
        # The rows are locked, so exactly these are marked: the planner cannot take more (F10).
        ids = [row.id for row in rows]
        if store.mark_claimed(ids, request.worker_id, using) == len(rows):
            turn.claimed = rows
            return
        # Queues of some have been paused in between.
        marked = store.marked(ids, request.worker_id, using)
        if marked:
            turn.claimed = [row for row in rows if row.id in marked]
            return
    turn.has_more = False


def _find(request: ClaimRequest, turn: Turn, using: str) -> list[ClaimedRow]:
    """Lock what is to be claimed, queue by queue."""
    rows: list[ClaimedRow] = []
    turn.has_more = turn.keeps_waiting = False
    if request.is_idle and request.seeks_suspect:
        for queue in request.queues:
            first = _lock(queue, 1, request, turn, using)
            if first and is_suspect(first[0].losses):
                turn.has_more = True
                return first
    for queue in request.queues:
        room = request.limit - len(rows)
        if room <= 0:
            break
        found = _lock(queue, room, request, turn, using)
        taken = _choose(found, request, len(rows))
        turn.has_more = turn.has_more or len(found) == room or len(taken) < len(found)
        turn.keeps_waiting = turn.keeps_waiting or (taken[:1] != found[:1] and is_suspect(found[0].losses))
        rows += taken
        if request.free_slots is not None and taken and is_suspect(taken[0].losses):
            break
    return rows


def _lock(queue: str, room: int, request: ClaimRequest, turn: Turn, using: str) -> list[ClaimedRow]:
    """Lock the first rows of known types; by type where others stand among them."""
    if queue not in request.mixed:
        found = store.lock_claimable(queue, room, request.worker_id, using)
        if all(row.job_type in request.known_types for row in found):
            return found
    turn.mixed.add(queue)
    known = [name for name in store.claimable_types(queue, using) if name in request.known_types]
    return store.lock_claimable_of(known, queue, room, request.worker_id, using)


def _choose(found: list[ClaimedRow], request: ClaimRequest, before: int) -> list[ClaimedRow]:
    """Leave out what could be blamed for a neighbour, should that kill the worker (F45)."""
    if request.free_slots is None:
        return found
    idle = request.is_idle and not before
    if found and idle and is_suspect(found[0].losses):
        return found[:1]
    starting = request.free_slots - before
    return [
        row
        for place, row in enumerate(found)
        if not is_suspect(row.losses) and (row.max_attempts > 1 or place < starting)
    ]

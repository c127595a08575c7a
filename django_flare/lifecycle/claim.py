"""Give claimable jobs to a worker."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from django_flare.failpoints import reach
from django_flare.lifecycle.finish import Applied, apply_within
from django_flare.lifecycle.outcomes import Outcome
from django_flare.store import claim as store
from django_flare.store.claim import ClaimedRow as ClaimedRow
from django_flare.store.claim import claimable_queues as claimable_queues
from django_flare.store.links import parent_results as parent_results
from django_flare.store.transactions import in_transaction


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Ask for up to `limit` jobs of the known types, from `queues` in this order.

    With `free_slots` given, no job is taken that could be blamed for its neighbours: one that lost
    its worker before comes alone, and only to a worker that `is_idle`; one with a single attempt
    comes only if it can start at once.
    """

    worker_id: str
    queues: Sequence[str]
    known_types: Collection[str]
    limit: int
    free_slots: int | None = None
    is_idle: bool = False


@dataclass(slots=True)
class Turn:
    """Hold what one turn of a worker did: outcomes recorded, jobs claimed, and whether more are claimable."""

    applied: Applied
    claimed: list[ClaimedRow]
    has_more: bool


def claim(request: ClaimRequest, using: str) -> list[ClaimedRow]:
    """Claim jobs; each comes with its attempt counted and its fence raised. Not started yet."""
    return take_turn([], request, using).claimed


def take_turn(outcomes: Sequence[Outcome], request: ClaimRequest | None, using: str) -> Turn:
    """Record outcomes and claim the next jobs in one transaction."""
    turn = in_transaction(partial(_turn, outcomes, request, using), using)
    reach("turn.after_commit")
    return turn


def _turn(outcomes: Sequence[Outcome], request: ClaimRequest | None, using: str) -> Turn:
    applied = apply_within(outcomes, using)
    claimed, has_more = _claim(request, using) if request else ([], False)
    reach("turn.before_commit")
    return Turn(applied, claimed, has_more)


def _claim(request: ClaimRequest, using: str) -> tuple[list[ClaimedRow], bool]:
    rows: list[ClaimedRow] = []
    has_more = False
    for queue in request.queues:
        room = request.limit - len(rows)
        if room <= 0:
            break
        found = store.lock_claimable(queue, request.known_types, room, request.worker_id, using)
        taken = _choose(found, request, len(rows))
        has_more = has_more or len(found) == room or len(taken) < len(found)
        rows += taken
        if request.free_slots is not None and taken and taken[0].losses:
            break
    if rows:
        # The rows are locked, so exactly these are marked: the planner cannot take more (F10).
        store.mark_claimed([row.id for row in rows], request.worker_id, using)
    return rows, has_more


def _choose(found: list[ClaimedRow], request: ClaimRequest, before: int) -> list[ClaimedRow]:
    """Leave out what could be blamed for a neighbour, should that kill the worker (F45)."""
    if request.free_slots is None:
        return found
    if found and found[0].losses and request.is_idle and not before:
        return found[:1]
    starting = request.free_slots - before
    return [
        row
        for place, row in enumerate(found)
        if not row.losses and (row.max_attempts > 1 or place < starting)
    ]

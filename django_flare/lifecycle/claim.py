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
    """Ask for up to `limit` jobs of the known types, from `queues` in this order."""

    worker_id: str
    queues: Sequence[str]
    known_types: Collection[str]
    limit: int


@dataclass(slots=True)
class Turn:
    """Hold what one turn of a worker did: outcomes recorded, jobs claimed."""

    applied: Applied
    claimed: list[ClaimedRow]


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
    claimed = _claim(request, using) if request else []
    reach("turn.before_commit")
    return Turn(applied, claimed)


def _claim(request: ClaimRequest, using: str) -> list[ClaimedRow]:
    rows: list[ClaimedRow] = []
    for queue in request.queues:
        room = request.limit - len(rows)
        if room <= 0:
            break
        rows += store.lock_claimable(queue, request.known_types, room, request.worker_id, using)
    if not rows:
        return []
    # The rows are locked, so exactly these are marked: the planner cannot take more (F10).
    store.mark_claimed([row.id for row in rows], request.worker_id, using)
    return rows

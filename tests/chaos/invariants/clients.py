"""What callers were told, held against what is there."""

import math
from collections import defaultdict
from itertools import pairwise

from tests.chaos.evidence import FINAL, WAITING

CREATIONS = frozenset({"enqueue"})
_TRANSACTIONAL = "transactional"


def nothing_is_lost_or_invented(evidence):
    """Every acknowledged job exists and ends; nothing exists that nobody asked for."""
    by_token = _births_by_token(evidence)
    asked = {}
    for operation in _creations(evidence):
        _note(asked, operation)
        if operation.result == "ok" and operation.job not in evidence.birth_of:
            yield f"lost: {operation.token} was acknowledged as {operation.job}, which was never committed"
    for token, result in asked.items():
        if result == "refused" and by_token[token]:
            yield f"unexpected: {token} was refused or rolled back, and exists as {by_token[token][0].job}"
    for birth in evidence.births:
        if birth.token not in asked:
            yield f"unexpected: nobody asked for {birth.job} ({birth.kind}, {birth.token!r})"
    for job in evidence.birth_of:
        state = evidence.last_state(job)
        if state not in FINAL:
            yield f"not ended: {job} ({evidence.kind_of(job)}) is {state}"
    yield from _orders(evidence, by_token)


def _note(asked, operation):
    """Remember the most that was said of a token: what is acknowledged once, may exist."""
    said = "refused" if operation.result in ("refused", "rolled_back") else "possible"
    if asked.get(operation.token) != "possible":
        asked[operation.token] = said


def _orders(evidence, by_token):
    """Hold the business rows against the jobs that were enqueued in the same transaction."""
    orders = set(evidence.orders)
    of_orders = {each.token for each in _creations(evidence) if each.channel == _TRANSACTIONAL}
    born = {token for token in of_orders if by_token[token]}
    for token in sorted(orders - born):
        yield f"torn: the order {token} was committed without its job"
    for token in sorted(born - orders):
        yield f"torn: the job {token} was committed without its order"


def unknown_means_one_or_none(evidence):
    """Of an enqueue whose answer was lost there is one job or none, also when it was tried again."""
    for token, births in _births_by_token(evidence).items():
        for first, second in _together(births, evidence):
            yield f"{token!r} exists twice: {first.job} and {second.job}"


def one_job_for_a_key(evidence):
    """One job per idempotency key; equal requests get it, different ones a conflict."""
    by_key = defaultdict(list)
    for birth in evidence.births:
        if birth.key is not None:
            by_key[birth.scope, birth.key].append(birth)
    for (_, key), births in by_key.items():
        for first, second in _together(births, evidence):
            yield f"the key {key} has two jobs: {first.job} and {second.job}"
    asked = defaultdict(set)
    for operation in _creations(evidence):
        if operation.key is not None:
            asked[operation.key].add(operation.token)
            yield from _answer_under_key(operation, evidence)
    for operation in _creations(evidence):
        if "idempotency_key_reuse" in operation.error and len(asked[operation.key]) < 2:
            yield f"the key {operation.key} was refused, and nobody used it for another request"


def _answer_under_key(operation, evidence):
    birth = evidence.birth_of.get(operation.job)
    if operation.result != "ok" or birth is None:
        return
    if (birth.key, birth.token) != (operation.key, operation.token):
        yield f"{operation.token} under the key {operation.key} was answered with {birth.token}"
    if evidence.deaths.get(operation.job, math.inf) < operation.asked:
        yield f"{operation.token} was answered with {operation.job}, which had been deleted"


def cancelled_means_cancelled(evidence):
    """`cancel` is true if and only if it cancelled, and then nothing starts any more."""
    for operation in evidence.operations:
        if operation.verb != "cancel" or operation.result != "ok" or operation.job not in evidence.birth_of:
            continue
        if operation.answer and not _was_cancelled(operation, evidence):
            yield f"cancel of {operation.job} was true, and no such change was committed meanwhile"
        seen = evidence.states_between(operation.job, operation.asked, operation.answered)
        if operation.answer is False and seen <= WAITING:
            yield f"cancel of {operation.job} was false, though it was {' and '.join(sorted(seen))}"
    for job, changes in evidence.history.items():
        for change, following in pairwise([*changes, None]):
            if change.after == "cancelled" and change.before in WAITING:
                until = following.at if following else math.inf
                for start in evidence.starts[job]:
                    if change.committed < start.started < until:
                        yield f"{job} started {start.started - change.committed:.3f} s after its cancellation"


def _was_cancelled(operation, evidence):
    return any(
        change.after == "cancelled"
        and change.before in WAITING
        and operation.asked <= change.committed <= operation.answered
        for change in evidence.history[operation.job]
    )


def every_answer_is_one_to_expect(evidence):
    """No answer over HTTP is a 500, and every 503 says when to come back."""
    for operation in evidence.operations:
        for status, has_retry_after in operation.statuses:
            if status >= 500 and status != 503:
                yield f"{operation.verb} {operation.token or operation.job} was answered with {status}"
            if status == 503 and not has_retry_after:
                yield f"{operation.verb} {operation.token or operation.job}: a 503 without Retry-After"


def _creations(evidence):
    return [operation for operation in evidence.operations if operation.verb in CREATIONS]


def _births_by_token(evidence):
    found = defaultdict(list)
    for birth in evidence.births:
        found[birth.token].append(birth)
    return found


def _together(births, evidence):
    """Yield pairs that existed at the same time; after its deletion a key may make another job."""
    ordered = sorted(births, key=lambda birth: birth.committed)
    for first, second in pairwise(ordered):
        if evidence.deaths.get(first.job, math.inf) > second.committed:
            yield first, second

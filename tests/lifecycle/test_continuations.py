"""Parents, children, cascades and revivals (spec, section 5; F11-F15)."""

import time
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from django_flare import FlareNotFoundError, FlareOptionError, JobState, jobs
from django_flare.lifecycle import create, finish, housekeeping
from django_flare.models import Continuation, Job
from django_flare.states import Event
from django_flare.store import links, rows
from tests.support import USING, Driver, force, make_job, row, state, states
from tests.testapp.jobs import plain

pytestmark = pytest.mark.django_db

PENDING, SCHEDULED, PROCESSING, SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER = JobState
HOUR = timedelta(hours=1)


@pytest.fixture
def driver(clock):
    return Driver()


@pytest.fixture
def parent_in(driver):
    """Make a job and bring it into a state; it keeps no children."""

    def bring(wanted):
        job = make_job(when=HOUR if wanted is SCHEDULED else None)
        end_in(wanted, job, driver)
        assert state(job) is wanted
        return job

    return bring


def end_in(wanted, job, driver):
    steps = {
        PROCESSING: driver.start,
        SUCCEEDED: driver.succeed,
        FAILED: driver.fail,
        CANCELLED: jobs.cancel,
        DEAD_LETTER: driver.discard,
    }
    if wanted in steps:
        steps[wanted](job)


def cause(job):
    found = jobs.get_status(job)
    return found.cancelled_by


WAITED_FOR = [PENDING, SCHEDULED, PROCESSING, FAILED]
CHILD_OF = {
    **dict.fromkeys(WAITED_FOR, SCHEDULED),
    SUCCEEDED: PENDING,
    CANCELLED: CANCELLED,
    DEAD_LETTER: CANCELLED,
}


@pytest.mark.parametrize("parents_state", CHILD_OF)
def test_a_child_of_a_parent_in_this_state(parents_state, parent_in):
    assert state(make_job(parents=parent_in(parents_state))) is CHILD_OF[parents_state]


@pytest.mark.parametrize("parents_state", CHILD_OF)
def test_a_child_whose_parent_comes_into_this_state(parents_state, driver):
    parent = make_job(when=HOUR if parents_state is SCHEDULED else None)
    child = make_job(parents=parent)
    end_in(parents_state, parent, driver)
    assert states(parent, child) == [parents_state, CHILD_OF[parents_state]]


@pytest.mark.parametrize("first", CHILD_OF)
@pytest.mark.parametrize("second", CHILD_OF)
def test_a_child_of_two_parents_is_what_both_allow(first, second, parent_in):
    child = make_job(parents=[parent_in(first), parent_in(second)])
    outlooks = {CHILD_OF[first], CHILD_OF[second]}
    if CANCELLED in outlooks:
        expected = CANCELLED
    elif SCHEDULED in outlooks:
        expected = SCHEDULED
    else:
        expected = PENDING
    assert state(child) is expected


def test_a_childs_own_time_is_waited_for_too(driver, clock):
    parent = make_job()
    child = make_job(parents=parent, when=HOUR)
    driver.succeed(parent)
    assert state(child) is SCHEDULED
    clock.advance(3599)
    assert housekeeping.promote_due(USING) == 0
    clock.advance(1)
    assert housekeeping.promote_due(USING) == 1
    assert state(child) is PENDING


def test_a_child_whose_time_came_before_its_parents_success_still_waits(driver, clock):
    parent = make_job()
    child = make_job(parents=parent, when=timedelta(seconds=10))
    clock.advance(60)
    assert housekeeping.promote_due(USING) == 0
    assert state(child) is SCHEDULED
    driver.succeed(parent)
    assert (state(child), row(child).run_at) == (PENDING, clock.now)


def test_a_child_that_is_ahead_of_its_time_under_a_finished_parent(parent_in):
    assert state(make_job(parents=parent_in(SUCCEEDED), when=HOUR)) is SCHEDULED


def test_a_childs_time_in_the_past_is_no_wait(parent_in, clock):
    child = make_job(parents=parent_in(SUCCEEDED), when=timedelta(seconds=-5))
    assert (state(child), row(child).run_at) == (PENDING, clock.now)


def test_a_failed_parent_is_waited_for_through_all_its_retries(driver, clock):
    parent = make_job(max_attempts=3)
    child = make_job(parents=parent)
    for _ in range(2):
        driver.fail(parent)
        assert state(child) is SCHEDULED
        clock.advance(3600)
        housekeeping.promote_due(USING)
    driver.succeed(parent)
    assert state(child) is PENDING


def test_a_created_but_cancelled_child_has_an_id_and_its_end(parent_in, clock):
    child = make_job(parents=parent_in(DEAD_LETTER))
    assert (state(child), row(child).completed_at) == (CANCELLED, clock.now)


def test_several_children_start_together(driver):
    parent = make_job()
    children = [make_job(parents=parent) for _ in range(5)]
    driver.succeed(parent)
    assert states(*children) == [PENDING] * 5


def chain(length):
    links = [make_job()]
    while len(links) < length:
        links.append(make_job(parents=links[-1]))
    return links


def test_a_chain_of_four_runs_in_its_order(driver):
    links = chain(4)
    for position, job in enumerate(links):
        assert states(*links[position:]) == [PENDING] + [SCHEDULED] * (3 - position)
        driver.succeed(job)
    assert states(*links) == [SUCCEEDED] * 4


@pytest.mark.parametrize("end", [CANCELLED, DEAD_LETTER])
def test_a_broken_chain_is_cancelled_to_its_end_because_of_its_root(end, driver, clock):
    root, *rest = chain(4)
    end_in(end, root, driver)
    assert states(*rest) == [CANCELLED] * 3
    assert {cause(job) for job in rest} == {root}
    assert {row(job).completed_at for job in rest} == {clock.now}


def test_a_hand_cancelled_job_names_nobody_itself(driver):
    root, *rest = chain(3)
    jobs.cancel(rest[0])
    assert states(root, *rest) == [PENDING, CANCELLED, CANCELLED]
    assert (cause(rest[0]), cause(rest[1])) == (None, rest[0])


def test_a_job_attached_below_a_cascade_names_the_root_cause(driver):
    root, middle = chain(2)
    driver.discard(root)
    assert cause(make_job(parents=middle)) == root


def test_discarding_a_failed_job_cascades(driver):
    root, *rest = chain(3)
    driver.fail(root)
    assert jobs.discard(root)
    assert states(*rest) == [CANCELLED] * 2
    assert {cause(job) for job in rest} == {root}


def test_running_out_of_losses_cascades(driver):
    root, child = chain(2)
    for _ in range(3):
        driver.lose(root)
    assert (state(root), state(child), cause(child)) == (DEAD_LETTER, CANCELLED, root)


def test_the_last_of_several_parents_releases_the_child(driver):
    parents = [make_job() for _ in range(3)]
    child = make_job(parents=parents)
    assert row(child).open_parents == 3
    for left, parent in zip((2, 1, 0), reversed(parents), strict=True):
        assert state(child) is SCHEDULED
        driver.succeed(parent)
        assert row(child).open_parents == left
    assert state(child) is PENDING


def test_two_parents_that_end_in_one_flush_release_the_child(driver):
    """`open_parents - 1` would count the two as one."""
    parents = [make_job(), make_job()]
    child = make_job(parents=parents)
    outcomes = [driver.outcome(parent, Event.SUCCEED) for parent in parents]
    finish.apply(outcomes, USING)
    assert (state(child), row(child).open_parents) == (PENDING, 0)


def test_of_two_parents_in_one_flush_the_dead_one_decides(driver):
    good, bad = make_job(), make_job()
    child = make_job(parents=[good, bad])
    finish.apply([driver.outcome(good, Event.SUCCEED), driver.outcome(bad, Event.EXHAUST)], USING)
    assert (state(child), cause(child)) == (CANCELLED, bad)


def test_one_dead_parent_of_many_cancels(driver):
    parents = [make_job() for _ in range(4)]
    child = make_job(parents=parents)
    driver.succeed(parents[0])
    driver.discard(parents[2])
    assert (state(child), cause(child)) == (CANCELLED, parents[2])
    driver.succeed(parents[1])
    driver.succeed(parents[3])
    assert (state(child), cause(child)) == (CANCELLED, parents[2])


def diamond():
    top = make_job()
    left, right = make_job(parents=top), make_job(parents=top)
    return top, left, right, make_job(parents=[left, right])


def test_a_diamond_joins_again(driver):
    top, left, right, bottom = diamond()
    driver.succeed(top)
    driver.succeed(left)
    assert state(bottom) is SCHEDULED
    driver.succeed(right)
    assert state(bottom) is PENDING


@pytest.mark.parametrize("verb", [jobs.cancel, lambda root: jobs.retry(root, revive=True)])
def test_all_below_are_locked_before_any_is_changed(verb, driver, monkeypatch):
    """F20: in the order of their ids, each once; what has ended stays out of it."""
    root, *below = diamond()
    below.append(make_job(parents=below[-1]))
    if verb is not jobs.cancel:
        driver.discard(root)
    order, change = [], links.lock
    monkeypatch.setattr(links, "lock", lambda keys, using: order.append(list(keys)) or change(keys, using))
    verb(root)
    assert order[0] == [row(each).id for each in below]


def test_a_diamond_is_cancelled_from_its_top(driver):
    top, *rest = diamond()
    driver.discard(top)
    assert states(*rest) == [CANCELLED] * 3
    assert {cause(job) for job in rest} == {top}


def test_a_diamond_is_cancelled_from_one_side(driver):
    top, left, right, bottom = diamond()
    driver.succeed(top)
    driver.discard(left)
    assert states(right, bottom) == [PENDING, CANCELLED]
    assert cause(bottom) == left


def test_a_parent_may_also_be_a_grandparent(driver):
    top = make_job()
    middle = make_job(parents=top)
    bottom = make_job(parents=[top, middle])
    driver.succeed(top)
    assert states(middle, bottom) == [PENDING, SCHEDULED]
    driver.succeed(middle)
    assert state(bottom) is PENDING


# Retry and revive


def test_retrying_a_dead_parent_leaves_its_children_cancelled(driver):
    root, *rest = chain(3)
    driver.discard(root)
    jobs.retry(root)
    assert states(*rest) == [CANCELLED] * 2
    driver.succeed(root)
    assert states(*rest) == [CANCELLED] * 2


def test_revive_returns_every_descendant(driver):
    root, *rest = chain(4)
    driver.discard(root)
    assert jobs.retry(root, revive=True)
    assert states(root, *rest) == [PENDING] + [SCHEDULED] * 3
    assert {cause(job) for job in rest} == {None}
    for job in (root, *rest):
        driver.succeed(job)
    assert states(root, *rest) == [SUCCEEDED] * 4


def test_a_revived_diamond_counts_its_parents_anew(driver):
    top, left, right, bottom = diamond()
    driver.discard(top)
    jobs.retry(top, revive=True)
    assert row(bottom).open_parents == 2
    for job in (top, left, right):
        driver.succeed(job)
    assert state(bottom) is PENDING


def test_a_revived_child_with_succeeded_other_parents_waits_for_the_root_alone(driver):
    root, other = make_job(), make_job()
    child = make_job(parents=[other, root])
    driver.succeed(other)
    driver.discard(root)
    jobs.retry(root, revive=True)
    assert (state(child), row(child).open_parents) == (SCHEDULED, 1)


def test_a_revived_child_still_waits_for_its_own_time(driver, clock):
    root = make_job()
    child = make_job(parents=root, when=HOUR)
    driver.discard(root)
    jobs.retry(root, revive=True)
    driver.succeed(root)
    assert state(child) is SCHEDULED
    clock.advance(3600)
    housekeeping.promote_due(USING)
    assert state(child) is PENDING


def test_a_descendant_with_another_dead_parent_stays_cancelled_because_of_that_one(driver):
    root, other = make_job(), make_job()
    child = make_job(parents=[root, other])
    grandchild = make_job(parents=child)
    driver.discard(root)
    driver.discard(other)
    assert cause(child) == root
    jobs.retry(root, revive=True)
    assert states(child, grandchild) == [CANCELLED] * 2
    assert (cause(child), cause(grandchild)) == (other, other)
    jobs.retry(other, revive=True)
    assert states(child, grandchild) == [SCHEDULED] * 2


def test_a_hand_cancelled_descendant_is_not_revived(driver):
    root, middle, last = chain(3)
    jobs.cancel(middle)
    driver.discard(root)
    jobs.retry(root, revive=True)
    assert states(middle, last) == [CANCELLED] * 2
    assert cause(last) == middle


def test_a_parent_that_died_twice_revives_what_its_first_death_cancelled(driver):
    root, child = chain(2)
    driver.discard(root)
    jobs.retry(root)
    driver.discard(root)
    jobs.retry(root, revive=True)
    assert state(child) is SCHEDULED


def test_children_cancelled_by_a_first_death_can_be_revived_while_the_root_is_failed(driver):
    root, child = chain(2)
    driver.discard(root)
    jobs.retry(root)
    driver.fail(root)
    assert jobs.retry(root, revive=True)
    assert state(child) is SCHEDULED


def test_revive_needs_a_state_that_retry_takes(driver):
    root, child = chain(2)
    driver.discard(root)
    jobs.retry(root)
    driver.succeed(root)
    assert jobs.retry(root, revive=True) is False
    assert state(child) is CANCELLED


# Reading


def test_parents_keep_the_order_given(driver):
    parents = [make_job() for _ in range(5)]
    shuffled = [parents[index] for index in (3, 0, 4, 1, 2)]
    assert jobs.get_status(make_job(parents=shuffled)).parent_job_ids == tuple(shuffled)


def test_duplicate_parents_count_once(driver):
    first, second = make_job(), make_job()
    child = make_job(parents=[second, first, second.upper(), first])
    assert jobs.get_status(child).parent_job_ids == (second, first)
    assert row(child).parent_count == 2
    driver.succeed(first)
    driver.succeed(second)
    assert state(child) is PENDING


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_parents_come_in_any_plain_collection(kind):
    parents = [make_job(), make_job()]
    assert jobs.get_status(make_job(parents=kind(parents))).parent_job_ids == tuple(parents)


def test_uuids_are_ids_too():
    parent = make_job()
    assert jobs.get_status(make_job(parents=row(parent).public_id)).parent_job_ids == (parent,)


# Refusals: nothing is written


@pytest.fixture
def nothing_written(db):
    before = (Job.objects.count(), Continuation.objects.count())
    yield
    assert (Job.objects.count(), Continuation.objects.count()) == before


@pytest.mark.parametrize("parents", [None, "", [], (), set(), [None], [""], 5, b"x", {}])
def test_no_parent_at_all_is_refused(parents, nothing_written):
    with pytest.raises((FlareOptionError, FlareNotFoundError), match="parents") as caught:
        jobs.continue_with(parents, plain)
    if parents in (None, "", [], (), set()):
        assert caught.type is FlareOptionError


@pytest.mark.parametrize("unknown", [str(uuid4()), "nonsense", "x" * 64, "٣" * 36])
def test_an_unknown_parent_is_not_found(unknown):
    known = make_job()
    before = Job.objects.count()
    for parents in (unknown, [known, unknown], [unknown, known]):
        with pytest.raises(FlareNotFoundError) as caught:
            jobs.continue_with(parents, plain, idempotency_key="k")
        assert caught.value.code == "job_not_found"
    assert (Job.objects.count(), Continuation.objects.count()) == (before, 0)


def test_a_hundred_parents_are_the_most(driver):
    parents = jobs.enqueue_many(plain, [{}] * 101)
    with pytest.raises(FlareOptionError, match="parents: 101 parents, at most 100"):
        jobs.continue_with(parents, plain)
    child = jobs.continue_with(parents[:100] * 2, plain)
    assert jobs.get_status(child).parent_job_ids == tuple(parents[:100])


def test_a_chain_has_an_end(monkeypatch):
    monkeypatch.setattr(create, "MAX_DEPTH", 4)
    links = chain(4)
    before = Job.objects.count()
    with pytest.raises(FlareOptionError, match="parents: a chain of 5 jobs, at most 4"):
        make_job(parents=[links[0], links[-1]])
    assert Job.objects.count() == before
    make_job(parents=links[-2])


def test_a_parent_has_only_so_many_children(monkeypatch):
    monkeypatch.setattr(create, "MAX_CHILDREN", 3)
    parent, other = make_job(), make_job()
    for _ in range(3):
        make_job(parents=[other, parent])
    before = Job.objects.count()
    with pytest.raises(FlareOptionError, match=r"parents: .*at most 3"):
        make_job(parents=parent)
    assert Job.objects.count() == before


def test_the_bounds_are_those_of_the_specification():
    assert (create.MAX_DEPTH, create.MAX_CHILDREN) == (1_000, 10_000)


# Size (F14)


def long_chain(length):
    """Make a chain past `continue_with`, which takes two statements and a lock for each link."""
    ids = jobs.enqueue_many(plain, [{}] * length)
    keys = list(Job.objects.filter(public_id__in=ids[:1]).values_list("pk", flat=True))
    keys += list(Job.objects.filter(pk__gt=keys[0]).order_by("pk").values_list("pk", flat=True))
    assert len(keys) == length
    link(pairwise(keys), keys[1:])
    return ids


def link(pairs, children):
    rows.links(USING).bulk_create(
        [Continuation(parent_id=parent, child_id=child, position=0) for parent, child in pairs]
    )
    rows.jobs(USING).filter(pk__in=children).update(state=SCHEDULED, parent_count=1, open_parents=1)


def test_a_chain_of_a_thousand_is_cancelled_as_one(driver):
    ids = long_chain(1_000)
    started = time.monotonic()
    assert jobs.cancel(ids[0])
    assert time.monotonic() - started < 30
    assert Job.objects.filter(state=CANCELLED, cancelled_by=ids[0]).count() == 999


def test_a_fan_out_of_two_thousand_is_released_as_one(driver):
    parent = make_job()
    jobs.enqueue_many(plain, [{}] * 2_000)
    key = row(parent).pk
    children = list(Job.objects.filter(pk__gt=key).values_list("pk", flat=True))
    link(((key, child) for child in children), children)
    driver.succeed(parent)
    assert Job.objects.filter(state=PENDING).count() == 2_000


def test_a_fan_out_of_two_thousand_is_cancelled_and_revived_as_one(driver):
    parent = make_job()
    jobs.enqueue_many(plain, [{}] * 2_000)
    key = row(parent).pk
    children = list(Job.objects.filter(pk__gt=key).values_list("pk", flat=True))
    link(((key, child) for child in children), children)
    driver.discard(parent)
    assert Job.objects.filter(state=CANCELLED, cancelled_by=parent).count() == 2_000
    jobs.retry(parent, revive=True)
    assert Job.objects.filter(state=SCHEDULED, cancelled_by=None, open_parents=1).count() == 2_000


def test_the_repair_settles_a_child_that_a_cascade_missed(driver):
    parent = make_job()
    child = make_job(parents=parent)
    grandchild = make_job(parents=child)
    force(parent, state=DEAD_LETTER, completed_at=row(parent).created_at)
    assert housekeeping.repair_children(USING) == 1
    assert states(child, grandchild) == [CANCELLED] * 2
    assert cause(grandchild) == parent

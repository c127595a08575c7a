"""A child attached at the very moment at which its parents end."""

# ruff: noqa: E501

import random
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction
from django.db.models import F

from django_flare import FlareNotFoundError, JobState, jobs
from django_flare.lifecycle import finish, retention
from django_flare.lifecycle.claim import take_turn
from django_flare.models import Continuation, Job
from django_flare.store import rows
from tests.races.support import (
    USING,
    Crash,
    apply,
    apply_until_recorded,
    assert_graph_is_settled,
    claim,
    claim_one,
    discarded,
    failed,
    is_serial,
    once,
    own_transaction,
    register,
    request,
    row,
    state,
    stop_here,
    succeeded,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _worker():
    register("wrk_a")


def running():
    """Return a job that is running, and its claimed row."""
    job_id = jobs.enqueue(once)
    return job_id, claim_one(job_id)


def running_several(count):
    ids = jobs.enqueue_many(once, [{"n": n} for n in range(count)])
    claimed = {str(each.public_id): each for each in claim(limit=count)}
    return [(job_id, claimed[job_id]) for job_id in ids]


def _success(parent, claimed):
    return partial(apply_until_recorded, succeeded(claimed)), parent, JobState.PENDING


def _atomic_success(parent, claimed):
    outcome = succeeded(claimed)
    end = partial(finish.record_with, lambda: outcome, claimed.queue, claimed.job_type, USING)
    return end, parent, JobState.PENDING


def _death(parent, claimed):
    return partial(apply_until_recorded, failed(claimed)), parent, JobState.CANCELLED


def _discard(parent, claimed):
    return partial(apply_until_recorded, discarded(claimed)), parent, JobState.CANCELLED


def _cancel(grandparent, claimed):
    parent = jobs.continue_with(grandparent, work)
    return partial(jobs.cancel, parent), parent, JobState.CANCELLED


def _cascade(grandparent, claimed):
    return (
        partial(apply_until_recorded, failed(claimed)),
        jobs.continue_with(grandparent, work),
        JobState.CANCELLED,
    )


@pytest.fixture(
    params=[_success, _atomic_success, _death, _discard, _cancel, _cascade],
    ids=lambda end: end.__name__.strip("_"),
)
def ending(request):
    """Return what ends a parent, the parent, and the state that its child must have then."""
    return request.param(*running())


class TestAttachingWhileTheParentEnds:
    def test_a_child_attached_first_is_settled_by_the_parents_end(self, stage, ending):
        """F11: the attacher holds the parent; the end waits, or comes again, and sees the child."""
        end, parent, expected = ending
        attacher = stage.start(partial(jobs.continue_with, parent, work), pause_at="attach.after_parent_read")
        ender = stage.start(end)
        if is_serial() or end.func in (jobs.cancel, finish.record_with):
            assert ender.ends_or_blocks() == "blocked"
        attacher.go_on()
        child = attacher.result()
        ender.result()
        assert state(child) == expected
        assert_graph_is_settled()

    def test_a_child_attached_last_is_created_where_the_parents_end_puts_it(self, stage, ending):
        """F11: the end is written and not committed; the attacher waits for it."""
        end, parent, expected = ending

        def end_slowly():
            with own_transaction():
                end()
                stop_here()

        ender = stage.start(end_slowly, pause_at="test.here")
        attacher = stage.start(partial(jobs.continue_with, parent, work))
        assert attacher.ends_or_blocks() == "blocked"
        assert not Continuation.objects.filter(parent__public_id=parent).exists()
        ender.go_on()
        ender.result()
        assert state(attacher.result()) == expected
        assert_graph_is_settled()

    @pytest.mark.parametrize("make", [_success, _death, _discard])
    def test_a_child_attached_between_the_decision_and_the_write_waits_for_it(self, stage, make):
        """F11: the finisher holds the row and has written nothing yet."""
        end, parent, expected = make(*running())
        finisher = stage.start(end, pause_at="finish.before_write")
        attacher = stage.start(partial(jobs.continue_with, parent, work))
        assert attacher.ends_or_blocks() == "blocked"
        finisher.go_on()
        finisher.result()
        assert state(attacher.result()) == expected
        assert_graph_is_settled()

    def test_a_child_attached_between_cancels_look_and_its_write_is_cancelled_too(self, stage):
        """F11: cancel has read the row and holds nothing yet."""
        end, parent, _ = _cancel(*running())
        canceller = stage.start(end, pause_at="control.after_read")
        attacher = stage.start(partial(jobs.continue_with, parent, work))
        assert attacher.ends_or_blocks() == ("blocked" if is_serial() else "done")
        canceller.go_on()
        assert canceller.result()
        assert state(attacher.result()) == JobState.CANCELLED
        assert_graph_is_settled()

    def test_attachers_do_not_wait_for_each_other(self, stage):
        """F11: their lock on the parent is shared."""
        parent, claimed = running()
        first = stage.start(partial(jobs.continue_with, parent, work), pause_at="attach.after_parent_read")
        second = stage.start(partial(jobs.continue_with, parent, work))
        assert second.ends_or_blocks() == ("blocked" if is_serial() else "done")
        first.go_on()
        children = [first.result(), second.result()]
        apply_until_recorded(succeeded(claimed))
        assert [state(child) for child in children] == [JobState.PENDING] * 2

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_hundreds_of_attachments_at_random_leave_no_child_behind(self, stage, seed):
        """F11: 150 parents end in random order and manner while 4 threads attach 300 children to 1 to 3 of them."""
        draw = random.Random(seed)
        parents = running_several(150)
        ways = [draw.choice([succeeded, succeeded, failed, discarded]) for _ in parents]
        endings = [way(claimed) for way, (_, claimed) in zip(ways, parents, strict=True)]
        draw.shuffle(endings)
        names = [parent for parent, _ in parents]
        wanted = [draw.sample(names, draw.choice([1, 1, 2, 3])) for _ in range(300)]

        def end(mine):
            while mine:
                batch, mine = mine[:5], mine[5:]
                apply_until_recorded(*batch)

        def attach(mine):
            return [jobs.continue_with(parents, work) for parents in mine]

        stage.together(
            [partial(end, endings[n::2]) for n in range(2)]
            + [partial(attach, wanted[n::4]) for n in range(4)]
        )
        children = Job.objects.filter(parent_count__gt=0)
        assert children.count() == 300
        assert_graph_is_settled()
        assert not children.filter(state=JobState.SCHEDULED).exists()
        broken = {parent for parent, way in zip(names, ways, strict=True) if way is not succeeded}
        expected = sum(bool(broken & set(parents)) for parents in wanted)
        assert children.filter(state=JobState.CANCELLED).count() == expected
        assert children.filter(state=JobState.PENDING).count() == 300 - expected


class TestCallersThatHoldLocks:
    def test_a_finish_passes_over_a_parent_that_a_caller_holds_and_records_the_others(self, stage):
        """F12: an open transaction that attached a child costs the worker nothing but that one row."""
        (held, claimed), (other, other_claimed), (_, third_claimed) = running_several(3)
        jobs.enqueue(work)

        def hold():
            with transaction.atomic():
                child = jobs.continue_with(held, work)
                stop_here()
            return child

        caller = stage.start(hold, pause_at="test.here")
        outcomes = [succeeded(claimed), succeeded(other_claimed), failed(third_claimed)]
        turn = stage.start(lambda: take_turn(outcomes, request(), USING))
        if is_serial():
            assert turn.ends_or_blocks() == "blocked"
        else:
            done = turn.result()
            assert done.applied.busy == [outcomes[0]]
            assert done.applied.refused == []
            assert done.applied.states == {
                other_claimed.id: JobState.SUCCEEDED,
                third_claimed.id: JobState.DEAD_LETTER,
            }
            assert len(done.claimed) == 1, "the slots do not go on claiming"
            assert (state(held), state(other)) == (JobState.PROCESSING, JobState.SUCCEEDED)
            assert apply(outcomes[0]).busy == [outcomes[0]]
        caller.go_on()
        child = caller.result()
        turn.result()
        if not is_serial():
            assert apply(outcomes[0]).states == {claimed.id: JobState.SUCCEEDED}
        assert state(held) == JobState.SUCCEEDED
        assert state(child) == (JobState.PROCESSING if is_serial() else JobState.PENDING)
        assert_graph_is_settled()

    @pytest.mark.parametrize(
        ("end", "level"),
        [
            (succeeded, 1),
            (failed, 1),
            (failed, 2),
            (succeeded, 2),
        ],
        ids=["succeeds-child", "dies-child", "dies-grandchild", "succeeds-grandchild"],
    )
    def test_a_finish_does_not_wait_for_a_descendant_that_a_caller_holds(self, stage, end, level):
        """F12: the caller attached to a waiting child (or grandchild) of the job that ends."""
        (parent, claimed), (_, other_claimed) = running_several(2)
        chain = [parent]
        for _ in range(2):
            chain.append(jobs.continue_with(chain[-1], work))

        def hold():
            with transaction.atomic():
                leaf = jobs.continue_with(chain[level], work)
                stop_here()
            return leaf

        caller = stage.start(hold, pause_at="test.here")
        outcomes = [end(claimed), succeeded(other_claimed)]
        finisher = stage.start(partial(apply, *outcomes))
        untouched = end is succeeded and level == 2
        if not is_serial():
            assert finisher.ends_or_blocks() == "done", "the worker waits for a job row"
            applied = finisher.result()
            assert applied.states.get(other_claimed.id) == JobState.SUCCEEDED
            assert applied.busy == ([] if untouched else [outcomes[0]])
        caller.go_on()
        leaf = caller.result()
        finisher.result()
        if not is_serial() and not untouched:
            assert apply(outcomes[0]).states
        expected = [JobState.PENDING, JobState.SCHEDULED] if end is succeeded else [JobState.CANCELLED] * 2
        assert [state(each) for each in chain[1:]] == expected
        assert state(leaf) == expected[-1]
        assert_graph_is_settled()

    def test_a_child_is_not_claimable_before_its_parents_success_is_committed(self, stage):
        """F13"""
        parent, claimed = running()
        child = jobs.continue_with(parent, work)
        finisher = stage.start(
            lambda: take_turn([succeeded(claimed)], None, USING), pause_at="turn.before_commit"
        )
        claimer = stage.start(claim)
        if is_serial():
            assert claimer.ends_or_blocks() == "blocked"
        else:
            assert claimer.result() == []
            assert (state(parent), state(child)) == (JobState.PROCESSING, JobState.SCHEDULED)
        finisher.go_on()
        finisher.result()
        if is_serial():
            assert [str(each.public_id) for each in claimer.result()] == [child]
        else:
            claim_one(child)

    @pytest.mark.parametrize(
        "place", ["finish.before_write", "activate.before_write", "cascade.between_levels"]
    )
    def test_a_finish_that_breaks_anywhere_starts_no_child(self, stage, place):
        """F13"""
        parent, claimed = running()
        child = jobs.continue_with(parent, work)
        finisher = stage.start(partial(apply, succeeded(claimed)), crash_at=place)
        assert isinstance(finisher.error(), Crash)
        assert (state(parent), state(child)) == (JobState.PROCESSING, JobState.SCHEDULED)
        assert claim() == []
        apply(succeeded(claimed))
        assert state(child) == JobState.PENDING


class TestSeveralParents:
    @pytest.mark.parametrize("place", ["finish.before_write", "activate.before_write", "turn.before_commit"])
    def test_two_parents_that_end_at_once_activate_their_child_once(self, stage, place):
        """F11, F18: whoever commits last sees the other's success."""
        (first, first_claimed), (second, second_claimed) = running_several(2)
        child = jobs.continue_with([first, second], work)
        holder = stage.start(lambda: take_turn([succeeded(first_claimed)], None, USING), pause_at=place)
        other = stage.start(partial(apply_until_recorded, succeeded(second_claimed)))
        if is_serial():
            assert other.ends_or_blocks() == "blocked"
        holder.go_on()
        holder_turn = holder.result()
        other.result()
        # The holder may have passed over a child that the other had locked just then.
        apply_until_recorded(*holder_turn.applied.busy)
        assert [state(each) for each in (first, second, child)] == ["succeeded", "succeeded", "pending"]
        claim_one(child)
        assert claim() == []
        assert row(child).fence == 1
        assert_graph_is_settled()

    def test_many_pairs_of_parents_that_end_at_once_activate_every_child_once(self, stage):
        """F11: 60 children, each with the same four parents' kin, four threads ending one parent of each."""
        families = [running_several(4) for _ in range(40)]
        children = [jobs.continue_with([parent for parent, _ in family], work) for family in families]

        def end(place):
            for family in families:
                apply_until_recorded(succeeded(family[place][1]))

        stage.together([partial(end, place) for place in range(4)])
        assert {str(each.public_id) for each in claim(limit=1000)} == set(children)
        assert not Job.objects.filter(public_id__in=children).exclude(fence=1).exists()

    def test_a_parent_that_dies_while_another_succeeds_cancels_the_child(self, stage):
        """F11"""
        for first_end, second_end in ((succeeded, failed), (failed, succeeded)):
            (first, first_claimed), (second, second_claimed) = running_several(2)
            child = jobs.continue_with([first, second], work)
            works = [
                partial(apply_until_recorded, first_end(first_claimed)),
                partial(apply_until_recorded, second_end(second_claimed)),
            ]
            stage.together(works)
            assert state(child) == JobState.CANCELLED
            assert str(row(child).cancelled_by) == (second if first_end is succeeded else first)
            assert_graph_is_settled()

    @pytest.mark.parametrize("named", ["in id order", "the other way round"])
    def test_attaching_to_two_parents_that_end_in_opposite_order_deadlocks_nobody(self, stage, named):
        """F11, F20: the attacher locks by id whatever order it was given; the ends never wait for it."""
        (first, first_claimed), (second, second_claimed) = running_several(2)
        ender = stage.start(
            lambda: take_turn([succeeded(second_claimed)], None, USING), pause_at="turn.before_commit"
        )
        given = [first, second] if named == "in id order" else [second, first]
        attacher = stage.start(partial(jobs.continue_with, given, work))
        assert attacher.ends_or_blocks() == "blocked"
        late = stage.start(partial(apply_until_recorded, succeeded(first_claimed)))
        ender.go_on()
        ender.result()
        late.result()
        child = attacher.result()
        assert state(child) == JobState.PENDING
        assert row(child).parent_count == 2
        assert_graph_is_settled()

    def test_a_batch_finish_and_an_attacher_that_need_each_others_rows_both_succeed(self, stage):
        """F20: the batch holds two jobs and wants the first one's child, which an attacher holds that waits for the second."""
        first, first_claimed = running()
        middle = jobs.continue_with(first, work)
        last, last_claimed = (
            running()
        )  # its id is the greatest, so the attacher has locked `middle` before it
        finisher = stage.start(
            partial(apply, succeeded(first_claimed), succeeded(last_claimed)), pause_at="finish.before_write"
        )
        attacher = stage.start(partial(jobs.continue_with, [middle, last], work))
        assert attacher.ends_or_blocks() == "blocked"
        finisher.go_on()
        applied = finisher.result()
        leaf = attacher.result()
        apply_until_recorded(*applied.busy)
        assert [state(each) for each in (first, last, middle)] == ["succeeded", "succeeded", "pending"]
        assert (state(leaf), row(leaf).open_parents) == (JobState.SCHEDULED, 1)
        assert_graph_is_settled()

    def test_a_caller_whose_transaction_attaches_is_no_victim_of_a_batch_finish(self, stage):
        """F20: the same inside the caller's transaction, where nobody can repeat it for him."""
        first, first_claimed = running()
        middle = jobs.continue_with(first, work)
        last, last_claimed = running()

        def attach():
            with transaction.atomic():
                return jobs.continue_with([middle, last], work)

        finisher = stage.start(
            partial(apply, succeeded(first_claimed), succeeded(last_claimed)), pause_at="finish.before_write"
        )
        attacher = stage.start(attach)
        assert attacher.ends_or_blocks() == "blocked"
        finisher.go_on()
        applied = finisher.result()
        assert attacher.error() is None
        apply_until_recorded(*applied.busy)
        assert_graph_is_settled()


def test_attaching_to_a_parent_that_retention_deletes_deadlocks_nobody(stage):
    """F20: InnoDB would lock the entry of an index first, and retention the row."""
    parent = jobs.enqueue(work)
    jobs.cancel(parent)
    rows.jobs(USING).update(completed_at=F("completed_at") - timedelta(hours=1))

    def prune():
        return retention.prune({JobState.CANCELLED: timedelta(minutes=1)}, USING)

    def attach():
        with transaction.atomic():  # where nothing is tried again
            return jobs.continue_with(parent, work)

    pruning = stage.start(prune, pause_at="retention.before_delete")
    attaching = stage.start(attach)
    assert attaching.ends_or_blocks() == "blocked"
    pruning.go_on()

    assert pruning.result() == 1
    assert isinstance(attaching.error(), FlareNotFoundError)

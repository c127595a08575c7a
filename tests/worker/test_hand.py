"""What a worker knows of the jobs in its hand."""

from django_flare.states import Event
from django_flare.worker.hand import Hand
from django_flare.worker.runs import EndReason
from tests.worker.support import make_run


def held(hand, **columns):
    run = make_run(**columns)
    hand.runs[run.row.id] = run
    return run


def test_it_is_empty_when_nothing_runs_and_nothing_is_to_be_written():
    hand = Hand()
    assert not hand
    run = held(hand)
    assert hand
    hand.release(run)
    assert not hand
    hand.note_unwritten(run.outcome_of(Event.RELEASE))
    assert hand


def test_the_runs_beside_the_outcomes_are_counted():
    hand = Hand()
    first, _ = held(hand, id=1), held(hand, id=2)
    assert hand.staying_beside([first.outcome_of(Event.SUCCEED)]) == 1
    stranger = make_run(id=3)
    assert hand.staying_beside([stranger.outcome_of(Event.RELEASE)]) == 2


def test_a_dropped_run_keeps_its_slot_until_it_ends():
    """F05"""
    hand = Hand()
    run = held(hand)
    run.start()
    assert hand.drop(run) is None
    assert (hand.runs, run.end_reason, hand.count_dropped()) == ({}, EndReason.LEASE_LOST, 1)
    run.finish(run.outcome_of(Event.SUCCEED))
    assert hand.count_dropped() == 0


def test_the_outcome_that_goes_with_a_dropped_run_is_told():
    """F02: it is counted and logged, not lost without a word."""
    hand = Hand()
    run = held(hand)
    run.start()
    run.finish(run.outcome_of(Event.SUCCEED))
    hand.unwritten[run.row.id] = run.outcome
    assert hand.drop(run) is run.outcome
    assert not hand


def test_an_orphan_that_came_in_hand_meanwhile_is_left_alone():
    """F08"""
    hand = Hand()
    run = held(hand, id=1)
    other = make_run(id=2)
    hand.add_orphans([run.outcome_of(Event.RELEASE), other.outcome_of(Event.RELEASE)])
    hand.give_back_orphans()
    assert list(hand.unwritten) == [2]


def test_an_outcome_is_uncertain_after_a_commit_that_may_have_happened():
    """F08"""
    hand = Hand()
    run = held(hand)
    hand.unwritten[run.row.id] = run.outcome_of(Event.SUCCEED)
    hand.note_unwritten(make_run(id=99).outcome_of(Event.RELEASE))
    hand.mark_uncertain()
    assert run.uncertain

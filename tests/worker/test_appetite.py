import pytest

from django_flare.worker.appetite import Appetite


def test_before_it_knows_better_it_wants_one_job_per_slot():
    appetite = Appetite(10, None)
    assert [appetite.room(in_hand) for in_hand in (0, 4, 10, 12)] == [10, 6, 0, 0]


@pytest.mark.parametrize(
    ("mean", "ahead"),
    [
        (3600, 0),
        (0.05, 0),  # the bound itself is long
        (0.049, 20),
        (0.01, 100),
        (0.001, 400),  # never more than that, however short
        (0.0, 400),
    ],
)
def test_it_fetches_ahead_while_jobs_are_short(mean, ahead):
    appetite = Appetite(10, None)
    appetite.note(mean)
    assert appetite.room(0) == 10 + ahead


def test_it_fetches_more_when_half_of_those_ahead_are_used_up():
    appetite = Appetite(10, None)
    appetite.note(0.01)
    assert [appetite.surplus(in_hand) for in_hand in (110, 61, 60, 0)] == [50, 1, 0, 0]
    assert [appetite.room(in_hand) for in_hand in (110, 61, 60)] == [0, 0, 50]


def test_long_jobs_leave_no_slot_empty():
    appetite = Appetite(10, None)
    appetite.note(1.0)
    assert [appetite.surplus(in_hand) for in_hand in (10, 9)] == [0, 0]
    assert [appetite.room(in_hand) for in_hand in (10, 9)] == [0, 1]


def test_the_mean_forgets_slowly():
    appetite = Appetite(1, None)
    appetite.note(1.0)
    for _ in range(20):
        appetite.note(0.001)
    assert appetite.room(0) == 1
    for _ in range(40):
        appetite.note(0.001)
    assert appetite.room(0) > 1


def test_a_stall_ends_the_fetching_ahead_at_once():
    appetite = Appetite(10, None)
    appetite.note(0.001)
    appetite.note_stall()
    assert appetite.room(10) == 0
    appetite.note(0.001)
    assert appetite.room(10) > 0


def test_max_jobs_bounds_what_is_claimed():
    appetite = Appetite(10, 12)
    assert appetite.room(0) == 10
    appetite.note_claimed(10)
    assert not appetite.is_satisfied
    assert appetite.room(5) == 2
    appetite.note_claimed(2)
    assert appetite.is_satisfied
    assert appetite.room(0) == 0
    # Given back unstarted: not an attempt.
    appetite.note_claimed(-3)
    assert not appetite.is_satisfied
    assert appetite.room(0) == 3


def test_without_max_jobs_it_is_never_satisfied():
    appetite = Appetite(1, None)
    appetite.note_claimed(10**6)
    assert not appetite.is_satisfied

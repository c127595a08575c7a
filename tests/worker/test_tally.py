"""What processes have counted, when they come and go."""

from django_flare.worker.tally import Totals


def test_what_a_process_says_replaces_what_it_said():
    totals = Totals()
    totals.note(1, {"claimed": 5})
    totals.note(1, {"claimed": 7})
    assert totals.sums() == {"claimed": 7}


def test_no_sum_falls_when_a_process_is_replaced():
    """Also when the system gives the same number to the next one."""
    totals = Totals()
    totals.note(1, {"claimed": 5})
    totals.end(1)
    assert totals.sums() == {"claimed": 5}
    totals.note(1, {"claimed": 1})
    assert totals.sums() == {"claimed": 6}


def test_what_is_kept_does_not_grow_with_each_process():
    totals = Totals()
    for number in range(50):
        totals.note(number, {"claimed": 2})
        totals.end(number)
    assert totals.sums() == {"claimed": 100}
    assert not totals._latest


def test_a_process_that_has_said_nothing_may_end():
    totals = Totals()
    totals.end(1)
    assert totals.sums() == {}

"""When a supervisor starts a child, with children that are nothing but what is asked of them."""

import math
from types import SimpleNamespace

from django_flare.worker.places import Place


def leaving(kill_at=math.inf, running=1, slots=3):
    vitals = SimpleNamespace(running=running, slots=slots)
    return SimpleNamespace(kill_at=kill_at, report=SimpleNamespace(vitals=vitals))


def test_an_empty_place_is_filled_when_its_pause_is_over():
    place = Place(start_at=5.0)
    assert not place.is_vacant(4.9)
    assert place.is_vacant(5.0)


def test_who_serves_is_alone():
    assert not Place(serving=leaving()).is_vacant(1.0)


def test_who_waits_for_long_jobs_is_replaced_until_these_are_more_than_the_slots():
    """Or a short --max-jobs with long jobs would gather processes without end."""
    assert Place(leaving=[leaving(), leaving(), leaving()]).is_vacant(1.0)
    assert not Place(leaving=[leaving(), leaving(), leaving(), leaving()]).is_vacant(1.0)
    assert not Place(leaving=[leaving(running=3), leaving()]).is_vacant(1.0)


def test_a_child_that_is_about_to_end_counts_too():
    assert not Place(leaving=[leaving(running=0), leaving(running=3)]).is_vacant(1.0)


def test_who_is_killed_at_a_known_time_is_replaced_in_any_case():
    assert Place(leaving=[leaving(), leaving(30.0, 3), leaving(40.0, 3)]).is_vacant(1.0)


def test_all_that_run_there():
    one, two = leaving(), leaving()
    place = Place(serving=two, leaving=[one])
    assert place.children == [one, two]
    place.remove(two)
    place.remove(one)
    assert place.children == []

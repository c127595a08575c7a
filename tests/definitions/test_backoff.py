"""How long a failed job waits."""

import dataclasses
import json
from datetime import timedelta

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_flare.definitions import Backoff, duration_seconds
from django_flare.errors import FlareOptionError


def never():
    return 0.0


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 15), (2, 30), (3, 60), (4, 120), (11, 15_360), (12, 21_600), (13, 21_600)]
)
def test_the_delay_doubles_up_to_the_cap(attempt, seconds):
    assert Backoff().delay(attempt, never) == seconds


def test_the_jitter_is_added_after_the_cap():
    assert Backoff(15, 20, 4).delay(9, lambda: 0.5) == 22.0


@pytest.mark.parametrize("attempt", [1000, 10**9, 10**400])
def test_no_attempt_is_too_high(attempt):
    assert Backoff().delay(attempt, never) == 21_600
    assert Backoff(0, 10, 0).delay(attempt, never) == 0


@given(st.integers(1, 200), st.floats(0, 1))
def test_every_delay_is_within_its_bounds(attempt, chance):
    backoff = Backoff(2, 300, 7)
    assert 2 <= backoff.delay(attempt, lambda: chance) <= 307


def test_parts_are_durations():
    backoff = Backoff(timedelta(seconds=1.5), timedelta(minutes=1), 2)
    assert (backoff.base, backoff.cap, backoff.jitter) == (1.5, 60.0, 2.0)
    assert backoff == Backoff(1.5, 60, 2.0)


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Backoff().base = 1


@pytest.mark.parametrize("part", ["base", "cap", "jitter"])
@pytest.mark.parametrize(
    "value", [-1, True, None, "15", float("nan"), float("inf"), 10**400, timedelta(days=-1), 1e18]
)
def test_a_bad_part_is_refused_by_name(part, value):
    with pytest.raises(FlareOptionError, match=rf"backoff\.{part}: "):
        Backoff(**{part: value})


def test_it_is_stored_as_json_and_read_back():
    backoff = Backoff(1, timedelta(hours=1), 0.5)
    stored = json.loads(json.dumps(backoff.as_json()))
    assert stored == {"base": 1.0, "cap": 3600.0, "jitter": 0.5}
    assert Backoff.from_json(stored) == backoff


def test_the_default_is_that_of_the_settings():
    assert Backoff.default() == Backoff(15, 21_600, 3)
    with override_settings(FLARE={"BACKOFF": {"base": 1, "cap": 2, "jitter": 0}}):
        assert Backoff.default() == Backoff(1, 2, 0)


@pytest.mark.parametrize(
    ("value", "seconds"), [(0, 0.0), (5, 5.0), (0.5, 0.5), (timedelta(minutes=2), 120.0)]
)
def test_a_duration_is_a_timedelta_or_seconds(value, seconds):
    assert duration_seconds("delay", value) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "delay: bool, expected a timedelta or seconds"),
        (None, "delay: None, expected a timedelta or seconds"),
        ("5 min", "delay: str, expected a timedelta or seconds"),
        (-1, "delay: -1 s, expected 0 s to 10 s"),
        (11, "delay: 11 s, expected 0 s to 10 s"),
        (float("nan"), "delay: nan s, expected 0 s to 10 s"),
        (timedelta.max, "delay: 8.64e+13 s, expected 0 s to 10 s"),
    ],
)
def test_a_bad_duration_names_its_field(value, message):
    with pytest.raises(FlareOptionError) as caught:
        duration_seconds("delay", value, 0, 10)
    assert str(caught.value) == message

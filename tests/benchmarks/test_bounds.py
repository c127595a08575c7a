"""The table of figures: ratios of medians, each beside its bound."""

import pytest

from benchmarks.bounds import FIGURES, Figure, number
from benchmarks.figures import Figures, ratio, value
from benchmarks.plan import Key

OURS = ("drain", "django_flare", "PostgreSQL")
RAW = ("drain", "raw psycopg", "PostgreSQL")


@pytest.fixture
def figures():
    return Figures()


def measured(figures, key, *rates, name="jobs/s"):
    for rate in rates:
        figures.add(Key(*key), {name: rate})


def named(label):
    [figure] = [each for each in FIGURES if each.label == label]
    return figure


def test_a_ratio_is_that_of_the_medians(figures):
    measured(figures, OURS, 1000, 9000, 5000)
    measured(figures, RAW, 20_000, 10_000, 1)
    assert ratio(value(*OURS, "jobs/s"), value(*RAW, "jobs/s"))(figures) == 0.5


def test_what_was_not_measured_has_no_ratio(figures):
    measured(figures, OURS, 1000)
    assert ratio(value(*OURS, "jobs/s"), value(*RAW, "jobs/s"))(figures) is None


def test_a_figure_stands_beside_its_bound_and_its_goal(figures):
    measured(figures, OURS, 5000)
    measured(figures, RAW, 10_000)
    assert named("drain, × the raw psycopg loop").cells(figures)[1:] == ("0.5", "≥ 0.4 ✓", "≥ 0.7 ✗")


def test_smaller_is_better_where_it_is_said_so(figures):
    measured(figures, ("latency", "django_flare", "PostgreSQL"), 3.5, name="p99 ms")
    assert named("pick-up p99, PostgreSQL, ms").cells(figures)[1:] == ("3.5", "≤ 8 ✓", "≤ 4 ✓")


def test_an_equal_figure_meets_its_bound(figures):
    figure = Figure("x", lambda _: 2.0, bound=2)
    assert figure.cells(figures)[2] == "≥ 2 ✓"
    assert Figure("x", lambda _: 2.0, bound=2, smaller=True).cells(figures)[2] == "≤ 2 ✓"


def test_a_bound_of_what_was_not_measured_is_neither_met_nor_missed(figures):
    assert named("drain, × procrastinate").cells(figures)[1:] == ("–", "≥ 15", "–")


def test_each_figure_is_named_once():
    labels = [each.label for each in FIGURES]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.02, "0.02"), (99.94, "99.9"), (21_950, "21,950")]
)
def test_numbers_read_well(value, text):
    assert number(value) == text

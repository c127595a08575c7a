"""What is read from the counts: bars, percentiles, types, and the summary of a period."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from django_flare import JobState
from django_flare.jobs.figures import SCALES, Scale, Spans, read_figures
from django_flare.jobs.overview import Capped
from django_flare.jobs.summary import PERIODS, read_summary
from django_flare.lifecycle import retention, rollups
from django_flare.models import Job
from django_flare.models.rollup import BOUNDS
from django_flare.store import rollups as store
from tests.clock import START
from tests.support import USING, Driver, make_job


def spans(**classes):
    """Return spans with so many in the class that ends at each bound: `at_3=5`."""
    found = [0] * (len(BOUNDS) + 1)
    for name, number in classes.items():
        found[int(name.removeprefix("at_"))] = number
    return Spans(1.0, found)


class TestPercentiles:
    def test_of_nothing_there_is_none(self):
        assert (Spans().percentile(0.5), Spans().mean) == (None, None)

    @pytest.mark.parametrize(("share", "seconds"), [(0.0, 0.1), (0.5, 0.2), (1.0, 0.3)])
    def test_within_a_class_it_is_interpolated(self, share, seconds):
        found = spans(at_4=10).percentile(share)
        assert found == (None if share == 0 else pytest.approx(seconds))

    def test_it_is_in_the_class_that_holds_it(self):
        found = spans(at_0=50, at_5=45, at_8=5)
        assert found.percentile(0.5) == BOUNDS[0]
        assert found.percentile(0.95) == BOUNDS[5]
        assert BOUNDS[7] < found.percentile(0.96) < found.percentile(0.99) < BOUNDS[8]

    def test_beyond_the_last_bound_it_is_infinite(self):
        assert spans(at_0=1, at_13=99).percentile(0.5) == math.inf

    def test_the_mean_is_exact(self):
        total = Spans()
        total.add(3.0, [1] * 14)
        total.add(4.0, [0] * 14)
        assert total.mean == pytest.approx(0.5)


@pytest.mark.parametrize("scale", SCALES.values())
def test_the_last_bar_is_the_one_that_it_is_now(scale):
    now = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
    starts = scale.starts(now)
    assert len(starts) == scale.bars
    assert starts[-1] <= now < starts[-1] + scale.step
    assert {later - earlier for earlier, later in pairwise(starts)} == {scale.step}
    assert all((start - datetime(1970, 1, 1, tzinfo=UTC)) % scale.step == timedelta() for start in starts)


def test_bars_are_no_finer_than_what_is_kept():
    def kept(age):
        if age <= rollups.MINUTES_KEPT:
            return timedelta(minutes=1)
        return timedelta(minutes=15) if age <= rollups.QUARTERS_KEPT else timedelta(hours=1)

    assert {name: Scale(each.bars, kept(each.bars * each.step)) for name, each in SCALES.items()} == {
        "1h": SCALES["1h"],
        "24h": SCALES["24h"],
        "7d": Scale(84, timedelta(hours=1)),
    }
    assert max(PERIODS.values()) < rollups.HOURS_KEPT


@pytest.mark.django_db
class TestRead:
    @pytest.mark.parametrize("period", SCALES)
    def test_putting_rows_together_changes_nothing(self, clock, period):
        for _ in range(30):
            # Exact as floats, in whatever order they are summed up.
            store.write([store.Ended("q", "t", JobState.SUCCEEDED, 0.125, 2.0)] * 3, USING)
            clock.advance(3700)
        store.write([store.Ended("q", "t", JobState.FAILED, 0.125, 2.0)], USING)
        before = read_figures(period)
        rollups.merge(USING)
        while rollups.thin_out(USING):
            pass
        assert read_figures(period) == before
        assert before.total.ended > 0

    def test_all_that_ended_is_counted(self, clock):
        store.write([store.Ended("q", "t", JobState.SUCCEEDED, 0.1, 0.1)] * 12_345, USING)
        clock.advance(60)
        found = read_summary("1h")
        assert found.ended[JobState.SUCCEEDED] == Capped(12_345)
        assert found.per_minute == round(12_345 / 60, 3)

    def test_what_has_been_pruned_is_still_counted(self, clock):
        Driver().succeed(make_job())
        clock.advance(60)
        assert retention.prune({JobState.SUCCEEDED: timedelta(seconds=1)}, USING) == 1
        assert not Job.objects.exists()
        assert read_summary("1h").ended[JobState.SUCCEEDED] == Capped(1)

    def test_times_are_the_databases(self, clock):
        Driver().succeed(make_job())
        (bar,) = [bar for bar in read_figures("1h").bars if bar.counts]
        assert bar.start == START

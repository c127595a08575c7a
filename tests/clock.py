"""The database's clock in the hands of a test: a one-row table in its place, so that nothing sleeps."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django_flare.store.clock import replace_now
from tests.testapp.models import Clock

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
SQL = f"(SELECT moment FROM {Clock._meta.db_table})"


class TestClock:
    """Stand still until told to advance; the row is part of the transaction that the test is in."""

    __test__ = False

    def __init__(self):
        self.now = START

    def advance(self, seconds):
        """Move the database's time on by `seconds`; return what it is then."""
        self.now += timedelta(seconds=seconds)
        self.write()
        return self.now

    def write(self):
        Clock.objects.update_or_create(pk=1, defaults={"moment": self.now})


@contextmanager
def stopped_clock():
    """Put a clock that stands still in the place of the database's own; the fixture `clock`."""
    clock = TestClock()
    clock.write()
    replace_now(SQL)
    try:
        yield clock
    finally:
        replace_now(None)

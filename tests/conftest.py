"""What every test shares: its ring, and the database it runs on.

A test is in the ring `database` when it touches the database at all, otherwise it is `pure`. Both are
found out here, so nobody can forget a marker; `system` is set by hand on tests that start processes.
"""

import os

import django.test
import hypothesis
import pytest
from django.core.management.commands import flush
from django.db import connection

DATABASE_MARKERS = {"django_db", "system"}
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}

# A slow machine is no failure; the tests have a timeout of their own.
hypothesis.settings.register_profile("flare", deadline=None)
hypothesis.settings.load_profile("flare")


@pytest.fixture
def clock(db):
    """Stop the database's clock; `clock.advance(seconds)` moves it."""
    # Imported late: the apps must be ready before their models.
    from tests.clock import stopped_clock

    with stopped_clock() as stopped:
        yield stopped


def pytest_addoption(parser):
    parser.addoption("--ring", choices=["pure", "database"], help="run only the tests of this ring")


def pytest_report_header():
    return f"database: {_vendor()}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        item.add_marker("database" if _touches_database(item) else "pure")
    ring = config.getoption("ring")
    if ring:
        chosen = [item for item in items if item.get_closest_marker(ring) and _is_at_home(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def _is_at_home(item):
    """Tell whether the whole run has this test on this database; without `--ring` it runs anywhere."""
    home = item.get_closest_marker("whole_run_on")
    return home is None or os.environ.get("FLARE_TEST_DATABASE", "sqlite") in home.args


_KEPT = {"auth_permission", "django_content_type"}
"""Tables that only migrations write to."""


@pytest.fixture(scope="session", autouse=True)
def _quick_flush():
    """Empty tables after a test, and keep what migrations filled: to fill them anew outlasts most tests.

    By DELETE: PostgreSQL's TRUNCATE makes new files, for a few rows.
    """
    operations = type(connection.ops)  # a thread's later connections, beside a browser, have their own
    sql_flush = _deletes if connection.vendor == "postgresql" else operations.sql_flush

    def sql_flush_of_the_rest(self, style, tables, **options):
        return sql_flush(self, style, [table for table in tables if table not in _KEPT], **options)

    operations.sql_flush = sql_flush_of_the_rest
    flush.emit_post_migrate_signal = lambda *_: None


def _deletes(operations, style, tables, **_):
    return [f"DELETE FROM {operations.quote_name(table)}" for table in tables]


@pytest.fixture(scope="session")
def database_vendor():
    """Return `sqlite`, `postgres` or `mariadb`."""
    return _vendor()


def _vendor():
    return os.environ.get("FLARE_TEST_DATABASE", "sqlite")


def _touches_database(item):
    test_case = getattr(item, "cls", None)
    return (
        any(mark.name in DATABASE_MARKERS for mark in item.iter_markers())
        or not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
        or (test_case is not None and issubclass(test_case, django.test.TransactionTestCase))
    )

"""Connections between jobs: kept when they are fit for the next one, otherwise replaced. F50."""

import logging

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.backends.signals import connection_created
from psycopg import IsolationLevel

from django_flare.worker import connections as worker_connections
from django_flare.worker.connections import check_idle_connections, clean_connections, drop_connections
from tests.testapp.models import Effect

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh():
    """Give the thread, and so the other tests, its connection back clean."""
    connection.close()
    yield
    drop_connections()


def use():
    assert Effect.objects.count() == 0


def driver():
    return connections["default"].connection


def _is_usable_and_clean():
    own = connections["default"]
    assert not own.in_atomic_block
    assert own.get_autocommit()
    use()
    with transaction.atomic():
        Effect.objects.create(job_id="probe", note="x")
    assert Effect.objects.get().note == "x"
    Effect.objects.all().delete()
    return True


def test_a_clean_connection_is_kept():
    use()
    before = driver()
    clean_connections("job")
    assert driver() is before


def test_one_that_was_never_opened_stays_unopened():
    clean_connections("job")
    assert driver() is None


def _open():
    transaction.atomic().__enter__()
    Effect.objects.create(job_id="dirt", note="x")


def _nested():
    _open()
    transaction.atomic().__enter__()


def _begin():
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    Effect.objects.create(job_id="dirt", note="x")


def _aborted():
    transaction.atomic().__enter__()
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")


def _autocommit_off():
    connection.set_autocommit(False)
    Effect.objects.create(job_id="dirt", note="x")


def _closed_inside():
    _open()
    connection.close()


TRANSACTIONS = [_open, _nested, _begin, _aborted, _autocommit_off, _closed_inside]


@pytest.mark.parametrize("dirt", TRANSACTIONS, ids=lambda each: each.__name__)
def test_an_open_transaction_is_rolled_back_with_a_warning(dirt, caplog):
    use()
    dirt()
    with caplog.at_level(logging.WARNING, "django_flare.worker"):
        clean_connections("mail.welcome")
    messages = [record.getMessage() for record in caplog.records]
    if dirt is not _closed_inside:
        assert messages == ["mail.welcome left a transaction open on database 'default'; rolled back"]
    assert _is_usable_and_clean()


CHANGES = {
    "sqlite": {"isolation_level": "EXCLUSIVE"},
    "postgresql": {
        "isolation_level": IsolationLevel.SERIALIZABLE,
        "read_only": True,
        "deferrable": True,
        "autocommit": False,
    },
    "mysql": {},
}[connection.vendor]


@pytest.mark.parametrize(("name", "value"), CHANGES.items(), ids=str)
def test_what_a_job_has_set_on_the_driver_ends_with_it(name, value, caplog):
    use()
    before = driver()
    setattr(before, name, value)
    clean_connections("mail.welcome")
    assert driver() is not before
    assert "mail.welcome left settings of its own on the connection to database 'default'" in caplog.text
    assert _is_usable_and_clean()
    assert getattr(driver(), name) != value


def test_what_the_project_sets_on_each_connection_is_no_change_of_a_job():
    def prepare(connection, **_):
        if connection.vendor == "postgresql":
            connection.connection.isolation_level = IsolationLevel.SERIALIZABLE

    # Before the worker's own, as where apps connect at their start.
    connection_created.disconnect(dispatch_uid="django_flare.worker.connections")
    connection_created.connect(prepare)
    connection_created.connect(worker_connections._note, dispatch_uid="django_flare.worker.connections")
    try:
        connection.close()
        use()
        before = driver()
        clean_connections("job")
        assert driver() is before
    finally:
        connection_created.disconnect(prepare)
        drop_connections()


def test_a_closed_connection_is_opened_again():
    use()
    connection.close()
    clean_connections("job")
    assert _is_usable_and_clean()


def test_a_connection_closed_past_django_is_replaced():
    use()
    driver().close()
    clean_connections("job")
    assert _is_usable_and_clean()


def test_a_connection_that_had_errors_is_replaced():
    use()
    before = driver()
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
    clean_connections("job")
    assert driver() is not before
    assert _is_usable_and_clean()


@pytest.mark.parametrize(("age", "is_kept"), [(0, True), (None, True), (3600, True), (-1, False)])
def test_the_age_is_minded_but_zero_does_not_mean_one_job_each(monkeypatch, age, is_kept):
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", age)
    use()
    before = driver()
    clean_connections("job")
    assert (driver() is before) == is_kept


@pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="SQLite has no server that drops idle connections"
)
def test_an_idle_connection_is_asked_whether_it_works():
    use()
    before = driver()
    before.close()
    check_idle_connections(0.5)
    assert driver() is before
    check_idle_connections(1.5)
    assert driver() is None
    assert _is_usable_and_clean()


def test_a_good_idle_connection_is_kept():
    use()
    before = driver()
    check_idle_connections(59)
    assert driver() is before


def test_one_that_was_idle_for_long_is_not_even_asked(monkeypatch):
    """F37: if it is half open there is no answer, and the handler would wait for it."""
    use()
    before = driver()
    monkeypatch.setattr(connections["default"], "is_usable", lambda: pytest.fail("it was asked"))
    if connection.vendor == "sqlite":
        monkeypatch.undo()
    check_idle_connections(61)
    assert (driver() is before) == (connection.vendor == "sqlite")
    assert _is_usable_and_clean()


@pytest.mark.parametrize("dirt", [None, *TRANSACTIONS], ids=lambda each: each.__name__ if each else "clean")
def test_all_are_dropped_in_whatever_state(dirt):
    use()
    if dirt:
        dirt()
    drop_connections()
    assert driver() is None
    assert _is_usable_and_clean()

"""The system checks."""

import copy

import pytest
from django.core import checks
from django.db import connections
from django.test import override_settings

from django_flare.checks import check_database, check_settings

GOOD_OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"}


def ids(found):
    return [message.id for message in found]


@pytest.fixture
def sqlite(monkeypatch):
    """Return the settings of an SQLite database under the alias `jobs`, free to change."""
    entry = copy.deepcopy(connections["default"].settings_dict)
    entry.update(ENGINE="django.db.backends.sqlite3", NAME="jobs.sqlite3", OPTIONS=dict(GOOD_OPTIONS))
    monkeypatch.setitem(connections.settings, "jobs", entry)
    with override_settings(FLARE={"DATABASE": "jobs"}):
        yield entry
    if hasattr(connections._connections, "jobs"):
        del connections["jobs"]


def test_they_are_registered():
    registered = {check.__name__ for check in checks.registry.registry.get_checks()}
    assert {"check_settings", "check_database"} <= registered


def test_nothing_is_wrong_with_the_defaults():
    with override_settings(FLARE={}):
        assert check_settings() == []


def test_an_unknown_setting_is_an_error_that_names_the_nearest():
    with override_settings(FLARE={"MAX_ATEMPTS": 3}):
        (found,) = check_settings()
    assert (found.id, found.level) == ("django_flare.E001", checks.ERROR)
    assert "MAX_ATEMPTS" in found.msg
    assert found.hint == "Did you mean 'MAX_ATTEMPTS'?"


@pytest.mark.parametrize(
    ("key", "hint"), [("queue", "'QUEUE'"), ("LEASE_SECONDS", "'LEASE'"), (5, "The settings are")]
)
def test_the_hint_helps_with_other_spellings(key, hint):
    with override_settings(FLARE={key: 3}):
        (found,) = check_settings()
    assert hint in found.hint


def test_each_bad_value_is_an_error():
    with override_settings(FLARE={"QUEUE": 5, "TIMEOUT": 0}):
        found = check_settings()
    assert ids(found) == ["django_flare.E002", "django_flare.E002"]
    assert found[0].msg == "FLARE['QUEUE']: int, expected a string"


def test_a_lease_under_three_beats_is_an_error():
    with override_settings(FLARE={"LEASE": 10, "BEAT": 5}):
        (found,) = check_settings()
    assert (found.id, found.msg) == ("django_flare.E002", "FLARE['LEASE']: 10 s, at least 3 beats of 5 s")


def test_a_flare_that_is_no_dict_is_an_error():
    with override_settings(FLARE=["QUEUE"]):
        assert ids(check_settings()) == ["django_flare.E002"]
        assert check_database() == []


@override_settings(USE_TZ=False)
def test_naive_times_are_an_error():
    assert "django_flare.E003" in ids(check_settings())


def test_a_grace_longer_than_the_lease_is_a_warning():
    with override_settings(FLARE={"TIMEOUT_GRACE": 60}):
        assert ids(check_settings()) == ["django_flare.W002"]


def test_a_database_that_does_not_exist_is_an_error():
    with override_settings(FLARE={"DATABASE": "defualt"}):
        (found,) = check_database()
    assert (found.id, found.hint) == ("django_flare.E004", "Did you mean 'default'?")


def test_a_well_set_sqlite_passes(sqlite):
    assert check_database() == []


@pytest.mark.parametrize("option", GOOD_OPTIONS)
def test_sqlite_is_advised_of_what_is_missing(sqlite, option):
    del sqlite["OPTIONS"][option]
    (found,) = check_database()
    assert (found.id, found.level) == ("django_flare.W001", checks.WARNING)
    assert f'Add "{option}"' in found.hint


@pytest.mark.parametrize("name", [":memory:", "file:memorydb_default?mode=memory&cache=shared"])
def test_sqlite_in_memory_needs_no_advice(sqlite, name):
    sqlite.update(NAME=name, OPTIONS={})
    assert check_database() == []


@pytest.mark.parametrize(
    ("zone", "expected"), [(None, []), ("UTC", []), ("Europe/Berlin", ["django_flare.E005"])]
)
def test_a_database_of_another_zone_is_an_error(sqlite, zone, expected):
    sqlite["TIME_ZONE"] = zone
    assert ids(check_database()) == expected

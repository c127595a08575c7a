"""The system checks."""

import copy

import psycopg
import pytest
from django.core import checks
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_flare.checks import (
    check_connection,
    check_database,
    check_durability,
    check_rate_limit,
    check_schema,
    check_settings,
)
from django_flare.checks.database import _weak_sqlite
from django_flare.models import Job

GOOD_OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"}

PATIENT = {"tcp_user_timeout": 20_000, "keepalives_idle": 20}


def _newest_migration():
    (newest,) = MigrationLoader(None).graph.leaf_nodes("django_flare")
    return newest


def ids(found):
    return [message.id for message in found]


@pytest.fixture
def sqlite(database_entry):
    """Return the settings of an SQLite database under the alias `jobs`, free to change."""
    database_entry.update(
        ENGINE="django.db.backends.sqlite3", NAME="jobs.sqlite3", OPTIONS=dict(GOOD_OPTIONS)
    )
    return database_entry


@pytest.fixture
def remote(database_entry):
    """Return the settings of a PostgreSQL database over the network, which nobody connects to."""
    database_entry.update(
        ENGINE="django.db.backends.postgresql", HOST="db.example", PORT="5432", OPTIONS=dict(PATIENT)
    )
    return database_entry


@pytest.fixture
def database_entry(monkeypatch):
    """Return an entry of `DATABASES` under the alias `jobs`, which holds the jobs."""
    entry = copy.deepcopy(connections["default"].settings_dict)
    monkeypatch.setitem(connections.settings, "jobs", entry)
    with override_settings(FLARE={"DATABASE": "jobs"}):
        yield entry
    if hasattr(connections._connections, "jobs"):
        del connections["jobs"]


def test_they_are_registered():
    registered = {check.__name__ for check in checks.registry.registry.get_checks()}
    assert {"check_settings", "check_database", "check_schema", "check_durability"} <= registered
    assert "check_connection" not in registered
    for_deployment = {
        check.__name__ for check in checks.registry.registry.get_checks(include_deployment_checks=True)
    }
    assert "check_connection" in for_deployment


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


def test_so_is_one_to_listen_on():
    with override_settings(FLARE={"LISTEN": "direct"}):
        (found,) = check_database()
    assert (found.id, found.msg) == ("django_flare.E004", "FLARE['LISTEN']: DATABASES has no 'direct'")


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


class TestForDeployment:
    def test_a_patient_connection_passes(self, remote):
        assert check_connection() == []

    @pytest.mark.parametrize("option", PATIENT)
    def test_a_network_needs_timeouts(self, remote, option):
        """F37."""
        del remote["OPTIONS"][option]
        (found,) = check_connection()
        assert (found.id, found.level) == ("django_flare.W005", checks.WARNING)
        assert f"{option!r}: {PATIENT[option]}" in found.hint

    @pytest.mark.parametrize("host", ["", "/run/postgresql", "localhost", "127.0.0.1", "::1"])
    def test_a_server_on_this_machine_needs_none(self, remote, host):
        remote.update(HOST=host, OPTIONS={})
        assert check_connection() == []

    @pytest.mark.parametrize(
        "changed", [{"PORT": "6432"}, {"PORT": 6432}, {"DISABLE_SERVER_SIDE_CURSORS": True}]
    )
    def test_a_pooler_is_suspected(self, remote, changed):
        """F43."""
        remote.update(changed)
        (found,) = check_connection()
        assert (found.id, found.level) == ("django_flare.I002", checks.INFO)
        with override_settings(FLARE={"DATABASE": "jobs", "NOTIFY": False}):
            assert check_connection() == []

    @pytest.mark.parametrize(
        ("level", "expected"),
        [
            ("serializable", ["django_flare.I001"]),
            ("read uncommitted", ["django_flare.I001"]),
            (psycopg.IsolationLevel.SERIALIZABLE, ["django_flare.I001"]),
            (psycopg.IsolationLevel.READ_COMMITTED, []),
            ("repeatable read", []),
            (None, []),
        ],
    )
    def test_an_unusual_isolation_is_mentioned(self, remote, level, expected):
        remote["OPTIONS"]["isolation_level"] = level
        assert ids(check_connection()) == expected

    def test_bad_settings_are_left_to_their_own_check(self):
        with override_settings(FLARE={"DATABASE": 5}):
            assert check_connection() == []


@pytest.mark.django_db
class TestOfTheDatabase:
    def test_nothing_is_asked_of_a_database_that_is_not_named(self):
        with CaptureQueriesContext(connection) as captured:
            for databases in (None, [], ["other"]):
                assert check_schema(databases=databases) == []
                assert check_durability(databases=databases) == []
        assert len(captured) == 0

    def test_a_migrated_database_passes(self):
        assert check_schema(databases=["default"]) == []

    def test_a_migration_that_is_not_applied_is_named(self, monkeypatch):
        MigrationRecorder(connection).record_unapplied(*_newest_migration())
        (found,) = check_schema(databases=["default"])
        assert (found.id, found.level) == ("django_flare.W004", checks.WARNING)
        assert _newest_migration()[1] in found.msg
        monkeypatch.setattr("sys.argv", ["manage.py", "migrate"])
        assert check_schema(databases=["default"]) == []


@pytest.mark.django_db(transaction=True)
def test_durability_that_is_switched_off_is_a_warning():
    """F44."""
    setting, off, on = DURABILITY[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {setting}" if connection.vendor == "mysql" else f"{READ} {setting}")
        (before,) = cursor.fetchone()
        try:
            complaints = []
            for value in (off, on):
                cursor.execute(f"{WRITE} {setting} = {value}")
                found = check_durability(databases=["default"])
                complaints.append([each for each in found if setting.split(".")[-1] in each.msg])
        finally:
            cursor.execute(f"{WRITE} {setting} = {before}")
    ((complaint,), none) = complaints
    assert (complaint.id, complaint.level) == ("django_flare.W006", checks.WARNING)
    assert none == []


DURABILITY = {
    "postgresql": ("synchronous_commit", "off", "on"),
    "sqlite": ("synchronous", "0", "2"),
    # For the whole server: it knows no other way.
    "mysql": ("@@GLOBAL.innodb_flush_log_at_trx_commit", "2", "1"),
}
READ, WRITE = ("PRAGMA", "PRAGMA") if connection.vendor == "sqlite" else ("SHOW", "SET")


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite's journal")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "warns"), [("memory", True), ("off", True), ("delete", False), ("wal", False)]
)
def test_a_journal_that_is_gone_with_the_process_is_a_warning(tmp_path, mode, warns):
    """F44."""
    own = connection.copy("own")
    own.settings_dict["NAME"] = tmp_path / "own.sqlite3"
    try:
        with own.cursor() as cursor:
            cursor.execute(f"PRAGMA journal_mode = {mode}")
        assert (f"journal_mode is {mode.upper()}" in list(_weak_sqlite(own))) == warns
    finally:
        own.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("name", "migration"),
    [
        ("flare_job_claimable", "0001_initial"),
        ("flare_job_listing", "0001_initial"),
        ("flare_job_claimable_type", "0003_job_claimable_type"),
    ],
)
def test_an_index_that_somebody_has_dropped_is_named(name, migration, capsys):
    (index,) = (each for each in Job._meta.indexes if each.name == name)
    with connection.schema_editor() as editor:
        editor.remove_index(Job, index)
    try:
        (found,) = check_schema(databases=["default"])
    finally:
        with connection.schema_editor() as editor:
            editor.add_index(Job, index)
    assert (found.id, found.level) == ("django_flare.W003", checks.WARNING)
    assert found.msg.endswith(f": {name}")
    # The hint can be followed.
    assert f"by the SQL of manage.py sqlmigrate django_flare {migration}:" in found.hint
    call_command("sqlmigrate", "django_flare", migration)
    assert f'"{name}"' in capsys.readouterr().out.replace("`", '"')
    assert check_schema(databases=["default"]) == []


@pytest.mark.django_db
def test_the_command_asks_the_database_when_told_to(capsys):
    MigrationRecorder(connection).record_unapplied(*_newest_migration())
    call_command("check", "django_flare")
    assert "W004" not in capsys.readouterr().err
    call_command("check", "django_flare", databases=["default"])
    assert "django_flare.W004" in capsys.readouterr().err


class TestRateLimit:
    REDIS = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://x"}}
    DUMMY = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

    def test_a_cache_of_each_process_warns(self):
        (found,) = check_rate_limit()
        assert found.id == "django_flare.W007"
        assert "LocMemCache" in found.msg

    def test_a_cache_that_keeps_nothing_warns(self, settings):
        settings.CACHES = self.DUMMY
        assert ids(check_rate_limit()) == ["django_flare.W007"]

    def test_a_shared_cache_is_well(self, settings):
        settings.CACHES = self.REDIS
        assert check_rate_limit() == []

    def test_without_a_limit_nothing_is_counted(self, settings):
        settings.FLARE = {"API_RATE": None}
        assert check_rate_limit() == []

    @pytest.mark.parametrize("urls", ["example_project.shop.urls", None])
    def test_a_project_without_the_api_needs_none(self, settings, urls):
        settings.ROOT_URLCONF = urls
        assert check_rate_limit() == []

    def test_an_api_deep_in_the_addresses_is_found(self, settings):
        settings.ROOT_URLCONF = "tests.deep_urls"
        assert ids(check_rate_limit()) == ["django_flare.W007"]

"""The example's settings come from the environment."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import environ
import pytest

ROOT = Path(__file__).parent.parent.parent
POSTGRESQL = "postgres://shop:secret@db.example.com:5433/shop"
MARIADB = "mysql://shop:secret@db.example.com:5433/shop"


@pytest.fixture
def read(monkeypatch):
    """Return a function that reads the settings with these variables and none of the machine's."""
    monkeypatch.setattr(environ.Env, "read_env", lambda *args, **kwargs: None)
    for key in (
        "DATABASE_URL",
        "DEBUG",
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "HTTPS",
        "EMAIL_FILE_PATH",
        "REPORTS_DIR",
    ):
        monkeypatch.delenv(key, raising=False)

    def read(**variables):
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        return runpy.run_path(str(ROOT / "example_project" / "settings.py"))

    return read


def test_the_default_is_a_sqlite_file_beside_manage_py(read):
    database = read()["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["NAME"] == str(ROOT / "db.sqlite3")


def test_sqlite_gets_what_a_server_and_workers_need(read):
    options = read(DATABASE_URL="sqlite:////tmp/shop.sqlite3")["DATABASES"]["default"]["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "WAL" in options["init_command"]
    assert options["timeout"] == 20


@pytest.mark.parametrize(
    ("url", "engine"),
    [(POSTGRESQL, "django.db.backends.postgresql"), (MARIADB, "django.db.backends.mysql")],
)
def test_a_server_comes_from_its_url(read, url, engine):
    database = read(DATABASE_URL=url)["DATABASES"]["default"]
    assert database["ENGINE"] == engine
    assert (database["NAME"], database["USER"], database["PASSWORD"]) == ("shop", "shop", "secret")
    assert (database["HOST"], database["PORT"]) == ("db.example.com", 5433)


def test_django_flare_is_set_up_by_its_variables(read):
    assert read(FLARE_MAX_ATTEMPTS="7")["FLARE"]["MAX_ATTEMPTS"] == 7


def test_mail_and_reports_go_where_the_environment_says(read, tmp_path):
    found = read(EMAIL_FILE_PATH=str(tmp_path / "post"), REPORTS_DIR=str(tmp_path / "csv"))
    assert (found["EMAIL_FILE_PATH"], found["REPORTS_DIR"]) == (str(tmp_path / "post"), tmp_path / "csv")


class TestSystemChecks:
    @pytest.mark.parametrize("url", ["sqlite:////srv/shop.sqlite3", POSTGRESQL, MARIADB])
    def test_in_production_there_is_nothing_to_complain_about(self, url):
        production = {
            "DEBUG": "no",
            "SECRET_KEY": "5f0e" * 4 + "a-long-and-random-value" * 3,
            "ALLOWED_HOSTS": "shop.example.com",
            "DATABASE_URL": url,
        }
        assert self._check("--deploy", "--fail-level", "WARNING", **production) == 0

    def test_what_is_not_fit_for_production_is_complained_about(self):
        assert self._check("--deploy", "--fail-level", "WARNING") == 1

    def test_in_development_there_is_none_without_deploy(self):
        assert self._check("--fail-level", "WARNING") == 0

    def test_no_migration_is_missing(self):
        command = [sys.executable, "manage.py", "makemigrations", "shop", "--check", "--dry-run"]
        assert subprocess.run(command, cwd=ROOT, env=self._environment()).returncode == 0

    def _check(self, *options, **variables):
        command = [sys.executable, "manage.py", "check", *options]
        return subprocess.run(command, cwd=ROOT, env=self._environment(**variables)).returncode

    def _environment(self, **variables):
        chosen = {"DJANGO_SETTINGS_MODULE": "example_project.settings", "DATABASE_URL": "sqlite:///:memory:"}
        return {**os.environ, **chosen, **variables}

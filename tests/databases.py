"""Find the databases that the tests can run on.

`python -m tests.databases` prints them; with a name, only that one, exit 1 if it is absent.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import environ
import psycopg
import pymysql

from tests import postgres

SERVERS = ("postgres", "mariadb")
NAMES = ("sqlite", *SERVERS)

_URL_VARIABLES = {"postgres": "FLARE_TEST_POSTGRES_URL", "mariadb": "FLARE_TEST_MARIADB_URL"}


def chosen():
    """Return Django's configuration of the database that `FLARE_TEST_DATABASE` names.

    The database has the name that the test runner will give it, and that name follows from the
    environment. So a process that a test starts sees the same database by importing the same settings.
    """
    name = os.environ.get("FLARE_TEST_DATABASE", "sqlite")
    if name == "sqlite":
        return _sqlite()
    if name not in SERVERS:
        raise ValueError(f"FLARE_TEST_DATABASE is {name!r}, not one of {', '.join(NAMES)}")
    url = find(name) or start(name)
    if url is None:
        raise RuntimeError(f"No {name} server on the loopback address and no {_URL_VARIABLES[name]}")
    remember(name, url)
    return reached_by(url)


def find(name):
    """Return the URL of a server that is there already, or None."""
    return os.environ.get(_URL_VARIABLES[name]) or (_loopback(name))


def start(name):
    """Start a server of our own until this process ends; return its URL, or None if we have none."""
    if name == "postgres" and postgres.available():
        return postgres.start()
    return None


def remember(name, url):
    """Let the processes that we start use the same server."""
    os.environ[_URL_VARIABLES[name]] = url


def _sqlite():
    # A real file, as a database in memory has neither other processes nor locks.
    file = str(_directory() / "db.sqlite3")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": file,
        "OPTIONS": {"timeout": 20},
        "TEST": {"NAME": file},
    }


def reached_by(url):
    """Return Django's configuration of this run's database on the server at `url`."""
    configuration = environ.Env.db_url_config(url)
    options = configuration.get("OPTIONS", {})
    if configuration["ENGINE"].endswith("mysql"):
        pymysql.install_as_MySQLdb()
        # Unless asked for: it would read all certificates of the system for each connection, for 50 ms.
        is_asked_for = any(name.startswith("ssl") for name in options)
        configuration["OPTIONS"] = {"ssl_disabled": not is_asked_for, **options}
    else:
        # Nothing here outlives the server's process; a crash is tested on a server of its own.
        configuration["OPTIONS"] = {**options, "options": "-c synchronous_commit=off"}
    name = f"test_flare_{_directory().name.removeprefix(_PREFIX)}"
    return {**configuration, "NAME": name, "TEST": {"NAME": name}}


_PREFIX = "flare-tests-"


def _directory():
    """Return this run's own directory: its file is the SQLite database, its name names the others."""
    if "FLARE_TEST_DIRECTORY" not in os.environ:
        # In memory where there is such a folder: a file for all that matters, without a disk's waits.
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        os.environ["FLARE_TEST_DIRECTORY"] = tempfile.mkdtemp(prefix=_PREFIX, dir=in_memory)
        atexit.register(_remove, os.environ["FLARE_TEST_DIRECTORY"], os.getpid())
    return Path(os.environ["FLARE_TEST_DIRECTORY"])


def _remove(directory, owner):
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)


def _loopback(name):
    return _loopback_postgres() if name == "postgres" else _loopback_mariadb()


def _loopback_postgres():
    url = "postgres://postgres@127.0.0.1:5432/postgres"
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return None
    return url


def _loopback_mariadb():
    try:
        pymysql.connect(host="127.0.0.1", port=3306, user="root", connect_timeout=3).close()
    except pymysql.err.OperationalError:
        return None
    return "mysql://root@127.0.0.1:3306/"


def main(names):
    absent = False
    for name in names or SERVERS:
        url = find(name)
        absent = absent or url is None
        print(f"{name}: {'there' if url else 'absent'}")
    return int(absent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The databases that there are: a new one for each measurement, dropped after it."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
import psycopg
import pymysql

from tests import databases

redis: Any = None
with suppress(ImportError):  # Celery is left out then
    import redis

REDIS_DATABASES = (14, 15)
"""For messages and for results."""

NAME = f"flare_bench_{os.getpid()}"


class Sqlite:
    """A file in the system's folder for temporary files (TMPDIR)."""

    name = "SQLite"
    vendor = "sqlite"

    @contextmanager
    def database(self) -> Iterator[str]:
        folder = tempfile.mkdtemp(prefix="flare-bench-")
        try:
            yield f"sqlite:///{Path(folder) / 'db.sqlite3'}"
        finally:
            shutil.rmtree(folder)

    def facts(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}, journal_mode=WAL, synchronous=FULL"


class Server:
    """A server at a URL, on which we may create databases."""

    name: str
    vendor: str
    drop = "DROP DATABASE IF EXISTS {}"

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def database(self) -> Iterator[str]:
        self.run(self.drop.format(NAME))
        self.run(f"CREATE DATABASE {NAME}")
        try:
            yield urlsplit(self.url)._replace(path=f"/{NAME}").geturl()
        finally:
            self.run(self.drop.format(NAME))

    def run(self, statement: str) -> str:
        raise NotImplementedError

    def show(self, *names: str) -> str:
        return ", ".join(f"{name}={self.run(f'SELECT {self.read.format(name)}')}" for name in names)

    read: str


class PostgreSQL(Server):
    """Any PostgreSQL."""

    name = "PostgreSQL"
    vendor = "postgres"
    drop = "DROP DATABASE IF EXISTS {} WITH (FORCE)"
    read = "current_setting('{}')"

    def run(self, statement: str) -> str:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return str(cursor.fetchone()[0]) if cursor.description else ""

    def facts(self) -> str:
        release = self.run("SELECT split_part(current_setting('server_version'), ' ', 1)")
        return f"PostgreSQL {release}, {self.show('fsync', 'synchronous_commit', 'shared_buffers')}"


class MariaDB(Server):
    """MariaDB or MySQL."""

    name = "MariaDB"
    vendor = "mariadb"
    read = "@@{}"

    def run(self, statement: str) -> str:
        found = environ.Env.db_url_config(self.url)
        with closing(
            pymysql.connect(
                host=found["HOST"] or "localhost",
                port=int(found["PORT"] or 3306),
                user=found["USER"],
                password=found["PASSWORD"] or "",
            )
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return str(cursor.fetchone()[0]) if cursor.description else ""

    def facts(self) -> str:
        names = ("innodb_flush_log_at_trx_commit", "innodb_buffer_pool_size")
        return f"MariaDB {self.run('SELECT version()')}, {self.show(*names)}, PyMySQL {version('PyMySQL')}"


class Redis:
    """Two databases of a Redis server, which must be empty: they are emptied after each measurement."""

    name = "Redis"

    def __init__(self, url: str) -> None:
        self.url = url
        self._databases = [f"{url}/{number}" for number in REDIS_DATABASES]

    @contextmanager
    def database(self) -> Iterator[str]:
        broker, os.environ["BENCHMARKS_RESULTS_URL"] = self._databases
        try:
            yield broker
        finally:
            for client in self._clients():
                client.flushdb()

    def problem(self) -> str | None:
        """Say why it cannot be used."""
        if redis is None:
            return "its client is not installed"
        try:
            full = any(client.dbsize() for client in self._clients())
        except redis.ConnectionError:
            return "is absent"
        return f"databases {REDIS_DATABASES} are not empty" if full else None

    def facts(self) -> str:
        client = self._clients()[0]
        shown = ", ".join(f"{name}={client.config_get(name)[name]}" for name in ("appendonly", "save"))
        return f"Redis {client.info('server')['redis_version']}, {shown}"

    def _clients(self) -> list[Any]:
        return [redis.Redis.from_url(url) for url in self._databases]


def there_are() -> list[Sqlite | PostgreSQL | MariaDB | Redis]:
    """Return the databases that the tests would find, PostgreSQL first, and Redis."""
    found: list[Sqlite | PostgreSQL | MariaDB | Redis] = []
    for kind in (PostgreSQL, MariaDB):
        url = databases.find(kind.vendor)
        if url is None:
            print(f"{kind.name} is absent and left out")
        else:
            found.append(kind(url))
    found.insert(1 if found and found[0].name == "PostgreSQL" else 0, Sqlite())
    store = Redis(os.environ.get("BENCHMARKS_REDIS_URL", "redis://127.0.0.1:6379"))
    if problem := store.problem():
        print(f"{store.name} is left out: {problem}")
    else:
        found.append(store)
    return found

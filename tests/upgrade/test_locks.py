"""The sampler sees who waits."""

import threading

import psycopg
import pytest
from django.db import connection

from tests.system.support import eventually
from tests.upgrade.locks import Sampler
from tests.upgrade.stage import Stage

pytestmark = [
    pytest.mark.system,
    pytest.mark.whole_run_on("postgres"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="samples PostgreSQL's locks"),
]


TABLE = "locked_for_long"


@pytest.fixture
def url():
    stage = Stage()
    stage.open()
    stage.query(f"CREATE TABLE {TABLE} ()")
    yield stage.url
    stage.close()


def test_a_migration_that_locks_a_table_for_long_is_seen(url):
    """The planted fault: a transaction that holds the lock of an ALTER TABLE, and a reader meanwhile."""
    with Sampler(url) as sampler, psycopg.connect(url) as migration:
        migration.execute(f"ALTER TABLE {TABLE} ADD COLUMN more int")
        reader = threading.Thread(target=_read, args=[url])
        reader.start()
        eventually(lambda: sampler.longest and sampler.longest.seconds >= 0.6)
        migration.rollback()
        reader.join()
    assert (sampler.longest.mode, sampler.longest.wanted) == ("AccessShareLock", TABLE)
    assert TABLE in sampler.longest.query


def _read(url):
    with psycopg.connect(url) as session:
        session.execute(f"SELECT FROM {TABLE}")


def test_a_lock_that_nobody_waits_for_is_no_wait(url):
    with Sampler(url) as sampler, psycopg.connect(url) as migration:
        migration.execute(f"ALTER TABLE {TABLE} ADD COLUMN more int")
        seen = sampler.samples
        eventually(lambda: sampler.samples > seen + 1)
        migration.rollback()
    assert sampler.longest is None

"""Accounts of the database that have the rights that the documentation gives them, and no others."""

import io
import itertools
import os
import re
import secrets
import signal
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple
from unittest import mock
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from django_flare import JobState, jobs, operations
from django_flare.errors import FlareConflictError
from django_flare.lifecycle import housekeeping, recovery
from django_flare.lifecycle import rollups as counts
from django_flare.models import Job, Queue, Rollup, Worker
from django_flare.models.rollup import Level
from django_flare.operations import BulkOperation
from django_flare.store import keys
from tests.support import USING, Driver, force, make_job
from tests.system.support import (
    NO_BACKOFF,
    ROOT,
    all_in,
    database_url,
    effects,
    eventually,
    happened,
    history,
    let_lease_run_out,
    row,
    states,
)
from tests.testapp import endless_jobs as endless
from tests.testapp import system_jobs as work
from tests.testapp.models import Effect

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no accounts"),
]

GRANTS = ROOT / "docs/how-to/grants"
DENIED = "permission denied|command denied"
# Both servers look at rights before they look for rows.
NO_ROW = "1 = 0"


class Account(NamedTuple):
    name: str
    password: str


def execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def documented(page, account):
    """Return the statements of a file of the documentation, for this account and this database."""
    server = "postgresql" if connection.vendor == "postgresql" else "mariadb"
    text = re.sub(r"^--.*$", "", (GRANTS / f"{server}-{page}.sql").read_text(), flags=re.MULTILINE)
    text = re.sub(r"\bshop_(owner|worker|web)\b", account.name, text)
    text = text.replace("shop.", f"{connection.ops.quote_name(connection.settings_dict['NAME'])}.")
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def own_tables(account):
    """Give what the handlers and the callers of these tests need beside the package's tables."""
    kept = [model._meta.db_table for model in apps.get_app_config("testapp").get_models()]
    return [f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {account.name}" for table in kept]


@pytest.fixture
def make_account(transactional_db):
    """Make accounts with the rights of pages of the documentation; they end with the test."""
    made = []

    def make(*pages):
        account = Account(f"flare_{secrets.token_hex(6)}", secrets.token_hex(16))
        create = {
            "postgresql": "CREATE ROLE {} LOGIN PASSWORD '{}'",
            "mysql": "CREATE USER {} IDENTIFIED BY '{}'",
        }
        execute(create[connection.vendor].format(*account))
        made.append(account)
        if connection.vendor == "postgresql":
            execute(*documented("owner", Account("CURRENT_USER", "")))
        execute(*own_tables(account), *(each for page in pages for each in documented(page, account)))
        return account

    yield make
    remove = {"postgresql": ["DROP OWNED BY {}", "DROP ROLE {}"], "mysql": ["DROP USER {}"]}
    for account in made:
        execute(*(each.format(account.name) for each in remove[connection.vendor]))


@contextmanager
def connected_as(account):
    """Let this process be the account."""
    connection.close()
    with mock.patch.dict(connection.settings_dict, {"USER": account.name, "PASSWORD": account.password}):
        try:
            yield
        finally:
            connection.close()


def environment_as(account):
    """Let a worker be the account."""
    url = urlsplit(database_url())
    place = f"{account.name}:{account.password}@{url.netloc.rpartition('@')[2]}"
    kind = "POSTGRES" if connection.vendor == "postgresql" else "MARIADB"
    return {f"FLARE_TEST_{kind}_URL": url._replace(netloc=place).geturl()}


def is_denied(statement):
    try:
        execute(statement)
    except DatabaseError as error:
        # What else is wrong with a statement is found out after the rights.
        return re.search(DENIED, str(error)) is not None
    return False


def rights_of(account):
    """Return what the account may do to which tables, but the tests' own; it may do nothing to all others."""
    found = {}
    with connected_as(account):
        for model in apps.get_models(include_auto_created=True):
            if model._meta.app_label != "testapp" and (rights := _rights_on(model)):
                found[model._meta.db_table] = rights
    return found


def _rights_on(model):
    table, key = model._meta.db_table, model._meta.pk.column
    tries = {
        "SELECT": f"SELECT {key} FROM {table} WHERE {NO_ROW}",
        "INSERT": f"INSERT INTO {table} ({key}) SELECT NULL FROM (SELECT 1 AS one) AS none WHERE {NO_ROW}",
        "DELETE": f"DELETE FROM {table} WHERE {NO_ROW}",
    }
    columns = [connection.ops.quote_name(field.column) for field in model._meta.concrete_fields]
    updates = {column: f"UPDATE {table} SET {column} = NULL WHERE {NO_ROW}" for column in columns}
    rights = {verb for verb, statement in tries.items() if not is_denied(statement)}
    changeable = {column.strip('"`') for column, statement in updates.items() if not is_denied(statement)}
    return rights | ({"UPDATE"} if len(changeable) == len(columns) else changeable)


def assert_no_table_can_be_changed():
    job = Job._meta.db_table
    for statement in [
        "CREATE TABLE flare_of_nobody (id integer)",
        f"ALTER TABLE {job} ADD COLUMN more integer",
        f"CREATE INDEX flare_of_nobody ON {job} (fence)",
        f"TRUNCATE TABLE {job}",
        f"DROP TABLE {job}",
    ]:
        with pytest.raises(DatabaseError, match=f"{DENIED}|must be owner"):
            execute(statement)


def assert_each_is_needed(page, account, do):
    """Let `do` be refused for want of each single right that the file of the documentation gives."""
    for right, table in _single_rights(page, account):
        execute(f"REVOKE {right} ON {table} FROM {account.name}")
        with connected_as(account), pytest.raises(DatabaseError, match=DENIED):
            do()
        execute(f"GRANT {right} ON {table} TO {account.name}")
    with connected_as(account):
        do()


def _single_rights(page, account):
    for statement in documented(page, account):
        rights, tables = re.fullmatch(r"GRANT (.+) ON (.+) TO \S+", statement).groups()
        yield from itertools.product(rights.split(", "), tables.split(", "))


def enqueue_in_every_way(parent, dead):
    """Enqueue by every verb; return how many jobs that has made, and the last."""
    key = secrets.token_hex(8)
    with transaction.atomic():
        Effect.objects.create(job_id=key, note="placed")
        first = jobs.enqueue(work.quick, {"n": 1}, idempotency_key=key)
        with pytest.raises(FlareConflictError):
            jobs.enqueue(work.quick, {"n": 2}, idempotency_key=key)
        assert jobs.enqueue(work.quick, {"n": 1}, idempotency_key=key) == first
    # What is asked when the caller's snapshot is older than the key's job.
    with transaction.atomic():
        keys.holders("", [secrets.token_hex(8)], USING, locking=True)
    jobs.schedule(work.quick, {}, when=timedelta(hours=1), queue="later")
    jobs.enqueue_many(work.quick, [{"n": n} for n in range(3)])
    jobs.enqueue_many(
        work.quick, [{"n": n} for n in range(2)], idempotency_key=lambda payload: f"{key}{payload['n']}"
    )
    cancelled = jobs.continue_with(dead, work.quick, {})
    child = jobs.continue_with([parent, first], work.quick, {})
    assert jobs.get_status(cancelled).state == JobState.CANCELLED
    assert jobs.get_status(child).parent_job_ids == (parent, first)
    return 9, child


class TestEnqueuing:
    """The account of processes that enqueue and look, and do nothing else."""

    def test_it_has_these_rights_alone(self, make_account):
        account = make_account("web")
        lock = {"first_started_at"} if connection.vendor == "postgresql" else set()
        assert rights_of(account) == {
            "django_flare_job": {"SELECT", "INSERT"} | lock,
            "django_flare_continuation": {"SELECT", "INSERT"},
            "django_flare_rollup": {"INSERT"},
        }
        with connected_as(account):
            assert_no_table_can_be_changed()

    def test_it_enqueues_by_every_verb(self, make_account):
        parent, dead = make_job(), make_job()
        Driver().discard(dead)
        with connected_as(make_account("web")):
            made, child = enqueue_in_every_way(parent, dead)
            with transaction.atomic():
                jobs.enqueue(work.quick, {})
                transaction.set_rollback(True)
        assert Job.objects.count() == 2 + made
        assert states(child) == [JobState.SCHEDULED]

    def test_it_needs_each_right(self, make_account):
        parent, dead = make_job(), make_job()
        Driver().discard(dead)
        assert_each_is_needed("web", make_account("web"), lambda: enqueue_in_every_way(parent, dead))

    def test_it_changes_no_job(self, make_account):
        waiting, dead, failed, running = (make_job() for _ in range(4))
        driver = Driver()
        driver.discard(dead)
        driver.fail(failed)
        driver.start(running)
        before = list(Job.objects.order_by("pk").values())
        with connected_as(make_account("web")):
            for refused in [
                lambda: jobs.cancel(waiting),
                lambda: jobs.retry(dead),
                lambda: jobs.discard(failed),
                lambda: jobs.stop(running),
                lambda: jobs.pause_queue("default"),
                lambda: jobs.resume_queue("default"),
                lambda: Driver(),
                lambda: driver.start(waiting),
                lambda: driver.succeed(running),
                lambda: force(waiting, state=JobState.CANCELLED),
            ]:
                with pytest.raises(DatabaseError, match=DENIED):
                    refused()
        assert list(Job.objects.order_by("pk").values()) == before
        assert not Queue.objects.exists()


@pytest.fixture
def operator(transactional_db):
    """Return a user of the admin who may cancel jobs."""
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_job", "cancel_job"]))
    return user


def cancellation(user, **criteria):
    """Return an action of the admin on all jobs that match."""
    last = Job.objects.latest("pk").pk
    return BulkOperation("cancel", "admin", {"site": "admin", **criteria}, str(user.pk), last)


def act_on_all(user):
    """Do in this process what the job of such an action does."""
    job_id = make_job()
    ContentType.objects.clear_cache()
    selection = operations.selections["admin"](cancellation(user))
    assert selection.jobs().exists()
    selection.record([(job_id, "changed")], [])


class TestWorking:
    """The account of workers."""

    def test_it_has_these_rights_alone(self, make_account):
        account = make_account("worker")
        locked = {"UPDATE"} if connection.vendor == "postgresql" else set()
        assert rights_of(account) == {
            "django_flare_job": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "django_flare_attempt": {"SELECT", "INSERT", "DELETE"},
            "django_flare_continuation": {"SELECT", "INSERT", "DELETE"},
            "django_flare_worker": {"SELECT", "INSERT", "UPDATE", "DELETE"},
            "django_flare_queue": {"SELECT"},
            "django_flare_rollup": {"SELECT", "INSERT", "DELETE"} | locked,
            "django_flare_reply": {"SELECT", "DELETE"},
        }
        with connected_as(account):
            assert_no_table_can_be_changed()

    def test_a_worker_does_all_that_it_does(self, make_account, operator, workers, gate):
        account = make_account("worker", "bulk")
        vanished = Driver()
        lost = make_job(work.good)
        vanished.start(lost)
        let_lease_run_out(vanished.worker_id)
        unwanted = [make_job(when=timedelta(days=1), queue="unwanted") for _ in range(3)]

        worker = workers.start(
            "--processes", 2, "--concurrency", 5, environment=environment_as(account), flare=NO_BACKOFF
        )
        held = jobs.enqueue_many(work.hold, [{"gate": gate.path}] * 3)
        happened("started", *held)
        os.kill(Worker.objects.get(pk=row(held[0]).worker_id).pid, signal.SIGKILL)
        eventually(lambda: row(held[0]).losses == 1)
        gate.open()
        all_in(JobState.SUCCEEDED, lost, *held)

        heeding = jobs.enqueue(work.heed, {"gate": f"{gate.path} of nobody"})
        late = jobs.enqueue(endless.query, timeout=timedelta(seconds=1), max_attempts=1)
        good = [jobs.enqueue(work.good), jobs.enqueue(work.atomic_work, {}), jobs.enqueue(work.snoozer)]
        good += [jobs.continue_with(good, work.receipt), jobs.enqueue(work.retrier, {"delay": 0})]
        bad = jobs.enqueue(work.raiser, {"error": "ValueError"}, max_attempts=22)
        heir = jobs.continue_with(bad, work.good)
        operation = operations.start(cancellation(operator, queue="unwanted"))
        happened("started", heeding)
        assert jobs.stop(heeding)
        all_in(JobState.SUCCEEDED, operation, *good)
        all_in(JobState.DEAD_LETTER, bad, late)
        all_in(JobState.CANCELLED, heir, heeding, *unwanted)
        assert (history(late), len(history(bad))) == ([(1, "timed_out")], 20)
        assert history(lost) == history(held[0]) == [(1, "lost")]
        assert effects(good[1]) == ["attempt 1"]
        assert LogEntry.objects.filter(user=operator).count() == 3
        with connected_as(account):
            call_command("flare_status", stdout=(shown := io.StringIO()))
        assert worker.worker_ids[-1] in shown.getvalue()
        assert worker.terminate().exit_code() == 0
        assert not Worker.objects.exists()
        assert not re.search(DENIED, worker.log)

    def test_it_keeps_house(self, make_account, clock):
        """What comes in the long run, so that no worker of a test comes to it."""
        with connected_as(make_account("worker")):
            assert live_long(clock) == "4 jobs deleted\n"
            assert not Job.objects.exists()

    def test_it_needs_each_right(self, make_account, clock):
        assert_each_is_needed("worker", make_account("worker"), lambda: live_long(clock))

    def test_actions_on_all_that_match_need_each_right(self, make_account, operator):
        account = make_account("worker", "bulk")
        assert_each_is_needed("bulk", account, lambda: act_on_all(operator))


def live_long(clock):
    """Do in this process what a worker does in a hundred days; return what retention has said."""
    driver = Driver()
    parent, dead = make_job(), make_job()
    child, stuck = make_job(parents=[parent]), make_job(parents=[parent])
    driver.fail(parent)
    clock.advance(60)
    assert housekeeping.promote_due(USING) == 1
    for each in (parent, child, stuck):
        driver.succeed(each)
    driver.discard(dead)
    force(stuck, state=JobState.SCHEDULED, open_parents=1, completed_at=None)
    assert housekeeping.repair_children(USING) == 1
    driver.succeed(stuck)
    assert recovery.beat(driver.worker_id, 0, USING).alive
    assert recovery.resign(driver.worker_id, USING)
    for level, days in ((Level.MINUTE, 0), (Level.QUARTER, 0.5), (Level.HOUR, 2), (None, 100)):
        clock.advance(days * 86_400)
        counts.merge(USING)
        while counts.thin_out(USING):
            pass
        assert set(Rollup.objects.values_list("level", flat=True)) == (
            {level} if level is not None else set()
        )
    call_command("flare_prune", stdout=(said := io.StringIO()))
    return said.getvalue()

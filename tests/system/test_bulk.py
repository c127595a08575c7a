"""F20: an operator acts on all that match while workers are busy with the very same jobs."""

import threading
from contextlib import contextmanager
from itertools import pairwise

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client

from django_flare import jobs
from django_flare.models import Attempt, Job
from django_flare.states import FINAL, JobState
from tests.system.support import eventually

pytestmark = [pytest.mark.system, pytest.mark.whole_run_on("postgres"), pytest.mark.timeout(300)]

LIST = "/admin/django_flare/job/"
LONGEST_WAIT = 1.0
"""Seconds that anybody may wait for a lock: far more than a verb's transaction takes, less than PostgreSQL's
patience with a deadlock."""
MANY, SOME = 1_500, 500
BUSY = ("--processes", "0", "--concurrency", "4")
# Nobody is to be taken for dead on a busy machine.
PATIENT = {"LEASE": 120, "BEAT": 2}


class Locks:
    """Watch from a connection of its own who waits for locks, and for how long."""

    WAITS = """
        SELECT COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - MIN(query_start)), 0)
        FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"

    def __init__(self):
        self.longest = 0.0
        self.looks = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @contextmanager
    def watched(self):
        self._thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            self._thread.join()

    def _watch(self):
        try:
            while not self._is_over.wait(0.05):
                self.longest = max(self.longest, float(value_of(self.WAITS)))
                self.looks += 1
        finally:
            connections.close_all()


def value_of(query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


@pytest.fixture
def locks(transactional_db):
    if connection.vendor != "postgresql":
        pytest.skip("who waits for whom is asked of PostgreSQL")
    before = value_of(Locks.DEADLOCKS)
    locks = Locks()
    with locks.watched():
        yield locks
    assert locks.looks > 20
    assert locks.longest < LONGEST_WAIT
    assert value_of(Locks.DEADLOCKS) == before


@pytest.fixture
def act(transactional_db):
    """Do something in the admin to all jobs of a queue; return the job that does it."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))

    def act_on(queue, verb):
        some = Job.objects.filter(queue=queue).first()
        data = {
            "action": f"{verb}_jobs",
            "_selected_action": some.pk,
            "select_across": "1",
            "confirmed": "yes",
        }
        assert client.post(f"{LIST}?queue={queue}", data).status_code == 302
        return Job.objects.latest("pk")

    return act_on


def has_ended(queue):
    return not Job.objects.filter(queue=queue).exclude(state__in=FINAL).exists()


def numbers(**which):
    """Return the numbers of the jobs by state."""
    states = list(Job.objects.filter(**which).values_list("state", flat=True))
    return {JobState(state): states.count(state) for state in set(states)}


def changed_by(operation):
    eventually(lambda: Job.objects.get(pk=operation.pk).state in FINAL, timeout=120)
    operation = Job.objects.get(pk=operation.pk)
    assert operation.state == JobState.SUCCEEDED, operation.error_message
    return operation.result["changed"], operation.result["unchanged"]


def is_steady(moments, longest=5.0):
    """Tell whether no two of the moments that follow each other are further apart."""
    return all((after - before).total_seconds() < longest for before, after in pairwise(moments))


def test_all_are_cancelled_beside_workers_that_run_them(workers, act, locks):
    jobs.pause_queue("flood")
    # The workers take every second ten first, the operation goes through all in their order.
    flood = [
        job_id
        for place in range(MANY // 10)
        for job_id in jobs.enqueue_many("system.brief", [None] * 10, queue="flood", priority=place % 2)
    ]
    children = [jobs.continue_with(each, "system.brief", queue="children") for each in flood[::10]]
    for _ in range(2):
        workers.start(*BUSY, "--queues", "flood,children", flare=PATIENT)
    workers.start("--processes", "0", "--queues", "default", flare=PATIENT)
    operation = act("flood", "cancel")
    eventually(lambda: JobState.CANCELLED in numbers(queue="flood"))
    jobs.resume_queue("flood")

    changed, unchanged = changed_by(operation)
    eventually(lambda: has_ended("flood") and has_ended("children"), timeout=120)

    found = numbers(queue="flood")
    assert found == {JobState.CANCELLED: changed, JobState.SUCCEEDED: MANY - changed}
    assert min(found.values()) >= 20
    assert 0 <= unchanged <= MANY - changed
    cancelled = Job.objects.filter(queue="flood", state=JobState.CANCELLED)
    assert {str(each) for each in cancelled.values_list("public_id", flat=True)} == set(
        LogEntry.objects.filter(change_message="Cancelled.").values_list("object_id", flat=True)
    )
    assert LogEntry.objects.filter(change_message="Cancelled.").count() == changed
    # A child goes as its parent went.
    state_of = dict(Job.objects.values_list("public_id", "state"))
    links = Job.objects.filter(queue="children").values_list("parent_links__parent__public_id", "state")
    assert len(links) == len(children)
    assert [state for parent, state in links if state != state_of[parent]] == []
    assert not Attempt.objects.exists()


def test_all_are_retried_beside_workers_that_run_them(workers, act, locks, gate):
    jobs.enqueue_many("system.needs_gate", [{"gate": gate.path}] * SOME, queue="flood", max_attempts=1)
    for _ in range(2):
        workers.start(*BUSY, "--queues", "flood", flare=PATIENT)
    workers.start("--processes", "0", "--queues", "default", flare=PATIENT)
    eventually(lambda: numbers(queue="flood") == {JobState.DEAD_LETTER: SOME}, timeout=120)
    gate.open()

    changed, unchanged = changed_by(act("flood", "retry"))
    eventually(lambda: has_ended("flood"), timeout=120)

    assert (changed, unchanged) == (SOME, 0)
    assert numbers(queue="flood") == {JobState.SUCCEEDED: SOME}
    assert LogEntry.objects.filter(change_message="Retried.").count() == SOME
    # Each has failed once and then run once: neither was one lost nor one run twice.
    assert set(Job.objects.filter(queue="flood").values_list("attempt", "losses")) == {(2, 0)}
    assert Attempt.objects.count() == SOME
    ended = list(
        Job.objects.filter(queue="flood").order_by("completed_at").values_list("completed_at", flat=True)
    )
    assert is_steady(ended)

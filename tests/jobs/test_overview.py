"""What an overview tells of queues, workers and states, by the database's clock."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from django_flare import JobState, job, jobs
from django_flare.jobs import overview
from django_flare.jobs.overview import Capped, read_overview, read_queues, read_states, read_workers
from django_flare.models import Worker
from tests.support import USING, Driver, force, make_job
from tests.testapp.jobs import plain

pytestmark = pytest.mark.django_db


@job(name="overview.strange")
def strange(payload: dict): ...


def queue(name):
    return {view.name: view for view in read_queues()}[name]


def test_nothing_is_there_at_first():
    found = read_overview()
    assert (found.queues, found.workers, found.unknown_types) == ((), (), ())
    assert found.states == dict.fromkeys(JobState, Capped(0))
    assert found.database == USING


def test_a_queue_tells_what_waits_runs_and_comes(clock):
    driver = Driver()
    make_job(queue="mail")
    clock.advance(100)
    make_job(queue="mail", priority=5)
    make_job(queue="mail", when=timedelta(seconds=60))
    make_job(queue="mail", when=timedelta(seconds=90))
    clock.advance(20)
    found = queue("mail")
    assert (found.claimable, found.running) == (Capped(2), 0)
    assert found.oldest == pytest.approx(120)
    assert found.next_due == pytest.approx(40)
    driver.claim("mail", limit=1)
    assert (queue("mail").claimable, queue("mail").running) == (Capped(1), 1)
    assert queue("mail").oldest == pytest.approx(120)


def test_a_queue_with_running_or_due_jobs_alone_is_shown():
    driver = Driver()
    driver.start(make_job(queue="busy"))
    make_job(queue="later", when=timedelta(seconds=60))
    driver.fail(make_job(queue="retrying"))
    assert [view.name for view in read_queues()] == ["busy", "later", "retrying"]
    assert queue("busy").oldest is None
    assert queue("busy").next_due is None
    assert queue("later").claimable == Capped(0)


def test_a_child_that_waits_for_its_parents_is_not_due():
    parent = make_job(queue="first")
    jobs.continue_with(parent, plain, {}, queue="second")
    assert [view.name for view in read_queues()] == ["first"]
    assert read_states()[JobState.SCHEDULED] == Capped(1)


def test_every_state_is_counted():
    driver = Driver()
    make_job()
    make_job(when=timedelta(seconds=60))
    driver.start(make_job())
    driver.succeed(make_job())
    driver.fail(make_job())
    driver.discard(make_job())
    jobs.cancel(make_job())
    assert read_states() == dict.fromkeys(JobState, Capped(1))


def test_counting_stops_at_the_cap(monkeypatch):
    monkeypatch.setattr(overview, "MOST_COUNTED", 3)
    for _ in range(3):
        make_job(queue="mail")
    assert queue("mail").claimable == read_states()[JobState.PENDING] == Capped(3)
    make_job(queue="mail")
    assert queue("mail").claimable == read_states()[JobState.PENDING] == Capped(3, has_more=True)
    assert str(queue("mail").claimable) == "3+"


def test_the_oldest_is_that_of_all_also_where_counting_stops(monkeypatch, clock):
    """One of a low priority starves behind more than are counted."""
    monkeypatch.setattr(overview, "MOST_COUNTED", 3)
    make_job(queue="mail", priority=-100)
    clock.advance(600)
    make_job(queue="mail", priority=-7)
    for priority in (0, 0, 0, 5, 100):
        make_job(queue="mail", priority=priority)
        clock.advance(10)
    found = queue("mail")
    assert (str(found.claimable), found.oldest) == ("3+", pytest.approx(650))
    make_job(queue="many")
    clock.advance(5)
    for _ in range(5):
        make_job(queue="many")
    assert queue("many").oldest == pytest.approx(5)


def test_a_deep_queue_takes_one_statement_more(monkeypatch):
    monkeypatch.setattr(overview, "MOST_COUNTED", 3)
    counts = []
    for _ in range(2):
        make_job(queue="mail", priority=3)
        make_job(queue="mail", priority=-3)
        with CaptureQueriesContext(connection) as captured:
            read_queues()
        counts.append(len(captured))
    assert counts[1] == counts[0] + 1


def test_a_large_count_is_easy_to_read():
    assert str(Capped(10_000, has_more=True)) == "10,000+"


def test_a_worker_is_stale_when_it_has_not_beaten_for_the_lease(clock):
    Driver("wrk_old")
    clock.advance(25)
    Driver("wrk_new")
    clock.advance(10)
    new, old = read_workers()
    assert (new.worker_id, new.is_stale, new.beat_age) == ("wrk_new", False, pytest.approx(10))
    assert (old.worker_id, old.is_stale, old.beat_age) == ("wrk_old", True, pytest.approx(35))
    assert (new.hostname, new.pid, new.version, new.slots, new.queues) == ("host", 1, "0", 10, ())


def test_a_type_that_no_live_worker_knows_is_named():
    """F55."""
    Driver("wrk_knows_plain")
    Worker.objects.filter(pk="wrk_knows_plain").update(job_types=["tests.testapp.jobs.plain"])
    make_job(plain, queue="mixed")
    make_job(strange, queue="mixed")
    assert read_overview().unknown_types == ("overview.strange",)
    Driver("wrk_knows_both")
    Worker.objects.filter(pk="wrk_knows_both").update(job_types=["overview.strange"])
    assert read_overview().unknown_types == ()
    Worker.objects.filter(pk="wrk_knows_both").update(last_beat_at=F("last_beat_at") - timedelta(hours=1))
    assert read_overview().unknown_types == ("overview.strange",)


def test_a_gated_job_is_not_claimable():
    force(make_job(queue="gates"), gated=True)
    assert read_queues() == ()
    assert read_states()[JobState.PENDING] == Capped(0)


def test_a_paused_queue_is_shown_with_what_waits_there():
    make_job(queue="mail")
    jobs.pause_queue("mail")
    jobs.pause_queue("empty")
    assert [(each.name, each.is_paused, each.claimable.number) for each in read_queues()] == [
        ("empty", True, 0),
        ("mail", True, 1),
    ]


def test_of_too_many_queues_the_paused_ones_are_kept(monkeypatch):
    monkeypatch.setattr(overview, "MOST_QUEUES", 2)
    driver = Driver()
    for name in ("a", "b"):
        driver.start(make_job(queue=name))
    make_job(queue="x")
    jobs.pause_queue("z")
    assert [each.name for each in read_queues()] == ["x", "z"]


def test_it_is_plain_json():
    driver = Driver("wrk_a")
    driver.start(make_job(queue="mail"))
    found = json.loads(json.dumps(read_overview().as_dict()))
    assert found["queues"] == [
        {
            "name": "mail",
            "claimable": {"number": 0, "has_more": False},
            "oldest_seconds": None,
            "running": 1,
            "next_due_seconds": None,
            "paused": False,
        }
    ]
    assert found["workers"][0]["id"] == "wrk_a"
    assert found["states"]["processing"] == {"number": 1, "has_more": False}


@pytest.mark.django_db(transaction=True)
def test_the_oldest_open_transaction_is_seen_on_postgresql():
    """F42."""
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")
        seconds = read_overview().longest_transaction
    finally:
        other.close()
    assert seconds > 0 if connection.vendor == "postgresql" else seconds is None

"""Pause and resume a queue (spec, sections 4, 13 and 23)."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from django_flare import FlareOptionError, JobState, jobs
from django_flare.models import Queue
from tests.support import Driver, make_job, state
from tests.testapp.jobs import plain

pytestmark = pytest.mark.django_db(transaction=True)


def test_nothing_of_a_paused_queue_is_claimed():
    first, other = make_job(queue="mail"), make_job(queue="reports")
    assert jobs.pause_queue("mail") is True
    later = jobs.enqueue(plain, queue="mail")
    driver = Driver()
    assert [str(run.public_id) for run in driver.claim("mail", "reports")] == [other]
    assert driver.claim() == []
    assert jobs.resume_queue("mail") is True
    assert [str(run.public_id) for run in driver.claim()] == [first, later]


def test_a_type_that_the_worker_does_not_know_changes_nothing_of_that():
    make_job(queue="mail", handler=plain)
    jobs.pause_queue("mail")
    assert Driver().claim("mail", known_types=["other"]) == []


def test_what_was_claimed_before_runs_on():
    job, driver = make_job(queue="mail"), Driver()
    driver.start(job)
    jobs.pause_queue("mail")
    assert driver.succeed(job)
    assert state(job) == JobState.SUCCEEDED


def test_a_failed_attempt_and_a_child_wait_for_the_resumption():
    driver, parent = Driver(), make_job(queue="mail")
    child = make_job(queue="mail", parents=parent)
    driver.start(parent)
    jobs.pause_queue("mail")
    driver.succeed(parent)
    assert state(child) == JobState.PENDING
    assert driver.claim() == []


def test_the_answer_says_whether_anything_changed():
    changes = [jobs.pause_queue, jobs.pause_queue, jobs.resume_queue, jobs.resume_queue, jobs.pause_queue]
    assert [change("mail") for change in changes] == [True, False, True, False, True]
    assert jobs.resume_queue("never-paused") is False


def test_a_queue_has_a_row_only_once_it_was_paused():
    jobs.enqueue(plain, queue="mail")
    jobs.resume_queue("mail")
    assert not Queue.objects.exists()
    jobs.pause_queue("mail")
    assert Queue.objects.get().is_paused
    jobs.resume_queue("mail")
    assert not Queue.objects.get(name="mail").is_paused


def test_a_second_pause_keeps_the_time_of_the_first(clock):
    jobs.pause_queue("mail")
    before = Queue.objects.get().paused_at
    clock.advance(10)
    jobs.pause_queue("mail")
    assert Queue.objects.get().paused_at == before < clock.now


def test_names_are_compared_letter_for_letter():
    job = make_job(queue="Mail")
    jobs.pause_queue("mail")
    assert jobs.pause_queue("MAIL") is True
    assert Driver().start(job)


def test_it_joins_the_callers_transaction():
    job = make_job(queue="mail")
    with transaction.atomic():
        assert jobs.pause_queue("mail") is True
        transaction.set_rollback(True)
    assert not Queue.objects.exists()
    assert Driver().start(job)


@pytest.mark.parametrize("verb", [jobs.pause_queue, jobs.resume_queue])
@pytest.mark.parametrize("name", [None, 7, "", "a" * 101, "a b", "-a", "ä", "a\0"])
def test_a_name_that_no_queue_can_have_is_refused(verb, name):
    with CaptureQueriesContext(connection) as captured, pytest.raises(FlareOptionError) as caught:
        verb(name)
    assert len(captured) == 0
    assert caught.value.details[0]["field"] == "queue"
    assert caught.value.message.startswith("queue: ")


def test_a_resumption_wakes_the_workers_and_a_pause_does_not(database_vendor):
    def notified(change):
        with CaptureQueriesContext(connection) as captured:
            change("mail")
        return sum(query["sql"].startswith("NOTIFY") for query in captured.captured_queries)

    expected = 1 if database_vendor == "postgres" else 0
    changes = [jobs.pause_queue, jobs.resume_queue, jobs.resume_queue]
    assert [notified(change) for change in changes] == [0, expected, 0]


def test_the_twins():
    assert async_to_sync(jobs.apause_queue)("mail") is True
    assert async_to_sync(jobs.aresume_queue)("mail") is True


def test_the_model_refuses_a_name_that_no_queue_can_have():
    with pytest.raises(ValidationError) as caught:
        Queue(name="a b").full_clean()
    assert list(caught.value.message_dict) == ["name"]
    with pytest.raises(IntegrityError), transaction.atomic():
        Queue(name="").save()


def test_the_permissions_are_those_of_the_verbs():
    # Other tests empty the tables, also of what migrations made.
    call_command("migrate", verbosity=0)
    found = Permission.objects.filter(content_type__app_label="django_flare")
    codes = {
        name: set(found.filter(content_type__model=name).values_list("codename", flat=True))
        for name in ("job", "attempt", "continuation", "worker", "queue", "apikey")
    }
    assert codes == {
        "job": {"view_job", "add_job", "cancel_job", "retry_job", "discard_job", "stop_job"},
        "attempt": {"view_attempt"},
        "continuation": {"view_continuation"},
        "worker": {"view_worker"},
        "queue": {"view_queue", "pause_queue"},
        "apikey": {"view_apikey", "add_apikey", "change_apikey", "delete_apikey"},
    }

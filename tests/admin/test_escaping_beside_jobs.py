"""No text of a queue, a worker, a key, a type or an error becomes an element of these pages."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote

from django_flare import JobState
from django_flare.models import ApiKey, Job, Queue, Rollup, Worker
from django_flare.store import api_keys, rollups, rows
from tests.admin.support import parse
from tests.admin.test_escaping import CORPUS, assert_harmless, shape
from tests.support import USING, Driver, force, make_job
from tests.testapp.jobs import once

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

ADMIN = "/admin/django_flare/"


def build(text):
    """Put `text` wherever such a page may show one; return the primary key of the API key."""
    driver = Driver("wrk_a")
    dead, waiting, running = make_job(once), make_job(), make_job()
    driver.fail(dead)
    driver.start(running)
    for job_id, more in ((dead, {"error_message": text}), (waiting, {}), (running, {})):
        force(job_id, queue=text[:100], job_type=text, **more)
    rows.queues(USING).create(name=text[:99] + "!", paused_at="2026-01-01T00:00Z")
    Worker.objects.update(hostname=text, version=text[:32], queues=[text], job_types=[text], id=text[:64])
    rollups.rollups(USING).delete()
    for outcome in (JobState.SUCCEEDED, JobState.DEAD_LETTER):
        rollups.write([rollups.Ended(text[:100], text, outcome, 0.1, 0.1)], USING)
    key = api_keys.issue("shop", ["read"]).key
    ApiKey.objects.update(name=text[:100])
    return key.pk


def empty():
    for found in (rows.jobs(USING), rollups.rollups(USING), rows.workers(USING), rows.queues(USING)):
        found.delete()
    for model in (ApiKey, LogEntry, Queue):
        model.objects.all().delete()


def shapes(operator, text):
    key = build(text)
    worker = Worker.objects.get()
    parts = [
        *("dashboard/", "dashboard/content/", "queue/", "worker/", "apikey/"),
        *(f"apikey/{key}/{part}/" for part in ("change", "history", "delete", "revoke")),
        *(f"worker/{quote(worker.pk)}/{part}/" for part in ("change", "history")),
        *(f"queue/{quote(text[:99] + '!')}/{part}/" for part in ("change", "history")),
    ]
    pages = [operator.get(ADMIN + part) for part in parts]
    dead = Job.objects.get(state=JobState.DEAD_LETTER).public_id
    pages.append(operator.post(f"{ADMIN}dashboard/retry/", {"job": dead}, follow=True))
    pages.append(operator.post(f"{ADMIN}queue/pause/", {"queue": text}, follow=True))
    pages.append(operator.post(f"{ADMIN}apikey/{key}/revoke/", follow=True))
    pages.append(operator.post(f"{ADMIN}apikey/{key}/revoke/", follow=True))
    chosen = {"action": "delete_selected", "_selected_action": key}
    pages.append(operator.post(f"{ADMIN}apikey/", chosen))
    new = {
        "name": "".join(filter(str.isprintable, text[:90])) + "2",
        "scope": "read",
        "expires_at_0": "",
        "expires_at_1": "",
    }
    pages.append(operator.post(f"{ADMIN}apikey/add/", new))
    pages.append(operator.post(f"{ADMIN}apikey/add/", new))
    pages.append(operator.get("/admin/"))
    for page in pages:
        assert_harmless(page)
    assert worker.hostname == text
    empty()
    return [shape(page) for page in pages]


_of_plain_text = []
"""The shapes to compare with; the first test that needs them finds them out."""


@pytest.mark.parametrize("text", CORPUS)
def test_no_element_comes_of_a_text(operator, text):
    if not _of_plain_text:
        _of_plain_text.extend(shapes(operator, "plain text"))
    assert shapes(operator, text) == _of_plain_text


def test_the_text_is_there_to_be_read(operator):
    text = CORPUS[0]
    build(text)
    assert parse(operator.get(f"{ADMIN}dashboard/")).text.count(text) > 8
    assert Rollup.objects.filter(job_type=text).count() == 2

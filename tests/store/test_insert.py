"""Rows that are inserted together come out as they went in, however a statement sends them."""

from datetime import timedelta

import pytest

from django_flare import jobs
from django_flare.models import Job
from tests.testapp.jobs import plain

pytestmark = pytest.mark.django_db


def payloads(ids):
    rows = {str(row.public_id): row.payload for row in Job.objects.filter(public_id__in=ids)}
    return [rows[job_id] for job_id in ids]


@pytest.mark.parametrize("count", [1, 2, 999, 1_000, 1_001, 2_000])
def test_any_number_may_be_the_rest_that_the_last_statement_sends(count):
    given = [{"n": number} for number in range(count)]
    ids = jobs.enqueue_many(plain, given)
    assert payloads(ids) == given
    assert Job.objects.count() == count


def test_payloads_may_be_so_large_that_each_has_a_statement_of_its_own():
    given = [{"text": letter * 700_000} for letter in "abc"]
    assert payloads(jobs.enqueue_many(plain, given)) == given


def test_what_all_share_is_in_each_row():
    options = {
        "queue": "shared",
        "priority": -7,
        "max_attempts": 4,
        "timeout": timedelta(seconds=90),
        "tags": {"a": "1% é"},
    }
    one = jobs.enqueue(plain, **options)
    ids = jobs.enqueue_many(plain, [{}, {}, {"differs": "%s"}], **options)
    expected = jobs.get_status(one)
    for job_id in ids:
        status = jobs.get_status(job_id)
        for name in ("queue", "priority", "max_attempts", "timeout", "tags", "state", "parent_job_ids"):
            assert getattr(status, name) == getattr(expected, name), name


def test_keys_differ_beside_what_is_shared():
    def enqueue():
        return jobs.enqueue_many(plain, [{"n": 1}, {"n": 2}], idempotency_key=lambda each: f"key-{each['n']}")

    assert enqueue() == enqueue()
    assert Job.objects.count() == 2

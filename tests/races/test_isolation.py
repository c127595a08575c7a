"""The same promises when the host project's connections run at a stricter isolation level: F40."""

import random
from functools import partial

import pytest
from django.db import connection, transaction

from django_flare import JobState, jobs
from django_flare.models import Job
from django_flare.store.faults import Fault, classify
from tests.races.support import (
    apply_until_recorded,
    assert_graph_is_settled,
    claim,
    claim_one,
    failed,
    is_serial,
    once,
    register,
    repair,
    state,
    stop_here,
    succeeded,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["repeatable read", "serializable"], autouse=True)
def level(request):
    if is_serial() and request.param != "serializable":
        pytest.skip("SQLite is always serializable")
    register("wrk_a")
    return request.param


@pytest.fixture
def running():
    job_id = jobs.enqueue(once)
    return job_id, claim_one(job_id)


class TestStricterIsolation:
    def test_the_host_really_runs_at_its_level(self, stage, level):
        """F38: the test's own ground."""
        if is_serial():
            pytest.skip("SQLite has no levels")
        question = {"postgresql": "SHOW transaction_isolation", "mysql": "SELECT @@tx_isolation"}[
            connection.vendor
        ]

        def ask():
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(question)
                before = cursor.fetchone()[0]
            jobs.cancel(jobs.enqueue(work))
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(question)
                return before, cursor.fetchone()[0]

        found = stage.start(ask, isolation=level).result()
        assert {each.replace("-", " ").lower() for each in found} == {level}

    def test_claimers_share_the_rows(self, stage, level):
        """F38, F10"""
        ids = jobs.enqueue_many(work, [{"n": n} for n in range(200)])

        def claim_all():
            taken = []
            while batch := claim(limit=9):
                taken += batch
            return taken

        parts = stage.together([claim_all] * 4, isolation=level)
        taken = [str(each.public_id) for part in [*parts, claim(limit=200)] for each in part]
        assert sorted(taken) == sorted(ids)

    def test_a_child_attached_while_its_parent_ends_is_settled(self, stage, level, running):
        """F38, F11: both orders, by turns."""
        parent, claimed = running
        first = stage.start(
            partial(jobs.continue_with, parent, work), pause_at="attach.after_parent_read", isolation=level
        )
        ender = stage.start(partial(apply_until_recorded, succeeded(claimed)), isolation=level)
        first.go_on()
        children = [first.result()]
        ender.result()
        children.append(jobs.continue_with(parent, work))
        assert [state(child) for child in children] == [JobState.PENDING] * 2
        assert_graph_is_settled()

    def test_an_attacher_that_waited_for_the_parents_end_sees_it(self, stage, level, running):
        """F38, F11: its transaction is its own, so it is at READ COMMITTED whatever the host says."""
        parent, claimed = running
        ender = stage.start(
            partial(apply_until_recorded, failed(claimed)), pause_at="finish.before_write", isolation=level
        )
        attacher = stage.start(partial(jobs.continue_with, parent, work), isolation=level)
        assert attacher.ends_or_blocks() == "blocked"
        ender.go_on()
        ender.result()
        assert state(attacher.result()) == JobState.CANCELLED
        assert_graph_is_settled()

    def test_two_parents_that_end_at_once_activate_their_child_once(self, stage, level):
        """F38, F11"""
        ids = jobs.enqueue_many(once, [{"n": n} for n in range(40)])
        rows = {str(each.public_id): each for each in claim(limit=40)}
        children = [jobs.continue_with(ids[n : n + 2], work) for n in range(0, 40, 2)]
        stage.together(
            [
                lambda part=part: [apply_until_recorded(succeeded(rows[job_id])) for job_id in ids[part::2]]
                for part in range(2)
            ],
            isolation=level,
        )
        assert {str(each.public_id) for each in claim(limit=100)} == set(children)
        assert_graph_is_settled()

    def test_cancel_and_claim_exclude_each_other(self, stage, level):
        """F38, F16"""
        ids = jobs.enqueue_many(work, [{"n": n} for n in range(120)])
        shuffled = random.Random(38).sample(ids, len(ids))

        def cancel(mine):
            return {job_id: jobs.cancel(job_id) for job_id in mine}

        def claim_all():
            taken = []
            while batch := claim(limit=5):
                taken += batch
            return taken

        one, two, taken = stage.together(
            [partial(cancel, shuffled[::2]), partial(cancel, shuffled[1::2]), claim_all], isolation=level
        )
        claimed = {str(each.public_id) for each in [*taken, *claim(limit=200)]}
        assert {job_id for job_id, answer in {**one, **two}.items() if answer} == set(ids) - claimed

    @pytest.mark.skipif("is_serial()", reason="SQLite lets nobody write beside the caller")
    def test_a_cancel_inside_an_old_snapshot_is_completed_by_the_sweeper(self, stage, level):
        """F38, F14: the caller's snapshot may not show a child attached since; one sweep ends it."""
        grandparent = jobs.enqueue(once)
        parent = jobs.continue_with(grandparent, work)

        def cancel():
            with transaction.atomic():
                Job.objects.count()  # takes the snapshot
                stop_here()
                return jobs.cancel(parent)

        canceller = stage.start(cancel, pause_at="test.here", isolation=level)
        attacher = stage.start(partial(jobs.continue_with, parent, work))
        attacher.ends_or_blocks()  # MariaDB at SERIALIZABLE has locked all that the caller read
        canceller.go_on()
        error = canceller.error()
        child = attacher.result()
        if error is not None:
            assert classify(error) is Fault.CONFLICT, "the caller is told anything but to try again"
            assert jobs.cancel(parent)
        assert repair() <= 1
        assert (state(parent), state(child)) == (JobState.CANCELLED, JobState.CANCELLED)
        assert_graph_is_settled()

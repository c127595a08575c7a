"""Jobs are made alike in process and over HTTP (spec, sections 3, 4 and 5)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from django_flare import FlareError, JobState, jobs
from django_flare.models import Job
from tests.contract.support import CONFIGURED, PLAIN, TYPED, UNKNOWN, Stage
from tests.testapp.jobs import Colour, Line, Order

SCHEDULED, PENDING, CANCELLED = JobState.SCHEDULED, JobState.PENDING, JobState.CANCELLED


def made(job_id):
    """Return the job as it is stored, whoever made it."""
    return jobs.get_status(job_id)


class TestEnqueue:
    def test_it_makes_a_pending_job_and_returns_its_id(self, every_verbs):
        job_id = every_verbs.enqueue(PLAIN, {"a": [1, "é", None]})
        assert (type(job_id), len(job_id) <= 64) == (str, True)
        found = made(job_id)
        assert (found.state, found.job_type, found.payload) == (PENDING, PLAIN, {"a": [1, "é", None]})

    def test_without_a_payload_it_is_empty(self, verbs):
        assert made(verbs.enqueue(PLAIN)).payload == {}
        assert made(verbs.enqueue(PLAIN, None)).payload == {}

    def test_what_nobody_said_holds_by_default(self, verbs):
        found = made(verbs.enqueue(PLAIN))
        assert (found.queue, found.max_attempts, found.priority, found.tags) == ("default", 3, 0, {})
        assert found.timeout == timedelta(minutes=30)

    def test_what_the_type_says_comes_first(self, verbs):
        found = made(verbs.enqueue(CONFIGURED))
        assert (found.queue, found.max_attempts, found.priority) == ("configured", 7, 5)
        assert (found.timeout, found.tags) == (timedelta(minutes=10), {"team": "blue", "kind": "test"})

    def test_and_what_the_call_says_before_that(self, every_verbs):
        found = made(
            every_verbs.enqueue(
                CONFIGURED,
                queue="A.b:c_d-9",
                max_attempts=100,
                timeout=timedelta(seconds=1.5),
                priority=-100,
                tags={"team": "ä💥", "more": ""},
            )
        )
        assert (found.queue, found.max_attempts, found.priority) == ("A.b:c_d-9", 100, -100)
        assert found.timeout == timedelta(seconds=1.5)
        assert found.tags == {"team": "ä💥", "kind": "test", "more": ""}

    def test_a_dict_for_a_typed_payload_is_checked_and_completed(self, verbs):
        found = made(verbs.enqueue(TYPED, {"order_id": 7, "lines": [{"sku": "a", "count": 2}]}))
        assert (found.payload["order_id"], found.payload["lines"]) == (7, [{"sku": "a", "count": 2}])
        assert found.payload["due"] is None

    def test_the_typed_object_itself_may_be_given(self, verbs):
        order = Order(
            7,
            [Line("a", 2)],
            due=datetime(2030, 1, 1, tzinfo=UTC),
            grace=timedelta(minutes=5),
            key=UUID(UNKNOWN),
            colour=Colour.RED,
        )
        assert made(verbs.enqueue(TYPED, order)).payload == made(jobs.enqueue(TYPED, order)).payload

    def test_a_dict_may_hold_what_the_type_reads_from_text(self, verbs):
        """As a TypedDict does."""
        given = {"order_id": 7, "lines": [Line("a", 2)], "due": datetime(2030, 1, 1, tzinfo=UTC)}
        assert made(verbs.enqueue(TYPED, given)).payload == made(jobs.enqueue(TYPED, given)).payload


class TestSchedule:
    def test_a_moment_is_kept_to_the_microsecond(self, every_verbs):
        moment = datetime.now(UTC) + timedelta(hours=1, microseconds=7)
        found = made(every_verbs.schedule(PLAIN, when=moment))
        assert (found.state, found.run_at) == (SCHEDULED, moment)

    def test_a_delay_counts_from_now(self, verbs):
        found = made(verbs.schedule(PLAIN, {"a": 1}, when=timedelta(hours=1), queue="q"))
        assert (found.state, found.queue, found.payload) == (SCHEDULED, "q", {"a": 1})
        # All here have one clock.
        assert abs(found.run_at - found.created_at - timedelta(hours=1)) < timedelta(seconds=30)

    @pytest.mark.parametrize(
        "when",
        [timedelta(0), timedelta(days=-1), timedelta.min, datetime(1, 1, 2, tzinfo=UTC)],
        ids=["now", "before", "never", "long ago"],
    )
    def test_now_and_the_past_are_pending(self, verbs, when):
        assert made(verbs.schedule(PLAIN, when=when)).state is PENDING


class TestContinueWith:
    def test_a_child_waits_for_its_parents_in_the_order_given(self, every_verbs):
        first, second = jobs.enqueue(PLAIN), jobs.enqueue(PLAIN)
        child = made(every_verbs.continue_with([second, UUID(first), second], PLAIN, {"a": 1}, queue="q"))
        assert (child.state, child.parent_job_ids) == (SCHEDULED, (second, first))
        assert (child.payload, child.queue) == ({"a": 1}, "q")

    def test_one_parent_needs_no_list(self, verbs):
        parent = jobs.enqueue(PLAIN)
        assert made(verbs.continue_with(parent, PLAIN)).parent_job_ids == (parent,)

    def test_after_its_parents_success_it_is_pending_or_waits_for_its_time(self, verbs):
        parent = Stage(jobs).job(JobState.SUCCEEDED)
        assert made(verbs.continue_with(parent, PLAIN)).state is PENDING
        assert made(verbs.continue_with(parent, PLAIN, when=timedelta(hours=1))).state is SCHEDULED

    @pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.DEAD_LETTER])
    def test_with_a_broken_parent_it_is_made_cancelled(self, verbs, state):
        parent = Stage(jobs).job(state)
        child = made(verbs.continue_with([jobs.enqueue(PLAIN), parent], PLAIN))
        assert (child.state, child.cancelled_by) == (CANCELLED, parent)

    def test_a_failed_parent_may_still_succeed(self, verbs):
        parent = Stage(jobs).job(JobState.FAILED)
        assert made(verbs.continue_with(parent, PLAIN)).state is SCHEDULED

    def test_a_hundred_parents(self, verbs):
        parents = jobs.enqueue_many(PLAIN, [{}] * 100)
        assert made(verbs.continue_with(parents, PLAIN)).parent_job_ids == tuple(parents)


class TestEnqueueMany:
    def test_the_ids_come_in_the_order_of_the_payloads(self, every_verbs):
        ids = every_verbs.enqueue_many(PLAIN, ({"n": number} for number in range(20)))
        assert [made(job_id).payload["n"] for job_id in ids] == list(range(20))

    def test_all_share_the_options(self, verbs):
        ids = verbs.enqueue_many(PLAIN, [{}, None], queue="q", priority=3, tags={"a": "b"})
        found = [made(job_id) for job_id in ids]
        assert [(each.queue, each.priority, each.tags) for each in found] == [("q", 3, {"a": "b"})] * 2

    def test_no_payloads_are_no_jobs(self, verbs):
        assert verbs.enqueue_many(PLAIN, []) == []

    def test_a_thousand_at_once(self, verbs):
        assert len(set(verbs.enqueue_many(PLAIN, [{}] * 1000))) == 1000

    @pytest.mark.parametrize(
        ("job", "bad"), [(PLAIN, {"a": "\x00"}), (PLAIN, {"a": float("nan")}), (TYPED, {"order_id": "7"})]
    )
    def test_a_bad_one_makes_none_of_them(self, verbs, job, bad):
        with pytest.raises(FlareError) as caught:
            verbs.enqueue_many(job, [{"order_id": 1}, bad, {"order_id": 2}])
        assert (caught.value.code, caught.value.details[-1]) == ("invalid_payload", {"index": 1})
        assert not Job.objects.exists()

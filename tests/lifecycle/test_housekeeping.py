"""What any worker does for everybody: promotion of due jobs, progress, repair (spec, sections 2 and 3)."""

from datetime import timedelta

import pytest

from django_flare import JobState, jobs
from django_flare.lifecycle import housekeeping
from django_flare.store import rows
from tests.support import USING, Driver, columns, force, make_job, row, state, states

pytestmark = pytest.mark.django_db

PENDING, SCHEDULED, PROCESSING, SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER = JobState


def in_seconds(seconds, **options):
    return make_job(when=timedelta(seconds=seconds), **options)


@pytest.fixture
def driver(clock):
    return Driver()


def test_a_job_becomes_pending_at_its_time_and_not_before(clock):
    job = in_seconds(60)
    clock.advance(59.999)
    assert (housekeeping.promote_due(USING), state(job)) == (0, SCHEDULED)
    clock.advance(0.001)
    assert (housekeeping.promote_due(USING), state(job)) == (1, PENDING)


def test_run_at_becomes_the_time_of_the_promotion(clock):
    job = in_seconds(60)
    clock.advance(600)
    housekeeping.promote_due(USING)
    assert row(job).run_at == clock.now


def test_failed_jobs_are_promoted_like_scheduled_ones(driver, clock):
    job = make_job()
    driver.fail(job, delay=30.0)
    clock.advance(30)
    assert (housekeeping.promote_due(USING), state(job)) == (1, PENDING)
    driver.start(job)
    assert row(job).attempt == 2


def test_snoozed_jobs_are_promoted_too(driver, clock):
    job = make_job()
    driver.snooze(job, 30)
    clock.advance(30)
    assert (housekeeping.promote_due(USING), state(job)) == (1, PENDING)


def test_queues_that_nobody_serves_are_covered(clock):
    ids = [in_seconds(1, queue=f"unserved{number}") for number in range(3)]
    clock.advance(1)
    assert housekeeping.promote_due(USING) == 3
    assert states(*ids) == [PENDING] * 3


def test_a_backlog_is_promoted_in_turns_of_five_hundred(clock):
    jobs.enqueue_many("tests.testapp.jobs.plain", [{}] * 1_100)
    rows.jobs(USING).update(state=SCHEDULED)
    clock.advance(1)
    assert [housekeeping.promote_due(USING) for _ in range(4)] == [500, 500, 100, 0]


def test_the_longest_due_come_first(clock):
    late, early = in_seconds(20), in_seconds(10)
    clock.advance(30)
    rows.jobs(USING).filter(public_id=late).update(run_at=clock.now)
    assert housekeeping.promote_due(USING) == 2
    assert states(early, late) == [PENDING] * 2


def test_nothing_due_is_no_wait_to_tell_of(clock):
    make_job()
    assert housekeeping.next_due(USING) is None


def test_the_next_due_time_is_told_in_seconds(driver, clock):
    in_seconds(60)
    assert housekeeping.next_due(USING) == 60
    failed = make_job()
    driver.fail(failed, delay=20.0)
    assert housekeeping.next_due(USING) == 20
    clock.advance(25)
    assert housekeeping.next_due(USING) == -5


def test_a_child_that_waits_for_its_parent_is_not_due(clock):
    make_job(parents=make_job(), when=timedelta(seconds=5))
    assert housekeeping.next_due(USING) is None
    clock.advance(10)
    assert housekeeping.promote_due(USING) == 0


def test_progress_is_written_while_the_fence_holds(driver):
    jobs_running = [make_job(), make_job()]
    runs = [driver.start(job) for job in jobs_running]
    housekeeping.record_progress({(run.id, run.fence): 0.5 for run in runs}, USING)
    assert [jobs.get_status(job).progress for job in jobs_running] == [0.5, 0.5]


def test_progress_of_a_lost_lease_does_nothing(driver):
    """F02: progress carries the fence as well."""
    job = make_job()
    old = driver.start(job)
    driver.release(job)
    driver.start(job)
    before = columns(job)
    housekeeping.record_progress({(old.id, old.fence): 0.9}, USING)
    assert columns(job) == before


def test_progress_of_a_job_that_ended_does_nothing(driver):
    job = make_job()
    run = driver.start(job)
    driver.fail(job)
    housekeeping.record_progress({(run.id, run.fence): 0.9}, USING)
    assert row(job).progress is None


def test_the_repair_finds_nothing_where_the_locks_did_their_work(driver):
    parent = make_job()
    make_job(parents=parent)
    driver.succeed(parent)
    dead = make_job()
    make_job(parents=dead)
    driver.discard(dead)
    make_job(parents=make_job())
    in_seconds(60)
    assert housekeeping.repair_children(USING) == 0


@pytest.mark.parametrize(
    ("parents_end", "childs_end"), [(SUCCEEDED, PENDING), (DEAD_LETTER, CANCELLED), (CANCELLED, CANCELLED)]
)
def test_the_repair_settles_whom_the_end_of_the_parent_missed(parents_end, childs_end, clock):
    """F11: the second line behind the locks."""
    parent = make_job()
    child = make_job(parents=parent)
    force(parent, state=parents_end, completed_at=clock.now)
    assert housekeeping.repair_children(USING) == 1
    assert state(child) is childs_end
    assert housekeeping.repair_children(USING) == 0


def test_the_repair_leaves_children_with_an_open_parent(clock):
    done, open_parent = make_job(), make_job()
    child = make_job(parents=[done, open_parent])
    force(done, state=SUCCEEDED, completed_at=clock.now)
    assert housekeeping.repair_children(USING) == 0
    assert state(child) is SCHEDULED

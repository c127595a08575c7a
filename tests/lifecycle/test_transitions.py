"""Every event of the state machine from every state (spec, section 2).

The table of the specification stands here once more, by hand: what it allows must happen with all
that goes with it, what it does not name must leave the row untouched.
"""

import json
from datetime import timedelta

import pytest

from django_flare import JobState, jobs
from django_flare.lifecycle import continuations, finish, housekeeping
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Attempt
from django_flare.states import TRANSITIONS, Event
from tests.clock import START
from tests.support import USING, Driver, columns, force, make_job, row, state, states
from tests.testapp.jobs import configured, once

pytestmark = pytest.mark.django_db

PENDING, SCHEDULED, PROCESSING, SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER = JobState

SPECIFIED = {
    Event.DUE: ({SCHEDULED, FAILED}, {PENDING}),
    Event.CLAIM: ({PENDING}, {PROCESSING}),
    Event.SUCCEED: ({PROCESSING}, {SUCCEEDED}),
    Event.FAIL: ({PROCESSING}, {FAILED}),
    Event.EXHAUST: ({PROCESSING}, {DEAD_LETTER}),
    Event.LOSE: ({PROCESSING}, {PENDING, DEAD_LETTER}),
    Event.RELEASE: ({PROCESSING}, {PENDING}),
    Event.SNOOZE: ({PROCESSING}, {SCHEDULED}),
    Event.STOPPED: ({PROCESSING}, {CANCELLED}),
    Event.CANCEL: ({PENDING, SCHEDULED}, {CANCELLED}),
    Event.CASCADE: ({SCHEDULED}, {CANCELLED}),
    Event.DISCARD: ({FAILED}, {DEAD_LETTER}),
    Event.RETRY: ({FAILED, DEAD_LETTER}, {PENDING}),
    Event.REVIVE: ({CANCELLED}, {PENDING, SCHEDULED, CANCELLED}),
}


@pytest.fixture
def driver(clock):
    return Driver()


@pytest.fixture
def parent(driver):
    """A parent that has succeeded, so that every state is open to the child."""
    job = make_job()
    driver.succeed(job)
    return job


@pytest.fixture
def job_in(driver, parent):
    """Bring a child of `parent` into a state, by allowed steps alone."""

    def bring(wanted):
        job = make_job(parents=parent, when=timedelta(hours=1) if wanted is SCHEDULED else None)
        steps = {
            PENDING: lambda: None,
            SCHEDULED: lambda: None,
            PROCESSING: lambda: driver.start(job),
            SUCCEEDED: lambda: driver.succeed(job, '{"ok":1}'),
            FAILED: lambda: driver.fail(job),
            CANCELLED: lambda: jobs.cancel(job),
            DEAD_LETTER: lambda: driver.discard(job),
        }
        steps[wanted]()
        assert state(job) is wanted
        return job

    return bring


def attempt(event, job, parent, driver, clock):
    """Let `event` happen to the job, whatever state it is in."""
    if event in RUN_EVENTS:
        end_run(event, job)
    else:
        OTHER_EVENTS[event](job, parent, driver, clock)


RUN_EVENTS = {
    Event.SUCCEED,
    Event.FAIL,
    Event.EXHAUST,
    Event.LOSE,
    Event.RELEASE,
    Event.SNOOZE,
    Event.STOPPED,
}


def end_run(event, job):
    fields = row(job)
    facts = {Event.SNOOZE: {"delay": 60.0}, Event.FAIL: {"failure": describe(ValueError("boom"))}}
    finish.apply([Outcome(id=fields.pk, fence=fields.fence, event=event, **facts.get(event, {}))], USING)


def let_time_pass(job, parent, driver, clock):
    clock.advance(24 * 3600)
    housekeeping.promote_due(USING)


def cascade(job, parent, driver, clock):
    # The parent's success is undone by hand: no verb leaves a running job below a dead parent.
    force(parent, state=DEAD_LETTER)
    continuations.settle_children([row(parent).pk], USING)


def revive(job, parent, driver, clock):
    if state(job) is CANCELLED:
        force(job, cancelled_by=parent)
    force(parent, state=DEAD_LETTER)
    jobs.retry(parent, revive=True)


OTHER_EVENTS = {
    Event.DUE: let_time_pass,
    Event.CLAIM: lambda job, parent, driver, clock: driver.claim(row(job).queue),
    Event.CANCEL: lambda job, parent, driver, clock: jobs.cancel(job),
    Event.CASCADE: cascade,
    Event.DISCARD: lambda job, parent, driver, clock: jobs.discard(job),
    Event.RETRY: lambda job, parent, driver, clock: jobs.retry(job),
    Event.REVIVE: revive,
}

ALLOWED = [(event, source) for event, (sources, _) in SPECIFIED.items() for source in sorted(sources)]
REFUSED = [
    (event, source)
    for event, (sources, _) in SPECIFIED.items()
    for source in JobState
    if source not in sources
]


def test_the_table_in_the_code_is_the_table_of_the_specification():
    written = {event: (set(each.sources), set(each.targets)) for event, each in TRANSITIONS.items()}
    assert written == {**SPECIFIED, Event.CREATE: (set(), {PENDING, SCHEDULED, CANCELLED})}


@pytest.mark.parametrize(("event", "source"), ALLOWED)
def test_an_allowed_event_leads_where_the_table_says(event, source, job_in, parent, driver, clock):
    job = job_in(source)
    attempt(event, job, parent, driver, clock)
    assert state(job) in SPECIFIED[event][1]


@pytest.mark.parametrize(("event", "source"), REFUSED)
def test_any_other_event_leaves_the_row_alone(event, source, job_in, parent, driver, clock):
    job = job_in(source)
    before, attempts = columns(job), Attempt.objects.count()
    attempt(event, job, parent, driver, clock)
    assert columns(job) == before
    assert Attempt.objects.count() == attempts


VERBS = {
    jobs.cancel: Event.CANCEL,
    jobs.discard: Event.DISCARD,
    jobs.retry: Event.RETRY,
    jobs.stop: Event.STOPPED,
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("source", JobState)
def test_a_verb_tells_whether_the_state_allowed_it(verb, source, job_in):
    job = job_in(source)
    before = state(job)
    assert verb(job) is (before in SPECIFIED[VERBS[verb]][0])


@pytest.mark.parametrize("source", JobState)
def test_a_stop_changes_no_state_and_nothing_but_its_mark(source, job_in):
    job = job_in(source)
    before = columns(job)
    for _ in range(2):
        jobs.stop(job)
        assert columns(job) == {**before, "stop_requested": source is PROCESSING}


CLEARED = {
    "started_at": None,
    "completed_at": None,
    "worker_id": "",
    "progress": None,
    "stop_requested": False,
}


def values(job, names):
    found = columns(job)
    return {name: found[name] for name in names}


WAYS_BACK = {
    "due": lambda job, driver, clock: (driver.fail(job), let_time_pass(job, None, driver, clock)),
    "lost": lambda job, driver, clock: driver.lose(job),
    "released": lambda job, driver, clock: driver.release(job),
    "snoozed": lambda job, driver, clock: driver.snooze(job),
    "retried after a failure": lambda job, driver, clock: (driver.fail(job), jobs.retry(job)),
    "retried after its death": lambda job, driver, clock: (driver.discard(job), jobs.retry(job)),
}


@pytest.mark.parametrize("way", WAYS_BACK)
def test_every_return_to_waiting_clears_what_the_run_left(way, driver, clock):
    job = make_job()
    driver.start(job)
    force(job, progress=0.5)
    WAYS_BACK[way](job, driver, clock)
    assert state(job) in {PENDING, SCHEDULED}
    assert values(job, CLEARED) == CLEARED


def test_a_revived_job_is_cleared_too(driver):
    parent = make_job()
    child = make_job(parents=parent)
    driver.discard(parent)
    assert state(child) is CANCELLED
    jobs.retry(parent, revive=True)
    assert values(child, CLEARED) == CLEARED
    assert row(child).cancelled_by is None


@pytest.mark.parametrize("final", [SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER])
def test_completed_at_is_set_in_every_state_that_ended(final, job_in):
    assert row(job_in(final)).completed_at == START


@pytest.mark.parametrize("open_state", [PENDING, SCHEDULED, PROCESSING])
def test_completed_at_is_empty_in_all_others(open_state, job_in):
    assert row(job_in(open_state)).completed_at is None


@pytest.mark.parametrize("ended", [SUCCEEDED, FAILED, DEAD_LETTER])
def test_a_run_that_ended_keeps_its_worker(ended, job_in, driver):
    assert row(job_in(ended)).worker_id == driver.worker_id


def test_a_stopped_run_keeps_its_worker(driver):
    job = make_job()
    driver.request_stop(job)
    driver.fail(job)
    assert (state(job), row(job).worker_id) == (CANCELLED, driver.worker_id)


def test_a_claim_counts_the_attempt_and_raises_the_fence(driver, clock):
    job = make_job()
    clock.advance(5)
    run = driver.start(job)
    found = row(job)
    assert (found.attempt, found.fence, found.worker_id) == (1, 1, driver.worker_id)
    assert (run.attempt, run.fence) == (1, 1)
    assert found.started_at == found.first_started_at == clock.now


def test_the_fence_is_never_lowered_while_attempts_are_given_back(driver):
    job = make_job()
    for fence in (1, 2, 3):
        assert driver.start(job).fence == fence
        driver.release(job)
        assert (row(job).attempt, row(job).fence) == (0, fence)


def test_first_started_at_stays_for_good(driver, clock):
    job = make_job()
    driver.fail(job)
    clock.advance(60)
    jobs.retry(job)
    clock.advance(60)
    driver.start(job)
    assert (row(job).first_started_at, row(job).started_at) == (START, clock.now)


def test_success_writes_result_and_progress_and_clears_the_error(driver):
    job = make_job()
    driver.fail(job)
    jobs.retry(job)
    assert row(job).error_message == "ValueError: boom"
    driver.start(job)
    assert row(job).error_message == "ValueError: boom"
    driver.succeed(job, '{"sum":3}')
    found = row(job)
    assert (found.progress, found.result, found.error_message) == (1.0, {"sum": 3}, "")


@pytest.mark.parametrize("text", ["null", "[]", "0", '"ä\\n\\"q\\" \\\\ 💥"', '{"a":[1,2.5,null,true]}'])
def test_any_json_value_is_kept_as_the_result(text, driver):
    job = make_job()
    driver.succeed(job, text)
    assert jobs.get_status(job).result == json.loads(text)


def test_a_result_that_is_none_says_why(driver):
    job = make_job()
    driver.end(job, Event.SUCCEED, result_error="result: set is not a JSON type")
    status = jobs.get_status(job)
    assert (status.state, status.result, status.result_error) == (
        SUCCEEDED,
        None,
        "result: set is not a JSON type",
    )


@pytest.mark.parametrize("way", ["lost", "released", "snoozed"])
def test_the_error_survives_runs_that_neither_failed_nor_succeeded(way, driver, clock):
    job = make_job()
    driver.fail(job)
    jobs.retry(job)
    WAYS_BACK[way](job, driver, clock)
    assert row(job).error_message == "ValueError: boom"


def test_a_failure_waits_for_the_backoff(driver, clock):
    job = make_job()
    driver.fail(job)
    wait = (row(job).run_at - clock.now).total_seconds()
    assert 15 <= wait <= 18


def test_the_job_types_own_backoff_is_used(driver, clock):
    job = make_job(configured)
    for expected in (1, 2, 4, 8, 8):
        driver.fail(job)
        assert row(job).run_at - clock.now == timedelta(seconds=expected)
        jobs.retry(job)


def test_snooze_gives_the_attempt_back_and_waits(driver, clock):
    job = make_job()
    driver.snooze(job, 90.5)
    found = row(job)
    assert (state(job), found.attempt) == (SCHEDULED, 0)
    assert found.run_at - clock.now == timedelta(seconds=90.5)


def test_a_release_gives_the_attempt_back_and_keeps_run_at(driver, clock):
    job = make_job()
    clock.advance(10)
    driver.release(job)
    assert (state(job), row(job).attempt, row(job).run_at) == (PENDING, 0, START)


BECOMES_PENDING = {
    "due": lambda job, driver, clock: (driver.snooze(job), let_time_pass(job, None, driver, clock)),
    "lost": lambda job, driver, clock: driver.lose(job),
    "retried": lambda job, driver, clock: (driver.discard(job), jobs.retry(job)),
}


@pytest.mark.parametrize("way", BECOMES_PENDING)
def test_whoever_becomes_pending_may_run_from_the_statements_time_on(way, driver, clock):
    job = make_job()
    clock.advance(100)
    BECOMES_PENDING[way](job, driver, clock)
    assert (state(job), row(job).run_at) == (PENDING, clock.now)


def test_a_child_may_run_from_its_parents_success_on(driver, clock):
    parent = make_job()
    child = make_job(parents=parent)
    clock.advance(100)
    driver.succeed(parent)
    assert (state(child), row(child).run_at) == (PENDING, clock.now)


def test_the_last_attempt_that_fails_is_the_dead_letter(driver):
    job = make_job(max_attempts=2)
    driver.fail(job)
    jobs.retry(job)
    driver.fail(job)
    assert (state(job), row(job).attempt, row(job).error_message) == (DEAD_LETTER, 2, "ValueError: boom")


def test_a_handlers_discard_is_the_dead_letter_at_once(driver):
    job = make_job(max_attempts=5)
    driver.discard(job, "nobody wants it")
    assert (state(job), row(job).error_message) == (DEAD_LETTER, "RuntimeError: nobody wants it")


def test_a_retry_grants_one_more_attempt_only_when_all_are_used(driver):
    used_up, fresh = make_job(once), make_job(max_attempts=3)
    for job in (used_up, fresh):
        driver.fail(job)
        assert jobs.retry(job)
    assert (row(used_up).attempt, row(used_up).max_attempts) == (1, 2)
    assert (row(fresh).attempt, row(fresh).max_attempts) == (1, 3)


def test_retries_may_pass_the_bound_on_attempts(driver):
    job = make_job(max_attempts=100)
    force(job, attempt=99)
    driver.fail(job)
    assert state(job) is DEAD_LETTER
    jobs.retry(job)
    assert row(job).max_attempts == 101


def test_a_second_retry_finds_nothing_to_do(driver):
    job = make_job(once)
    driver.fail(job)
    assert [jobs.retry(job), jobs.retry(job)] == [True, False]
    assert row(job).max_attempts == 2


@pytest.mark.parametrize("step", ["fail", "discard", "snooze", "release", "lose", "leave"])
def test_a_run_that_was_asked_to_stop_ends_cancelled(step, driver):
    job = make_job()
    child = make_job(parents=job)
    driver.request_stop(job)
    getattr(driver, step)(job)
    found = row(job)
    assert states(job, child) == [CANCELLED, CANCELLED]
    assert (found.error_message, found.stop_requested, found.cancelled_by) == ("stopped", False, None)
    assert str(row(child).cancelled_by) == job


def test_a_run_that_returns_in_spite_of_the_stop_has_succeeded(driver):
    job = make_job()
    child = make_job(parents=job)
    driver.request_stop(job)
    driver.succeed(job)
    assert states(job, child) == [SUCCEEDED, PENDING]
    assert row(job).stop_requested is False


@pytest.mark.parametrize("step", ["succeed", "fail", "discard", "snooze", "release", "lose"])
def test_an_outcome_under_an_outdated_fence_is_refused(step, driver):
    """F02: a zombie writes nothing, neither row nor attempt."""
    job = make_job()
    zombie = driver.start(job)
    driver.release(job)
    driver.start(job)
    before = columns(job)
    driver.runs[job] = zombie
    assert getattr(driver, step)(job) is False
    assert columns(job) == before
    assert not Attempt.objects.exists()


def test_one_flush_tells_old_runs_from_new_ones_of_the_same_job(driver):
    """F02: both outcomes of a job in one batch, in either order."""
    for newest_first in (False, True):
        job = make_job()
        old = driver.outcome(job, Event.FAIL, failure=describe(ValueError("old")))
        force(job, state=PENDING, worker_id="", started_at=None)
        new = driver.outcome(job, Event.SUCCEED)
        applied = finish.apply([new, old] if newest_first else [old, new], USING)
        assert state(job) is SUCCEEDED
        assert applied.refused == [old]


def test_progress_survives_the_end_of_a_failed_run(driver):
    job = make_job()
    driver.start(job)
    force(job, progress=0.25)
    driver.fail(job)
    assert row(job).progress == 0.25


def test_progress_that_came_with_the_outcome_is_kept(driver):
    job = make_job()
    driver.fail(job, progress=0.75)
    assert row(job).progress == 0.75

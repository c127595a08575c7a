"""What becomes of a run that ended: the pure decision (spec, sections 2, 3 and 6; F45, F46)."""

import json

import pytest

from django_flare import Backoff, JobState
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome, decide, recorded
from django_flare.states import AttemptOutcome, Event
from django_flare.store.runs import RunRow

SECOND = 1_000_000

ENDINGS = [
    Event.SUCCEED,
    Event.FAIL,
    Event.EXHAUST,
    Event.LOSE,
    Event.RELEASE,
    Event.SNOOZE,
    Event.STOPPED,
]


def run(**facts):
    usual = {
        "id": 7,
        "fence": 4,
        "attempt": 1,
        "max_attempts": 3,
        "losses": 0,
        "stop_requested": False,
        "backoff": None,
        "queue": "q",
        "job_type": "t",
    }
    return RunRow(**{**usual, **facts})


def ended(event, run_row=None, draw=lambda: 0.0, **facts):
    if event in (Event.FAIL, Event.EXHAUST):
        facts.setdefault("failure", describe(ValueError("boom")))
    return decide(run_row or run(), Outcome(id=7, fence=4, event=event, **facts), draw)


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 15), (2, 30), (3, 60), (4, 120), (11, 15_360), (12, 21_600), (99, 21_600)]
)
def test_the_delay_doubles_up_to_six_hours(attempt, seconds):
    write = ended(Event.FAIL, run(attempt=attempt, max_attempts=100)).write
    assert (write.state, write.delay) == (JobState.FAILED, seconds * SECOND)


@pytest.mark.parametrize("event", [Event.LOSE, Event.RELEASE, Event.SNOOZE])
@pytest.mark.parametrize("attempt", [1, 2, 3, 4, 7])
def test_what_is_no_attempt_of_the_jobs_gives_one_back(event, attempt):
    assert ended(event, run(attempt=attempt, max_attempts=9)).write.attempt == attempt - 1


@pytest.mark.parametrize(("drawn", "jitter"), [(0.0, 0.0), (0.5, 1.5), (1.0, 3.0)])
def test_the_jitter_adds_up_to_three_seconds(drawn, jitter):
    assert ended(Event.FAIL, draw=lambda: drawn).write.delay == (15 + jitter) * SECOND


def test_the_jitter_is_drawn_anew_each_time():
    delays = {decide(run(), Outcome(id=7, fence=4, event=Event.FAIL)).write.delay for _ in range(50)}
    assert len(delays) > 1
    assert all(15 * SECOND <= delay <= 18 * SECOND for delay in delays)


def test_the_settings_backoff_is_the_default(settings):
    settings.FLARE = {"BACKOFF": {"base": 2, "cap": 5, "jitter": 0}}
    delays = [ended(Event.FAIL, run(attempt=n, max_attempts=9)).write.delay / SECOND for n in (1, 2, 3, 4)]
    assert delays == [2, 4, 5, 5]


def test_the_jobs_own_backoff_comes_before_that_of_the_settings():
    stored = Backoff(base=1, cap=3, jitter=0).as_json()
    delays = [
        ended(Event.FAIL, run(attempt=n, max_attempts=9, backoff=json.dumps(stored))).write.delay
        for n in (1, 2, 3)
    ]
    assert delays == [1 * SECOND, 2 * SECOND, 3 * SECOND]


def test_an_attempt_beyond_all_floats_has_a_delay():
    stored = Backoff(base=10, cap=100, jitter=0).as_json()
    write = ended(Event.FAIL, run(attempt=100_000, max_attempts=100_001, backoff=json.dumps(stored))).write
    assert write.delay == 100 * SECOND


def test_the_handlers_own_delay_has_no_jitter():
    assert ended(Event.FAIL, delay=42.5, draw=lambda: 1.0).write.delay == 42.5 * SECOND


def test_a_retry_at_once_is_a_delay_too():
    assert ended(Event.FAIL, delay=0.0).write.delay == 0


@pytest.mark.parametrize("delay", [None, 42.0])
@pytest.mark.parametrize("attempt", [3, 4])
def test_used_up_attempts_are_the_dead_letter_whatever_delay_was_asked_for(delay, attempt):
    write = ended(Event.FAIL, run(attempt=attempt), delay=delay).write
    assert (write.state, write.delay, write.attempt) == (JobState.DEAD_LETTER, None, None)
    assert write.error_message == "ValueError: boom"


def test_a_discard_does_not_wait_for_the_attempts_to_be_used_up():
    decision = ended(Event.EXHAUST, run(max_attempts=100))
    assert decision.write.state is JobState.DEAD_LETTER
    assert decision.attempt.outcome is AttemptOutcome.FAILED


def test_success_clears_the_error_and_completes_the_progress():
    decision = ended(Event.SUCCEED, result='{"a":1}', progress=0.4)
    write = decision.write
    assert (write.state, write.progress, write.error_message) == (JobState.SUCCEEDED, 1.0, "")
    assert (write.result, write.attempt, decision.attempt) == ('{"a":1}', None, None)


@pytest.mark.parametrize("losses", [0, 1])
def test_two_losses_give_the_attempt_back(losses):
    decision = ended(Event.LOSE, run(attempt=2, losses=losses))
    write = decision.write
    assert (write.state, write.attempt, write.losses) == (JobState.PENDING, 1, losses + 1)
    assert (write.delay, write.error_message) == (0, None)
    assert decision.attempt.outcome is AttemptOutcome.LOST


@pytest.mark.parametrize("facts", [{"losses": 2}, {"losses": 9}, {"max_attempts": 1}])
def test_the_third_loss_or_the_first_of_a_single_attempt_is_the_dead_letter(facts):
    write = ended(Event.LOSE, run(**facts)).write
    assert write.state is JobState.DEAD_LETTER
    assert write.losses == facts.get("losses", 0) + 1
    assert write.error_message.startswith("worker_lost")


def test_a_release_gives_the_attempt_back_and_keeps_run_at():
    decision = ended(Event.RELEASE, run(attempt=3))
    write = decision.write
    assert (write.state, write.attempt, write.delay, write.losses) == (JobState.PENDING, 2, None, None)
    assert decision.attempt is None


@pytest.mark.parametrize(("delay", "waits"), [(90.0, 90), (0.0, 0), (None, 0)])
def test_a_snooze_gives_the_attempt_back_and_waits(delay, waits):
    decision = ended(Event.SNOOZE, run(attempt=3), delay=delay)
    write = decision.write
    assert (write.state, write.attempt, write.delay) == (JobState.SCHEDULED, 2, waits * SECOND)
    assert decision.attempt is None


@pytest.mark.parametrize("event", [event for event in ENDINGS if event is not Event.SUCCEED])
@pytest.mark.parametrize("facts", [{}, {"max_attempts": 1}, {"losses": 2}])
def test_whoever_was_asked_to_stop_ends_cancelled(event, facts):
    write = ended(event, run(stop_requested=True, **facts), delay=5.0).write
    assert (write.state, write.error_message, write.delay) == (JobState.CANCELLED, "stopped", None)


def test_who_leaves_because_of_the_stop_has_used_an_attempt_but_not_failed():
    decision = ended(Event.STOPPED, run(stop_requested=True, attempt=2))
    assert (decision.write.attempt, decision.attempt) == (None, None)  # the counted attempt stays


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (Event.FAIL, AttemptOutcome.FAILED),
        (Event.EXHAUST, AttemptOutcome.FAILED),
        (Event.LOSE, AttemptOutcome.LOST),
        (Event.RELEASE, None),
        (Event.SNOOZE, None),
    ],
)
def test_a_stopped_run_is_recorded_like_any_other(event, outcome):
    record = ended(event, run(stop_requested=True), delay=1.0).attempt
    assert (record and record.outcome) == outcome


def test_a_normal_return_after_a_stop_request_is_a_success():
    assert ended(Event.SUCCEED, run(stop_requested=True)).write.state is JobState.SUCCEEDED


@pytest.mark.parametrize("event", ENDINGS)
def test_every_write_names_the_run_that_it_belongs_to(event):
    write = ended(event, delay=1.0).write
    assert (write.id, write.fence) == (7, 4)


def test_a_failure_is_recorded_under_the_runs_number_and_fence():
    record = ended(Event.FAIL, run(attempt=2)).attempt
    assert (record.job, record.number, record.fence) == (7, 2, 4)
    assert record.outcome is AttemptOutcome.FAILED
    assert (record.error_class, record.error_message) == ("builtins.ValueError", "boom")


def test_a_timeout_is_recorded_as_one():
    failure = describe(TimeoutError("too slow"))
    assert ended(Event.FAIL, failure=failure, timed_out=True).attempt.outcome is AttemptOutcome.TIMED_OUT


def test_losses_are_kept_by_every_other_ending():
    for event in ENDINGS:
        if event is not Event.LOSE:
            assert ended(event, run(losses=2), delay=1.0).write.losses is None


@pytest.mark.parametrize("attempt", [1, 2, 3, 4])
@pytest.mark.parametrize("event", [Event.RELEASE, Event.SNOOZE, Event.LOSE])
def test_what_is_given_back_is_one_attempt_whichever_it_was(event, attempt):
    assert ended(event, run(attempt=attempt, max_attempts=9), delay=1).write.attempt == attempt - 1


@pytest.mark.parametrize(
    "stored", ["no json", "[1]", "7", '{"unknown": 1}', '{"base": -1, "cap": 1, "jitter": 0}']
)
def test_a_stored_backoff_that_cannot_be_read_is_replaced_by_that_of_the_settings(stored):
    """F58"""
    assert ended(Event.FAIL, run(backoff=stored)).write.delay == 15 * SECOND


# Refused: recorded before, or somebody else's? (F08)

S = JobState
FAILED, TIMED_OUT, LOST = AttemptOutcome


@pytest.mark.parametrize(
    ("event", "state", "fence", "record", "expected"),
    [
        (Event.SUCCEED, S.SUCCEEDED, 4, None, S.SUCCEEDED),
        (Event.SUCCEED, S.SUCCEEDED, 5, None, None),
        (Event.SUCCEED, S.PROCESSING, 5, None, None),
        (Event.SUCCEED, S.PROCESSING, 4, None, None),
        (Event.SUCCEED, S.PENDING, 4, LOST, None),
        (Event.SUCCEED, S.CANCELLED, 4, None, None),
        # Its content was refused, so it has failed instead.
        (Event.SUCCEED, S.FAILED, 4, FAILED, S.FAILED),
        # The commit of an atomic job was done, though it seemed not, so that the run was to be released.
        (Event.RELEASE, S.SUCCEEDED, 4, None, S.SUCCEEDED),
        (Event.FAIL, S.FAILED, 4, FAILED, S.FAILED),
        (Event.FAIL, S.FAILED, 4, TIMED_OUT, S.FAILED),
        (Event.FAIL, S.DEAD_LETTER, 4, FAILED, S.DEAD_LETTER),
        (Event.FAIL, S.CANCELLED, 4, FAILED, S.CANCELLED),
        # The retry came, and was claimed, or has even ended.
        (Event.FAIL, S.PENDING, 4, FAILED, S.FAILED),
        (Event.FAIL, S.PROCESSING, 5, FAILED, S.FAILED),
        (Event.FAIL, S.DEAD_LETTER, 5, TIMED_OUT, S.FAILED),
        (Event.FAIL, S.SUCCEEDED, 5, FAILED, S.FAILED),
        (Event.FAIL, S.PENDING, 4, LOST, None),
        (Event.FAIL, S.DEAD_LETTER, 4, LOST, None),
        (Event.FAIL, S.PROCESSING, 5, None, None),
        (Event.FAIL, S.PROCESSING, 4, None, None),
        (Event.EXHAUST, S.DEAD_LETTER, 4, FAILED, S.DEAD_LETTER),
        (Event.EXHAUST, S.PENDING, 4, FAILED, S.DEAD_LETTER),
        (Event.EXHAUST, S.PENDING, 4, None, None),
        (Event.RELEASE, S.PENDING, 4, None, S.PENDING),
        (Event.RELEASE, S.PROCESSING, 5, None, S.PENDING),
        (Event.RELEASE, S.PROCESSING, 5, LOST, None),
        (Event.RELEASE, S.PROCESSING, 4, None, None),
        (Event.SNOOZE, S.SCHEDULED, 4, None, S.SCHEDULED),
        (Event.SNOOZE, S.PENDING, 4, None, S.SCHEDULED),
        (Event.SNOOZE, S.PENDING, 4, LOST, None),
        (Event.STOPPED, S.CANCELLED, 4, None, S.CANCELLED),
        (Event.STOPPED, S.CANCELLED, 4, LOST, None),
    ],
)
def test_what_a_refused_outcome_had_led_to(event, state, fence, record, expected):
    failure = describe(ValueError("boom")) if event in (Event.FAIL, Event.EXHAUST) else None
    outcome = Outcome(id=7, fence=4, event=event, failure=failure)
    assert recorded(outcome, state, fence, record) == expected

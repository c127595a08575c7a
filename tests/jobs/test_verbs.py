"""The verbs that create and control jobs (spec, sections 4 and 3)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from django_flare import FlareNotFoundError, JobState, jobs
from django_flare.models import Job
from tests.support import Driver, force, make_job, row, state
from tests.testapp.jobs import Colour, Line, Order, SendWelcome, configured, plain, process_order

pytestmark = pytest.mark.django_db

PENDING, SCHEDULED, PROCESSING, SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER = JobState
CONTROLS = [jobs.cancel, jobs.retry, jobs.discard, jobs.stop]


def test_an_id_is_an_opaque_string_of_at_most_64_characters():
    job = jobs.enqueue(plain)
    assert type(job) is str
    assert 0 < len(job) <= 64


def test_a_new_job_is_pending_now(clock):
    found = row(jobs.enqueue(plain, {"a": 1}))
    assert (found.state, found.payload, found.created_at) == (PENDING, {"a": 1}, clock.now)
    assert (found.run_at, found.attempt, found.fence, found.losses) == (clock.now, 0, 0, 0)


@pytest.mark.parametrize("job", [plain, "tests.testapp.jobs.plain"])
def test_a_job_is_named_by_its_function_or_its_name(job):
    assert row(jobs.enqueue(job)).job_type == "tests.testapp.jobs.plain"


@pytest.mark.parametrize("job", [SendWelcome, "mail.welcome"])
def test_a_job_is_named_by_its_class_or_its_name(job):
    assert row(jobs.enqueue(job)).job_type == "mail.welcome"


def test_no_payload_is_an_empty_object():
    assert row(jobs.enqueue(plain)).payload == row(jobs.enqueue(plain, None)).payload == {}


DOCUMENT = {
    "text": "ä💥\"'\\\n\t\u2028",
    "": "an empty key",
    "7": [1, 2.5, -0.0, 1e15, 2**53 + 1, -(2**63), 2**63 - 1],
    "deep": {"a": [{"b": [[], {}, None, True, False]}]},
}


def test_a_payload_comes_back_as_it_went():
    assert row(jobs.enqueue(plain, DOCUMENT)).payload == DOCUMENT
    found = row(jobs.enqueue(plain, {"n": 2**53 + 1})).payload
    assert (found, type(found["n"])) == ({"n": 2**53 + 1}, int)


@pytest.mark.parametrize("number", [1.2345678901234567e16, -1.7976931348623157e308])
def test_a_large_float_stays_a_float(number):
    """As jsonb PostgreSQL would answer with an integer of up to 309 digits."""
    found = row(jobs.enqueue(plain, {"a": number})).payload["a"]
    assert (found, type(found)) == (number, float)


def test_a_hundred_levels_are_stored():
    nested = []
    for _ in range(98):
        nested = [nested]
    assert row(jobs.enqueue(plain, {"nested": nested})).payload == {"nested": nested}


def test_a_payload_of_nearly_a_mebibyte_is_stored():
    text = "x" * (2**20 - 100)
    assert row(jobs.enqueue(plain, {"text": text})).payload == {"text": text}


def test_a_typed_payload_is_stored_as_json():
    key = uuid4()
    order = Order(
        order_id=1,
        lines=[Line("a", 2)],
        due=datetime(2026, 5, 1, 12, tzinfo=UTC),
        grace=timedelta(minutes=5),
        key=key,
        colour=Colour.RED,
    )
    stored = row(jobs.enqueue(process_order, order)).payload
    assert (stored["order_id"], stored["lines"]) == (1, [{"sku": "a", "count": 2}])
    assert (stored["key"], stored["colour"]) == (str(key), "red")


def test_options_of_the_call_come_before_those_of_the_job_type():
    found = row(
        jobs.enqueue(
            configured,
            queue="q",
            max_attempts=2,
            timeout=timedelta(seconds=30),
            priority=-100,
            tags={"team": "red", "more": "x"},
        )
    )
    assert (found.queue, found.max_attempts, found.timeout) == ("q", 2, timedelta(seconds=30))
    assert (found.priority, found.tags) == (-100, {"team": "red", "kind": "test", "more": "x"})


def test_options_of_the_job_type_come_before_the_settings(settings):
    settings.FLARE = {"QUEUE": "settings", "MAX_ATTEMPTS": 50, "PRIORITY": 50, "TIMEOUT": 50}
    found = row(jobs.enqueue(configured))
    assert (found.queue, found.max_attempts, found.priority) == ("configured", 7, 5)
    assert (found.timeout, found.tags) == (timedelta(minutes=10), {"team": "blue", "kind": "test"})
    assert found.backoff == {"base": 1.0, "cap": 8.0, "jitter": 0.0}


def test_settings_come_before_what_is_built_in(settings):
    settings.FLARE = {"QUEUE": "settings", "MAX_ATTEMPTS": 50, "PRIORITY": 49, "TIMEOUT": 48}
    found = row(jobs.enqueue(plain))
    assert (found.queue, found.max_attempts, found.priority) == ("settings", 50, 49)
    assert found.timeout == timedelta(seconds=48)


def test_what_is_built_in():
    found = row(jobs.enqueue(plain))
    assert (found.queue, found.max_attempts, found.priority) == ("default", 3, 0)
    assert (found.timeout, found.tags, found.backoff) == (timedelta(minutes=30), {}, None)


def test_options_are_stored_when_the_job_is_made(settings):
    job = jobs.enqueue(plain)
    settings.FLARE = {"MAX_ATTEMPTS": 50}
    assert row(job).max_attempts == 3


EDGES = [
    {"queue": "a" * 100},
    {"queue": "A.b:c_d-9"},
    {"max_attempts": 1},
    {"max_attempts": 100},
    {"timeout": timedelta(seconds=1)},
    {"timeout": timedelta(hours=24)},
    {"priority": -100},
    {"priority": 100},
    {"tags": {"k" * 64: "v" * 200}},
    {"tags": {f"k{number}": "" for number in range(32)}},
    {"tags": {}},
    {"tags": {"ä💥": "\r\n<b>,"}},
    {"idempotency_key": "!"},
    {"idempotency_key": "~" * 200},
]


@pytest.mark.parametrize("options", EDGES, ids=str)
def test_the_last_allowed_value_is_allowed(options):
    ((name, value),) = options.items()
    assert getattr(row(jobs.enqueue(plain, **options)), name) == value


# Time


@pytest.mark.parametrize("seconds", [1, 60.5, 86_400, 3650 * 86_400])
def test_a_delay_counts_from_the_databases_now(seconds, clock):
    found = row(jobs.schedule(plain, when=timedelta(seconds=seconds)))
    assert (found.state, found.run_at) == (SCHEDULED, clock.now + timedelta(seconds=seconds))


@pytest.mark.parametrize("when", [timedelta(0), timedelta(seconds=-1), timedelta.min])
def test_a_delay_that_is_none_is_at_once(when, clock):
    found = row(jobs.schedule(plain, when=when))
    assert (found.state, found.run_at) == (PENDING, clock.now)


def test_a_moment_ahead_is_waited_for(clock):
    moment = clock.now + timedelta(hours=1, microseconds=7)
    found = row(jobs.schedule(plain, when=moment))
    assert (found.state, found.run_at) == (SCHEDULED, moment)


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(hours=1), timedelta(days=30_000)])
def test_a_moment_that_has_come_is_now(ago, clock):
    found = row(jobs.schedule(plain, when=clock.now - ago))
    assert (found.state, found.run_at) == (PENDING, clock.now)


def test_a_moment_is_an_instant_whatever_its_zone(clock):
    east = (clock.now + timedelta(hours=1)).astimezone(tz=None)
    assert row(jobs.schedule(plain, when=east)).run_at == clock.now + timedelta(hours=1)


def test_a_fold_is_honoured(clock):
    berlin = ZoneInfo("Europe/Berlin")
    first = jobs.schedule(plain, when=datetime(2026, 10, 25, 2, 30, tzinfo=berlin))
    second = jobs.schedule(plain, when=datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=berlin))
    assert row(second).run_at - row(first).run_at == timedelta(hours=1)


# Many


def test_many_jobs_come_in_the_order_of_their_payloads():
    ids = jobs.enqueue_many(plain, ({"n": number} for number in range(600)))
    assert len(set(ids)) == 600
    stored = list(Job.objects.order_by("pk").values_list("public_id", "payload"))
    assert stored == [(UUID(job), {"n": number}) for number, job in enumerate(ids)]


def test_many_jobs_share_their_options():
    ids = jobs.enqueue_many(plain, [{}, None], queue="q", tags={"a": "b"}, priority=3)
    assert [(row(job).queue, row(job).tags, row(job).priority) for job in ids] == [("q", {"a": "b"}, 3)] * 2


def test_no_payloads_are_no_jobs(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert jobs.enqueue_many(plain, []) == []


# Control


@pytest.mark.parametrize("verb", CONTROLS)
@pytest.mark.parametrize(
    "unknown", [str(uuid4()), uuid4(), "", "nonsense", "x" * 10_000, "\x00", "\ud800", "%", "1", "'; --"]
)
def test_an_unknown_job_cannot_be_controlled(verb, unknown):
    with pytest.raises(FlareNotFoundError, match="job_id") as caught:
        verb(unknown)
    assert (caught.value.code, len(str(caught.value)) < 200) == ("job_not_found", True)


def test_a_job_is_named_by_its_id_in_any_known_form():
    for form in (str, str.upper, UUID):
        job = make_job()
        assert jobs.cancel(form(job)) is True


@pytest.mark.parametrize("form", ["{{{}}}", "urn:uuid:{}", " {}", "{}\n", "{}x"])
def test_other_spellings_of_an_id_are_unknown(form):
    job = make_job()
    assert jobs.get_status(form.format(job)) is None
    assert jobs.get_status(job.replace("-", "")) is None


def test_cancel_ends_a_waiting_job(clock):
    for job in (make_job(), make_job(when=timedelta(hours=1))):
        assert jobs.cancel(job) is True
        assert (state(job), row(job).completed_at) == (CANCELLED, clock.now)
        assert jobs.cancel(job) is False


def test_a_cancelled_job_is_never_claimed(clock):
    """Promise 5."""
    job = make_job(queue="q")
    jobs.cancel(job)
    assert Driver().claim("q") == []


def test_a_running_job_cannot_be_cancelled(clock):
    job = make_job()
    Driver().start(job)
    assert jobs.cancel(job) is False
    assert state(job) is PROCESSING


def test_a_retried_job_can_be_claimed_at_once(clock):
    driver, job = Driver(), make_job()
    driver.fail(job)
    clock.advance(1)
    assert jobs.retry(job) is True
    assert (state(job), row(job).run_at) == (PENDING, clock.now)
    assert driver.start(job).attempt == 2


def test_a_discarded_job_may_be_retried_after_all(clock):
    driver, job = Driver(), make_job()
    driver.fail(job)
    assert jobs.discard(job) is True
    assert (state(job), row(job).error_message) == (DEAD_LETTER, "ValueError: boom")
    assert jobs.retry(job) is True


def test_an_unreadable_row_can_still_be_controlled():
    """F58: control reads no document."""
    job = make_job()
    force(job, job_type="gone.away")
    assert jobs.cancel(job) is True

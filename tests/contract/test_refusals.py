"""What one side refuses the other refuses too, with the same error (spec, sections 4, 7 and 19)."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from django_flare import (
    FlareConflictError,
    FlareError,
    FlareJobTypeError,
    FlareNotFoundError,
    FlareOptionError,
    FlarePayloadError,
    JobState,
    jobs,
)
from django_flare.models import Job
from tests.contract.support import ONCE, PLAIN, TYPED, UNKNOWN, Stage

SOON = dt.datetime(2030, 12, 1, 12, tzinfo=UTC)
NAIVE = dt.datetime(2030, 12, 1)  # noqa: DTZ001
BEYOND = dt.datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))
FAR = dt.datetime(2099, 1, 1, tzinfo=UTC)


def circular():
    value = {"a": []}
    value["a"].append(value)
    return value


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


# What is asked, then the place that the error names. Rows of the table of bad input stand in brackets.
PAYLOADS = [
    (PLAIN, {"a": "x\x00y"}, "payload.a"),  # 1
    (PLAIN, {"a\x00": 1}, "payload"),  # 2
    (PLAIN, {"a": ["\ud800"]}, "payload.a[0]"),  # 4
    (PLAIN, {"a": float("nan")}, "payload.a"),  # 6
    (PLAIN, {"a": [-float("inf")]}, "payload.a[0]"),  # 7
    (PLAIN, {"a": 2**63}, "payload.a"),  # 9
    (PLAIN, {"a": 10**5000}, "payload.a"),  # 10
    (PLAIN, {"a": nested(100)}, "payload"),  # 12
    (PLAIN, {"a": nested(2_000)}, "payload"),  # 13
    (PLAIN, {1: "a", "1": "b"}, "payload"),  # 18
    (PLAIN, {"a": {None: 1}}, "payload.a"),
    (PLAIN, {"a": {1, 2}}, "payload.a"),  # 19
    (PLAIN, {"a": b"x"}, "payload.a"),
    (PLAIN, {"a": object()}, "payload.a"),
    (PLAIN, {"a": 1j}, "payload.a"),
    (PLAIN, {"a": Job()}, "payload.a"),
    (PLAIN, circular(), "payload"),  # 20
    (PLAIN, [1], "payload"),  # 21
    (PLAIN, "text", "payload"),
    (PLAIN, True, "payload"),
    (PLAIN, Job(), "payload"),
    (TYPED, {}, "payload"),
    (TYPED, {"order_id": "7"}, "payload.order_id"),
    (TYPED, {"order_id": 7, "unknown": 1}, "payload"),
    (TYPED, {"order_id": 7, "lines": [{"sku": "a"}]}, "payload.lines[0]"),
    (TYPED, {"order_id": 7, "colour": "green"}, "payload.colour"),
]

OPTIONS = [
    *[({"queue": value}, "queue") for value in ("", "a b", "-a", "é", "a" * 101, "\x00", "\ud800", None, 5)],
    *[({"max_attempts": value}, "max_attempts") for value in (0, 101, 2.0, "2", True, None, 10**5000)],
    *[({"priority": value}, "priority") for value in (101, -101, 1.5, "5", True, float("nan"), Decimal(1))],
    *[({"timeout": timedelta(seconds=value)}, "timeout") for value in (0, 0.999, -1, 86_401)],
    *[({"timeout": value}, "timeout") for value in (60, "60", None, timedelta.max)],
    *[
        ({"tags": value}, "tags")
        for value in (
            ["a"],
            None,
            {"a": 1},
            {1: "a"},
            {"": "v"},
            {"k" * 65: ""},
            {"k": "v" * 201},
            {"a": "\x00"},
            {"a": "\ud800"},
            {str(number): "" for number in range(33)},
        )
    ],
    *[
        ({"idempotency_key": value}, "idempotency_key")
        for value in ("", "a b", "x" * 201, "é", "a\n", None, 5)
    ],
]

TIMES = [
    NAIVE,
    BEYOND,
    FAR,
    timedelta(days=3660),
    timedelta.max,
    5,
    "2030-12-01T12:00:00Z",
    None,
    SOON.date(),
]
PARENTS = [None, "", [], 5, b"x", {}, {UNKNOWN: 1}, [None], [5], [str(UUID(int=n)) for n in range(101)]]

FILTERS = [
    *[({"limit": value}, "limit") for value in (0, 101, "5", 5.0, True, None)],
    *[
        ({"cursor": value}, "cursor")
        for value in ("", "x", "é", "\ud800", "%%%", "a" * 10**6, "bnVsbA", "e30", 5)
    ],
    *[({"state": value}, "state") for value in ("", "done", "PENDING", 5, ["pending", "x"], [[]])],
    *[({"queue": value}, "queue") for value in ("a\x00", "\ud800", 5)],
    *[({"job_type": value}, "job_type") for value in ("\udfff", 5)],
    *[({"tags": value}, "tags") for value in ({"a": "\x00"}, {"a": 1}, "a:b", 5)],
    *[({name: value}, name) for name in ("created_after", "created_before") for value in (NAIVE, BEYOND, 5)],
]


def refused(kind, verb, *arguments, **options):
    """Return the error of a call that must make nothing."""
    with pytest.raises(kind) as caught:
        verb(*arguments, **options)
    assert not Job.objects.exists()
    return caught.value


def test_payloads(verbs):
    for job, payload, place in PAYLOADS:
        error = refused(FlarePayloadError, verbs.enqueue, job, payload)
        assert (error.code, error.details[0]["field"]) == ("invalid_payload", place), payload
        assert error.message.startswith(f"{place}: ")


def test_options(verbs):
    for options, name in OPTIONS:
        for verb, given in ((verbs.enqueue, None), (verbs.enqueue_many, [None])):
            error = refused(FlareOptionError, verb, PLAIN, given, **options)
            assert (error.code, error.details[0]["field"]) == ("invalid_option", name), options
            assert error.message.startswith(f"{name}: ")


def test_options_that_do_not_exist(verbs):
    for name, meant in (("prority", "priority"), ("tag", "tags"), ("when", "queue"), ("delay", "queue")):
        for verb, given in ((verbs.enqueue, {}), (verbs.enqueue_many, [{}])):
            assert meant in str(refused(TypeError, verb, PLAIN, given, **{name: 1}))


def test_times(verbs):
    for when in TIMES:
        error = refused(FlareOptionError, verbs.schedule, PLAIN, when=when)
        assert (error.code, error.details[0]["field"]) == ("invalid_option", "when"), when


def test_parents(verbs):
    for parents in PARENTS:
        error = refused(FlareOptionError, verbs.continue_with, parents, PLAIN)
        assert (error.code, error.details[0]["field"]) == ("invalid_option", "parents"), parents


def test_parents_that_are_unknown(verbs):
    for parents in (UNKNOWN, "nonsense", [UUID(UNKNOWN)], ["", UNKNOWN]):
        error = refused(FlareNotFoundError, verbs.continue_with, parents, PLAIN)
        assert error.code == "job_not_found"
        assert error.message.startswith("parents: no job")


def test_one_unknown_parent_among_known_ones(verbs):
    known = jobs.enqueue(PLAIN)
    with pytest.raises(FlareNotFoundError):
        verbs.continue_with([known, UNKNOWN], PLAIN)
    assert Job.objects.count() == 1


def test_job_types(verbs):
    for name in ("no.such.type", "", "os.system", "../plain", f"{PLAIN} ", "x\x00\ud800", "x" * 10**5):
        error = refused(FlareJobTypeError, verbs.enqueue, name)
        assert (error.code, isinstance(error, LookupError)) == ("job_type_not_registered", True)
    for job in (None, 5, b"plain", [PLAIN]):
        error = refused(FlareOptionError, verbs.enqueue, job)
        assert error.details[0]["field"] == "job"


def test_filters(verbs):
    for filters, name in FILTERS:
        error = refused(FlareOptionError, verbs.list_jobs, **filters)
        assert (error.code, error.details[0]["field"]) == ("invalid_option", name), filters


def test_a_cursor_for_other_filters(verbs):
    jobs.enqueue_many(PLAIN, [{}, {}])
    cursor = verbs.list_jobs(limit=1).next_cursor
    with pytest.raises(FlareOptionError, match="cursor: made for other filters"):
        verbs.list_jobs(limit=1, queue="default", cursor=cursor)


def test_ids_of_other_kinds(verbs):
    for value in (None, 5, 1.0, b"x", True, [], object()):
        for name in ("get_status", "cancel", "retry", "discard", "stop", "explain"):
            error = refused(FlareOptionError, getattr(verbs, name), value)
            assert error.details[0]["field"] == "job_id"


def test_others(verbs):
    assert refused(FlareOptionError, verbs.retry, UNKNOWN, revive=1).details[0]["field"] == "revive"
    for payloads in (None, 5):
        error = refused(FlareOptionError, verbs.enqueue_many, PLAIN, payloads)
        assert error.details[0]["field"] == "payloads"
    for name in ("", "a b", "é", None, 5, "../x"):
        for verb in (verbs.pause_queue, verbs.resume_queue):
            assert refused(FlareOptionError, verb, name).details[0]["field"] == "queue"


class TestIdempotency:
    """Section 7."""

    KEY = "order:7"

    def test_the_same_request_is_the_same_job(self, every_verbs):
        call = {"queue": "q", "priority": 3, "tags": {"a": "b", "c": "d"}, "timeout": timedelta(minutes=1.5)}
        first = every_verbs.enqueue(PLAIN, {"a": 1, "b": 2}, idempotency_key=self.KEY, **call)
        call["tags"] = {"c": "d", "a": "b"}
        assert every_verbs.enqueue(PLAIN, {"b": 2, "a": 1}, idempotency_key=self.KEY, **call) == first
        assert Job.objects.count() == 1

    def test_a_key_may_hold_commas(self, every_verbs):
        ids = {every_verbs.enqueue(PLAIN, idempotency_key=key) for key in ("k,k", "k", "k,k", ",")}
        assert len(ids) == Job.objects.count() == 3

    def test_so_are_one_with_a_moment_and_one_with_parents(self, verbs):
        parents = jobs.enqueue_many(PLAIN, [{}, {}])
        calls = [
            lambda: verbs.schedule(PLAIN, when=SOON, idempotency_key="a"),
            lambda: verbs.continue_with(parents, PLAIN, when=SOON, idempotency_key="b"),
            lambda: verbs.continue_with(parents[::-1], PLAIN, when=SOON, idempotency_key="b"),
        ]
        first = [call() for call in calls]
        assert [call() for call in calls] == first
        assert first[1] == first[2]

    @pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.SCHEDULED}))
    def test_it_does_not_matter_what_has_become_of_the_job(self, verbs, state):
        first = verbs.enqueue(PLAIN, queue="one", idempotency_key=self.KEY)
        Stage(verbs).bring(first, state)
        assert verbs.enqueue(PLAIN, queue="one", idempotency_key=self.KEY) == first

    def test_a_different_request_is_a_conflict(self, every_verbs):
        every_verbs.enqueue(PLAIN, {"a": 1}, queue="q", idempotency_key=self.KEY)
        different = [
            lambda: every_verbs.enqueue(PLAIN, {"a": 2}, queue="q", idempotency_key=self.KEY),
            lambda: every_verbs.enqueue(PLAIN, {"a": 1.0}, queue="q", idempotency_key=self.KEY),
            lambda: every_verbs.enqueue(ONCE, {"a": 1}, queue="q", idempotency_key=self.KEY),
            lambda: every_verbs.enqueue(PLAIN, {"a": 1}, queue="r", idempotency_key=self.KEY),
            lambda: every_verbs.enqueue(PLAIN, {"a": 1}, idempotency_key=self.KEY),
            lambda: every_verbs.schedule(PLAIN, {"a": 1}, when=SOON, queue="q", idempotency_key=self.KEY),
        ]
        for call in different:
            with pytest.raises(FlareConflictError) as caught:
                call()
            assert caught.value.code == "idempotency_key_reuse"
        assert Job.objects.count() == 1

    def test_many_may_make_their_keys_from_their_payloads(self, verbs):
        def many(numbers):
            payloads = [{"n": number} for number in numbers]
            return verbs.enqueue_many(PLAIN, payloads, idempotency_key=lambda each: f"n:{each['n']}")

        first = many([1, 2, 3])
        assert many([3, 2, 4])[:2] == [first[2], first[1]]
        assert Job.objects.count() == 4

    def test_one_key_for_many_equal_payloads_makes_one_job(self, verbs):
        ids = verbs.enqueue_many(PLAIN, [{"a": 1}] * 3, idempotency_key=self.KEY)
        assert (len(ids), len(set(ids))) == (3, 1)

    def test_one_key_for_different_payloads_makes_none(self, verbs):
        error = refused(
            FlareConflictError, verbs.enqueue_many, PLAIN, [{"a": 1}, {"a": 2}], idempotency_key=self.KEY
        )
        assert (error.code, error.details) == ("idempotency_key_reuse", [{"index": 1}])

    def test_without_a_key_two_calls_make_two_jobs(self, verbs):
        assert verbs.enqueue(PLAIN) != verbs.enqueue(PLAIN)
        assert len(set(verbs.enqueue_many(PLAIN, [{}, {}]))) == 2

    def test_calls_at_the_same_time_make_one_job(self, client):
        with ThreadPoolExecutor(8) as pool:
            calls = [
                pool.submit(client.enqueue, PLAIN, {"a": 1}, idempotency_key=self.KEY) for _ in range(16)
            ]
        assert len({call.result() for call in calls}) == 1
        assert Job.objects.count() == 1


def test_errors_over_http_say_where_they_come_from(client):
    for error in (
        refused(FlareError, client.enqueue, "no.such.type"),
        refused(FlareError, client.cancel, UNKNOWN),
        refused(FlareError, client.enqueue, PLAIN, {"a": "\x00"}),
    ):
        assert error.status_code in (400, 404)
        assert error.request_id

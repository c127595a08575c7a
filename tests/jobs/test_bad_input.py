"""Bad input to the verbs, the same answer on every database (spec, sections 4, 19 and 23).

The numbers are the rows of the table of bad input in the reliability document, as far as they concern
calls from Python. Every refusal names the field, comes before the first statement and writes nothing.
"""

import datetime as dt
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import partial
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.functional import lazystr

from django_flare import (
    FlareConflictError,
    FlareError,
    FlareJobTypeError,
    FlareNotFoundError,
    FlareOptionError,
    FlarePayloadError,
    jobs,
)
from django_flare.models import Job
from tests.support import Driver, make_job, row
from tests.testapp.jobs import Line, Order, plain, process_order

pytestmark = pytest.mark.django_db

SOON = dt.datetime(2026, 12, 1, 12, tzinfo=UTC)


def payload(value, handler=plain):
    return lambda: jobs.enqueue(handler, value)


def option(**options):
    return lambda: jobs.enqueue(plain, **options)


def when(value):
    return lambda: jobs.schedule(plain, when=value)


def parents(value):
    return lambda: jobs.continue_with(value, plain)


def listing(**filters):
    return lambda: jobs.list_jobs(**filters)


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


def circular():
    value = {"a": []}
    value["a"].append(value)
    return value


class Text(str):
    pass


@dataclass
class Loose:
    a: int = 1


def undecorated(payload): ...


def flat(count):
    return {str(number): number for number in range(count)}


# row of the table, call, the field that the message names
PAYLOADS = [
    ("1", payload({"a": "x\x00y"}), "payload.a"),
    ("1", payload({"a": [{"b": "\x00"}]}), "payload.a[0].b"),
    ("1", payload({"a": Text("\x00")}), "payload.a"),
    ("2", payload({"a\x00": 1}), "payload"),
    ("2", payload({"a": {"\x00": {}}}), "payload.a"),
    ("4", payload({"a": "\ud800"}), "payload.a"),
    ("4", payload({"a": "x\udfffy"}), "payload.a"),
    ("4", payload({"\ud83d": 1}), "payload"),
    ("6", payload({"a": float("nan")}), "payload.a"),
    ("7", payload({"a": float("inf")}), "payload.a"),
    ("7", payload({"a": [-float("inf")]}), "payload.a[0]"),
    ("8", payload({"a": 1e999}), "payload.a"),
    ("9", payload({"a": 10**400}), "payload.a"),
    ("9", payload({"a": 2**63}), "payload.a"),
    ("9", payload({"a": -(2**63) - 1}), "payload.a"),
    ("10", payload({"a": 10**5000}), "payload.a"),
    ("12", payload({"a": nested(100)}), "payload"),
    ("13", payload({"a": nested(2_000)}), "payload"),
    ("14", payload({"a": nested(500_000)}), "payload"),
    ("15", payload({"a": "x" * 2**20}), "payload"),
    ("15", payload({"a": "€" * (2**20 // 3)}), "payload"),
    ("15", payload({"a": "\n" * (2**19 + 1)}), "payload"),
    ("16", payload(flat(200_000)), "payload"),
    ("18", payload({1: "a", "1": "b"}), "payload"),
    ("18", payload({None: 1}), "payload"),
    ("18", payload({"a": {True: 1}}), "payload.a"),
    ("18", payload({"a": {(1, 2): 1}}), "payload.a"),
    ("19", payload({"a": {1, 2}}), "payload.a"),
    ("19", payload({"a": frozenset()}), "payload.a"),
    ("19", payload({"a": b"x"}), "payload.a"),
    ("19", payload({"a": bytearray(b"x")}), "payload.a"),
    ("19", payload({"a": SOON}), "payload.a"),
    ("19", payload({"a": SOON.date()}), "payload.a"),
    ("19", payload({"a": timedelta(1)}), "payload.a"),
    ("19", payload({"a": Decimal("1.5")}), "payload.a"),
    ("19", payload({"a": Fraction(1, 2)}), "payload.a"),
    ("19", payload({"a": 1j}), "payload.a"),
    ("19", payload({"a": UUID(int=1)}), "payload.a"),
    ("19", payload({"a": Job()}), "payload.a"),
    ("19", payload({"a": Job.objects.all()}), "payload.a"),
    ("19", payload({"a": lazystr("x")}), "payload.a"),
    ("19", payload({"a": object()}), "payload.a"),
    ("19", payload({"a": len}), "payload.a"),
    ("19", payload({"a": iter([1])}), "payload.a"),
    ("19", payload({"a": range(3)}), "payload.a"),
    ("19", payload({"a": Loose()}), "payload.a"),
    ("20", payload(circular()), "payload"),
    ("21", payload([1]), "payload"),
    ("21", payload("text"), "payload"),
    ("21", payload(1), "payload"),
    ("21", payload(True), "payload"),
    ("21", payload(b"{}"), "payload"),
    ("21", payload([("a", 1)]), "payload"),
    ("21", payload(Loose()), "payload"),
    ("typed", payload({}, process_order), "payload"),
    ("typed", payload({"order_id": "7"}, process_order), "payload.order_id"),
    ("typed", payload({"order_id": 7.0}, process_order), "payload.order_id"),
    ("typed", payload({"order_id": True}, process_order), "payload.order_id"),
    ("typed", payload({"order_id": None}, process_order), "payload.order_id"),
    ("typed", payload({"order_id": 2**64}, process_order), "payload.order_id"),
    ("typed", payload({"order_id": 1, "unknown": 1}, process_order), "payload"),
    ("typed", payload({"order_id": 1, "lines": [{"sku": "a"}]}, process_order), "payload.lines[0]"),
    (
        "typed",
        payload({"order_id": 1, "lines": [{"sku": 1, "count": 1}]}, process_order),
        "payload.lines[0].sku",
    ),
    ("typed", payload({"order_id": 1, "lines": {}}, process_order), "payload.lines"),
    ("typed", payload({"order_id": 1, "due": "never"}, process_order), "payload.due"),
    ("typed", payload({"order_id": 1, "colour": "green"}, process_order), "payload.colour"),
    (
        "typed",
        payload({"order_id": 1, "lines": [{"sku": "\x00", "count": 1}]}, process_order),
        "payload.lines[0].sku",
    ),
    ("typed", payload(Order("7"), process_order), "payload.order_id"),
    ("typed", payload(Order(1, [Line("\ud800", 1)]), process_order), "payload.lines[0].sku"),
    ("typed", payload(Loose(), process_order), "payload"),
    ("typed", payload("text", process_order), "payload"),
    ("typed", payload([1], process_order), "payload"),
]

OPTIONS = [
    ("3", option(queue="a\x00"), "queue"),
    ("3", option(tags={"a\x00": "b"}), "tags"),
    ("3", option(tags={"a": "b\x00"}), "tags"),
    ("3", option(idempotency_key="a\x00"), "idempotency_key"),
    ("5", option(queue="\ud800"), "queue"),
    ("5", option(tags={"a": "\udfff"}), "tags"),
    ("37", option(queue=""), "queue"),
    ("37", option(queue=" "), "queue"),
    ("37", option(queue=None), "queue"),
    ("37", option(queue=5), "queue"),
    ("37", option(queue=b"q"), "queue"),
    ("37", option(queue=["q"]), "queue"),
    ("38", option(queue="a" * 101), "queue"),
    ("38", option(queue="a" * 10**7), "queue"),
    *[("39", option(queue=f"a{letter}b"), "queue") for letter in ",/\n\r\t\x01\x7f\u202e *?;'\"%\\"],
    ("39", option(queue="-a"), "queue"),
    ("39", option(queue="a\n"), "queue"),
    ("40", option(queue="é"), "queue"),
    ("40", option(queue="e\u0301"), "queue"),
    ("40", option(queue="a "), "queue"),
    ("40", option(queue="１"), "queue"),
    ("49", option(tags=["a"]), "tags"),
    ("49", option(tags="a"), "tags"),
    ("49", option(tags=None), "tags"),
    ("49", option(tags=[("a", "b")]), "tags"),
    ("49", option(tags={"a": 1}), "tags"),
    ("49", option(tags={"a": None}), "tags"),
    ("49", option(tags={"a": ["b"]}), "tags"),
    ("49", option(tags={1: "a"}), "tags"),
    ("50", option(tags={str(number): "" for number in range(33)}), "tags"),
    ("50", option(tags={"k" * 65: ""}), "tags"),
    ("50", option(tags={"k": "v" * 201}), "tags"),
    ("50", option(tags={"": "v"}), "tags"),
    *[
        ("53", option(priority=value), "priority")
        for value in (
            101,
            -101,
            40_000,
            10**30,
            10**5000,
            1.5,
            1.0,
            "5",
            True,
            None,
            float("nan"),
            Decimal(1),
        )
    ],
    *[
        ("54", option(max_attempts=value), "max_attempts")
        for value in (0, -1, 101, 10**6, 10**5000, 2.0, "2", None, True, float("inf"))
    ],
    *[
        ("63", option(timeout=value), "timeout")
        for value in (
            timedelta(0),
            timedelta(seconds=-1),
            timedelta(seconds=0.999),
            timedelta(hours=24, microseconds=1),
            timedelta.max,
            timedelta.min,
            60,
            60.0,
            "60",
            True,
            None,
            float("nan"),
        )
    ],
    *[
        ("69", option(idempotency_key=value), "idempotency_key")
        for value in (
            "",
            " ",
            "a b",
            "x" * 201,
            "x" * 10**6,
            "é",
            "a\n",
            "\x7f",
            5,
            None,
            b"k",
            ["k"],
            UUID(int=1),
        )
    ],
    *[
        ("56", when(value), "when")
        for value in (
            float("nan"),
            float("inf"),
            1e18,
            5,
            "5 min",
            "2026-12-01T12:00:00Z",
            True,
            None,
            SOON.date(),
        )
    ],
    ("56", when(timedelta.max), "when"),
    ("56", when(timedelta(days=3660)), "when"),
    ("58", when(dt.datetime(2026, 12, 1)), "when"),  # noqa: DTZ001
    ("58", when(dt.datetime.max), "when"),  # noqa: DTZ901
    ("60", when(dt.datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))), "when"),
    ("60", when(dt.datetime(9999, 12, 31, tzinfo=UTC)), "when"),
    ("60", when(dt.datetime(2037, 12, 31, tzinfo=UTC)), "when"),
    ("61", when(dt.datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))), "when"),
    ("58", lambda: jobs.continue_with(str(uuid4()), plain, when=dt.datetime(2026, 12, 1)), "when"),  # noqa: DTZ001
    ("56", lambda: jobs.continue_with(str(uuid4()), plain, when=5), "when"),
    *[
        ("66", parents(value), "parents")
        for value in (None, "", [], (), set(), 5, 5.0, True, b"x", {}, {"a": 1}, [None], [5], [[]], object())
    ],
    ("66", parents([str(uuid4()) for _ in range(101)]), "parents"),
    ("36", lambda: jobs.enqueue(None), "job"),
    ("36", lambda: jobs.enqueue(5), "job"),
    ("36", lambda: jobs.enqueue(b"plain"), "job"),
    ("36", lambda: jobs.enqueue(["plain"]), "job"),
    ("36", lambda: jobs.enqueue(partial(plain)), "job"),
    ("76", lambda: jobs.retry(str(uuid4()), revive=1), "revive"),
    ("76", lambda: jobs.retry(str(uuid4()), revive="yes"), "revive"),
    ("76", lambda: jobs.retry(str(uuid4()), revive=None), "revive"),
    *[
        ("47", partial(verb, value), "job_id")
        for verb in (jobs.cancel, jobs.retry, jobs.discard, jobs.get_status)
        for value in (None, 5, -1, 10**23, 1.0, b"x", True, [], object())
    ],
    *[("46", listing(limit=value), "limit") for value in (0, -1, 101, 10**9, 10**5000, "5", 5.0, None, True)],
    *[
        ("46", listing(cursor=value), "cursor")
        for value in ("", "x", "é", "\ud800", "%%%", "a" * 10**6, "bnVsbA", "e30", 5, b"x", ["x"])
    ],
    *[
        ("45", listing(state=value), "state")
        for value in ("", "done", "PENDING", 5, ["pending", "x"], [[]], b"x")
    ],
    *[("42", listing(queue=value), "queue") for value in ("\x00", "a\x00", "\ud800", 5, b"q", ["q"])],
    *[("42", listing(job_type=value), "job_type") for value in ("\x00", "\udfff", 5, b"q")],
    *[
        ("42", listing(tags=value), "tags")
        for value in ({"a": "\x00"}, {"\x00": "a"}, {"a": "\ud800"}, {"a": 1}, "a:b", ["a"], 5, {1: "a"})
    ],
    *[
        ("61", listing(**{name: value}), name)
        for name in ("created_after", "created_before")
        for value in (
            dt.datetime(2026, 1, 1),  # noqa: DTZ001
            SOON.date(),
            "2026-01-01T00:00:00Z",
            5,
            timedelta(1),
            dt.datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
            dt.datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        )
    ],
    ("86", lambda: jobs.enqueue_many(plain, None), "payloads"),
    ("86", lambda: jobs.enqueue_many(plain, 5), "payloads"),
]

JOB_TYPES = [
    ("35", lambda: jobs.enqueue("no.such.type")),
    ("36", lambda: jobs.enqueue("")),
    ("36", lambda: jobs.enqueue("os.system")),
    ("36", lambda: jobs.enqueue("tests.support.make_job")),
    ("36", lambda: jobs.enqueue("../plain")),
    ("36", lambda: jobs.enqueue("__class__")),
    ("36", lambda: jobs.enqueue("tests.testapp.jobs.Plain")),
    ("36", lambda: jobs.enqueue("tests.testapp.jobs.plain ")),
    ("36", lambda: jobs.enqueue("x\x00\ud800")),
    ("36", lambda: jobs.enqueue("x" * 10**6)),
    ("36", lambda: jobs.enqueue(undecorated)),
    ("36", lambda: jobs.enqueue(len)),
    ("36", lambda: jobs.enqueue(lambda payload: None)),
    ("36", lambda: jobs.enqueue(type("Child", (jobs.JobRequest,), {}))),
    ("36", lambda: jobs.enqueue_many("no.such.type", [{}])),
    ("36", lambda: jobs.schedule("no.such.type", when=SOON)),
    ("36", lambda: jobs.continue_with(str(uuid4()), "no.such.type")),
]

UNKNOWN_OPTIONS = [
    ("33", option(prority=1), "priority"),
    ("33", option(max_attempt=1), "max_attempts"),
    ("33", option(tag={}), "tags"),
    ("33", option(**{"": 1}), "queue"),
    ("34", option(id="x"), "id"),
    ("34", option(state="succeeded"), "state"),
    ("34", option(attempt=3), "attempt"),
    ("34", option(fence=3), "fence"),
    ("34", option(worker_id="w"), "worker_id"),
    ("34", option(depth=3), "depth"),
    ("57", option(when=SOON), "when"),
    ("57", option(delay=5), "delay"),
    ("57", option(parents=[]), "parents"),
    ("33", lambda: jobs.enqueue_many(plain, [{}], prority=1), "priority"),
    ("33", lambda: jobs.schedule(plain, when=SOON, prority=1), "priority"),
    ("76", lambda: jobs.cancel("x", force=True), "force"),
    ("76", lambda: jobs.retry("x", again=True), "again"),
    ("45", listing(ordering="payload__password"), "ordering"),
    ("45", listing(payload__a=1), "payload__a"),
]


def refused(call, kind):
    """Return the error of a call, which must have come before any statement."""
    with CaptureQueriesContext(connection) as captured, pytest.raises(kind) as caught:
        call()
    assert captured.captured_queries == []
    assert not Job.objects.exists()
    return caught.value


def numbered(rows):
    return [pytest.param(*row[1:], id=f"{row[0]}-{number}") for number, row in enumerate(rows)]


@pytest.mark.parametrize(("call", "field"), numbered(PAYLOADS))
def test_a_bad_payload_is_refused(call, field):
    error = refused(call, FlarePayloadError)
    assert (error.code, isinstance(error, ValueError)) == ("invalid_payload", True)
    assert error.details[0]["field"] == field
    assert error.message.startswith(f"{field}: ")
    assert len(error.message) < 1_000
    error.message.encode()


@pytest.mark.parametrize(("call", "field"), numbered(OPTIONS))
def test_a_bad_option_is_refused(call, field):
    error = refused(call, FlareOptionError)
    assert (error.code, isinstance(error, ValueError)) == ("invalid_option", True)
    assert error.details[0]["field"] == field
    assert error.message.startswith(f"{field}: ")
    assert len(error.message) < 1_000
    error.message.encode()


@pytest.mark.parametrize("call", numbered(JOB_TYPES))
def test_an_unregistered_job_type_is_refused(call):
    error = refused(call, FlareJobTypeError)
    assert (error.code, isinstance(error, LookupError)) == ("job_type_not_registered", True)
    assert len(error.message) < 2_000
    error.message.encode()


@pytest.mark.parametrize(("call", "named"), numbered(UNKNOWN_OPTIONS))
def test_an_unknown_argument_is_a_type_error(call, named):
    error = refused(call, TypeError)
    assert not isinstance(error, FlareError)
    assert named in str(error)


@pytest.mark.parametrize("unknown", ["x", "\x00", "\ud800", "x" * 10**6, "٣" * 36, "{}", "1.0"])
def test_a_parent_that_is_no_id_is_not_found(unknown):
    """65."""
    for value in (unknown, [unknown], [UUID(int=1), unknown]):
        error = refused(parents(value), FlareNotFoundError)
        assert error.message.startswith("parents: ")
        assert len(error.message) < 1_000
        error.message.encode()


def test_the_message_names_the_bound_and_not_the_whole_value():
    assert refused(option(queue="a" * 140), FlareOptionError).message == "queue: 140 characters, at most 100"


@pytest.mark.parametrize("index", [0, 37, 99])
@pytest.mark.parametrize("bad", [{"a": "\x00"}, {"a": float("nan")}, [1], "text", {1: 1}, {"a": 2**63}])
def test_one_bad_payload_among_many_refuses_all_and_is_named(index, bad):
    """86."""
    payloads = [{"n": number} for number in range(100)]
    payloads[index] = bad
    error = refused(lambda: jobs.enqueue_many(plain, payloads), FlarePayloadError)
    assert {"index": index} in error.details


def test_many_jobs_with_a_bad_option_are_refused():
    error = refused(lambda: jobs.enqueue_many(plain, [{}, {}], priority=1000), FlareOptionError)
    assert error.message.startswith("priority: ")


# What looks bad and is not

GOOD_PAYLOADS = [
    ({"a": 2**53 + 1}, {"a": 2**53 + 1}),
    ({"a": (1, (2,))}, {"a": [1, [2]]}),
    ({"a": nested(99)}, {"a": nested(99)}),
    (None, {}),
    ({}, {}),
    (OrderedDict(a=1), {"a": 1}),
    (UserDict(a=1), {"a": 1}),
    ({Text("k"): Text("v")}, {"k": "v"}),
    ({"\\u0000": "\\u0000 \\ud800"}, {"\\u0000": "\\u0000 \\ud800"}),
    ({"a": "\x01\x1f\x7f\ufffe\U0010ffff"}, {"a": "\x01\x1f\x7f\ufffe\U0010ffff"}),
    ({"a": "'; DROP TABLE job; -- %s %(x)s {0}"}, {"a": "'; DROP TABLE job; -- %s %(x)s {0}"}),
    ({"a": "</script><svg onload=x>"}, {"a": "</script><svg onload=x>"}),
    ({"__proto__": {"constructor": 1}}, {"__proto__": {"constructor": 1}}),
    ({"a": 5e-324, "b": 1.5e15}, {"a": 5e-324, "b": 1.5e15}),
    ({"a": flat(20_000)}, {"a": flat(20_000)}),
]


@pytest.mark.parametrize(("given", "stored"), GOOD_PAYLOADS, ids=range(len(GOOD_PAYLOADS)))
def test_a_payload_that_only_looks_bad_is_stored(given, stored):
    assert row(jobs.enqueue(plain, given)).payload == stored
    assert jobs.get_status(Job.objects.get().public_id).as_dict()["payload"] == stored


def test_a_mutable_payload_is_copied():
    given = {"a": [1]}
    job = jobs.enqueue(plain, given)
    given["a"].append(2)
    assert row(job).payload == {"a": [1]}


# Conflicts and states (68, 70-72, 74, 75)


def test_a_key_with_another_body_is_a_conflict():
    jobs.enqueue(plain, {"a": 1}, idempotency_key="K")
    for other in ({"a": 1.0}, {"a": 2}, {}):
        with pytest.raises(FlareConflictError) as caught:
            jobs.enqueue(plain, other, idempotency_key="K")
        assert caught.value.code == "idempotency_key_reuse"


@pytest.mark.parametrize(
    ("verb", "steps"),
    [
        (jobs.cancel, ("start", "succeed", "fail", "discard")),
        (jobs.retry, ("start", "succeed", "snooze", "release")),
        (jobs.discard, ("start", "succeed", "discard", "snooze")),
    ],
)
def test_a_state_that_forbids_it_is_false_and_no_error(verb, steps, clock):
    driver = Driver()
    for step in steps:
        job = make_job()
        getattr(driver, step)(job)
        assert verb(job) is False

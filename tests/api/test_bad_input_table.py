"""The table of bad input, row by row: each gets its one answer, the same on every database.

A row may stand for several requests. `test_bad_input` goes further into single fields, and the rows that no
request can bring about are in `tests/jobs/test_bad_input`.
"""

import json

import pytest

from django_flare import jobs
from django_flare.lifecycle.create import MAX_DEPTH
from django_flare.models import Job
from tests.api.support import error
from tests.support import Driver, force, make_job

pytestmark = pytest.mark.django_db

PLAIN = "tests.testapp.jobs.plain"
UNKNOWN = "00000000-0000-7000-8000-000000000000"


def post(data, path="v1/jobs", **options):
    """Ask for a job with these bytes, or these members."""
    return "POST", path, {"data": data if isinstance(data, str | bytes) else json.dumps(data), **options}


def job(**fields):
    """Ask for a job with these fields."""
    return post({"job_type": PLAIN, **fields})


def payload(text):
    """Ask for a job with a payload that is this text."""
    return post(f'{{"job_type": "{PLAIN}", "payload": {text}}}')


def get(path, **options):
    return "GET", path, options


def listed(query):
    return get(f"v1/jobs?{query}")


def batch(*items):
    return post({"jobs": list(items)}, "v1/jobs/batch")


def control(verb, prepare, **options):
    """Ask for the verb on a job that `prepare` brings about."""
    return lambda api: ("POST", f"v1/jobs/{prepare()}/{verb}", options)


def ended(verb, **options):
    """Return what makes a job and ends its first run by the driver's `verb`."""

    def prepare():
        made = make_job(**options)
        getattr(Driver(), verb)(made)
        return made

    return prepare


def cancelled():
    made = make_job()
    jobs.cancel(made)
    return made


def at_the_depth_allowed():
    made = make_job()
    force(made, depth=MAX_DEPTH - 1)
    return made


def child_of(prepare):
    return lambda api: job(parent_job_id=prepare())


def after(first, second):
    """Ask the first, then return the second."""

    def ask(api):
        method, path, options = first
        assert api.ask(method, path, **options).status_code == 201
        return second

    return ask


def keyed(key="k", **fields):
    return post({"job_type": PLAIN, **fields}, Idempotency_Key=key)


def every(expected, *requests):
    return [(request, *expected) for request in requests]


CREATED, GONE = (201, None), (404, "job_not_found")
BAD_PAYLOAD, BAD_OPTION = (400, "invalid_payload"), (400, "invalid_option")
BAD_REQUEST, MALFORMED = (400, "invalid_request"), (400, "malformed_json")
TOO_LARGE, BAD_TYPE = (413, "payload_too_large"), (400, "job_type_not_registered")
UNSUPPORTED, WRONG_STATE = (415, "unsupported_media_type"), (409, "invalid_state")
REUSED, WRONG_METHOD = (409, "idempotency_key_reuse"), (405, "method_not_allowed")

ROWS = {
    1: every(BAD_PAYLOAD, payload('{"a": "\\u0000"}')),
    2: every(BAD_PAYLOAD, payload('{"\\u0000": 1}')),
    3: [
        *every(BAD_OPTION, *(job(**{name: "\0"}) for name in ("queue", "idempotency_key"))),
        *every(BAD_OPTION, job(tags={"a": "\0"}), job(tags={"\0": "a"})),
        *every(BAD_TYPE, post({"job_type": "\0"})),
    ],
    4: every(BAD_PAYLOAD, payload('{"a": "\\ud800"}'), payload('{"\\udfff": 1}')),
    5: every(BAD_OPTION, job(queue="\ud800")),
    6: every(MALFORMED, payload('{"a": NaN}')),
    7: every(MALFORMED, payload('{"a": Infinity}'), payload('{"a": -Infinity}')),
    8: every(BAD_PAYLOAD, payload('{"a": 1e999}')),
    9: every(BAD_PAYLOAD, payload(f'{{"a": {"9" * 400}}}')),
    10: every(BAD_PAYLOAD, payload(f'{{"a": {"9" * 5_000}}}')),
    11: every(CREATED, job(payload={"a": 2**53 + 1})),
    12: every(BAD_PAYLOAD, payload('{"a": ' * 101 + "1" + "}" * 101)),
    13: every(BAD_PAYLOAD, payload('{"a": ' + "[" * 2_000 + "]" * 2_000 + "}")),
    14: every(BAD_PAYLOAD, payload('{"a": ' + "[" * 500_000 + "]" * 500_000 + "}")),
    15: every(TOO_LARGE, post(" " * 20_000_000), post(" " * 20_000_000, "v1/jobs/batch")),
    # Keys are not counted: the bound on the payload's bytes leaves room for about 130,000.
    16: every(
        TOO_LARGE,
        job(payload=dict.fromkeys(map(str, range(200_000)), 0)),
        batch({"job_type": PLAIN, "payload": dict.fromkeys(map(str, range(200_000)), 0)}),
    ),
    17: every(BAD_REQUEST, payload('{"a": 1, "a": 1}'), post('{"job_type": "a", "job_type": "b"}')),
    21: every(BAD_PAYLOAD, *map(payload, ("[]", '"a"', "1", "true"))),
    22: [*every(BAD_PAYLOAD, payload("null")), *every(CREATED, job())],
    23: [*every(MALFORMED, post("")), *every(BAD_REQUEST, post({}))],
    24: every(MALFORMED, post("abc"), post('{"job_type": ')),
    25: every(MALFORMED, post(b'{"job_type": "\xff"}')),
    26: every(MALFORMED, post('{"a": 1}'.encode("utf-16")), post(b"\xef\xbb\xbf{}")),
    27: every(UNSUPPORTED, post("{}", content_type="application/json; charset=bogus")),
    28: every(UNSUPPORTED, post("{}", content_type="text/plain"), post("<a/>", content_type="text/xml")),
    29: every(
        UNSUPPORTED,
        post(f"job_type={PLAIN}", content_type="application/x-www-form-urlencoded"),
        post("--x--", content_type="multipart/form-data; boundary=x"),
    ),
    30: every((406, "not_acceptable"), get("v1/jobs", Accept="application/xml")),
    31: every(UNSUPPORTED, post(b"\x1f\x8b", Content_Encoding="gzip")),
    32: [
        *every(BAD_REQUEST, post("{}", Content_Length="x")),
        *every(TOO_LARGE, post("{}", Content_Length="9" * 15)),
    ],
    33: every(BAD_REQUEST, job(colour="red")),
    34: every(BAD_REQUEST, *(job(**{name: 1}) for name in ("id", "state", "attempt", "fence"))),
    35: every(BAD_TYPE, post({"job_type": "nobody.knows.it"})),
    36: every(BAD_TYPE, *(post({"job_type": name}) for name in ("os.system", "../x", "__class__"))),
    37: every(BAD_OPTION, job(queue=""), job(queue="  ")),
    38: every(BAD_OPTION, job(queue="a" * 101)),
    39: every(BAD_OPTION, *(job(queue=name) for name in ("a,b", "a/b", "a\nb", "a\x1b", "\u202ea", "-a"))),
    40: every(BAD_OPTION, job(queue="\xe9"), job(queue="e\u0301"), job(queue="a ")),
    41: every((200, None), *(listed(f"queue={name}") for name in ("%25", "_", "%5C"))),
    42: every(BAD_OPTION, listed("queue=%00"), listed("job_type=%00"), listed("tag=a:%00")),
    43: every(BAD_REQUEST, listed("queue=%ff")),
    44: every(BAD_REQUEST, listed("&".join(["state=pending"] * 10_000)), listed("queue=" + "a" * 1_000_000)),
    45: every(BAD_REQUEST, listed("ordering=payload__password"), listed("colour=red")),
    46: every(BAD_OPTION, *map(listed, ("limit=0", "limit=-1", "limit=1e9", "limit=abc", "cursor=abc"))),
    47: every(GONE, *(get(f"v1/jobs/{each}") for each in ("1", "9" * 23, "-1", "1.0", "١"))),
    48: every(GONE, get(f"v1/jobs/{UNKNOWN}")),
    49: every(BAD_OPTION, *(job(tags=each) for each in ("a", [], {"a": {}}, {"a": None}, {"a": 1}))),
    50: every(BAD_OPTION, job(tags={str(n): "" for n in range(33)}), job(tags={"a" * 65: ""})),
    # Tags are pairs of any text: nothing in them means anything to us.
    51: every(CREATED, job(tags={"a": "x", "A": "x"})),
    52: every(CREATED, job(tags={"a,b": "\r\n", "<script>": "</script>"})),
    53: every(BAD_OPTION, *(job(priority=each) for each in (40_000, 10**30, 1.5, "5", True))),
    54: every(BAD_OPTION, *(job(max_attempts=each) for each in (0, -1, 10**6, 2.0, None))),
    # Who wants a delay says `run_at`.
    55: every(BAD_REQUEST, job(delay=-1)),
    56: every(BAD_REQUEST, job(delay="5 min")),
    57: every(BAD_REQUEST, job(delay=5, run_at="2030-01-01T00:00:00Z")),
    58: every(BAD_OPTION, job(run_at="2030-01-01T00:00:00")),
    59: every(CREATED, job(run_at="2020-01-01T00:00:00Z")),
    60: every(BAD_OPTION, job(run_at="9999-12-31T23:00:00-05:00")),
    61: every(
        BAD_OPTION,
        job(run_at="0001-01-01T00:00:00+05:00"),
        job(run_at="10000-01-01T00:00:00Z"),
        job(run_at="2030-02-30T00:00:00Z"),
        job(run_at=1_900_000_000),
        job(run_at="2030-01-01T00:00:60Z"),
    ),
    62: every(BAD_OPTION, job(run_at="2030-03-31T02:30:00 Europe/Berlin")),
    63: every(BAD_OPTION, *(job(timeout_seconds=each) for each in (0, -1, 86_401, True))),
    # Not an option of a call.
    64: every(BAD_REQUEST, job(backoff={"base": 0})),
    65: every(GONE, job(parent_job_id=UNKNOWN), job(parent_job_ids=["1"])),
    66: every(BAD_OPTION, *(job(parent_job_ids=each) for each in (None, "", []))),
    67: every(BAD_OPTION, child_of(at_the_depth_allowed)),
    68: every(CREATED, *map(child_of, (ended("succeed"), ended("fail", max_attempts=1), cancelled))),
    69: every(BAD_OPTION, *map(keyed, ("", "a" * 256, "\xe9", "  ", "a\0", "a, b", "k,k", "k,", ","))),
    70: [
        *every(CREATED, after(keyed(payload={"a": 1, "b": 2}), keyed(payload={"b": 2, "a": 1}))),
        *every(REUSED, after(keyed(payload={"a": 1}), keyed(payload={"a": 1.0}))),
    ],
    71: every(REUSED, after(keyed(payload={"a": 1}), keyed(payload={"a": 2}))),
    74: every(
        WRONG_STATE,
        *(control("cancel", each) for each in (ended("start"), ended("succeed"), ended("fail"), cancelled)),
    ),
    75: every(
        WRONG_STATE,
        *(control("retry", each) for each in (make_job, ended("start"), ended("succeed"), cancelled)),
    ),
    76: every(
        BAD_REQUEST,
        control("cancel", make_job, data="{}"),
        control("retry", make_job, data='{"force": true}'),
        control("cancel?force=1", make_job),
    ),
    80: every(WRONG_METHOD, *((method, "v1/jobs", {}) for method in ("PUT", "DELETE", "TRACE"))),
    81: every(
        (401, "unauthorized"),
        *(get("v1/jobs", Authorization=each) for each in ("", "Token x", "Bearer " + "x" * 10_000, "\xe9")),
    ),
    86: [
        *every(BAD_REQUEST, batch(), batch(*[{"job_type": PLAIN}] * 1001)),
        *every(BAD_OPTION, batch(*[{"job_type": PLAIN}] * 99, {"job_type": PLAIN, "queue": "-"})),
    ],
}
IN_PYTHON_ALONE = {18, 19, 20, 77, 78, 79, 87, 88}
ELSEWHERE = {
    72: "test_replay, a twin that does not end",
    73: "test_replay, another API key",
    82: "test_access, every scope on every method of every path",
    83: "test_limits",
    84: "test_hosts, a database that is down",
    85: "test_replay, a database that is busy; test_database_load, a search that takes too long",
}
EACH = [(number, *each) for number, several in ROWS.items() for each in several]


def test_every_row_has_its_place():
    assert sorted([*ROWS, *IN_PYTHON_ALONE, *ELSEWHERE]) == list(range(1, 89))


@pytest.mark.parametrize(
    ("number", "request_", "status", "code"), EACH, ids=[f"{row}-{n}" for n, (row, *_) in enumerate(EACH)]
)
def test_a_row(api, number, request_, status, code):
    method, path, options = request_(api) if callable(request_) else request_
    there = Job.objects.count()
    answer = api.ask(method, path, **options)
    if code is None:
        assert answer.status_code == status, answer.content
    else:
        assert error(answer) == (status, code)
        assert Job.objects.count() == there

"""What the API refuses, and how: the same on every database, before anything is written."""

import json
from io import BytesIO

import pytest

from django_flare.models import Job
from django_flare.operations import NAME
from tests.api.support import error, reasons
from tests.support import make_job

pytestmark = pytest.mark.django_db

PLAIN = "tests.testapp.jobs.plain"
JSON = "application/json"


def body(**fields):
    return json.dumps({"job_type": PLAIN, **fields})


def raw(name, text):
    """Return a create body in which the field `name` is the JSON `text`."""
    return f'{{"job_type": "{PLAIN}", "{name}": {text}}}'


MALFORMED = {
    "empty": "",
    "not JSON": "abc",
    "truncated": body()[:-1],
    "twice": body() + body(),
    "a trailing comma": '{"job_type": "x",}',
    "single quotes": "{'job_type': 'x'}",
    "a comment": "{} // x",
    "NaN": raw("payload", '{"x": NaN}'),
    "Infinity": raw("payload", '{"x": Infinity}'),
    "-Infinity": raw("payload", '{"x": -Infinity}'),
    "invalid UTF-8": b'{"job_type": "\xff"}',
    "an encoded surrogate": b'{"job_type": "\xed\xa0\x80"}',
    "UTF-16": body().encode("utf-16"),
    "UTF-32": body().encode("utf-32-le"),
    "a byte order mark": b"\xef\xbb\xbf" + body().encode(),
    "a string of escapes that does not end": "[]" * 200 + '"' + '\\"' * 400_000,
    "a string that ends in an escape": "[]" * 200 + '"\\',
    "a control character": '{"job_type": "\x01"}',
}
OPTIONS = {
    "queue": [
        "",
        " ",
        "a b",
        "a" * 101,
        "a,b",
        "a/b",
        "a\nb",
        "\u202ea",
        "-a",
        "é",
        "e\u0301",
        "a ",
        "\0",
        "\ud800",
        None,
        1,
        True,
        ["a"],
        {},
    ],
    "priority": [40_000, 10**30, 1.5, "5", True, None, -101, 101, []],
    "max_attempts": [0, -1, 10**6, 2.0, None, True, "3", 101],
    "timeout_seconds": [0, -1, 86_401, True, "60", None, 1e308, 0.5, 10**30, []],
    "tags": [
        None,
        [],
        "a",
        1,
        {"a": 1},
        {"a": None},
        {"a": {}},
        {"": "x"},
        {"k" * 65: "x"},
        {"k": "v" * 201},
        {str(n): "" for n in range(33)},
        {"a": "\0"},
        {"\ud800": ""},
    ],
    "run_at": [
        "now",
        "2030-01-01T00:00:00",
        "2030-01-01",
        "9999-12-31T23:00:00-05:00",
        "0001-01-01T00:00:00+05:00",
        "10000-01-01T00:00:00Z",
        "2030-02-30T00:00:00Z",
        1_900_000_000,
        "2030-01-01T00:00:60Z",
        "",
        None,
        True,
        "2030-01-01T00:00:00 Europe/Berlin",
        "2030-01-01T24:00:01Z",
        "2030-01-01T00:00:00+25:00",
        "٢٠٣٠-01-01T00:00:00Z",
        "2030-1-1T0:0:0Z",
        "+2030-01-01T00:00:00Z",
        "2200-01-01T00:00:00Z",
    ],
    "idempotency_key": ["", " ", "a b", "a" * 201, "é", "\0", "a\n", None, 1, []],
    "parent_job_ids": [None, [], "", [""], [None], [1], {}, 1],
    "parent_job_id": [None, "", 1, []],
}
PAYLOADS = {
    "NUL": '{"a": "\\u0000"}',
    "NUL in a key": '{"\\u0000": 1}',
    "a lone surrogate": '{"a": "\\ud800"}',
    "a lone surrogate in a key": '{"\\udfff": 1}',
    "1e999": '{"a": 1e999}',
    "2^63": '{"a": 9223372036854775808}',
    "-2^63-1": '{"a": -9223372036854775809}',
    "400 digits": f'{{"a": {"9" * 400}}}',
    "5,000 digits": f'{{"a": -{"9" * 5000}}}',
    "101 levels": '{"a": ' * 101 + "1" + "}" * 101,
    "2,000 levels": '{"a": ' + "[" * 2000 + "]" * 2000 + "}",
    "500,000 levels": '{"a": ' + "[" * 500_000 + "]" * 500_000 + "}",
    "200 levels after 20,000 of one": '{"a": [' + "[]," * 20_000 + "[" * 200 + "]" * 200 + "]}",
    "500,000 levels that do not close": '{"a": ' + "[" * 500_000,
    "an array": "[]",
    "a string": '"a"',
    "a number": "1",
    "true": "true",
    "null": "null",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("path", ["v1/jobs", "v1/jobs/batch"])
def test_malformed_json(api, path, data):
    assert error(api.post(path, data=data)) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, several in OPTIONS.items() for value in several]
)
def test_a_bad_option(api, field, value):
    answer = api.post("v1/jobs", {"job_type": PLAIN, field: value})
    assert error(answer) == (400, "invalid_option")
    assert reasons(answer)[0][0] in (field, "parent_job_ids")
    assert not Job.objects.exists()


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_bad_payload(api, payload):
    answer = api.post("v1/jobs", data=raw("payload", payload))
    assert error(answer) == (400, "invalid_payload")
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        ({}, "job_type", "required"),
        ({"job_type": None}, "job_type", "kind"),
        ({"job_type": 1}, "job_type", "kind"),
        ({"job_type": PLAIN, "delay": 5}, "delay", "unknown_field"),
        ({"job_type": PLAIN, "Queue": "a"}, "Queue", "unknown_field"),
        ({"job_type": PLAIN, "\ud800": 1}, "\\ud800", "unknown_field"),
        ({"job_type": PLAIN, "state": "succeeded"}, "state", "read_only_field"),
        (
            {"job_type": PLAIN, "parent_job_id": "a", "parent_job_ids": []},
            "parent_job_ids",
            "conflicting_fields",
        ),
        ([], "body", "kind"),
        ("x", "body", "kind"),
        (None, "body", "kind"),
        (7, "body", "kind"),
    ],
    ids=str,
)
def test_a_bad_body(api, value, field, reason):
    answer = api.post("v1/jobs", data=json.dumps(value))
    assert error(answer) == (400, "invalid_request")
    assert reasons(answer) == [(field, reason)]


def test_every_unknown_field_is_named(api):
    answer = api.post("v1/jobs", {"job_type": PLAIN, "a": 1, "id": 2, "b": 3})
    assert [name for name, _ in reasons(answer)] == ["a", "id", "b"]


@pytest.mark.parametrize(
    "data", [raw("queue", '"a", "queue": "b"'), raw("payload", '{"a": {"b": 1, "b": 1}}')]
)
def test_a_name_given_twice(api, data):
    answer = api.post("v1/jobs", data=data)
    assert error(answer) == (400, "invalid_request")
    assert reasons(answer) == [("body", "duplicate_key")]


def test_a_type_of_our_own_is_not_created_over_http(api):
    """A bulk operation runs in the name of a user, which no key may choose."""
    body = {"job_type": NAME, "payload": {"verb": "cancel"}}
    assert error(api.post("v1/jobs", body)) == (400, "job_type_not_registered")
    assert error(api.post("v1/jobs/batch", {"jobs": [body]})) == (400, "job_type_not_registered")


@pytest.mark.parametrize("name", ["os.system", "../x", "__class__", "", "x" * 501, "x" * 100_000])
def test_a_type_that_is_not_registered(api, name):
    assert error(api.post("v1/jobs", {"job_type": name})) == (400, "job_type_not_registered")


class TestHeaders:
    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json; charset=bogus",
            "application/json; charset=utf-16",
            "application/json-patch+json",
            "text/json",
            "json",
            "é",
        ],
    )
    @pytest.mark.parametrize("path", ["v1/jobs", "v1/jobs/batch"])
    def test_other_bodies(self, api, path, content_type):
        answer = api.post(path, data=body(), content_type=content_type)
        assert error(answer) == (415, "unsupported_media_type")

    @pytest.mark.parametrize(
        "content_type",
        ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'],
    )
    def test_json(self, api, content_type):
        assert api.post("v1/jobs", data=body(), content_type=content_type).status_code == 201

    @pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
    def test_compressed_bodies(self, api, encoding):
        answer = api.post("v1/jobs", data=b"\x1f\x8b", Content_Encoding=encoding)
        assert error(answer) == (415, "unsupported_media_type")

    @pytest.mark.parametrize(
        "accept",
        [
            "application/xml",
            "text/html",
            "image/*",
            "application/json;q=0",
            "application/json; q = 0.000",
            "application/json;q=0, */*",
            "*/*, application/*, application/json;q=0.",
            "application/*;q=0.0, */*;q=1",
        ],
    )
    def test_other_wishes(self, api, accept):
        assert error(api.get("v1/jobs", Accept=accept)) == (406, "not_acceptable")
        assert error(api.post("v1/jobs", {"job_type": PLAIN}, Accept=accept)) == (406, "not_acceptable")
        assert not Job.objects.exists()

    @pytest.mark.parametrize(
        "accept",
        [
            "*/*",
            "application/*",
            "text/html, application/json;q=0.1",
            "",
            "*/*;q=0, application/json",
            "application/*;q=0, application/json;q=0.001",
            "application/json;q=0, Application/JSON",
        ],
    )
    def test_wishes_that_json_fulfils(self, api, accept):
        assert api.get("v1/jobs", Accept=accept).headers["Content-Type"] == JSON

    @pytest.mark.parametrize("given", ["abc", "x" * 128, "~!"])
    def test_a_sane_request_id_comes_back(self, api, given):
        assert api.get("v1/jobs", X_Request_Id=given).headers["X-Request-Id"] == given

    @pytest.mark.parametrize("given", ["", "x" * 129, "a b", "é", "a\tb", "a\x7f"])
    def test_another_is_replaced(self, api, given):
        found = api.get("v1/jobs/1", X_Request_Id=given)
        assert error(found) == (404, "job_not_found")
        assert found.headers["X-Request-Id"] != given
        assert len(found.headers["X-Request-Id"]) == 32

    @pytest.mark.parametrize("key", ["", " ", "a b", "a" * 201, "é", "a\x00"])
    def test_a_bad_idempotency_key(self, api, key):
        answer = api.post("v1/jobs", {"job_type": PLAIN}, Idempotency_Key=key)
        assert error(answer) == (400, "invalid_option")
        assert reasons(answer)[0][0] == "idempotency_key"

    def test_a_key_with_a_comma_is_taken_in_the_body_alone(self, api):
        fields = {"job_type": PLAIN, "idempotency_key": "k,k"}
        for body in ({"job_type": PLAIN}, fields):
            answer = api.post("v1/jobs", body, Idempotency_Key="k,k")
            assert error(answer) == (400, "invalid_option")
            assert reasons(answer) == [("idempotency_key", "repeated")]
            assert "in the body" in answer.json()["error"]["message"]
        assert api.post("v1/jobs", fields).status_code == 201

    def test_two_keys_that_differ(self, api):
        answer = api.post("v1/jobs", {"job_type": PLAIN, "idempotency_key": "a"}, Idempotency_Key="b")
        assert error(answer) == (400, "invalid_request")
        answer = api.post("v1/jobs", {"job_type": PLAIN, "idempotency_key": "a"}, Idempotency_Key="a")
        assert answer.status_code == 201


class TestSize:
    def test_a_payload_over_the_limit(self, api, settings):
        settings.FLARE = {"MAX_PAYLOAD": 100}
        assert api.post("v1/jobs", {"job_type": PLAIN, "payload": {"a": "x" * 90}}).status_code == 201
        answer = api.post("v1/jobs", {"job_type": PLAIN, "payload": {"a": "x" * 95}})
        assert error(answer) == (413, "payload_too_large")

    @pytest.mark.parametrize(("path", "most"), [("v1/jobs", 65_636), ("v1/jobs/batch", 66_336)])
    def test_a_body_over_the_limit(self, api, settings, path, most):
        settings.FLARE = {"MAX_PAYLOAD": 100}
        assert error(api.post(path, data=" " * most)) == (400, "malformed_json")
        assert error(api.post(path, data=" " * (most + 1))) == (413, "payload_too_large")

    def test_a_limit_of_the_project_changes_nothing(self, api, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
        assert api.post("v1/jobs", {"job_type": PLAIN}).status_code == 201

    def ask(self, api, data, **environment):
        """Send what no client sends: headers that do not fit the body."""
        headers = {"Authorization": f"Bearer {api.key}"}
        environment.setdefault("CONTENT_TYPE", JSON)
        return api.client.generic(
            "POST", "/flare/v1/jobs", headers=headers, **{"wsgi.input": BytesIO(data), **environment}
        )

    def test_a_body_that_is_shorter_than_was_said(self, api):
        assert error(self.ask(api, body().encode(), CONTENT_LENGTH="9999")) == (400, "malformed_json")

    def test_a_body_that_is_longer_than_was_said(self, api):
        answer = self.ask(api, body().encode() + b"x" * 100, CONTENT_LENGTH=str(len(body())))
        assert answer.status_code == 201

    @pytest.mark.parametrize("length", ["-1", "x", "1e3", "٣", "9" * 30])
    def test_a_bad_length(self, api, length):
        assert error(self.ask(api, body().encode(), CONTENT_LENGTH=length)) == (400, "invalid_request")

    def test_a_length_that_is_too_large_to_be_read(self, api):
        assert error(self.ask(api, b"", CONTENT_LENGTH="9" * 15)) == (413, "payload_too_large")

    def test_a_body_in_chunks_without_a_length(self, api):
        answer = self.ask(api, body().encode(), HTTP_TRANSFER_ENCODING="chunked")
        assert error(answer) == (400, "malformed_json")


def test_brackets_in_strings_do_not_count(api):
    text = '[{"\\' * 10_000
    assert api.post("v1/jobs", {"job_type": PLAIN, "payload": {"a": text}}).json()["payload"] == {"a": text}


def test_wide_is_not_deep(api):
    payload = {"a": [[]] * 100_000}
    assert api.post("v1/jobs", {"job_type": PLAIN, "payload": payload}).json()["payload"] == payload


def test_one_hundred_levels(api):
    data = raw("payload", '{"a": ' * 100 + "1" + "}" * 100)
    assert api.post("v1/jobs", data=data).status_code == 201


@pytest.mark.parametrize(("opening", "closing"), [('{"a": ', "}"), ("[", "]")])
def test_the_deepest_that_a_project_can_allow(api, settings, opening, closing):
    settings.FLARE = {"MAX_DEPTH": 500}
    data = raw("payload", '{"a": ' + opening * 499 + "1" + closing * 499 + "}")
    made = api.post("v1/jobs", data=data, Idempotency_Key="k")
    assert made.status_code == 201
    assert api.get(f"v1/jobs/{made.json()['id']}").status_code == 200


@pytest.mark.parametrize("debug", [True, False])
def test_errors_are_the_same_under_debug(api, settings, debug):
    settings.DEBUG = debug
    assert error(api.get("nowhere")) == (404, "not_found")
    assert error(api.post("v1/jobs", data="x")) == (400, "malformed_json")
    assert error(api.ask("PUT", f"v1/jobs/{make_job()}")) == (405, "method_not_allowed")

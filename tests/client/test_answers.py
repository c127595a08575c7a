"""How answers become values and errors (spec, sections 10 and 19)."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from django_flare import (
    FlareApiError,
    FlareAuthenticationError,
    FlareConflictError,
    FlareError,
    FlareJobTypeError,
    FlareNotFoundError,
    FlareOptionError,
    FlarePayloadError,
    FlareRateLimitError,
    JobState,
)
from django_flare.api.problems import STATUSES
from django_flare.client.failures import KINDS
from django_flare.status import Reason
from tests.client.support import ID, JOB, Server, answer, connect, refusal

CODES = {
    "job_not_found": FlareNotFoundError,
    "idempotency_key_reuse": FlareConflictError,
    "idempotency_in_progress": FlareConflictError,
    "job_type_not_registered": FlareJobTypeError,
    "invalid_payload": FlarePayloadError,
    "payload_too_large": FlarePayloadError,
    "invalid_option": FlareOptionError,
    "unauthorized": FlareAuthenticationError,
    "forbidden": FlareAuthenticationError,
    "rate_limit_exceeded": FlareRateLimitError,
}
OTHERS = sorted({*STATUSES, "brand_new"} - {*CODES, "invalid_state"})

JOB_VERBS = ("cancel", "retry", "discard", "stop")


def ask(verb, *answers, arguments=(ID,)):
    """Call a verb of a client that gets these answers."""
    return getattr(connect(Server(*answers))[0], verb)(*arguments)


def refused(*answers, verb="explain", kind=FlareError, **options):
    with pytest.raises(kind) as caught:
        ask(verb, *answers, **options)
    return caught.value


class TestErrors:
    def test_every_code_of_the_api_is_thought_of(self):
        assert CODES == KINDS
        assert set(CODES) <= set(STATUSES)

    @pytest.mark.parametrize(("code", "kind"), CODES.items())
    def test_a_code_has_its_class(self, code, kind):
        error = refused(refusal(code, STATUSES[code], Retry_After=100))
        assert (type(error), error.code, error.message) == (kind, code, "why not")
        assert (error.status_code, error.request_id) == (STATUSES[code], "r-1")

    @pytest.mark.parametrize("code", OTHERS)
    def test_any_other_code_is_an_api_error(self, code):
        status = STATUSES.get(code, 418)
        error = refused(refusal(code, status, Retry_After=100))
        assert (type(error), error.code, error.status_code) == (FlareApiError, code, status)

    def test_it_keeps_the_details(self):
        details = [{"field": "queue", "reason": "invalid", "message": "queue: too long"}]
        assert refused(refusal("invalid_option", 400, details=details)).details == details
        assert refused(refusal("invalid_option", 400)).details is None

    def test_a_request_id_in_the_header_is_found_too(self):
        body = {"error": {"code": "forbidden", "message": "no"}}
        assert refused(answer(body, 403, X_Request_Id="r-9")).request_id == "r-9"

    @pytest.mark.parametrize("value", ["", "soon", "-1", "1" * 30, "9" * 15, "²"])
    def test_a_rate_that_is_no_number_is_none(self, value):
        error = refused(
            httpx.Response(
                429,
                json={"error": {"code": "rate_limit_exceeded", "message": "no"}},
                headers=[(b"X-RateLimit-Reset", value.encode()), (b"Retry-After", b"100")],
            )
        )
        assert (type(error), error.limit, error.remaining, error.reset_at) == (
            FlareRateLimitError,
            None,
            None,
            None,
        )


class TestWhatIsNoError:
    @pytest.mark.parametrize("verb", JOB_VERBS)
    @pytest.mark.parametrize(
        "conflict",
        [refusal("invalid_state", 409), refusal("brand_new", 409), httpx.Response(409)],
        ids=["known", "new", "empty"],
    )
    def test_any_409_of_a_change_is_false(self, verb, conflict):
        assert ask(verb, conflict) is False

    @pytest.mark.parametrize("verb", JOB_VERBS)
    def test_a_job_that_was_changed_is_true(self, verb):
        assert ask(verb, answer()) is True

    @pytest.mark.parametrize("code", ["job_not_found", "not_found", "brand_new"])
    def test_any_404_of_the_api_is_no_job(self, code):
        assert ask("get_status", refusal(code, 404)) is None

    @pytest.mark.parametrize(
        "other",
        [httpx.Response(404), httpx.Response(404, html="<h1>Not Found</h1>"), answer({"detail": "no"}, 404)],
        ids=["empty", "html", "another"],
    )
    def test_a_404_of_somebody_else_is_no_answer(self, other):
        """A wrong `base_url` must not look like a job that is gone."""
        error = refused(other, verb="get_status", kind=FlareApiError)
        assert (error.code, error.status_code) == ("unexpected_answer", 404)


def without(name):
    return {key: value for key, value in JOB.items() if key != name}


STRANGE = {
    "empty": httpx.Response(200),
    "html": httpx.Response(200, html="<h1>Log in</h1>"),
    "cut": httpx.Response(200, text='{"id": '),
    "not text": httpx.Response(200, content=b'"\xff"'),
    "deep": httpx.Response(200, text="[" * 100_000),
    "null": answer(None),
    "list": answer([]),
    "another object": answer({}),
    "no id": answer(without("id")),
    "no time": answer(without("created_at")),
    "bad time": answer({**JOB, "run_at": "soon"}),
    "bad state": answer({**JOB, "state": "napping"}),
    "bad number": answer({**JOB, "attempt": "one"}),
    "bad tags": answer({**JOB, "tags": {"a": 1}}),
    "bad timeout": answer({**JOB, "timeout_seconds": "long"}),
    "long timeout": answer({**JOB, "timeout_seconds": 1e300}),
    "a bool": answer({**JOB, "timeout_seconds": True}),
    "error of html": httpx.Response(500, html="<h1>Server Error</h1>"),
    "error of another": answer({"detail": "no"}, 400),
    "error without code": answer({"error": {"message": "no"}}, 400),
    "error of a kind": answer({"error": {"code": 5, "message": "no"}}, 400),
    "error is text": answer({"error": "no"}, 400),
    "bad details": answer({"error": {"code": "forbidden", "message": "no", "details": ["a"]}}, 403),
    "redirect": httpx.Response(301, headers={"Location": "https://elsewhere.example/x"}),
    "teapot": httpx.Response(418),
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("get_status", (ID,)),
        ("cancel", (ID,)),
        ("enqueue", ("mail.welcome",)),
        ("list_jobs", ()),
        ("explain", (ID,)),
        ("enqueue_many", ("mail.welcome", [{}])),
        ("pause_queue", ("mail",)),
    ],
)
def test_an_answer_that_is_not_the_apis_is_a_clear_error(strange, verb, arguments):
    error = refused(strange, verb=verb, arguments=arguments, kind=FlareApiError)
    assert (error.code, error.status_code) == ("unexpected_answer", strange.status_code)
    assert "v1/" in error.message
    assert len(error.message) < 500


@pytest.mark.parametrize(
    ("verb", "arguments", "body"),
    [
        ("list_jobs", (), {"jobs": [without("id")], "has_more": False, "next_cursor": None}),
        ("list_jobs", (), {"jobs": [], "has_more": "no", "next_cursor": None}),
        ("explain", (ID,), {"code": "brand_new", "message": "", "details": {}}),
        ("explain", (ID,), {"code": "final", "message": "", "details": {"completed_at": "soon"}}),
        ("enqueue_many", ("mail.welcome", [{}]), {"ids": [1]}),
        ("enqueue_many", ("mail.welcome", [{}]), {"ids": [ID, ID]}),
        ("pause_queue", ("mail",), {"changed": 1}),
    ],
)
def test_nor_is_one_with_a_bad_part(verb, arguments, body):
    error = refused(answer(body), verb=verb, arguments=arguments, kind=FlareApiError)
    assert error.code == "unexpected_answer"


def test_a_redirect_is_not_followed_and_says_where_it_led():
    server = Server(httpx.Response(307, headers={"Location": "https://elsewhere.example/x"}))
    with pytest.raises(FlareApiError, match=r"a redirect to 'https://elsewhere\.example/x'"):
        connect(server)[0].get_status(ID)
    assert [request.url.host for request in server.requests] == ["flare.example"]


class TestValues:
    def test_a_job(self):
        found = ask("get_status", answer({**JOB, "attempt": 2, "timeout_seconds": 1.5, "progress": 1}))
        assert (found.job_id, found.state, found.attempt_number) == (ID, JobState.PENDING, 2)
        assert (found.timeout, found.progress) == (timedelta(seconds=1.5), 1.0)
        assert found.created_at == datetime(2030, 1, 1, microsecond=1, tzinfo=UTC)
        assert found.created_at.utcoffset() == timedelta(0)
        assert (found.parent_job_ids, found.completed_at) == ((), None)

    def test_it_becomes_the_same_object_again(self):
        assert ask("get_status", answer()).as_dict() == {**JOB, "run_at": "2030-01-01T00:00:00Z"}

    def test_what_a_newer_server_adds_is_passed_over(self):
        assert ask("get_status", answer({**JOB, "mood": "good"})).job_id == ID

    def test_a_page(self):
        page = ask(
            "list_jobs",
            answer({"jobs": [JOB, JOB], "has_more": True, "next_cursor": "abc"}),
            arguments=(),
        )
        assert ([job.job_id for job in page.jobs], page.has_more, page.next_cursor) == ([ID, ID], True, "abc")

    def test_an_explanation(self):
        details = {"queue": "q", "paused_at": "2030-01-01T00:00:00Z", "completed_at": None, "workers": 3}
        found = ask("explain", answer({"code": "queue_paused", "message": "It is.", "details": details}))
        assert (found.code, found.message) == (Reason.QUEUE_PAUSED, "It is.")
        assert found.details == {**details, "paused_at": datetime(2030, 1, 1, tzinfo=UTC)}

    def test_ids_in_order(self):
        arguments = ("mail.welcome", [{}, {}])
        assert ask("enqueue_many", answer({"ids": ["b", "a"]}, 201), arguments=arguments) == ["b", "a"]

    @pytest.mark.parametrize("changed", [True, False])
    def test_whether_a_queue_was_changed(self, changed):
        body = {"name": "mail", "paused": True, "changed": changed}
        assert ask("pause_queue", answer(body), arguments=("mail",)) is changed

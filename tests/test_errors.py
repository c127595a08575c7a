"""The tree of errors."""

import pickle
from datetime import UTC, datetime

import pytest

import django_flare
from django_flare import errors
from django_flare.errors import (
    Discard,
    FlareApiError,
    FlareAuthenticationError,
    FlareConflictError,
    FlareError,
    FlareJobTypeError,
    FlareNotFoundError,
    FlareOptionError,
    FlarePayloadError,
    FlareRateLimitError,
    JobCancelled,
    JobTimeout,
    Retry,
    Snooze,
    option_error,
    payload_error,
)

TREE = [
    (FlareNotFoundError, LookupError, "job_not_found"),
    (FlareConflictError, FlareError, "idempotency_key_reuse"),
    (FlareJobTypeError, LookupError, "job_type_not_registered"),
    (FlarePayloadError, ValueError, "invalid_payload"),
    (FlareOptionError, ValueError, "invalid_option"),
    (FlareAuthenticationError, FlareApiError, "unauthorized"),
    (FlareRateLimitError, FlareApiError, "rate_limit_exceeded"),
]


@pytest.mark.parametrize(("kind", "base", "code"), TREE)
def test_each_error_has_its_code_and_its_bases(kind, base, code):
    error = kind("what went wrong")
    assert isinstance(error, FlareError)
    assert isinstance(error, base)
    assert (error.code, error.message, str(error)) == (code, "what went wrong", "what went wrong")
    assert (error.details, error.status_code, error.request_id) == (None, None, None)


def test_a_code_may_be_given():
    assert FlareConflictError("x", "idempotency_in_progress").code == "idempotency_in_progress"


def test_an_error_of_the_api_says_where_it_came_from():
    error = FlareApiError("x", "unavailable", status_code=503, request_id="r1")
    assert (error.status_code, error.request_id) == (503, "r1")


def test_errors_survive_pickling():
    reset = datetime(2030, 1, 1, tzinfo=UTC)
    error = FlareRateLimitError("x", limit=5, remaining=0, reset_at=reset, status_code=429)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is FlareRateLimitError
    assert vars(copy) == vars(error)
    assert str(copy) == "x"


@pytest.mark.parametrize(
    ("build", "kind"), [(option_error, FlareOptionError), (payload_error, FlarePayloadError)]
)
def test_built_errors_carry_their_field(build, kind):
    error = build("queue", "140 characters, at most 100")
    assert type(error) is kind
    assert str(error) == "queue: 140 characters, at most 100"
    assert error.details == [{"field": "queue", "reason": "invalid", "message": str(error)}]


def test_signals_of_handlers_are_no_flare_errors():
    for signal in (Retry(), Discard("no use"), Snooze(5)):
        assert isinstance(signal, Exception)
        assert not isinstance(signal, FlareError)


@pytest.mark.parametrize("kind", [JobCancelled, JobTimeout])
def test_the_ends_of_a_run_pass_an_except_exception(kind):
    assert not issubclass(kind, Exception)


def test_every_error_is_imported_from_the_package():
    public = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    ]
    assert len(public) == 14
    for name in public:
        assert getattr(django_flare, name) is getattr(errors, name)

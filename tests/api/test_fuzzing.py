"""Schemathesis makes requests from the OpenAPI document, and holds every answer against it.

Each operation is asked by each kind of caller: its examples, the bounds of each part of a request (kept,
passed, left out, of another kind), methods that are not there, random requests; then chains of requests along
the document's links, while a worker ends what they create. `FLARE_TEST_EXAMPLES=500` asks more by hand.
"""

import copy
import os
from itertools import cycle

import pytest
import schemathesis
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from django_flare import jobs
from django_flare.api.views.document import read_document
from tests.api.support import make_key
from tests.api.test_access import ORDER, UNKNOWN, expected
from tests.support import Driver

pytestmark = pytest.mark.whole_run_on("postgres", "sqlite")

EXAMPLES = int(os.environ.get("FLARE_TEST_EXAMPLES", "8"))
CHAINS, STEPS = 2 * EXAMPLES, 12
TYPES = ["tests.testapp.jobs.plain", "tests.testapp.jobs.once", "mail.welcome"]
UNSPOKEN = {
    ("run_at", "out_of_range"),
    ("queue", "invalid_character"),
    ("job_type", "invalid_character"),
    ("priority", "invalid"),
    ("max_attempts", "invalid"),
}
"""What a schema cannot say of a field: bounds that move, and that 7.0 is no integer."""


def load(*left_out):
    """Return the document as of this project, whose job types are known; without some fields of a new job."""
    document = copy.deepcopy(read_document())
    fields = document["components"]["schemas"]["NewJob"]["properties"]
    fields["job_type"]["enum"] = TYPES
    for name in left_out:
        del fields[name]
    generation = {"max-examples": EXAMPLES, "deterministic": True, "database": "none"}
    # Nothing is learnt from answers or from what happens to be imported, so that a run can be repeated.
    phases = {
        "fuzzing": {"extra-data-sources": {"responses": False}, "error-feedback": {"enabled": False}},
        "stateful": {"link-calibration": False},
    }
    config = {
        "seed": 1,
        "base-url": "http://localhost/flare",
        "generation": generation,
        "phases": phases,
        "analysis": {"constants": {"enabled": False}},
    }
    loaded = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(config))
    loaded.app = get_wsgi_application()
    return loaded


SCHEMA = load()
# A chain could not begin with a job that waits for another.
OF_CHAINS = load("parent_job_id", "parent_job_ids")
PATIENT = settings(suppress_health_check=list(HealthCheck), deadline=None)
# Its part is played by `require_acceptance`, which knows what a schema cannot say.
TOO_STRICT = CHECKS.get_by_names(["positive_data_acceptance"])


@pytest.fixture
def headers(db, settings, scope):
    """Return those of a caller with this scope; requests run in the test's transaction and leave it open."""
    settings.FLARE = {"API_RATE": None}
    settings.ALLOWED_HOSTS = ["localhost"]
    ends = (signals.request_started, signals.request_finished)
    for each in ends:
        each.disconnect(close_old_connections)
    yield {"Authorization": f"Bearer {make_key(scope)}"} if scope else {}
    for each in ends:
        each.connect(close_old_connections)


def is_valid(case):
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE


def adapt(case):
    """Take out of a valid request what makes it contradict itself or another."""
    if case.query:
        case.query.pop("cursor", None)
    if isinstance(case.body, dict) and "idempotency_key" in case.body:
        case.headers.pop("Idempotency-Key", None)


def leave_the_host(case):
    """Take out a Host that was made up: Django itself refuses it, before any view."""
    for name in [name for name in case.headers if name.lower() == "host"]:
        case.headers.pop(name)


def require_acceptance(case, answer):
    """Fail when a valid request was refused for a reason that the document could have told."""
    if answer.status_code != 400:
        return
    error = answer.json()["error"]
    found = {(each["field"], each["reason"]) for each in error.get("details", ()) if "field" in each}
    assert error["code"] == "invalid_payload" or found & UNSPOKEN, (case.as_curl_command(), answer.text)


def require_right(case, answer, scope):
    """Fail unless the caller got what the scope allows."""
    if case.path.startswith("/health/"):
        assert answer.status_code not in (401, 403)
        return
    if scope is None:
        assert answer.status_code == 401
        return
    address = case.path.lstrip("/").replace("{job_id}", UNKNOWN).replace("{name}", "mail")
    wanted = expected(case.method, address, scope)
    if wanted is None:
        assert answer.status_code not in (401, 403, 405)
    elif case.method != "HEAD":
        assert answer.status_code == wanted[0]


def hold(case, answer, scope, headers):
    sent = {"headers": headers, "transport_kwargs": {"headers": headers}}
    case.validate_response(answer, excluded_checks=TOO_STRICT, **sent)
    require_right(case, answer, scope)
    if is_valid(case):
        require_acceptance(case, answer)


@pytest.mark.parametrize("scope", [None, *ORDER])
@SCHEMA.parametrize()
@PATIENT
def test_each_operation(case, headers, scope):
    leave_the_host(case)
    if is_valid(case):
        adapt(case)
    answer = case.call(headers=headers)
    hold(case, answer, scope, headers)


@pytest.mark.parametrize("scope", ["write", "admin"])
def test_chains_of_operations(headers, scope):
    seen = set()

    class Chain(OF_CHAINS.as_state_machine()):
        """Follow the links; beside it a worker runs some jobs, ends some, and leaves some alone."""

        def setup(self):
            # Each chain begins with the same database, as the same chain may be asked again.
            self.before = transaction.savepoint()
            self.driver = Driver()
            self.turns = cycle([None, self.driver.fail, self.driver.start, self.driver.succeed])

        def teardown(self):
            transaction.savepoint_rollback(self.before)

        def get_call_kwargs(self, case):
            leave_the_host(case)
            if is_valid(case):
                adapt(case)
            return {"headers": headers}

        def after_call(self, answer, case):
            seen.add((case.operation.label, answer.status_code))
            verb = next(self.turns)
            if verb and answer.status_code == 201 and case.path == "/v1/jobs":
                work(verb, answer.json())

        def validate_response(self, answer, case, **options):
            hold(case, answer, scope, headers)

    bounds = {"max_examples": CHAINS, "stateful_step_count": STEPS}
    Chain.run(settings=settings(Chain.TestCase.settings, derandomize=True, database=None, **bounds))
    # They have come somewhere: the links lead from what was created to what can be done with it.
    assert any(status == 200 and "{job_id}" in label for label, status in seen)


def work(verb, job):
    """Let the worker do it if this job is the next of its queue."""
    page = jobs.list_jobs(queue=job["queue"], state="pending")
    if [each.job_id for each in page.jobs] == [job["id"]]:
        verb(job["id"])

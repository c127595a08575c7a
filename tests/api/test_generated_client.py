"""A client that is generated from the OpenAPI document understands what the API answers."""

import importlib
import json
import subprocess
import sys
from importlib.resources import files

import pytest

from tests.api.support import make_key
from tests.support import Driver

PLAIN = "tests.testapp.jobs.plain"
PACKAGE = "generated_flare_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Generate the client into a folder of its own; return a function that imports from it."""
    folder = tmp_path_factory.mktemp("generated")
    # Nothing that formats code, which might not be there.
    (folder / "config.json").write_text('{"post_hooks": []}')
    document = files("django_flare.api").joinpath("openapi.json")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    options = ["--path", document, "--output-path", folder / PACKAGE, "--config", folder / "config.json"]
    made = subprocess.run([*command, "--fail-on-warning", *options], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def ask(generated, live_server):
    """Return what calls an operation of the generated client, with a key of the scope."""
    keys = {scope: make_key(scope) for scope in ("read", "write", "admin")}

    def ask(operation, *arguments, scope="admin", **options):
        client = generated("client").AuthenticatedClient(
            base_url=f"{live_server.url}/flare", token=keys[scope], timeout=30
        )
        with client:
            return generated(f"api.{operation}").sync_detailed(*arguments, client=client, **options)

    return ask


@pytest.fixture
def models(generated):
    return generated("models")


@pytest.mark.django_db(transaction=True)
class TestRoundTrip:
    def create(self, ask, models, **fields):
        body = models.NewJob.from_dict({"job_type": PLAIN, **fields})
        answer = ask("jobs.create_job", body=body, idempotency_key="k")
        assert answer.status_code == 201, answer.content
        return answer

    def test_a_new_job(self, ask, models):
        fields = {
            "payload": {"n": 2**53 + 1, "é": [None, {"a": 1.5}]},
            "tags": {"team": "blue"},
            "queue": "mail",
            "priority": -5,
            "run_at": "2030-01-02T03:04:05+02:00",
        }
        answer = self.create(ask, models, **fields)
        job = answer.parsed
        assert isinstance(job, models.Job)
        assert (job.state, job.queue, job.priority) == (models.JobState.SCHEDULED, "mail", -5)
        assert job.payload.to_dict() == fields["payload"]
        assert job.tags.to_dict() == fields["tags"]
        assert job.run_at.isoformat() == "2030-01-02T01:04:05+00:00"
        # Nothing was lost: what it understood is what was said.
        assert set(job.to_dict()) == set(json.loads(answer.content))
        again = self.create(ask, models, **fields)
        assert again.parsed == job
        assert again.headers["Idempotent-Replay"] == "true"

    def test_a_job_that_is_read(self, ask, models):
        job = self.create(ask, models).parsed
        Driver().succeed(str(job.id), result='{"b": [1]}')
        answer = ask("jobs.get_job", job.id, scope="read")
        assert answer.parsed.state == models.JobState.SUCCEEDED
        assert answer.parsed.result == {"b": [1]}
        assert answer.parsed.completed_at >= answer.parsed.created_at
        unchanged = ask("jobs.get_job", job.id, if_none_match=answer.headers["ETag"])
        assert (unchanged.status_code, unchanged.content) == (304, b"")

    def test_pages_of_jobs(self, ask, models):
        bodies = [models.NewJob(job_type=PLAIN, queue=name) for name in ("a", "b", "a")]
        made = ask("jobs.create_jobs", body=models.NewJobs(jobs=bodies)).parsed.ids
        pending = models.ListJobsStateItem.PENDING
        first = ask("jobs.list_jobs", queue="a", limit=1, state=[pending]).parsed
        second = ask("jobs.list_jobs", queue="a", limit=1, state=[pending], cursor=first.next_cursor).parsed
        assert [job.id for page in (first, second) for job in page.jobs] == [made[2], made[0]]
        assert (first.has_more, second.has_more, second.next_cursor) == (True, False, None)

    def test_verbs_and_what_they_refuse(self, ask, models):
        job = self.create(ask, models).parsed
        assert ask("jobs.cancel_job", job.id).parsed.state == models.JobState.CANCELLED
        refused = ask("jobs.cancel_job", job.id)
        assert (refused.status_code, refused.parsed.error.code) == (409, models.ErrorErrorCode.INVALID_STATE)
        assert refused.parsed.error.details[0].reason == "cancelled"
        assert ask("jobs.explain_job", job.id).parsed.code == models.ExplanationCode.FINAL

    @pytest.mark.parametrize(
        ("scope", "fields", "status", "code"),
        [
            ("read", {}, 403, "FORBIDDEN"),
            ("write", {"queue": "a b"}, 400, "INVALID_OPTION"),
            ("write", {"job_type": "nothing"}, 400, "JOB_TYPE_NOT_REGISTERED"),
            ("write", {"parent_job_id": "00000000-0000-7000-8000-000000000000"}, 404, "JOB_NOT_FOUND"),
        ],
    )
    def test_errors(self, ask, models, scope, fields, status, code):
        body = models.NewJob.from_dict({"job_type": PLAIN, **fields})
        answer = ask("jobs.create_job", body=body, scope=scope)
        assert isinstance(answer.parsed, models.Error)
        assert (answer.status_code, answer.parsed.error.code) == (status, models.ErrorErrorCode[code])
        assert answer.parsed.error.request_id == answer.headers["X-Request-Id"]

    def test_what_else_there_is(self, ask, models):
        self.create(ask, models, queue="mail")
        Driver("wrk_a")
        assert [each.name for each in ask("queues.list_queues").parsed.queues] == ["mail"]
        assert ask("queues.pause_queue", "mail").parsed.changed is True
        assert [each.id for each in ask("workers.list_workers").parsed.workers] == ["wrk_a"]
        assert ask("metrics.read_summary").parsed.states.pending.number == 1
        assert ask("health.is_ready").status_code == 200

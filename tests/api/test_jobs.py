"""Jobs over HTTP: created, read, listed and controlled as by the verbs."""

import pytest
from django.apps import apps

from django_flare import JobState, jobs
from django_flare.api.creation import FIELDS
from django_flare.models import Job
from tests.api.support import error, reasons
from tests.support import Driver, columns, force, make_job, row, state

pytestmark = pytest.mark.django_db

PLAIN = "tests.testapp.jobs.plain"
OBJECT = (
    "id state job_type queue priority payload tags attempt max_attempts timeout_seconds progress "
    "error_message result result_error created_at run_at started_at completed_at parent_job_ids "
    "cancelled_by worker_id"
)
UNKNOWN = "00000000-0000-7000-8000-000000000000"


class TestCreate:
    def test_the_answer_is_the_job_at_its_address(self, api):
        answer = api.post("v1/jobs", {"job_type": PLAIN, "payload": {"a": 1}})
        assert answer.status_code == 201
        job = answer.json()
        assert answer.headers["Location"] == f"/flare/v1/jobs/{job['id']}"
        assert job == jobs.get_status(job["id"]).as_dict()
        assert (job["state"], job["payload"], job["attempt"]) == ("pending", {"a": 1}, 0)

    def test_all_fields(self, api):
        job = api.create(
            payload={"n": 2**53 + 1, "text": "é"},
            queue="mail",
            run_at="2030-01-02T03:04:05+02:00",
            max_attempts=7,
            timeout_seconds=90,
            priority=-5,
            tags={"team": "blue"},
            idempotency_key="k",
        )
        assert job["payload"] == {"n": 2**53 + 1, "text": "é"}
        assert (job["queue"], job["max_attempts"], job["timeout_seconds"]) == ("mail", 7, 90)
        assert (job["priority"], job["tags"], job["state"]) == (-5, {"team": "blue"}, "scheduled")
        assert job["run_at"] == "2030-01-02T01:04:05Z"

    def test_a_time_that_has_passed_is_now(self, api):
        job = api.create(run_at="2020-01-01T00:00:00Z")
        assert job["state"] == "pending"
        assert job["run_at"] > "2026"

    def test_parents(self, api):
        first, second = api.create(), api.create()
        child = api.create(parent_job_ids=[second["id"], first["id"]])
        assert (child["state"], child["parent_job_ids"]) == ("scheduled", [second["id"], first["id"]])
        assert api.create(parent_job_id=first["id"])["parent_job_ids"] == [first["id"]]

    def test_a_dead_parent_gives_a_cancelled_child(self, api):
        parent = make_job()
        jobs.cancel(parent)
        child = api.create(parent_job_id=parent)
        assert (child["state"], child["cancelled_by"]) == ("cancelled", parent)

    def test_an_unknown_parent(self, api):
        answer = api.post("v1/jobs", {"job_type": PLAIN, "parent_job_id": UNKNOWN})
        assert error(answer) == (404, "job_not_found")
        assert not Job.objects.exists()

    def test_nothing_is_imported_from_input(self, api):
        import sys

        for name in ("os.system", "builtins.eval", "antigravity.fly", "../x", "__class__", "a\0b", "\ud800"):
            answer = api.post("v1/jobs", {"job_type": name})
            assert error(answer) == (400, "job_type_not_registered")
        assert "antigravity" not in sys.modules

    def test_the_list_of_allowed_types(self, api, settings):
        settings.FLARE = {"API_JOB_TYPES": ["mail.welcome"]}
        assert api.post("v1/jobs", {"job_type": "mail.welcome"}).status_code == 201
        answer = api.post("v1/jobs", {"job_type": PLAIN})
        assert error(answer) == (400, "job_type_not_registered")
        assert "did you mean" not in answer.json()["error"]["message"]

    @pytest.mark.parametrize(
        "name", sorted({each.attname for each in Job._meta.concrete_fields} - set(FIELDS))
    )
    def test_no_other_column_can_be_set(self, api, name):
        answer = api.post("v1/jobs", {"job_type": PLAIN, name: "1"})
        assert error(answer) == (400, "invalid_request")
        assert reasons(answer) == [(name, "read_only_field")]
        answer = api.post("v1/jobs/batch", {"jobs": [{"job_type": PLAIN, name: "1"}]})
        assert error(answer) == (400, "invalid_request")
        assert not Job.objects.exists()

    @pytest.mark.parametrize("model", list(apps.get_app_config("django_flare").get_models()))
    def test_no_field_of_any_model_can_be_set(self, api, model):
        """A field that a model gains is among them."""
        names = {
            name for each in model._meta.get_fields() for name in (each.name, getattr(each, "attname", ""))
        }
        failed = make_job()
        Driver().fail(failed)
        before = columns(failed)
        for name in sorted(names - {""}):
            bodies = [("v1/jobs", {"job_type": PLAIN, name: 1}), (f"v1/jobs/{failed}/retry", {name: 1})]
            for path, body in bodies if name not in FIELDS else bodies[1:]:
                answer = api.post(path, body)
                assert error(answer) == (400, "invalid_request"), (path, name)
                assert reasons(answer)[0][0] == name
        assert Job.objects.values().get() == before


class TestBatch:
    def test_all_in_order(self, api):
        answer = api.post(
            "v1/jobs/batch", {"jobs": [{"job_type": PLAIN, "payload": {"n": n}} for n in range(5)]}
        )
        assert answer.status_code == 201
        assert [row(each).payload["n"] for each in answer.json()["ids"]] == list(range(5))

    def test_items_are_create_bodies(self, api):
        parent = make_job()
        answer = api.post(
            "v1/jobs/batch",
            {
                "jobs": [
                    {"job_type": PLAIN, "queue": "a", "idempotency_key": "k"},
                    {"job_type": PLAIN, "run_at": "2030-01-01T00:00:00Z"},
                    {"job_type": PLAIN, "parent_job_id": parent},
                    {"job_type": PLAIN, "queue": "a", "idempotency_key": "k"},
                ]
            },
        )
        first, timed, child, again = answer.json()["ids"]
        assert first == again
        assert row(timed).run_at.year == 2030
        assert jobs.get_status(child).parent_job_ids == (parent,)

    @pytest.mark.parametrize(
        ("bad", "expected"),
        [
            ({"job_type": PLAIN, "queue": "a b"}, (400, "invalid_option")),
            ({"job_type": "nothing"}, (400, "job_type_not_registered")),
            ({"job_type": PLAIN, "id": 1}, (400, "invalid_request")),
            ({"job_type": PLAIN, "parent_job_id": UNKNOWN}, (404, "job_not_found")),
            ({"job_type": PLAIN, "payload": []}, (400, "invalid_payload")),
            ([], (400, "invalid_request")),
        ],
        ids=str,
    )
    def test_one_bad_item_is_named_and_nothing_is_inserted(self, api, bad, expected):
        answer = api.post("v1/jobs/batch", {"jobs": [{"job_type": PLAIN}, bad, {"job_type": PLAIN}]})
        assert error(answer) == expected
        assert {"index": 1} in answer.json()["error"]["details"]
        assert not Job.objects.exists()

    @pytest.mark.parametrize(
        "body", [{}, {"jobs": []}, {"jobs": None}, {"jobs": [{}] * 1001}, {"jobs": [], "x": 1}]
    )
    def test_a_bad_batch(self, api, body):
        assert error(api.post("v1/jobs/batch", body)) == (400, "invalid_request")

    def test_no_key_for_the_whole(self, api):
        answer = api.post("v1/jobs/batch", {"jobs": [{"job_type": PLAIN}]}, Idempotency_Key="k")
        assert error(answer) == (400, "invalid_request")


class TestRead:
    def test_one(self, api):
        job = make_job(payload={"a": 1})
        answer = api.get(f"v1/jobs/{job}")
        assert answer.status_code == 200
        assert answer.json() == jobs.get_status(job).as_dict()
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def test_the_fields_in_order(self, api):
        job = api.get(f"v1/jobs/{make_job()}").json()
        assert list(job) == OBJECT.split()

    @pytest.mark.parametrize("path", ["", "/explain", "/attempts"])
    @pytest.mark.parametrize(
        "bad", [UNKNOWN, "1", "-1", "1.0", "١", "x" * 300, "%00", "9" * 23, "{" + UNKNOWN + "}"]
    )
    def test_an_unknown_id(self, api, bad, path):
        assert error(api.get(f"v1/jobs/{bad}{path}")) == (404, "job_not_found")

    def test_a_job_that_has_not_changed(self, api):
        job = make_job()
        tag = api.get(f"v1/jobs/{job}").headers["ETag"]
        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            answer = api.get(f"v1/jobs/{job}", If_None_Match=known)
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["ETag"] == tag
            assert "X-RateLimit-Limit" in answer.headers
        jobs.cancel(job)
        answer = api.get(f"v1/jobs/{job}", If_None_Match=tag)
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")

    @pytest.mark.parametrize(
        "change",
        [
            {"progress": 0.5},
            {"attempt": 2},
            {"max_attempts": 9},
            {"error_message": "boom"},
            {"worker_id": "wrk_other"},
        ],
        ids=str,
    )
    def test_every_change_changes_the_tag(self, api, change):
        job = make_job()
        Driver().start(job)
        tag = api.get(f"v1/jobs/{job}").headers["ETag"]
        force(job, **change)
        answer = api.get(f"v1/jobs/{job}", If_None_Match=tag)
        assert answer.status_code == 200
        assert answer.headers["ETag"] != tag
        assert change.items() <= answer.json().items()

    def test_polling_costs_two_statements(self, api, django_assert_num_queries):
        job = make_job()
        api.get(f"v1/jobs/{job}")
        with django_assert_num_queries(2):
            api.get(f"v1/jobs/{job}")

    def test_head(self, api):
        answer = api.ask("HEAD", f"v1/jobs/{make_job()}")
        assert (answer.status_code, answer.content) == (200, b"")

    def test_why_it_is_not_running(self, api):
        answer = api.get(f"v1/jobs/{make_job()}/explain")
        assert answer.status_code == 200
        assert set(answer.json()) == {"code", "message", "details"}

    def test_its_attempts(self, api):
        job = make_job()
        Driver().fail(job, ValueError("boom"))
        (attempt,) = api.get(f"v1/jobs/{job}/attempts").json()["attempts"]
        assert (attempt["number"], attempt["outcome"], attempt["error_message"]) == (1, "failed", "boom")
        assert "fence" not in attempt
        assert "ValueError" in attempt["traceback"] or attempt["traceback"] is None

    def test_a_row_that_a_foreign_hand_wrote_breaks_no_list(self, api):
        job = make_job()
        force(job, result=float("nan"))
        assert [each["result"] for each in api.get("v1/jobs").json()["jobs"]] == [None]


class TestList:
    def test_pages(self, api):
        made = [make_job() for _ in range(5)]
        seen, cursor = [], None
        for _ in range(3):
            page = api.get(f"v1/jobs?limit=2{f'&cursor={cursor}' if cursor else ''}").json()
            seen += [job["id"] for job in page["jobs"]]
            cursor = page["next_cursor"]
            assert page["has_more"] is (cursor is not None)
        assert seen == made[::-1]

    def test_filters(self, api):
        job = make_job(queue="mail", tags={"a": "1", "b": "x:y"})
        make_job()
        for query in (
            "queue=mail",
            "tag=a:1&tag=b:x:y",
            f"queue=mail&state=pending&state=failed&job_type={PLAIN}",
            "queue=mail&created_after=2020-01-01T00:00:00Z&created_before=2100-01-01T00:00:00%2B02:00",
            "queue=mail&created_after=2020-01-01T00:00:00-23:59&created_before=2100-01-01T00:00:00%2B23:59",
        ):
            assert [each["id"] for each in api.get(f"v1/jobs?{query}").json()["jobs"]] == [job], query
        assert api.get("v1/jobs?queue=ma%25&tag=a:1").json()["jobs"] == []

    @pytest.mark.parametrize(
        ("query", "code", "field"),
        [
            ("ordering=payload__password", "invalid_request", "ordering"),
            ("format=api", "invalid_request", "format"),
            ("queue=a&queue=b", "invalid_request", "queue"),
            ("queue=%00", "invalid_option", "queue"),
            ("queue=%ff", "invalid_request", "query"),
            ("&".join(["state=pending"] * 10_000), "invalid_request", "query"),
            ("&".join(["state=pending"] * 101), "invalid_request", "query"),
            ("queue=" + "x" * 20_000, "invalid_request", "query"),
            ("state=running", "invalid_option", "state"),
            ("limit=0", "invalid_option", "limit"),
            ("limit=101", "invalid_option", "limit"),
            ("limit=-1", "invalid_option", "limit"),
            ("limit=1e9", "invalid_option", "limit"),
            ("limit=%D9%A1", "invalid_option", "limit"),
            ("limit=" + "9" * 5000, "invalid_option", "limit"),
            ("cursor=abc", "invalid_option", "cursor"),
            ("cursor=", "invalid_option", "cursor"),
            ("tag=a", "invalid_option", "tag"),
            ("tag=:1", "invalid_option", "tags"),
            ("tag=a:1&tag=a:2", "invalid_option", "tag"),
            ("created_after=2026-01-01", "invalid_option", "created_after"),
            ("created_after=2026-01-01T00:00:00", "invalid_option", "created_after"),
            ("created_before=0001-01-01T00:00:00%2B05:00", "invalid_option", "created_before"),
        ],
    )
    def test_bad_filters(self, api, query, code, field):
        answer = api.get(f"v1/jobs?{query}")
        assert error(answer) == (400, code)
        assert reasons(answer)[0][0] == field

    def test_a_cursor_belongs_to_its_filters(self, api):
        for _ in range(2):
            make_job()
        cursor = api.get("v1/jobs?limit=1").json()["next_cursor"]
        assert error(api.get(f"v1/jobs?limit=1&queue=a&cursor={cursor}")) == (400, "invalid_option")


class TestControl:
    def test_cancel(self, api):
        job = make_job()
        answer = api.post(f"v1/jobs/{job}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        answer = api.post(f"v1/jobs/{job}/cancel")
        assert error(answer) == (409, "invalid_state")
        assert reasons(answer) == [("state", "cancelled")]

    def test_retry(self, api):
        job = make_job()
        assert error(api.post(f"v1/jobs/{job}/retry")) == (409, "invalid_state")
        Driver().fail(job)
        assert api.post(f"v1/jobs/{job}/retry").json()["state"] == "pending"

    def test_revive(self, api):
        parent = make_job(max_attempts=1)
        child = make_job(parents=parent)
        Driver().fail(parent)
        assert state(child) == JobState.CANCELLED
        assert api.post(f"v1/jobs/{parent}/retry", {"revive": True}).status_code == 200
        assert state(child) == JobState.SCHEDULED

    def test_discard(self, api):
        job = make_job()
        assert error(api.post(f"v1/jobs/{job}/discard")) == (409, "invalid_state")
        Driver().fail(job)
        assert api.post(f"v1/jobs/{job}/discard").json()["state"] == "dead_letter"

    def test_stop(self, api):
        job = make_job()
        assert error(api.post(f"v1/jobs/{job}/stop")) == (409, "invalid_state")
        Driver().start(job)
        assert api.post(f"v1/jobs/{job}/stop").json()["state"] == "processing"
        assert row(job).stop_requested

    @pytest.mark.parametrize("verb", ["cancel", "retry", "discard", "stop"])
    def test_every_state_that_forbids_it(self, api, verb):
        job = make_job()
        Driver().succeed(job)
        before = row(job).state
        assert error(api.post(f"v1/jobs/{job}/{verb}")) == (409, "invalid_state")
        assert row(job).state == before

    @pytest.mark.parametrize("verb", ["cancel", "retry", "discard", "stop"])
    def test_an_unknown_job(self, api, verb):
        assert error(api.post(f"v1/jobs/{UNKNOWN}/{verb}")) == (404, "job_not_found")
        assert error(api.post(f"v1/jobs/1/{verb}")) == (404, "job_not_found")

    @pytest.mark.parametrize("verb", ["cancel", "discard", "stop"])
    @pytest.mark.parametrize("body", [{}, {"force": True}, [], 1])
    def test_no_body_is_taken(self, api, verb, body):
        assert error(api.post(f"v1/jobs/{make_job()}/{verb}", body)) == (400, "invalid_request")

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"revive": 1}, "invalid_option"),
            ({"revive": None}, "invalid_option"),
            ({"force": True}, "invalid_request"),
            ([], "invalid_request"),
        ],
    )
    def test_bad_bodies_of_retry(self, api, body, code):
        job = make_job()
        Driver().fail(job)
        assert error(api.post(f"v1/jobs/{job}/retry", body)) == (400, code)
        assert state(job) == JobState.FAILED

    @pytest.mark.parametrize("verb", ["cancel", "retry", "discard", "stop"])
    def test_no_parameter_is_taken(self, api, verb):
        assert error(api.post(f"v1/jobs/{make_job()}/{verb}?x=1")) == (400, "invalid_request")

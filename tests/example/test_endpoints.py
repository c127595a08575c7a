"""The table of endpoints, row by row."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from django_flare import JobState, jobs
from django_flare.models import Job
from example_project.shop.models import Order, PaymentBehaviour

pytestmark = pytest.mark.django_db

ORDER = {"email": "ada@example.com", "product": "tea", "quantity": 2}
UNKNOWN = [
    pytest.param("01900000-0000-7000-8000-000000000000", id="a UUID"),
    pytest.param("none", id="a word"),
    pytest.param("x" * 300, id="too long"),
    pytest.param("%00", id="NUL"),
]


@pytest.fixture(autouse=True)
def urls(settings):
    # The project's own URLs have the admin too, which these tests do without.
    settings.ROOT_URLCONF = "example_project.shop.urls"


@pytest.fixture
def post():
    """Return a function that posts JSON, or bytes as they are."""

    def post(path, body=None):
        content = body if isinstance(body, bytes) else json.dumps(body)
        return Client().post(path, content, content_type="application/json")

    return post


def state(job_id):
    return jobs.get_status(job_id).state


class TestPlacingAnOrder:
    def test_it_answers_201_with_both_ids_and_the_orders_address(self, products, post):
        answer = post("/orders", ORDER)
        order = Order.objects.get()
        assert answer.status_code == 201
        assert answer.json() == {"order_id": order.pk, "job_id": order.job_id}
        assert answer["Location"] == f"/orders/{order.pk}"

    def test_the_order_is_stored(self, products, post):
        post("/orders", ORDER)
        order = Order.objects.get()
        assert (order.email, order.product, order.quantity) == ("ada@example.com", products["tea"], 2)

    def test_the_address_leads_to_the_order(self, products, post, client):
        answer = post("/orders", ORDER)
        order = client.get(answer["Location"]).json()
        assert order["order_id"] == answer.json()["order_id"]
        assert order["job_id"] == answer.json()["job_id"]
        assert (order["email"], order["product"], order["quantity"]) == ("ada@example.com", "tea", 2)
        assert (order["status"], order["total"]) == ("placed", "9.80")

    def test_process_order_is_pending_on_its_queue_under_the_orders_key(self, products, post):
        answer = post("/orders", ORDER).json()
        job = Job.objects.get(public_id=answer["job_id"])
        assert (job.job_type, job.queue, job.state) == ("shop.ProcessOrder", "orders", JobState.PENDING)
        assert job.idempotency_key == f"order:{answer['order_id']}"
        assert job.payload == {"order_id": answer["order_id"]}

    def test_the_confirmation_waits_for_it(self, products, post):
        answer = post("/orders", ORDER).json()
        confirmation = jobs.get_status(Order.objects.get().confirmation_job_id)
        assert (confirmation.job_type, confirmation.state) == (
            "shop.SendOrderConfirmation",
            JobState.SCHEDULED,
        )
        assert confirmation.parent_job_ids == (answer["job_id"],)

    def test_order_and_jobs_are_one_transaction(self, products, post, monkeypatch):
        def fail(*args, **kwargs):
            raise RuntimeError("the second job cannot be made")

        monkeypatch.setattr(jobs, "continue_with", fail)
        with pytest.raises(RuntimeError, match="second job"):
            post("/orders", ORDER)
        assert not Order.objects.exists()
        assert not Job.objects.exists()

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"email": None}, "email: This field is required"),
            ({"email": "ada"}, "email: Enter a valid email"),
            ({"email": "ada@example.com\x00"}, "email:"),
            ({"email": "a" * 250 + "@example.com"}, "email:"),
            ({"email": ["ada@example.com"]}, "email:"),
            ({"product": None}, "product: This field is required"),
            ({"product": "teapot"}, "product: no product has the SKU 'teapot'"),
            ({"product": "tea\x00"}, "product:"),
            ({"product": "\ud800"}, "product:"),
            ({"product": {"sku": "tea"}}, "product:"),
            ({"product": "t" * 33}, "product:"),
            ({"quantity": None}, "quantity: This field is required"),
            ({"quantity": 0}, "quantity:"),
            ({"quantity": 101}, "quantity:"),
            ({"quantity": -1}, "quantity:"),
            ({"quantity": 1.5}, "quantity:"),
            ({"quantity": True}, "quantity:"),
            ({"quantity": float("nan")}, "quantity:"),
            ({"quantity": 10**400}, "quantity:"),
            ({"quantity": "two"}, "quantity:"),
        ],
    )
    def test_bad_input_is_400_and_names_the_field(self, products, post, change, named):
        answer = post("/orders", ORDER | change)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(named)
        assert not Order.objects.exists()
        assert not Job.objects.exists()

    def test_every_bad_field_is_named(self, products, post):
        answer = post("/orders", {})
        assert all(field in answer.json()["error"] for field in ORDER)

    def test_reading_orders_takes_no_post(self, place, post):
        assert post(place("tea").get_absolute_url(), ORDER).status_code == 405

    @pytest.mark.parametrize("order_id", [999999, 10**30])
    def test_an_unknown_order_is_404(self, client, order_id):
        answer = client.get(f"/orders/{order_id}")
        assert (answer.status_code, answer.json()) == (404, {"error": "No such order"})


class TestSchedulingAReport:
    def test_it_answers_202_with_the_jobs_id(self, post):
        run_at = datetime.now(UTC) + timedelta(hours=1)
        answer = post("/reports/schedule", {"run_at": run_at.isoformat()})
        status = jobs.get_status(answer.json()["job_id"])
        assert answer.status_code == 202
        assert (status.job_type, status.state, status.run_at) == (
            "shop.GenerateReport",
            JobState.SCHEDULED,
            run_at,
        )

    def test_the_offset_counts(self, post):
        run_at = datetime.now(UTC).replace(microsecond=0, tzinfo=None) + timedelta(hours=30)
        job_id = post("/reports/schedule", {"run_at": f"{run_at.isoformat()}+05:30"}).json()["job_id"]
        assert jobs.get_status(job_id).run_at == (run_at - timedelta(hours=5.5)).replace(tzinfo=UTC)

    @pytest.mark.parametrize("run_at", ["2020-02-29T12:00:00Z", "2020-02-29t12:00:00.123456789z"])
    def test_a_time_that_has_passed_means_now(self, post, run_at):
        job_id = post("/reports/schedule", {"run_at": run_at}).json()["job_id"]
        assert state(job_id) is JobState.PENDING

    @pytest.mark.parametrize(
        "run_at",
        [
            None,
            "",
            "tomorrow",
            1893456000,
            True,
            [],
            {},
            "2030-01-31",
            "2030-01-31T12:00:00",
            "2030-01-31 12:00:00+01:00",
            "2030-W05-4T12:00:00Z",
            "20300131T120000Z",
            "2030-02-30T12:00:00Z",
            "2030-01-31T25:00:00Z",
            "2030-01-31T12:00:00+25:00",
            "0001-01-01T00:00:00+10:00",
            "9999-12-31T23:59:59Z",
            "2030-01-31T12:00:00Z\x00",
            "٢٠٣٠-01-31T12:00:00Z",
        ],
    )
    def test_anything_else_is_400_and_names_the_field(self, post, run_at):
        answer = post("/reports/schedule", {"run_at": run_at})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("run_at: ")
        assert not Job.objects.exists()


@pytest.mark.parametrize("path", ["/orders", "/reports/schedule"])
class TestABodyThatIsNoObject:
    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b"[]", b"null", b'"order"', b"7"],
        ids=lambda body: repr(body[:8]),
    )
    def test_it_is_400(self, post, path, body):
        answer = post(path, body)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("The body is no JSON")

    def test_a_body_that_is_too_large_is_400(self, post, path, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
        answer = post(path, {"padding": "x" * 20})
        assert (answer.status_code, answer.json()) == (400, {"error": "The body is too large"})

    def test_other_methods_are_405(self, client, path):
        assert client.get(path).status_code == 405


class TestCancelling:
    def test_a_pending_job_is_cancelled_and_so_is_its_continuation(self, place, post):
        order = place("tea")
        answer = post(f"/jobs/{order.job_id}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        assert state(order.confirmation_job_id) is JobState.CANCELLED

    def test_a_scheduled_report_is_cancelled(self, post):
        job_id = jobs.schedule("shop.GenerateReport", when=timedelta(days=1))
        assert post(f"/jobs/{job_id}/cancel").status_code == 200
        assert state(job_id) is JobState.CANCELLED

    def test_a_job_that_runs_cannot_be(self, place, post, runner):
        order = place("tea")
        runner.start(order.job_id)
        self._assert_refused(post(f"/jobs/{order.job_id}/cancel"))
        assert state(order.job_id) is JobState.PROCESSING

    def test_a_job_that_has_ended_cannot_be(self, place, post, runner):
        order = place("tea")
        runner.drain()
        self._assert_refused(post(f"/jobs/{order.job_id}/cancel"))
        assert state(order.job_id) is JobState.SUCCEEDED

    def test_not_twice(self, place, post):
        order = place("tea")
        post(f"/jobs/{order.job_id}/cancel")
        self._assert_refused(post(f"/jobs/{order.job_id}/cancel"))

    def _assert_refused(self, answer):
        assert (answer.status_code, answer.json()) == (409, {"error": "Job cannot be cancelled"})


class TestRetrying:
    def test_a_failed_job_is_pending_at_once(self, place, post, runner):
        order = place("camera")
        runner.drain()
        assert state(order.job_id) is JobState.FAILED
        answer = post(f"/jobs/{order.job_id}/retry")
        assert (answer.status_code, answer.json()["state"]) == (200, "pending")

    def test_a_dead_job_gets_another_attempt(self, place, post, runner, products):
        order = place("yacht")
        runner.drain()
        runner.drain_later(10)
        runner.drain_later(10)
        assert state(order.job_id) is JobState.DEAD_LETTER
        assert post(f"/jobs/{order.job_id}/retry").json()["max_attempts"] == 4
        products["yacht"].payment = PaymentBehaviour.WORKS
        products["yacht"].save()
        runner.drain()
        order.refresh_from_db()
        assert (state(order.job_id), order.status) == (JobState.SUCCEEDED, "paid")

    def test_a_job_that_waits_or_is_cancelled_cannot_be(self, place, post):
        order = place("tea")
        self._assert_refused(post(f"/jobs/{order.job_id}/retry"))
        self._assert_refused(post(f"/jobs/{order.confirmation_job_id}/retry"))
        jobs.cancel(order.job_id)
        self._assert_refused(post(f"/jobs/{order.job_id}/retry"))

    def test_a_job_that_has_succeeded_cannot_be(self, place, post, runner):
        order = place("tea")
        runner.drain()
        self._assert_refused(post(f"/jobs/{order.job_id}/retry"))

    def _assert_refused(self, answer):
        assert (answer.status_code, answer.json()) == (409, {"error": "Job cannot be retried"})


class TestReadingAJob:
    def test_it_answers_with_the_job_object(self, place, client):
        order = place("tea")
        answer = client.get(f"/jobs/{order.job_id}")
        assert answer.status_code == 200
        assert answer.json() == jobs.get_status(order.job_id).as_dict()

    def test_the_report_can_be_found_by_its_result(self, client, runner, reports):
        job_id = jobs.enqueue("shop.GenerateReport")
        runner.drain()
        assert client.get(f"/jobs/{job_id}").json()["result"]["rows"] == 0


class TestAnUnknownJob:
    @pytest.mark.parametrize("job_id", UNKNOWN)
    def test_reading_it_is_404(self, client, job_id):
        self._assert_unknown(client.get(f"/jobs/{job_id}"))

    @pytest.mark.parametrize("job_id", UNKNOWN)
    @pytest.mark.parametrize("verb", ["cancel", "retry"])
    def test_so_is_changing_it(self, post, job_id, verb):
        self._assert_unknown(post(f"/jobs/{job_id}/{verb}"))

    def _assert_unknown(self, answer):
        assert (answer.status_code, answer.json()) == (404, {"error": "No such job"})


def test_nothing_is_changed_by_get(place, client):
    order = place("tea")
    for verb in ("cancel", "retry"):
        assert client.get(f"/jobs/{order.job_id}/{verb}").status_code == 405
    assert state(order.job_id) is JobState.PENDING


def test_no_csrf_token_is_needed(products, settings):
    settings.MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/orders", ORDER, content_type="application/json").status_code == 201

"""The shop's jobs, run through the lifecycle."""

import csv
import json
from datetime import timedelta

import pytest
from django.core import mail

from django_flare import JobState, jobs
from django_flare.models import Attempt
from django_flare.worker.runs import EndReason
from example_project.shop.payments import charge

pytestmark = pytest.mark.django_db


def states(order):
    return [jobs.get_status(job_id).state for job_id in (order.job_id, order.confirmation_job_id)]


def payments(order):
    """Return whether the calls to the payment provider were accepted, in their order."""
    return list(order.payment_attempts.values_list("accepted", flat=True))


class TestAPaymentThatWorks:
    def test_the_order_is_paid_by_one_call(self, place, runner):
        order = place("tea", 3)
        runner.drain()
        order.refresh_from_db()
        assert states(order) == [JobState.SUCCEEDED, JobState.SUCCEEDED]
        assert (order.status, payments(order)) == ("paid", [True])

    def test_the_result_says_what_was_paid(self, place, runner):
        order = place("tea", 3)
        runner.drain()
        payment = order.payment_attempts.get()
        assert jobs.get_status(order.job_id).result == {"payment": f"pay-{payment.pk}", "amount": "14.70"}

    def test_the_customer_gets_one_mail_that_says_it_too(self, place, runner):
        order = place("tea", 3)
        runner.drain()
        (message,) = mail.outbox
        assert message.to == ["ada@example.com"]
        assert message.subject == f"Your order {order.pk}"
        assert "3 × Green tea" in message.body
        assert f"14.70 paid (pay-{order.payment_attempts.get().pk})" in message.body

    def test_a_second_run_charges_nothing(self, place):
        order = place("tea")
        assert charge(order) == charge(order)
        assert payments(order) == [True]


class TestAPaymentThatFailsTwice:
    def test_the_third_attempt_pays(self, place, runner):
        order = place("camera")
        runner.drain()
        assert states(order) == [JobState.FAILED, JobState.SCHEDULED]
        runner.drain_later(2)
        assert states(order) == [JobState.FAILED, JobState.SCHEDULED]
        runner.drain_later(3)
        assert states(order) == [JobState.SUCCEEDED, JobState.SUCCEEDED]
        order.refresh_from_db()
        assert (order.status, payments(order)) == ("paid", [False, False, True])
        assert len(mail.outbox) == 1

    def test_the_first_retry_is_quick(self, place, runner):
        order = place("camera")
        runner.drain()
        status = jobs.get_status(order.job_id)
        assert timedelta(seconds=1) <= status.run_at - status.completed_at <= timedelta(seconds=1.5)


class TestAPaymentThatNeverWorks:
    @pytest.fixture
    def order(self, place, runner):
        order = place("yacht")
        runner.drain()
        runner.drain_later(10)
        runner.drain_later(10)
        order.refresh_from_db()
        return order

    def test_the_job_is_dead_and_its_confirmation_cancelled(self, order):
        assert states(order) == [JobState.DEAD_LETTER, JobState.CANCELLED]
        assert jobs.get_status(order.confirmation_job_id).cancelled_by == order.job_id

    def test_the_order_is_refused_and_nobody_gets_a_mail(self, order):
        assert (order.status, payments(order)) == ("refused", [False, False, False])
        assert mail.outbox == []

    def test_every_attempt_says_why(self, order):
        attempts = Attempt.objects.filter(job__public_id=order.job_id)
        assert [attempt.error_message for attempt in attempts] == ["the card was declined"] * 3


def test_a_job_that_should_end_leaves_before_it_charges(place, runner):
    order = place("tea")
    claimed = runner.start(order.job_id)
    runner.run(claimed, prepare=lambda run: run.tell_to_end(EndReason.SHUTDOWN))
    assert states(order) == [JobState.PENDING, JobState.SCHEDULED]
    assert payments(order) == []


def test_progress_is_reported(place, runner):
    run = runner.run(runner.start(place("tea").job_id))
    assert run.progress.value == 0.9


def test_an_order_that_is_gone_fails_the_attempt(place, runner):
    order = place("tea")
    order.delete()
    runner.drain()
    assert "DoesNotExist" in jobs.get_status(order.job_id).error_message


class TestTheReport:
    def test_it_holds_every_order(self, place, runner, reports):
        for sku in ("tea", "camera"):
            place(sku, 2)
        runner.drain()
        job_id = jobs.enqueue("shop.GenerateReport")
        runner.drain()
        result = jobs.get_status(job_id).result
        assert result == {"path": str(reports / f"orders-{job_id}.csv"), "rows": 2}
        with open(result["path"], newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["sku"], row["quantity"], row["total"], row["status"]) for row in rows] == [
            ("tea", "2", "9.80", "paid"),
            ("camera", "2", "178.00", "placed"),
        ]

    def test_without_orders_it_has_its_heading_alone(self, runner, reports):
        job_id = jobs.enqueue("shop.GenerateReport")
        runner.drain()
        assert jobs.get_status(job_id).result["rows"] == 0
        assert (reports / f"orders-{job_id}.csv").read_text().startswith("order,created_at,email,")

    def test_a_second_run_replaces_the_file(self, place, runner, reports):
        job_id = jobs.enqueue("shop.GenerateReport")
        claimed = runner.start(job_id)
        runner.run(claimed)
        place("tea")
        runner.run(claimed)
        assert [path.name for path in reports.iterdir()] == [f"orders-{job_id}.csv"]
        assert len((reports / f"orders-{job_id}.csv").read_text().splitlines()) == 2


class TestLabels:
    def test_there_is_one_for_each_parcel_and_the_progress_tells(self, runner):
        job_id = jobs.enqueue("shop.PrintLabels", {"sku": "tea", "parcels": 4})
        run = runner.run(runner.start(job_id))
        assert (run.progress.value, jobs.get_status(job_id).result) == (1.0, {"labels": 4})

    def test_no_more_are_printed_when_the_job_should_end(self, runner):
        job_id = jobs.enqueue("shop.PrintLabels", {"sku": "tea", "parcels": 4})
        run = runner.run(runner.start(job_id), prepare=lambda run: run.tell_to_end(EndReason.SHUTDOWN))
        assert (run.progress.value, jobs.get_status(job_id).state) == (None, JobState.PENDING)


def test_seeding_twice_leaves_three_products(products):
    from django.core.management import call_command

    call_command("seed", stdout=None)
    assert {sku: product.payment for sku, product in products.items()} == {
        "tea": "works",
        "camera": "fails_twice",
        "yacht": "never_works",
    }


def test_a_job_object_is_json(place):
    assert json.loads(json.dumps(jobs.get_status(place("tea").job_id).as_dict()))

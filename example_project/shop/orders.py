"""Placing orders."""

from __future__ import annotations

from django.db import transaction

from django_flare import jobs
from example_project.shop.jobs import OrderPayload, ProcessOrder, SendOrderConfirmation
from example_project.shop.models import Order, Product


def place_order(email: str, product: Product, quantity: int) -> Order:
    """Store an order together with the jobs that process and confirm it.

    They are rows of one transaction: there is no order without its jobs and no job without its order, and
    no worker sees the jobs before the order is committed.
    """
    with transaction.atomic():
        order = Order.objects.create(email=email, product=product, quantity=quantity)
        payload = OrderPayload(order_id=order.pk)
        order.job_id = jobs.enqueue(ProcessOrder, payload, idempotency_key=f"order:{order.pk}")
        order.confirmation_job_id = jobs.continue_with(order.job_id, SendOrderConfirmation, payload)
        order.save(update_fields=["job_id", "confirmation_job_id"])
    return order

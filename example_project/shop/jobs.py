"""What the shop does in the background."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.mail import EmailMessage

from django_flare import Backoff, JobContext, job
from example_project.shop.models import Order, OrderStatus
from example_project.shop.payments import PaymentRefusedError, charge


@dataclass
class OrderPayload:
    """Name the order; the handler reads the rest, as it is by then."""

    order_id: int


# Short delays, so that the demo is quick; a real payment would wait for minutes.
@job(
    name="shop.ProcessOrder",
    queue="orders",
    max_attempts=3,
    timeout=timedelta(minutes=1),
    backoff=Backoff(base=1, cap=5, jitter=0.5),
)
class ProcessOrder:
    """Charge the customer for an order; the result tells the confirmation what was paid."""

    def execute(self, payload: OrderPayload, ctx: JobContext) -> dict[str, str]:
        order = Order.objects.select_related("product").get(pk=payload.order_id)
        ctx.logger.info("Charging %s for order %s", order.total, order.pk)
        ctx.report_progress(0.2)
        ctx.sleep(settings.PAYMENT_SECONDS)
        # Better to leave now, if the job should end, than between the payment and its record.
        ctx.raise_if_cancelled()
        try:
            payment = charge(order)
        except PaymentRefusedError:
            self._set_status(order, OrderStatus.REFUSED)
            raise
        ctx.report_progress(0.9)
        self._set_status(order, OrderStatus.PAID)
        return {"payment": f"pay-{payment.pk}", "amount": str(order.total)}

    def _set_status(self, order: Order, status: OrderStatus) -> None:
        order.status = status
        order.save(update_fields=["status"])


@job(name="shop.SendOrderConfirmation", queue="mail", timeout=timedelta(minutes=1))
class SendOrderConfirmation:
    """Tell the customer that the order is paid; a continuation of `ProcessOrder`."""

    async def execute(self, payload: OrderPayload, ctx: JobContext) -> None:
        order = await Order.objects.select_related("product").aget(pk=payload.order_id)
        paid = ctx.parents[0][1] if ctx.parents else None
        # Django's mail backends block, so not on the event loop.
        await sync_to_async(confirmation(order, paid or {}).send, thread_sensitive=False)()


def confirmation(order: Order, paid: dict[str, Any]) -> EmailMessage:
    """Return the mail for a paid order; sent twice it is recognised by its Message-ID."""
    lines = [
        f"Thank you for your order {order.pk}:",
        "",
        f"  {order.quantity} × {order.product.name}",
        f"  {paid.get('amount', order.total)} paid ({paid.get('payment', 'in the shop')})",
        "",
    ]
    return EmailMessage(
        subject=f"Your order {order.pk}",
        body="\n".join(lines),
        to=[order.email],
        headers={"Message-ID": f"<order-{order.pk}@shop.example.com>"},
    )


@dataclass
class LabelsPayload:
    """Name a product and the number of parcels that hold it."""

    sku: str
    parcels: int


@job(name="shop.PrintLabels", queue="labels", timeout=timedelta(minutes=5))
class PrintLabels:
    """Print a label for each parcel; the warehouse, another program, asks for it over HTTP."""

    def execute(self, payload: LabelsPayload, ctx: JobContext) -> dict[str, int]:
        for number in range(1, payload.parcels + 1):
            ctx.sleep(settings.LABEL_SECONDS)
            ctx.raise_if_cancelled()
            ctx.logger.info("Label %s of %s for %s", number, payload.parcels, payload.sku)
            ctx.report_progress(number / payload.parcels)
        return {"labels": payload.parcels}


@job(name="shop.GenerateReport", queue="reports", timeout=timedelta(minutes=10))
class GenerateReport:
    """Write all orders into a CSV file named after the job, so that a second run replaces it."""

    def execute(self, ctx: JobContext) -> dict[str, Any]:
        folder = Path(settings.REPORTS_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"orders-{ctx.job_id}.csv"
        unfinished = path.with_suffix(".part")
        rows = self._write(unfinished, ctx)
        os.replace(unfinished, path)
        return {"path": str(path), "rows": rows}

    def _write(self, path: Path, ctx: JobContext) -> int:
        orders = Order.objects.select_related("product").order_by("id")
        total, rows = orders.count(), 0
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["order", "created_at", "email", "sku", "product", "quantity", "total", "status"])
            for rows, order in enumerate(orders.iterator(), start=1):
                writer.writerow(self._row(order))
                ctx.report_progress(rows / max(total, rows))
        return rows

    def _row(self, order: Order) -> list[Any]:
        product, created = order.product, order.created_at.isoformat()
        return [
            order.pk,
            created,
            order.email,
            product.sku,
            product.name,
            order.quantity,
            order.total,
            order.status,
        ]

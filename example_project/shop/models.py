"""What the shop sells and what was ordered."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

MAX_QUANTITY = 100


class PaymentBehaviour(models.TextChoices):
    """Say how the pretended payment provider treats a product."""

    WORKS = "works", _("works")
    FAILS_TWICE = "fails_twice", _("fails twice, then works")
    NEVER_WORKS = "never_works", _("never works")


class Product(models.Model):
    """Something to buy, and how paying for it goes."""

    sku = models.SlugField(_("SKU"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=100)
    price = models.DecimalField(_("price"), max_digits=8, decimal_places=2, validators=[MinValueValidator(0)])
    payment = models.CharField(
        _("payment"), max_length=16, choices=PaymentBehaviour, default=PaymentBehaviour.WORKS
    )

    class Meta:
        ordering = ["sku"]
        constraints = [
            models.CheckConstraint(name="shop_product_price", condition=Q(price__gte=0)),
            models.CheckConstraint(
                name="shop_product_payment", condition=Q(payment__in=PaymentBehaviour.values)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class OrderStatus(models.TextChoices):
    """Say how far an order has come."""

    PLACED = "placed", _("placed")
    PAID = "paid", _("paid")
    REFUSED = "refused", _("payment refused")


class Order(models.Model):
    """One order, and the ids of the jobs that process and confirm it."""

    email = models.EmailField(_("email"))
    product = models.ForeignKey(Product, models.PROTECT, verbose_name=_("product"), related_name="orders")
    quantity = models.PositiveSmallIntegerField(
        _("quantity"), validators=[MinValueValidator(1), MaxValueValidator(MAX_QUANTITY)]
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    status = models.CharField(_("status"), max_length=16, choices=OrderStatus, default=OrderStatus.PLACED)
    # Plain ids: finished jobs are pruned, orders are kept.
    job_id = models.CharField(_("job"), max_length=64, blank=True, editable=False)
    confirmation_job_id = models.CharField(_("confirmation job"), max_length=64, blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="shop_order_quantity", condition=Q(quantity__range=(1, MAX_QUANTITY))
            ),
            models.CheckConstraint(name="shop_order_status", condition=Q(status__in=OrderStatus.values)),
        ]

    def __str__(self) -> str:
        return f"{_('order')} {self.pk}"

    def get_absolute_url(self) -> str:
        """Return the order's address in the API."""
        return reverse("order", args=[self.pk])

    @property
    def total(self) -> Decimal:
        """What the order costs."""
        return self.product.price * self.quantity


class PaymentAttempt(models.Model):
    """One call to the payment provider, which is how the example counts them."""

    order = models.ForeignKey(Order, models.CASCADE, verbose_name=_("order"), related_name="payment_attempts")
    accepted = models.BooleanField(_("accepted"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.order}: {_('accepted') if self.accepted else _('refused')}"

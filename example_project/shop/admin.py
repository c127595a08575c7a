"""The shop in the admin."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from example_project.shop.models import Order, PaymentAttempt, Product


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Products, and how paying for them goes."""

    list_display = ["sku", "name", "price", "payment"]
    list_filter = ["payment"]
    search_fields = ["sku", "name"]


class PaymentAttemptInline(admin.TabularInline):  # type: ignore[type-arg]
    """The calls to the payment provider, to be read."""

    model = PaymentAttempt
    fields = ["accepted", "created_at"]
    readonly_fields = ["accepted", "created_at"]
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Refuse: only the provider adds them."""
        return False


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Orders and their jobs; they are placed over HTTP, which enqueues the jobs."""

    list_display = ["id", "email", "product", "quantity", "status", "created_at", "job_id"]
    list_filter = ["status", "product"]
    list_select_related = ["product"]
    search_fields = ["email", "job_id"]
    readonly_fields = ["created_at", "job_id", "confirmation_job_id"]
    inlines = [PaymentAttemptInline]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: an order without its jobs would never be processed."""
        return False

"""What the endpoints accept."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django import forms

from example_project.shop.models import MAX_QUANTITY, Product

# RFC 3339 is narrower than ISO 8601: a full time, and an offset.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_RUN_AT = "not a time with offset such as 2030-01-31T12:00:00+01:00"


class OrderForm(forms.Form):
    """An order: who, the product's SKU, how many."""

    email = forms.EmailField(max_length=254)
    product = forms.SlugField(max_length=32)
    quantity = forms.IntegerField(min_value=1, max_value=MAX_QUANTITY)

    def clean_product(self) -> Product:
        """Return the product with the given SKU."""
        sku = self.cleaned_data["product"]
        try:
            return Product.objects.get(sku=sku)
        except Product.DoesNotExist:
            raise forms.ValidationError(f"no product has the SKU {sku!r}") from None


class ReportForm(forms.Form):
    """When to write a report."""

    run_at = forms.CharField(max_length=40)

    def clean_run_at(self) -> datetime:
        """Return the time, which has an offset."""
        text = self.cleaned_data["run_at"]
        try:
            return datetime.fromisoformat(text.upper() if _RFC_3339.fullmatch(text) else "")
        except ValueError:
            raise forms.ValidationError(_RUN_AT) from None


def problems(form: forms.Form) -> str:
    """Return all that is wrong with a form on one line: `quantity: …; email: …`."""
    errors: dict[str, Any] = form.errors.get_json_data()
    return "; ".join(f"{field}: {each['message']}" for field, found in errors.items() for each in found)

"""The three products: one for each way in which paying can go."""

from __future__ import annotations

from decimal import Decimal

from example_project.shop.models import PaymentBehaviour, Product

CATALOGUE = {
    "tea": ("Green tea", Decimal("4.90"), PaymentBehaviour.WORKS),
    "camera": ("Instant camera", Decimal("89.00"), PaymentBehaviour.FAILS_TWICE),
    "yacht": ("Second-hand yacht", Decimal("75000.00"), PaymentBehaviour.NEVER_WORKS),
}


def stock() -> list[Product]:
    """Bring the catalogue's products into the database, as often as wanted; return them."""
    return [
        Product.objects.update_or_create(
            sku=sku, defaults={"name": name, "price": price, "payment": payment}
        )[0]
        for sku, (name, price, payment) in CATALOGUE.items()
    ]

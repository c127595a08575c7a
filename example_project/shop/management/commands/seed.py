"""`manage.py seed`: fill the shop."""

from typing import Any

from django.core.management.base import BaseCommand

from example_project.shop.catalogue import stock


class Command(BaseCommand):
    """Create the products of the catalogue, or set them back to what they were."""

    help = "Create the three products that the example sells."

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the products and name them."""
        for product in stock():
            self.stdout.write(f"{product.sku}: {product.name}, payment {product.get_payment_display()}")

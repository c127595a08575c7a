"""The app `shop`."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Name the app; django_flare finds its handlers in `jobs.py` by itself."""

    name = "example_project.shop"
    label = "shop"
    default_auto_field = "django.db.models.BigAutoField"

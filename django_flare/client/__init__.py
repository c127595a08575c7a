"""The verbs of `django_flare.jobs` for programs that are not in the Django project: over its HTTP API.

`FlareClient` blocks, `AsyncFlareClient` awaits. Nothing here imports Django or reads its settings.
"""

try:
    import httpx as httpx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "django_flare.client needs httpx: pip install 'django-flare[client]'", name="httpx"
    ) from error

from django_flare.client.asynchronous import AsyncFlareClient
from django_flare.client.blocking import FlareClient

__all__ = ["AsyncFlareClient", "FlareClient"]

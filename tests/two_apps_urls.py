"""The addresses of a project that has `rest_framework` and `django_flare` installed and nothing else."""

from django.urls import include, path

from django_flare import job


@job
def plain(payload: dict) -> None:
    """Do nothing."""


urlpatterns = [path("flare/", include("django_flare.api.urls"))]

"""What the campaign's server serves: the HTTP API alone."""

from django.urls import include, path

urlpatterns = [path("flare/", include("django_flare.api.urls"))]

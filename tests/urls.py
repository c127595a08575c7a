"""The addresses of the test project."""

from django.urls import include, path

urlpatterns = [path("flare/", include("django_flare.api.urls"))]

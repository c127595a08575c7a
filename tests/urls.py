"""The addresses of the test project."""

from django.contrib import admin
from django.urls import include, path

from django_flare.api.views.swagger import swagger_ui

urlpatterns = [
    path("admin/", admin.site.urls),
    path("flare-docs/", swagger_ui("/flare")),
    path("flare/", include("django_flare.api.urls")),
]

"""The shop's endpoints, the HTTP API of its jobs, and the admin."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("flare/", include("django_flare.api.urls")),
    path("", include("example_project.shop.urls")),
]

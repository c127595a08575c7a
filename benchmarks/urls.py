"""The addresses that are measured."""

from django.apps import apps
from django.contrib import admin
from django.urls import include, path

from benchmarks.peers import bare

urlpatterns = [
    path("flare/", include("django_flare.api.urls")),
    path("bare/notes", bare.CreateNote.as_view()),
    path("bare/notes/<int:pk>", bare.ReadNote.as_view()),
]
if apps.is_installed("django.contrib.admin"):
    urlpatterns.append(path("admin/", admin.site.urls))

"""The addresses that are measured."""

from django.urls import include, path

from benchmarks.peers import bare

urlpatterns = [
    path("flare/", include("django_flare.api.urls")),
    path("bare/notes", bare.CreateNote.as_view()),
    path("bare/notes/<int:pk>", bare.ReadNote.as_view()),
]

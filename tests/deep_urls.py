"""The API below includes that capture parts of the address, one by a word of ours, and a page beside it."""

from django.urls import include, path

inner = [path("<str:name>/", include("django_flare.api.urls"))]
urlpatterns = [
    path("a/<int:number>/", include([path("b/", include(inner))])),
    path("own/", lambda request: None, name="own"),
]

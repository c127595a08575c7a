"""The API below two includes, one of which captures a part of the address, beside a page with a name."""

from django.urls import include, path

inner = [path("c/", include("django_flare.api.urls"))]
urlpatterns = [
    path("a/<int:number>/", include([path("b/", include(inner))])),
    path("own/", lambda request: None, name="own"),
]

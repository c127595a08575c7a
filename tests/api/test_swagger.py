"""Swagger UI, which a project may put beside the API."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.core.exceptions import ImproperlyConfigured

from django_flare.api.views.document import read_document
from django_flare.api.views.swagger import swagger_ui

PAGE = "/flare-docs/"


def test_the_page_holds_the_document_for_the_prefix(client):
    answer = client.get(PAGE)
    assert answer.status_code == 200
    assert answer.context["document"] == {**read_document(), "servers": [{"url": "/flare"}]}
    assert client.post(PAGE).status_code == 405


def test_all_that_it_loads_comes_from_the_static_files(client):
    text = client.get(PAGE).content.decode()
    loaded = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]*)"', text)
    assert len(loaded) == 4
    for address in loaded:
        assert address.startswith("/static/")
        assert finders.find(address.removeprefix("/static/")), address


def test_without_its_assets_it_says_what_is_missing(settings):
    settings.INSTALLED_APPS = [each for each in settings.INSTALLED_APPS if each != "drf_spectacular_sidecar"]
    with pytest.raises(ImproperlyConfigured, match="drf_spectacular_sidecar"):
        swagger_ui("/flare")

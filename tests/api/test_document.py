"""The OpenAPI document says what the API does; each other test of the API holds its answers against it."""

import json
import os
import re
import subprocess
import sys

import pytest
from django.urls import include, path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from django_flare.api import urls
from django_flare.api.creation import FIELDS
from django_flare.api.documentation.generator import generate
from django_flare.api.documentation.operations import OPERATIONS
from django_flare.api.documentation.schemas import SCHEMAS
from django_flare.api.problems import STATUSES
from django_flare.api.views.document import read_document
from tests.api.conformance import validator

DOCUMENT = read_document()


def test_the_file_is_what_the_code_generates_and_nothing_warns():
    assert generate() == DOCUMENT


def test_every_address_is_in_it():
    routed = {"/" + re.sub(r"<str:(\w+)>", r"{\1}", str(each.pattern)) for each in urls.urlpatterns[:-1]}
    assert set(DOCUMENT["paths"]) == routed


def test_every_method_is_in_it():
    for each in urls.urlpatterns[:-1]:
        address = "/" + re.sub(r"<str:(\w+)>", r"{\1}", str(each.pattern))
        assert set(DOCUMENT["paths"][address]) == set(each.callback.actions) - {"head"}


def test_every_operation_has_an_id_of_its_own():
    ids = [each.id for each in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)


def test_every_code_is_in_it():
    error = DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]
    assert error["properties"]["code"]["enum"] == list(STATUSES)
    told = set()
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                for code in answer.get("content", {}).get("application/json", {}).get("examples", {}):
                    assert STATUSES[code] == int(status)
                    told.add(code)
    # Those two belong to no operation.
    assert set(STATUSES) - told == {"not_found", "method_not_allowed"}


def test_the_fields_of_a_create_body():
    assert set(SCHEMAS["NewJob"]["properties"]) == set(FIELDS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    for example in [SCHEMAS[name]["example"]] if "example" in SCHEMAS[name] else []:
        validator(name).validate(example)


def test_every_reference_leads_somewhere():
    for reference in re.findall(r'"\$ref": "#/components/(\w+)/([\w-]+)"', json.dumps(DOCUMENT)):
        kind, name = reference
        assert name in DOCUMENT["components"][kind]


def test_links_lead_to_what_takes_a_new_job():
    takers = {each.id: each.parameter_names for each in OPERATIONS.values()}
    links = {
        operation["operationId"]: answer["links"]
        for item in DOCUMENT["paths"].values()
        for operation in item.values()
        for answer in operation["responses"].values()
        if "links" in answer
    }
    assert set(links) == {"create_job", "create_jobs", "pause_queue"}
    for name in ("create_job", "create_jobs"):
        assert set(links[name]) == {each for each, taken in takers.items() if "job_id" in taken}
    for found in links.values():
        for link in found.values():
            assert set(link["parameters"]) <= takers[link["operationId"]]


def test_a_project_that_documents_itself_finds_nothing_of_ours_and_no_warning():
    patterns = [path("flare/", include("django_flare.api.urls"))]
    GENERATOR_STATS.reset()
    assert SchemaGenerator(patterns=patterns).get_schema(public=True)["paths"] == {}
    assert not GENERATOR_STATS


@pytest.mark.django_db
def test_it_is_served_with_the_prefix_of_the_project(api):
    answer = api.get("v1/schema")
    assert answer.status_code == 200
    assert answer.json() == {**DOCUMENT, "servers": [{"url": "/flare"}]}


def test_a_site_needs_no_drf_spectacular():
    code = (
        "import sys; sys.modules['drf_spectacular'] = None\n"
        "import django; django.setup()\n"
        "import django_flare.api.urls\n"
        "from django_flare.api.views.document import read_document\n"
        "assert read_document()['openapi']\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )

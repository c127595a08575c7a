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
from django_flare.api.documentation.headers import HEADERS
from django_flare.api.documentation.operations import OPERATIONS
from django_flare.api.documentation.refusals import example_of
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
    elsewhere = {"not_found": "UnknownAddress", "method_not_allowed": "MethodNotAllowed"}
    assert set(STATUSES) - told == set(elsewhere)
    for code, name in elsewhere.items():
        examples = DOCUMENT["components"]["responses"][name]["content"]["application/json"]["examples"]
        assert list(examples) == [code]
        assert name in DOCUMENT["info"]["description"]


def test_the_fields_of_a_create_body():
    assert set(SCHEMAS["NewJob"]["properties"]) == set(FIELDS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_has_an_example(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    validator(name).validate(SCHEMAS[name]["example"])


def fields_of(schema, path):
    """Yield (path, schema) of each member of an object, and of those below it."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields_of(field, f"{path}.{name}")
    if "items" in schema:
        yield from fields_of(schema["items"], f"{path}[]")


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_has_a_description(name):
    assert [path for path, field in fields_of(SCHEMAS[name], name) if not field.get("description")] == []


PARAMETERS = {
    (operation["operationId"], parameter["name"]): parameter
    for item in DOCUMENT["paths"].values()
    for operation in item.values()
    for parameter in operation.get("parameters", ())
}


@pytest.mark.parametrize("each", PARAMETERS, ids=str)
def test_every_parameter_has_a_description_and_a_good_example(each):
    parameter = PARAMETERS[each]
    assert parameter["description"]
    Draft202012Validator(parameter["schema"]).validate(parameter["example"])


@pytest.mark.parametrize("name", HEADERS)
def test_every_header_has_a_description_and_a_good_example(name):
    assert HEADERS[name]["description"]
    Draft202012Validator(HEADERS[name]["schema"]).validate(HEADERS[name]["example"])


def test_every_example_of_an_error_is_one():
    for code in STATUSES:
        example = example_of(code)
        validator("Error").validate(example)
        assert example["error"]["code"] == code


@pytest.mark.parametrize("address", ["/v1/jobs", "/v1/jobs/batch"])
def test_who_creates_is_told_when_to_ask_again(address):
    conflict = DOCUMENT["paths"][address]["post"]["responses"]["409"]
    assert "idempotency_in_progress" in conflict["content"]["application/json"]["examples"]
    told = conflict["headers"]["Retry-After"]
    assert "idempotency_in_progress" in told["description"]
    assert told["required"] is False


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

"""Put the document together: drf-spectacular finds the addresses, the tables say what is there."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings

from django_flare import __version__
from django_flare.api import urls
from django_flare.api.documentation import headers
from django_flare.api.documentation.operations import KEYED, OPERATIONS, Operation
from django_flare.api.documentation.parts import Schema, ref
from django_flare.api.documentation.refusals import example_of
from django_flare.api.documentation.schemas import SCHEMAS
from django_flare.api.problems import STATUSES
from django_flare.api.rendering import MEDIA_TYPE
from django_flare.api.views.unknown import UnknownAddress

_DESCRIPTION = (
    "Background jobs in the database that a Django project already has.\n\n"
    "Where an address is listed here, any other method is answered 405 with `Allow`, as the response "
    "`MethodNotAllowed` says; any other address under the prefix is answered 404, as `UnknownAddress` says."
)
# Where the answer of an operation names what others take.
_LEADS = {
    "create_job": ("job_id", "$response.body#/id"),
    "create_jobs": ("job_id", "$response.body#/ids/0"),
    "pause_queue": ("name", "$response.body#/name"),
}
_SECURITY: dict[str, Schema] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "flare_<id>_<secret>, of flare_apikey create.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "Signed in to the site with the action's model permission; writing takes X-CSRFToken.",
    },
}


class _Enumerator(EndpointEnumerator):
    def should_include_endpoint(self, path: str, callback: Any) -> bool:
        """Include ours, which keep out of a project's own document."""
        return callback.cls is not UnknownAddress

    def get_path_from_regex(self, path_regex: str) -> str:
        """Return the address as it stands in a document."""
        inherited: Any = super().get_path_from_regex
        return "/" + str(inherited(path_regex)).lstrip("/")


class _Schema(AutoSchema):
    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any
    ) -> Schema:
        """Return what the table says of the view's action."""
        view: Any = self.view
        return _operation(OPERATIONS[type(view).__name__, view.action])


class _Generator(SchemaGenerator):
    endpoint_inspector_cls = _Enumerator

    def create_view(self, callback: Any, method: str, request: Any = None) -> Any:
        """Give the view a schema, which it does not have by itself."""
        view = callback.cls(**callback.initkwargs)
        view.action_map = callback.actions
        view.action = callback.actions[method.lower()]
        schema = _Schema()
        schema.view = view
        self.schemas_storage.append(schema)
        view.schema = schema
        return view


def generate() -> dict[str, Any]:
    """Return the document; raises ValueError for whatever drf-spectacular warns of."""
    settings = {
        "OAS_VERSION": "3.1.0",
        "TITLE": "django_flare",
        "VERSION": __version__,
        "DESCRIPTION": _DESCRIPTION,
        "LICENSE": {"name": "MIT", "identifier": "MIT"},
        "SERVERS": [{"url": "/flare"}],
        "APPEND_COMPONENTS": {
            "schemas": SCHEMAS,
            "headers": headers.HEADERS,
            "responses": _ELSEWHERE,
            "securitySchemes": _SECURITY,
        },
        "PREPROCESSING_HOOKS": [],
        "POSTPROCESSING_HOOKS": [],
    }
    GENERATOR_STATS.reset()
    with patched_settings(settings), GENERATOR_STATS.silence():
        generator: Any = _Generator
        document = generator(patterns=urls.urlpatterns).get_schema(public=True)
    found = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    if found:
        raise ValueError("; ".join(map(str, found)))
    return dict(json.loads(json.dumps(document)))


def _operation(each: Operation) -> Schema:
    found: Schema = {"operationId": each.id, "summary": each.summary, "tags": [each.tag]}
    if each.parameters:
        found["parameters"] = list(each.parameters)
    if each.body:
        found["requestBody"] = {"required": each.body_required, "content": _content(ref(each.body))}
    found["security"] = [] if each.is_open else [{"key": []}, {"session": []}]
    found["responses"] = {str(each.status): _success(each), **_unchanged(each), **_errors(each)}
    return found


def _success(each: Operation) -> Schema:
    return {
        "description": each.summary,
        "headers": headers.of_success(each.headers, is_counted=not each.is_open),
        "content": _content(ref(each.answer)),
        **_links(each),
    }


def _links(each: Operation) -> Schema:
    if each.id not in _LEADS:
        return {}
    name, place = _LEADS[each.id]
    following = [
        found.id for found in OPERATIONS.values() if name in found.parameter_names and found is not each
    ]
    return {"links": {id: {"operationId": id, "parameters": {name: place}} for id in following}}


def _unchanged(each: Operation) -> Schema:
    if "ETag" not in each.headers:
        return {}
    return {"304": {"description": "Not changed.", "headers": headers.of_success(("ETag",), is_counted=True)}}


def _errors(each: Operation) -> Schema:
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys((*each.errors, *(() if each.is_open else KEYED))):
        by_status[STATUSES[code]].append(code)
    is_counted = not each.is_open
    return {str(status): _error(by_status[status], is_counted=is_counted) for status in sorted(by_status)}


def _error(codes: list[str], *, is_counted: bool) -> Schema:
    examples = {code: {"value": example_of(code)} for code in codes}
    return {
        "description": ", ".join(codes),
        "headers": headers.of_error(codes, is_counted=is_counted),
        "content": {MEDIA_TYPE: {"schema": ref("Error"), "examples": examples}},
    }


_ELSEWHERE = {
    "MethodNotAllowed": _error(["method_not_allowed"], is_counted=True),
    "UnknownAddress": _error(["not_found"], is_counted=True),
}


def _content(schema: Schema) -> Schema:
    return {MEDIA_TYPE: {"schema": schema}}

"""Put the document together: drf-spectacular finds the addresses, the tables say what is there."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings

from django_flare import __version__
from django_flare.api import urls
from django_flare.api.authentication import CHALLENGE
from django_flare.api.documentation.operations import KEYED, OPERATIONS, Operation
from django_flare.api.documentation.schemas import ID, SCHEMAS, TEXT, WHOLE, Schema, ref
from django_flare.api.problems import STATUSES
from django_flare.api.rendering import MEDIA_TYPE
from django_flare.api.request_ids import MAX_LENGTH
from django_flare.api.views.unknown import UnknownAddress

_LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
HEADERS: dict[str, Schema] = {
    "X-Request-Id": {
        "description": "The request's own X-Request-Id, or a new one.",
        "schema": {**TEXT, "maxLength": MAX_LENGTH},
    },
    "X-RateLimit-Limit": {"description": "Requests in a window; absent without a limit.", "schema": WHOLE},
    "X-RateLimit-Remaining": {"description": "Requests left in this window.", "schema": WHOLE},
    "X-RateLimit-Reset": {"description": "Its end, in seconds since 1970.", "schema": WHOLE},
    "Retry-After": {"description": "Seconds to wait.", "schema": WHOLE, "required": True},
    "Location": {"description": "The absolute path of the job.", "schema": TEXT, "required": True},
    "Idempotent-Replay": {
        "description": "Given when the key had made the job before.",
        "schema": {"const": "true"},
    },
    "ETag": {"description": "Changes when the job does.", "schema": TEXT, "required": True},
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "schema": {"const": CHALLENGE},
        "required": True,
    },
}
_OF_CODES = {
    "unauthorized": ("WWW-Authenticate",),
    "rate_limit_exceeded": ("Retry-After",),
    "unavailable": ("Retry-After",),
}
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
        "DESCRIPTION": "Background jobs in the database that a Django project already has.",
        "LICENSE": {"name": "MIT", "identifier": "MIT"},
        "SERVERS": [{"url": "/flare"}],
        "APPEND_COMPONENTS": {"schemas": SCHEMAS, "headers": HEADERS, "securitySchemes": _SECURITY},
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
        "headers": _headers(each, each.headers),
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
    return {"304": {"description": "Not changed.", "headers": _headers(each, ("ETag",))}}


def _errors(each: Operation) -> Schema:
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys((*each.errors, *(() if each.is_open else KEYED))):
        by_status[STATUSES[code]].append(code)
    return {str(status): _error(each, by_status[status]) for status in sorted(by_status)}


def _error(each: Operation, codes: list[str]) -> Schema:
    examples = {code: {"value": _example(code)} for code in codes}
    extra = [name for code in codes for name in _OF_CODES.get(code, ())]
    return {
        "description": ", ".join(codes),
        "headers": _headers(each, extra, is_counted="unauthorized" not in codes),
        "content": {MEDIA_TYPE: {"schema": ref("Error"), "examples": examples}},
    }


def _example(code: str) -> Schema:
    return {
        "error": {"code": code, "message": "what was wrong, and the bound", "request_id": ID.replace("-", "")}
    }


def _headers(each: Operation, extra: Iterable[str], *, is_counted: bool = True) -> Schema:
    limits = _LIMITS if is_counted and not each.is_open else ()
    names = ("X-Request-Id", *limits, *extra)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _content(schema: Schema) -> Schema:
    return {MEDIA_TYPE: {"schema": schema}}

"""Declaring jobs: handlers, their options, and the types of their payloads."""

from __future__ import annotations

from django_flare.arguments import JobOptions, validate_options
from django_flare.definitions.autodiscover import autodiscover
from django_flare.definitions.backoff import Backoff, Duration, duration_seconds
from django_flare.definitions.decorator import job
from django_flare.definitions.definition import JobDefinition
from django_flare.definitions.json_values import canonical_json, encode_json, encode_result
from django_flare.definitions.options import ResolvedOptions, resolve_options
from django_flare.definitions.payloads import PayloadCodec
from django_flare.definitions.references import JobRef
from django_flare.definitions.registry import Registry, registry, resolve

__all__ = [
    "Backoff",
    "Duration",
    "JobDefinition",
    "JobOptions",
    "JobRef",
    "PayloadCodec",
    "Registry",
    "ResolvedOptions",
    "autodiscover",
    "canonical_json",
    "duration_seconds",
    "encode_json",
    "encode_result",
    "job",
    "registry",
    "resolve",
    "resolve_options",
    "validate_options",
]

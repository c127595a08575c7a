"""One registered job type: its name, its handler and its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_flare.context import JobContext
from django_flare.definitions.backoff import Backoff
from django_flare.definitions.handlers import dotted_path, inspect_handler, payload_annotation
from django_flare.definitions.payloads import PayloadCodec, build_codec


# Compared by identity: caches are keyed by the object.
@dataclass(frozen=True, kw_only=True, eq=False)
class JobDefinition:
    """Describe a job type as `@job` declared it.

    `path` is the handler's dotted path, `run` the function or the class's `execute`, `options`
    holds the declared options by name, already checked.
    """

    name: str
    path: str
    handler: Callable[..., Any]
    run: Callable[..., Any] = field(repr=False)
    is_class: bool
    is_async: bool
    takes_payload: bool
    takes_context: bool
    atomic: bool = False
    backoff: Backoff | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def codec(self) -> PayloadCodec:
        """Return the payload's codec; built on first use, so that forward references resolve.

        Raises ImproperlyConfigured when the annotation of `payload` is of no use.
        """
        try:
            return build_codec(payload_annotation(self.run) if self.takes_payload else dict)
        except Exception as error:
            raise ImproperlyConfigured(f"{self.path}: the annotation of payload: {error}") from error

    def call(self, payload: Any, ctx: JobContext) -> Any:
        """Run the handler with what it takes of `payload` and `ctx`; a class gets a fresh instance.

        Returns what it returns, for an async handler the coroutine. Raises what it raises.
        """
        run = self.handler().execute if self.is_class else self.handler
        arguments: dict[str, Any] = {}
        if self.takes_payload:
            arguments["payload"] = payload
        if self.takes_context:
            arguments["ctx"] = ctx
        return run(**arguments)


def define(
    handler: Any,
    *,
    name: str | None,
    options: Mapping[str, Any],
    backoff: Backoff | None,
    atomic: bool,
) -> JobDefinition:
    """Return the definition of `handler`; raises TypeError when it is none."""
    shape = inspect_handler(handler)
    path = dotted_path(handler)
    if atomic and shape.is_async:
        raise TypeError(f"{path}: atomic=True needs a sync handler")
    return JobDefinition(
        name=name or path,
        path=path,
        handler=handler,
        atomic=atomic,
        backoff=backoff,
        options=options,
        **vars(shape),
    )

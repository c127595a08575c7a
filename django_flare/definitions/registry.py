"""The job types of this process, by name and by handler."""

from __future__ import annotations

import difflib
import threading
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_flare.definitions.definition import JobDefinition
from django_flare.definitions.handlers import dotted_path
from django_flare.errors import FlareJobTypeError, option_error
from django_flare.values import kind

OWN_NAMESPACE = "django_flare."
"""How the names of our own job types begin; they are not created over HTTP."""


class Registry:
    """Hold job definitions. Safe to read while another thread registers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, JobDefinition] = {}
        # By identity, so that a subclass of a handler is not taken for it. The definition keeps
        # its handler alive, so the identity stays taken.
        self._by_handler: dict[int, JobDefinition] = {}

    def register(self, definition: JobDefinition) -> None:
        """Add `definition`; one of the same dotted path, as after a reload, is replaced.

        Raises ImproperlyConfigured when another handler has the name, or the handler another name.
        """
        with self._lock:
            self._refuse_duplicate(definition)
            replaced = self._by_name.get(definition.name)
            if replaced is not None:
                self._by_handler.pop(id(replaced.handler), None)
            self._by_name[definition.name] = definition
            self._by_handler[id(definition.handler)] = definition

    def _refuse_duplicate(self, definition: JobDefinition) -> None:
        holder = self._by_name.get(definition.name)
        if holder is not None and holder.path != definition.path:
            raise ImproperlyConfigured(
                f"two handlers are named {definition.name!r}: {holder.path} and {definition.path}"
            )
        known = self._by_handler.get(id(definition.handler))
        if known is not None and known.name != definition.name:
            raise ImproperlyConfigured(
                f"{known.path} is registered twice: {known.name!r} and {definition.name!r}"
            )

    def get(self, name: str) -> JobDefinition:
        """Return the definition named `name`.

        Raises FlareJobTypeError, with the nearest name, when there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise self._not_registered(name) from None

    def _not_registered(self, name: str) -> FlareJobTypeError:
        near = difflib.get_close_matches(name[:500], list(self._by_name), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return FlareJobTypeError(f"no handler is registered for the job type {name[:500]!a}{hint}")

    def resolve(self, job: Any) -> JobDefinition:
        """Return the definition of a decorated function or class, or of a type's name.

        Raises FlareJobTypeError when it is not registered, FlareOptionError when it is neither.
        """
        if isinstance(job, str):
            return self.get(job)
        definition = self._by_handler.get(id(job))
        if definition is not None:
            return definition
        if not callable(job) or not hasattr(job, "__qualname__"):
            raise option_error("job", f"{kind(job)}, expected a handler or the name of a job type")
        raise FlareJobTypeError(f"{dotted_path(job)} is not registered; decorate it with @job")

    def names(self) -> list[str]:
        """Return the names of all job types, sorted."""
        return sorted(self._by_name.copy())

    def definitions(self) -> list[JobDefinition]:
        """Return all definitions, sorted by name."""
        return [definition for _, definition in sorted(self._by_name.copy().items())]

    def check(self) -> None:
        """Resolve every payload annotation now; raises ImproperlyConfigured for the first bad one."""
        for definition in self.definitions():
            _ = definition.codec


registry = Registry()
"""The registry that `@job` fills."""

resolve = registry.resolve

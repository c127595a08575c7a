"""How a verb's `job` argument is typed, so that a wrong payload is a type error.

A verb is overloaded three times: `job: JobRef[P]` with `payload: P | Mapping[str, Any] | None`,
`job: PlainJobRef` with `payload: Mapping[str, Any] | None`, and `job: str` with `payload: object`.
They cannot be one union, in which every class would also count as a handler without a payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

from django_flare.context import JobContext

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)

# Keyword-only, because a handler is called by name and may take the two in either order.


class TakesPayload(Protocol[P_contra]):
    """A function that takes the payload."""

    def __call__(self, *, payload: P_contra) -> Any: ...


class TakesBoth(Protocol[P_contra]):
    """A function that takes the payload and the context."""

    def __call__(self, *, payload: P_contra, ctx: JobContext) -> Any: ...


class TakesContext(Protocol):
    """A function that takes the context alone."""

    def __call__(self, *, ctx: JobContext) -> Any: ...


class ExecutesPayload(Protocol[P_contra]):
    """An instance whose `execute` takes the payload."""

    def execute(self, *, payload: P_contra) -> Any: ...


class ExecutesBoth(Protocol[P_contra]):
    """An instance whose `execute` takes the payload and the context."""

    def execute(self, *, payload: P_contra, ctx: JobContext) -> Any: ...


class ExecutesContext(Protocol):
    """An instance whose `execute` takes the context alone."""

    def execute(self, *, ctx: JobContext) -> Any: ...


class ExecutesNothing(Protocol):
    """An instance whose `execute` takes nothing."""

    def execute(self) -> Any: ...


JobRef: TypeAlias = TakesPayload[P] | TakesBoth[P] | type[ExecutesPayload[P]] | type[ExecutesBoth[P]]
"""A handler that takes a payload of type P."""

PlainJobRef: TypeAlias = TakesContext | Callable[[], Any] | type[ExecutesContext] | type[ExecutesNothing]
"""A handler that takes no payload."""

AnyJobRef: TypeAlias = JobRef[Any] | PlainJobRef | str
"""Whatever names a job type: a handler, or the type's name."""

"""How a verb's `job` argument is typed, so that a wrong payload is a type error.

A verb takes `job: JobRef[P]` and `payload: P | Mapping[str, Any] | None`: a handler fixes P by the
type of its own payload, a type's name leaves it open.
"""

from __future__ import annotations

from types import CodeType
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


# Without the code object every class would count as a function without parameters, and none
# of their payloads would be checked.


class TakesContext(Protocol):
    """A function that takes the context alone."""

    @property
    def __code__(self) -> CodeType: ...

    def __call__(self, *, ctx: JobContext) -> Any: ...


class TakesNothing(Protocol):
    """A function without parameters."""

    @property
    def __code__(self) -> CodeType: ...

    def __call__(self) -> Any: ...


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


PlainRef: TypeAlias = TakesContext | TakesNothing | type[ExecutesContext] | type[ExecutesNothing]
PayloadRef: TypeAlias = TakesPayload[P] | TakesBoth[P] | type[ExecutesPayload[P]] | type[ExecutesBoth[P]]

JobRef: TypeAlias = PayloadRef[P] | PlainRef | str
"""What names a job type to a verb: a handler whose payload is a P, one without, or the type's name."""

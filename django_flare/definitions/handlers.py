"""What a handler is and what it takes, found out when it is decorated."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from asgiref.sync import iscoroutinefunction

from django_flare.values import kind

if sys.version_info >= (3, 14):
    import annotationlib

_UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class HandlerShape:
    """Describe a handler: `run` is the function itself, or the class's `execute`."""

    run: Callable[..., Any]
    is_class: bool
    is_async: bool
    takes_payload: bool
    takes_context: bool


def dotted_path(handler: Any) -> str:
    """Return `module.qualname` of the handler."""
    return f"{handler.__module__}.{handler.__qualname__}"


def inspect_handler(handler: Any) -> HandlerShape:
    """Return what `handler` is and takes.

    Raises TypeError naming it when it is no function or class with `execute`, is a generator, or
    needs parameters other than `payload` and `ctx`.
    """
    is_class = inspect.isclass(handler)
    run = _execute(handler) if is_class else _function(handler)
    where = f"{dotted_path(handler)}.execute" if is_class else dotted_path(handler)
    _refuse_generator(run, where)
    names = set(_parameters(run, _is_method(handler) if is_class else False, where))
    return HandlerShape(run, is_class, iscoroutinefunction(run), "payload" in names, "ctx" in names)


def payload_annotation(run: Callable[..., Any]) -> Any:
    """Return the resolved annotation of `payload`, `dict` when there is none.

    Other annotations are left alone: they may name what only type checkers import. Raises
    NameError and whatever else evaluating a forward reference raises.
    """
    function = inspect.unwrap(run)
    function = getattr(function, "__func__", function)
    annotation = _annotations(function).get("payload", dict)
    holder = SimpleNamespace(__annotations__={"payload": annotation})
    names = getattr(function, "__globals__", {})
    return typing.get_type_hints(holder, names, include_extras=True)["payload"]


def _annotations(function: Any) -> dict[str, Any]:
    if sys.version_info >= (3, 14):
        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(function)


def _function(handler: Any) -> Callable[..., Any]:
    if not callable(handler) or not hasattr(handler, "__qualname__"):
        raise TypeError(f"@job takes a function or a class with execute, not {kind(handler)}")
    return typing.cast("Callable[..., Any]", handler)


def _execute(handler: type) -> Callable[..., Any]:
    run = getattr(handler, "execute", None)
    if not callable(run):
        raise TypeError(f"{dotted_path(handler)}: a class needs a method execute to handle jobs")
    try:
        inspect.signature(handler).bind()
    except TypeError as error:
        raise TypeError(f"{dotted_path(handler)}: built without arguments for each run: {error}") from None
    except ValueError:
        pass  # No signature to read, as with some classes written in C.
    return typing.cast("Callable[..., Any]", run)


def _is_method(handler: type) -> bool:
    return not isinstance(inspect.getattr_static(handler, "execute"), staticmethod | classmethod)


def _refuse_generator(run: Callable[..., Any], where: str) -> None:
    function = inspect.unwrap(run)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{where}: a generator does nothing when it is called; use a plain function")


def _parameters(run: Callable[..., Any], is_method: bool, where: str) -> Iterator[str]:
    parameters = list(_signature(run).parameters.values())
    parameters = parameters[1:] if is_method else parameters
    if parameters and all(parameter.kind in _UNNAMED for parameter in parameters):
        hidden = ", ".join(map(str, parameters))
        raise TypeError(f"{where}: takes {hidden}; name payload and ctx, or use functools.wraps")
    for parameter in parameters:
        if parameter.kind in _UNNAMED:
            continue
        if parameter.name in ("payload", "ctx") and parameter.kind is not parameter.POSITIONAL_ONLY:
            yield parameter.name
        elif parameter.default is parameter.empty:
            raise TypeError(f"{where}: takes {parameter.name!r}; a handler takes payload and ctx, by name")


def _signature(run: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        return inspect.signature(run, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(run)

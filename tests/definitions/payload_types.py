"""Types of payloads, in a module of their own so that annotations resolve as in a project."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NotRequired, TypedDict
from uuid import UUID

import msgspec


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    price: Decimal
    count: int = 1
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Order:
    order_id: UUID
    lines: list[Line]
    placed: datetime
    due: date
    patience: timedelta
    color: Color
    gift: Line | None = None
    by_shelf: dict[str, Line] = field(default_factory=dict)
    pair: tuple[int, Line] | None = None
    note: str = ""
    anything: Any = None


@dataclass
class OrderPayload:
    order_id: int
    note: str = ""


@dataclass
class OtherPayload:
    order_id: int


@dataclass
class RichOrderPayload(OrderPayload):
    secret: str = "s"


class Node(msgspec.Struct):
    value: int
    next: Node | None = None


class Event(TypedDict):
    user_id: int
    nodes: NotRequired[list[Node]]


class Created(msgspec.Struct, tag="created"):
    order_id: int


class Paid(msgspec.Struct, tag="paid", rename="camel"):
    order_id: int


def takes_forward(payload: DefinedLater) -> None: ...


def takes_missing(payload: NowhereDefined) -> None: ...  # noqa: F821


def takes_context_of_type_checkers(payload: OrderPayload, ctx: NowhereDefined) -> None: ...  # noqa: F821


def takes_mapping(payload: Mapping[str, Any]) -> None: ...


@dataclass
class DefinedLater:
    value: int

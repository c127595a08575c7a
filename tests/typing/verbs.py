"""A verb typed as the facade's are, and handlers of every form, for the type-only tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

from django_flare.context import JobContext
from django_flare.definitions import JobRef, job

P = TypeVar("P")


def enqueue(job: JobRef[P], payload: P | Mapping[str, Any] | None = None) -> str:
    raise NotImplementedError


@dataclass
class OrderPayload:
    order_id: int


@dataclass
class UrgentOrderPayload(OrderPayload):
    minutes: int = 5


@dataclass
class OtherPayload:
    order_id: int


class EventPayload(TypedDict):
    user_id: int


@job
def process_order(payload: OrderPayload, ctx: JobContext) -> None: ...


@job(queue="orders", priority=5)
async def ship_order(payload: OrderPayload) -> None: ...


@job
def context_first(ctx: JobContext, payload: OrderPayload, extra: int = 1) -> None: ...


@job
def tidy_up() -> None: ...


@job
def tidy_up_watched(ctx: JobContext) -> None: ...


@job
def import_rows(payload: dict[str, Any]) -> None: ...


@job
def handle_event(payload: EventPayload) -> None: ...


@job
class SendMail:
    async def execute(self, payload: OrderPayload, ctx: JobContext) -> None: ...


@job(name="mail.short")
class SendShortMail:
    def execute(self, payload: OrderPayload) -> None: ...


@job
class TidyUp:
    def execute(self) -> None: ...

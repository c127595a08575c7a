"""The job types that the tests enqueue; each helper appends its own at the end."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

from django_flare import Backoff, JobContext, job
from tests.testapp import endless_jobs as endless_jobs
from tests.testapp import system_jobs as system_jobs


@job
def plain(payload: dict, ctx: JobContext):
    return payload


@job(max_attempts=1)
def once(payload: dict): ...


@job(
    queue="configured",
    max_attempts=7,
    timeout=timedelta(minutes=10),
    priority=5,
    backoff=Backoff(base=1, cap=8, jitter=0),
    tags={"team": "blue", "kind": "test"},
)
def configured(payload: dict): ...


@job(name="mail.welcome")
class SendWelcome:
    async def execute(self, payload: dict, ctx: JobContext): ...


class Colour(Enum):
    RED = "red"


@dataclass
class Line:
    sku: str
    count: int


@dataclass
class Order:
    order_id: int
    lines: list[Line] = field(default_factory=list)
    due: datetime | None = None
    grace: timedelta | None = None
    price: Decimal | None = None
    key: UUID | None = None
    colour: Colour | None = None


@job
def process_order(payload: Order): ...

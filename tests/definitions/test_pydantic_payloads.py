"""Payloads that are Pydantic models, where Pydantic is installed."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

pydantic = pytest.importorskip("pydantic")

from django_flare.definitions.payloads import build_codec  # noqa: E402
from django_flare.errors import FlarePayloadError  # noqa: E402
from tests.definitions.payload_types import Color  # noqa: E402


class Line(pydantic.BaseModel):
    price: Decimal
    count: int = 1


class Order(pydantic.BaseModel):
    order_id: UUID
    lines: list[Line]
    placed: datetime
    due: date
    patience: timedelta
    color: Color
    rate: float = 1.0
    by_shelf: dict[str, Line] = {}
    customer: int = pydantic.Field(1, alias="customerId")


class Extended(Order):
    secret: str = "s"


class WrittenOnly(pydantic.BaseModel):
    value: int = pydantic.Field(1, serialization_alias="written")


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


GIVEN = {
    "order_id": UUID(int=1),
    "lines": [Line(price=Decimal("1.50"))],
    "placed": datetime(2024, 2, 29, tzinfo=UTC),
    "due": date(2024, 3, 1),
    "patience": timedelta(days=1, microseconds=5),
    "color": Color.RED,
}
ORDER = Order(**GIVEN)
codec = build_codec(Order)


def test_a_model_comes_back_equal():
    assert codec.decode(codec.encode(ORDER)) == ORDER


def test_a_matching_dict_stands_for_the_model():
    assert codec.encode(GIVEN) == codec.encode(ORDER)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({**GIVEN, "lines": [{"price": "1", "count": "7"}]}, r"payload\.lines\[0\]\.count: Input should be"),
        ({**GIVEN, "lines": [{"price": "1", "cuont": 7}]}, r"payload\.lines\[0\]: unknown key 'cuont'"),
        ({**GIVEN, "by_shelf": {"a": {"price": "1", "b": 7}}}, r"payload\.by_shelf\.a: unknown key 'b'"),
        ({**GIVEN, "note": ""}, "payload: unknown key 'note'"),
        (None, "payload.order_id: Field required"),
        ([], "payload: list, expected Order or a dict"),
        (Line(price=Decimal(1)), "payload: Line, expected Order or a dict"),
        (Extended(**GIVEN), "payload: unknown key 'secret'"),
        (ORDER.model_copy(update={"rate": float("nan")}), "payload.rate: nan is not JSON"),
        (ORDER.model_copy(update={"color": 5}), "payload.color: "),
        ({**GIVEN, "rate": object()}, "object is not a JSON type"),
    ],
)
def test_a_misfit_is_refused_at_enqueue(payload, message):
    with pytest.raises(FlarePayloadError, match=message):
        codec.encode(payload)


def test_an_alias_for_writing_alone_is_refused_instead_of_lost():
    with pytest.raises(FlarePayloadError, match="unknown key 'written'"):
        build_codec(WrittenOnly).encode(WrittenOnly(value=5))


def test_a_model_that_allows_more_keeps_it():
    assert build_codec(Open).encode({"any": 1}) == '{"any":1}'


def test_a_stored_misfit_is_a_payload_error():
    with pytest.raises(FlarePayloadError, match=r"payload\.order_id"):
        codec.decode({})


def test_a_model_of_a_list_is_refused_when_declared():
    with pytest.raises(TypeError, match="is no JSON object"):
        build_codec(pydantic.RootModel[list[int]])

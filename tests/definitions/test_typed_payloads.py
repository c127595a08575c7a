"""Payloads with a type: checked at enqueue, the type again before the run."""

import dataclasses
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from django_flare.definitions.payloads import build_codec
from django_flare.errors import FlarePayloadError
from tests.definitions.payload_types import (
    Color,
    Created,
    Event,
    Line,
    Node,
    Order,
    OrderPayload,
    OtherPayload,
    Paid,
    RichOrderPayload,
)

ORDER = Order(
    order_id=UUID(int=1),
    lines=[Line(Decimal("1.50"), 2)],
    placed=datetime(2024, 2, 29, 12, 30, 0, 5, UTC),
    due=date(2024, 3, 1),
    patience=timedelta(days=400, microseconds=1),
    color=Color.BLUE,
    gift=Line(Decimal("0.1")),
    by_shelf={"a1": Line(Decimal(7))},
    pair=(1, Line(Decimal(2))),
)
orders = build_codec(Order)
simple = build_codec(OrderPayload)


def order_dict(**changes):
    return {**vars(ORDER), **changes}


def test_an_object_comes_back_equal():
    assert orders.decode(orders.encode(ORDER)) == ORDER


def test_the_stored_value_is_a_json_object():
    assert json.loads(orders.encode(ORDER))["lines"] == [{"price": "1.50", "count": 2, "extra": {}}]


def test_a_dict_of_python_values_stands_for_the_object():
    assert orders.encode(order_dict()) == orders.encode(ORDER)


def test_a_dict_of_json_values_stands_for_the_object():
    assert orders.encode(json.loads(orders.encode(ORDER))) == orders.encode(ORDER)


def test_defaults_are_filled_in_at_enqueue():
    assert simple.encode({"order_id": 7}) == '{"order_id":7,"note":""}'


def test_none_means_an_empty_dict():
    with pytest.raises(FlarePayloadError, match="payload: object missing required field order_id"):
        simple.encode(None)


def test_strings_of_a_subclass_become_plain():
    assert simple.encode(OrderPayload(1, mark_safe("x"))) == '{"order_id":1,"note":"x"}'


MISFITS = {
    "a string for a number": ({"order_id": "7"}, "payload.order_id: expected int, got str"),
    "a float for an integer": ({"order_id": 7.0}, "payload.order_id: expected int, got float"),
    "a bool for an integer": ({"order_id": True}, "payload.order_id: expected int, got bool"),
    "None for a number": ({"order_id": None}, "payload.order_id: expected int, got null"),
    "bytes for a string": ({"order_id": 1, "note": b"x"}, "payload.note: expected str, got bytes"),
    "a UUID for a string": ({"order_id": 1, "note": UUID(int=1)}, "payload.note: expected str, got uuid"),
    "lazy text": ({"order_id": 1, "note": gettext_lazy("x")}, "lazy text is not a JSON type"),
    "an unknown key": ({"order_id": 1, "noet": ""}, "payload: unknown key 'noet', did you mean 'note'?"),
    "a foreign key": ({"order_id": 1, "zzz": ""}, "payload: unknown key 'zzz', expected order_id, note"),
    "a key that is no string": ({"order_id": 1, 5: ""}, "payload: a key is int, expected a string"),
    "a missing key": ({"note": ""}, "payload: object missing required field order_id"),
    "a NUL": ({"order_id": 1, "note": "\0"}, "payload.note: a NUL character is not allowed"),
    "a surrogate": ({"order_id": 1, "note": "\ud800"}, "payload.note: a lone surrogate is not allowed"),
    "2^63": ({"order_id": 2**63}, "payload.order_id: an integer beyond 64 bits"),
    "an object with a bad field": (OrderPayload("7"), "payload.order_id: expected int, got str"),
    "an object of another type": (OtherPayload(1), "payload: OtherPayload, expected OrderPayload or a dict"),
    "an object that holds more": (RichOrderPayload(1), "payload: unknown key 'secret'"),
    "a list": ([1], "payload: list, expected OrderPayload or a dict"),
    "a string": ("x", "payload: str, expected OrderPayload or a dict"),
    "the class itself": (OrderPayload, "payload: type, expected OrderPayload or a dict"),
    "a megabyte": (OrderPayload(1, "x" * 2**20), "bytes, at most 1048576 bytes of JSON"),
}


@pytest.mark.parametrize(("payload", "message"), MISFITS.values(), ids=MISFITS)
def test_a_misfit_is_refused_at_enqueue(payload, message):
    with pytest.raises(FlarePayloadError) as caught:
        simple.encode(payload)
    assert message in str(caught.value)
    assert caught.value.details


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lines": [{"price": "1", "cuont": 1}]}, "payload.lines[0]: unknown key 'cuont'"),
        ({"gift": {"price": "1", "cuont": 1}}, "payload.gift: unknown key 'cuont'"),
        ({"by_shelf": {"a": {"price": "1", "cuont": 1}}}, "payload.by_shelf.a: unknown key 'cuont'"),
        ({"pair": [1, {"price": "1", "cuont": 1}]}, "payload.pair[1]: unknown key 'cuont'"),
        ({"gift": {"price": "1", "extra": {"at": [date(2020, 1, 1)]}}}, "payload.gift.extra.at[0]: date is"),
        ({"anything": Decimal(1)}, "payload.anything: Decimal is not a JSON type"),
        ({"lines": [{"price": "1", "count": "1"}]}, "payload.lines[0].count: expected int, got str"),
        ({"color": "green"}, "payload.color: invalid enum value 'green'"),
        ({"placed": "yesterday"}, "payload.placed: invalid RFC3339 encoded datetime"),
    ],
)
def test_a_misfit_inside_is_refused_with_its_place(changes, message):
    with pytest.raises(FlarePayloadError) as caught:
        orders.encode(order_dict(**changes))
    assert message in str(caught.value)


def test_a_recursive_type_is_checked_to_the_end():
    codec = build_codec(Node)
    assert codec.encode(Node(1, Node(2))) == '{"value":1,"next":{"value":2,"next":null}}'
    with pytest.raises(FlarePayloadError, match=r"payload\.next\.next: unknown key 'vlaue'"):
        codec.encode({"value": 1, "next": {"value": 2, "next": {"value": 3, "vlaue": 1}}})


def test_a_circle_of_objects_is_refused():
    node = Node(1)
    node.next = node
    with pytest.raises(FlarePayloadError, match="circular reference or is nested too deep"):
        build_codec(Node).encode(node)


def test_a_chain_of_objects_is_refused_over_the_depth():
    node = Node(1)
    for _ in range(100):
        node = Node(1, node)
    with pytest.raises(FlarePayloadError, match="payload: nested deeper than 100 levels"):
        build_codec(Node).encode(node)


def test_a_typed_dict_is_checked_like_a_class():
    codec = build_codec(Event)
    assert codec.decode(codec.encode({"user_id": 1, "nodes": [{"value": 1}]})) == {
        "user_id": 1,
        "nodes": [Node(1)],
    }
    with pytest.raises(FlarePayloadError, match="unknown key 'user', did you mean 'user_id'"):
        codec.encode({"user_id": 1, "user": 1})
    with pytest.raises(FlarePayloadError, match="payload: list, expected a dict"):
        codec.encode([])


def test_tagged_structs_share_one_handler():
    codec = build_codec(Created | Paid)
    assert codec.encode(Paid(7)) == '{"type":"paid","orderId":7}'
    assert codec.decode({"type": "created", "order_id": 7}) == Created(7)
    with pytest.raises(FlarePayloadError, match="payload: unknown key 'order_id', did you mean 'orderId'"):
        codec.encode({"type": "paid", "order_id": 7})


def test_a_dict_with_typed_values_is_checked():
    codec = build_codec(dict[str, Line])
    assert codec.decode(codec.encode({"a": {"price": "1"}})) == {"a": Line(Decimal(1))}
    with pytest.raises(FlarePayloadError, match=r"payload\.a: unknown key 'x'"):
        codec.encode({"a": {"price": "1", "x": 1}})


@pytest.mark.parametrize("annotation", [OrderPayload | None, Annotated[OrderPayload, "x"]])
def test_the_annotation_may_be_dressed_up(annotation):
    codec = build_codec(annotation)
    assert codec.decode(codec.encode(OrderPayload(1))) == OrderPayload(1)


@dataclasses.dataclass
class HoldsObject:
    thing: object
    node: "Any" = None


@dataclasses.dataclass
class HoldsUnknown:
    thing: pytest.MonkeyPatch


@dataclasses.dataclass
class HoldsNumberedKeys:
    by_number: dict[int, str]


class Row(msgspec.Struct, array_like=True):
    value: int


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (int, "is no JSON object"),
        (list[OrderPayload], "is no JSON object"),
        (OrderPayload | int, "is no JSON object"),
        (Row, "is no JSON object"),
        (HoldsUnknown, "payload.thing: .*MonkeyPatch.* does not round-trip as JSON"),
        (HoldsNumberedKeys, "payload.by_number: keys of JSON objects are strings"),
        (pytest.MonkeyPatch, "is no JSON object"),
    ],
)
def test_a_type_that_does_not_round_trip_is_refused_when_declared(annotation, message):
    with pytest.raises(TypeError, match=message):
        build_codec(annotation)


@pytest.mark.parametrize("stored", ['{"order_id": 1}', b'{"order_id": 1}', {"order_id": 1}])
def test_the_stored_value_is_parsed_again_before_the_run(stored):
    assert simple.decode(stored) == OrderPayload(1)


@pytest.mark.parametrize("stored", ['{"order_id": "1"}', {"order_id": "1"}, {}, [], "{", None])
def test_a_stored_misfit_is_a_payload_error(stored):
    with pytest.raises(FlarePayloadError):
        simple.decode(stored)


def test_a_stored_key_that_the_type_has_lost_is_ignored():
    assert simple.decode({"order_id": 1, "dropped_field": 2}) == OrderPayload(1)


def test_each_run_gets_an_object_of_its_own():
    stored = {"order_id": 1}
    assert simple.decode(stored) is not simple.decode(stored)


clean_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
int64 = st.integers(-(2**63), 2**63 - 1)
lines = st.builds(
    Line,
    price=st.decimals(allow_nan=False),
    count=int64,
    extra=st.dictionaries(clean_texts, int64 | clean_texts | st.none()),
)
any_order = st.builds(
    Order,
    order_id=st.uuids(),
    lines=st.lists(lines, max_size=3),
    placed=st.datetimes(timezones=st.just(UTC)) | st.datetimes(),
    due=st.dates(),
    patience=st.timedeltas(),
    color=st.sampled_from(Color),
    gift=st.none() | lines,
    by_shelf=st.dictionaries(clean_texts, lines, max_size=2),
    pair=st.none() | st.tuples(int64, lines),
    note=clean_texts,
    anything=st.none() | st.booleans() | clean_texts,
)


@given(any_order)
def test_every_typed_payload_round_trips(order):
    text = orders.encode(order)
    assert orders.decode(text) == order
    assert orders.decode(json.loads(text)) == order
    assert orders.encode(json.loads(text)) == text

"""Payloads without a type: JSON values, the same on every database."""

import json
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from django.test import override_settings
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from django_flare.conf import flare_settings
from django_flare.definitions import canonical_json, encode_result
from django_flare.definitions.json_values import _surely_json, require_json
from django_flare.definitions.payloads import PlainCodec, build_codec
from django_flare.errors import FlarePayloadError
from tests.definitions.payload_types import Color, OrderPayload

Point = namedtuple("Point", "x y")
codec = PlainCodec()


def nested(levels, make=lambda inner: [inner]):
    value = 1
    for _ in range(levels):
        value = make(value)
    return value


def circular():
    value = {}
    value["self"] = [value]
    return value


def doubled(levels):
    """An object that is small in memory and endless as text."""
    value = []
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize("annotation", [dict, Mapping, dict[str, Any], Mapping[str, object], Any, object])
def test_an_annotation_that_says_nothing_takes_any_object(annotation):
    assert build_codec(annotation).encode({"a": [1, "x", None, True, 1.5]}) == '{"a":[1,"x",null,true,1.5]}'


def test_none_means_an_empty_object():
    assert codec.encode(None) == "{}"


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"a": (1, (2,))}, '{"a":[1,[2]]}'),
        ({"a": Point(1, 2)}, '{"a":[1,2]}'),
        ({"b": 1, "a": 2}, '{"b":1,"a":2}'),
        ({"a": 2**53 + 1}, '{"a":9007199254740993}'),
        ({"a": [2**63 - 1, -(2**63)]}, '{"a":[9223372036854775807,-9223372036854775808]}'),
        ({"a": mark_safe("<b>é</b>")}, '{"a":"<b>é</b>"}'),
        ({mark_safe("key"): 1}, '{"key":1}'),
        ({"a": "\\u0000"}, '{"a":"\\\\u0000"}'),
        ({"a": "\U0001f600\u202e"}, '{"a":"\U0001f600\u202e"}'),
        (OrderedDict(a=1), '{"a":1}'),
        (MappingProxyType({"a": 1}), '{"a":1}'),
    ],
)
def test_json_values_are_taken_as_they_are(payload, text):
    assert codec.encode(payload) == text


BAD = {
    "a NUL in a value": ({"a": ["x\0y"]}, "payload.a[0]: a NUL character is not allowed"),
    "a NUL in a key": ({"o": {"a\0": 1}}, "payload.o: a NUL character is not allowed in a key"),
    "a lone surrogate": ({"a": "\ud800"}, "payload.a: a lone surrogate is not allowed"),
    "a lone surrogate in a key": ({"\udfff": 1}, "payload: a lone surrogate is not allowed in a key"),
    "NaN": ({"a": float("nan")}, "payload.a: nan is not JSON"),
    "infinity": ({"a": float("inf")}, "payload.a: inf is not JSON"),
    "minus infinity": ({"a": [1e999, -1e999]}, "payload.a[0]: inf is not JSON"),
    "2^63": ({"a": 2**63}, "payload.a: an integer beyond 64 bits, expected -2^63 to 2^63-1"),
    "-2^63-1": ({"a": -(2**63) - 1}, "payload.a: an integer beyond 64 bits, expected -2^63 to 2^63-1"),
    "400 digits": ({"a": 10**400}, "payload.a: an integer beyond 64 bits"),
    "5000 digits": ({"a": 10**5000}, "payload.a: an integer beyond 64 bits"),
    "an integer as key": ({"a": {1: 1, "1": 2}}, "payload.a: a key is int, expected a string"),
    "None as key": ({None: 1}, "payload: a key is None, expected a string"),
    "a set": ({"a": {1}}, "payload.a: set is not a JSON type"),
    "bytes": ({"a": b"x"}, "payload.a: bytes is not a JSON type"),
    "a datetime": (
        {"lines": [1, 2, 3, {"price": datetime(2020, 1, 1, tzinfo=UTC)}]},
        "payload.lines[3].price: datetime is not a JSON type",
    ),
    "a date": ({"a": date(2020, 1, 1)}, "payload.a: date is not a JSON type"),
    "a timedelta": ({"a": timedelta(1)}, "payload.a: timedelta is not a JSON type"),
    "a Decimal": ({"a": Decimal(1)}, "payload.a: Decimal is not a JSON type"),
    "a UUID": ({"a": uuid.uuid4()}, "payload.a: UUID is not a JSON type"),
    "an Enum": ({"a": Color.RED}, "payload.a: Color is not a JSON type"),
    "a dataclass": ({"a": OrderPayload(1)}, "payload.a: OrderPayload is not a JSON type"),
    "lazy text": ({"a": gettext_lazy("x")}, "payload.a: lazy text is not a JSON type"),
    "an object under an odd key": ({"a b": {"c": object()}}, "payload['a b'].c: object is not a JSON type"),
    "a circle": (circular(), "payload: holds a circular reference"),
    "101 levels": ({"a": nested(100)}, "payload: nested deeper than 100 levels"),
    "5000 levels": (nested(5000, lambda inner: {"a": inner}), "payload: nested deeper than 100 levels"),
    "2^60 items": ({"a": doubled(60)}, "payload: too many values, at most 1048576 bytes of JSON"),
    "200000 keys": ({f"key{n}": n for n in range(200_000)}, "bytes, at most 1048576 bytes of JSON"),
    "a megabyte": ({"a": "x" * 2**20}, "payload: 1048584 bytes, at most 1048576 bytes of JSON"),
    "a list": ([1], "payload: list, expected a dict"),
    "a string": ("{}", "payload: str, expected a dict"),
    "a number": (0, "payload: int, expected a dict"),
    "False": (False, "payload: bool, expected a dict"),
    "an object of some type": (OrderPayload(1), "payload: OrderPayload, expected a dict"),
}


@pytest.mark.parametrize(("payload", "message"), BAD.values(), ids=BAD)
def test_anything_else_is_refused_with_its_place(payload, message):
    with pytest.raises(FlarePayloadError) as caught:
        codec.encode(payload)
    assert message in str(caught.value)
    assert caught.value.code == "invalid_payload"
    assert caught.value.details[0]["field"].startswith("payload")


def test_a_hundred_levels_are_taken():
    assert codec.encode({"a": nested(99)}) == '{"a":' + "[" * 99 + "1" + "]" * 99 + "}"


def test_the_size_counts_bytes_of_utf8():
    with override_settings(FLARE={"MAX_PAYLOAD": 12}):
        assert codec.encode({"a": "éé"}) == '{"a":"éé"}'
        with pytest.raises(FlarePayloadError, match="payload: 14 bytes, at most 12"):
            codec.encode({"a": "ééé"})


def test_shared_parts_are_no_circle():
    part = {"x": 1}
    assert codec.encode({"a": part, "b": [part, part]}) == '{"a":{"x":1},"b":[{"x":1},{"x":1}]}'


@pytest.mark.parametrize("stored", ['{"a": [1]}', b'{"a": [1]}', {"a": [1]}])
def test_the_stored_object_is_read_parsed_or_as_text(stored):
    assert codec.decode(stored) == {"a": [1]}


@pytest.mark.parametrize("stored", ["[1]", [1], None, "{", 5])
def test_a_stored_value_that_is_no_object_is_a_misfit(stored):
    with pytest.raises(FlarePayloadError):
        codec.decode(stored)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)


@given(st.dictionaries(texts, values))
def test_every_json_object_round_trips(payload):
    text = codec.encode(payload)
    assert codec.decode(text) == json.loads(text) == payload


odd = leaves | st.floats() | st.integers() | st.text() | st.binary() | st.dates() | st.just(2**63)
odd_values = st.recursive(
    odd,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=10,
)


@given(odd_values)
def test_the_quick_look_never_passes_what_the_thorough_one_refuses(value):
    try:
        require_json(value, "result", flare_settings())
    except FlarePayloadError:
        with pytest.raises(FlarePayloadError):
            encode_result(value)
    else:
        assert encode_result(value)
        assert _surely_json(value, flare_settings())


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (5, "5"), ("x", '"x"'), ([1, (2,)], "[1,[2]]"), ({"a": 1}, '{"a":1}'), (True, "true")],
)
def test_a_result_is_any_json_value(value, text):
    assert encode_result(value) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "result: set is not a JSON type"),
        (object(), "result: object is not a JSON type"),
        ({"a": float("nan")}, "result.a: nan is not JSON"),
        ("x\0", "result: a NUL character is not allowed"),
        (circular(), "result: holds a circular reference"),
        ("x" * 2**20, "result: 1048578 bytes, at most 1048576"),
        (nested(101), "result: nested deeper than 100 levels"),
    ],
)
def test_a_bad_result_says_why(value, message):
    with pytest.raises(FlarePayloadError, match=message):
        encode_result(value)


def test_equal_values_have_one_canonical_text():
    one = canonical_json({"b": [1, {"d": 1, "c": 2}], "a": "é"})
    assert one == canonical_json({"a": "é", "b": (1, {"c": 2, "d": 1})})
    assert one == '{"a":"é","b":[1,{"c":2,"d":1}]}'.encode()


def test_canonical_text_tells_an_integer_from_a_float():
    assert canonical_json({"a": 1}) != canonical_json({"a": 1.0})


def test_canonical_text_takes_what_options_hold():
    value = {"timeout": timedelta(minutes=1), "tags": {mark_safe("k"): mark_safe("v")}}
    assert canonical_json(value) == b'{"tags":{"k":"v"},"timeout":"PT60S"}'

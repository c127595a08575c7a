"""The options of a job: bounds and precedence."""

import enum
from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils.safestring import mark_safe

from django_flare.arguments import _RULES
from django_flare.definitions import Backoff, JobOptions, job, resolve, resolve_options, validate_options
from django_flare.errors import FlareOptionError


class Queue(str, enum.Enum):  # noqa: UP042 - what older projects have
    MAIL = "mail"


BAD = [
    ("queue", "", "queue: empty"),
    ("queue", "q" * 140, "queue: 140 characters, at most 100"),
    ("queue", 5, "queue: int, expected a string"),
    ("queue", None, "queue: None, expected a string"),
    ("queue", "   ", "queue: ' ' is not allowed, only ASCII letters, digits and _ . : -"),
    ("queue", "mail ", "queue: ' ' is not allowed"),
    ("queue", "a,b", "queue: ',' is not allowed"),
    ("queue", "a/b", "queue: '/' is not allowed"),
    ("queue", "a\n", "queue: '\\n' is not allowed"),
    ("queue", "a\0b", "queue: a NUL character is not allowed"),
    ("queue", "\ud800", "queue: a lone surrogate is not allowed"),
    ("queue", "\u202email", "queue: '\\u202e' is not allowed"),
    ("queue", "caf\xe9", "queue: '\\xe9' is not allowed"),
    ("queue", "mail\u0661", "queue: '\\u0661' is not allowed"),
    ("queue", "-mail", "queue: a leading '-' is not allowed"),
    ("max_attempts", 0, "max_attempts: 0, expected 1 to 100"),
    ("max_attempts", -1, "max_attempts: -1, expected 1 to 100"),
    ("max_attempts", 10**6, "max_attempts: 1000000, expected 1 to 100"),
    ("max_attempts", 2.0, "max_attempts: float, expected an integer"),
    ("max_attempts", True, "max_attempts: bool, expected an integer"),
    ("max_attempts", None, "max_attempts: None, expected an integer"),
    ("timeout", timedelta(0), "timeout: 0 s, expected 1 s to 86400 s"),
    ("timeout", timedelta(seconds=-5), "timeout: -5 s, expected 1 s to 86400 s"),
    ("timeout", timedelta(hours=25), "timeout: 90000 s, expected 1 s to 86400 s"),
    ("timeout", timedelta.max, "timeout: "),
    ("timeout", 60, "timeout: int, expected a timedelta"),
    ("timeout", True, "timeout: bool, expected a timedelta"),
    ("priority", 101, "priority: 101, expected -100 to 100"),
    ("priority", -101, "priority: -101, expected -100 to 100"),
    ("priority", 40_000, "priority: 40000, expected -100 to 100"),
    ("priority", 10**30, "priority: an integer of 100 bits, expected -100 to 100"),
    ("priority", 1.5, "priority: float, expected an integer"),
    ("priority", "5", "priority: str, expected an integer"),
    ("priority", True, "priority: bool, expected an integer"),
    ("tags", ["a"], "tags: list, expected a dict of strings"),
    ("tags", None, "tags: None, expected a dict of strings"),
    ("tags", {f"k{n}": "" for n in range(33)}, "tags: 33 tags, at most 32"),
    ("tags", {"": "x"}, "tags: a key: empty"),
    ("tags", {"k" * 65: "x"}, "tags: a key: 65 characters, at most 64"),
    ("tags", {5: "x"}, "tags: a key: int, expected a string"),
    ("tags", {"a": 5}, "tags: the value of 'a': int, expected a string"),
    ("tags", {"a": None}, "tags: the value of 'a': None, expected a string"),
    ("tags", {"a": "x" * 201}, "tags: the value of 'a': 201 characters, at most 200"),
    ("tags", {"a\0": "x"}, "tags: a key: a NUL character is not allowed"),
    ("tags", {"a": "\udc00"}, "tags: the value of 'a': a lone surrogate is not allowed"),
    ("idempotency_key", "", "idempotency_key: empty"),
    ("idempotency_key", "   ", "idempotency_key: ' ' is not allowed, only visible ASCII characters"),
    ("idempotency_key", "k" * 256, "idempotency_key: 256 characters, at most 200"),
    ("idempotency_key", "caf\xe9", "idempotency_key: '\\xe9' is not allowed"),
    ("idempotency_key", "a\0", "idempotency_key: a NUL character is not allowed"),
    ("idempotency_key", "a\x7f", "idempotency_key: '\\x7f' is not allowed"),
    ("idempotency_key", 5, "idempotency_key: int, expected a string"),
    ("idempotency_key", None, "idempotency_key: None, expected a string"),
]


@pytest.mark.parametrize(
    ("name", "value", "message"), BAD, ids=[f"{row[0]}-{n}" for n, row in enumerate(BAD)]
)
def test_a_bad_value_is_refused_with_kind_and_bound(name, value, message):
    with pytest.raises(FlareOptionError) as caught:
        validate_options({name: value})
    assert str(caught.value).startswith(message)
    assert caught.value.details[0]["field"] == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue", "q" * 100),
        ("queue", "a_b.c:d-1"),
        ("queue", "5"),
        ("max_attempts", 1),
        ("max_attempts", 100),
        ("timeout", timedelta(seconds=1)),
        ("timeout", timedelta(hours=24)),
        ("timeout", timedelta(seconds=1, microseconds=1)),
        ("priority", -100),
        ("priority", 100),
        ("tags", {}),
        ("tags", {f"k{n}": "" for n in range(32)}),
        ("tags", {"k" * 64: "x" * 200, "é, ü": "<script>\r\n"}),
        ("idempotency_key", "!" * 200),
        ("idempotency_key", "order:{7}~"),
    ],
)
def test_values_up_to_the_bounds_are_taken(name, value):
    assert validate_options({name: value}) == {name: value}


def test_values_of_subclasses_become_plain():
    given = validate_options({"queue": Queue.MAIL, "tags": {mark_safe("a"): mark_safe("b")}})
    assert given == {"queue": "mail", "tags": {"a": "b"}}
    assert {type(given["queue"]), *map(type, given["tags"]), *map(type, given["tags"].values())} == {str}


def test_an_unknown_option_is_a_type_error_with_a_suggestion():
    with pytest.raises(TypeError, match="unknown option 'priorty', did you mean 'priority'"):
        validate_options({"priorty": 5})


@pytest.mark.parametrize("name", ["id", "state", "backoff", "eta"])
def test_an_option_like_no_other_lists_them_all(name):
    with pytest.raises(TypeError, match="the options are queue, max_attempts, timeout, priority, tags"):
        validate_options({name: 1})


def test_the_typed_dict_names_every_option():
    assert set(JobOptions.__annotations__) == set(_RULES)


@pytest.fixture
def plain():
    @job(name="plain")
    def handler() -> None: ...

    return resolve("plain")


def test_built_in_values_hold_when_nobody_says_otherwise(plain):
    options = resolve_options(plain, {})
    assert (options.queue, options.max_attempts, options.timeout) == ("default", 3, timedelta(minutes=30))
    assert (options.priority, options.tags, options.idempotency_key, options.backoff) == (0, {}, None, None)


def test_settings_come_before_built_in_values(plain):
    with override_settings(FLARE={"QUEUE": "slow", "MAX_ATTEMPTS": 9, "TIMEOUT": 5, "PRIORITY": -3}):
        options = resolve_options(plain, {})
    assert (options.queue, options.max_attempts, options.timeout, options.priority) == (
        "slow",
        9,
        timedelta(seconds=5),
        -3,
    )


def declare():
    @job(
        name="declared",
        queue="mail",
        max_attempts=7,
        timeout=timedelta(minutes=1),
        priority=5,
        backoff=Backoff(1, 2, 3),
        tags={"team": "shop", "kind": "mail"},
    )
    def handler() -> None: ...

    return resolve("declared")


def test_the_declaration_comes_before_the_settings():
    with override_settings(FLARE={"QUEUE": "slow", "MAX_ATTEMPTS": 9, "TIMEOUT": 5, "PRIORITY": -3}):
        options = resolve_options(declare(), {})
    assert (options.queue, options.max_attempts, options.timeout, options.priority) == (
        "mail",
        7,
        timedelta(minutes=1),
        5,
    )
    assert options.backoff == Backoff(1, 2, 3)


def test_the_call_comes_first():
    given = {
        "queue": "fast",
        "max_attempts": 1,
        "timeout": timedelta(seconds=2),
        "priority": 0,
        "idempotency_key": "order:7",
    }
    options = resolve_options(declare(), given)
    assert {name: getattr(options, name) for name in given} == given
    assert options.backoff == Backoff(1, 2, 3)


def test_tags_of_the_call_are_merged_over_the_declared_ones():
    options = resolve_options(declare(), {"tags": {"kind": "welcome", "user": "7"}})
    assert options.tags == {"team": "shop", "kind": "welcome", "user": "7"}


def test_the_declared_tags_are_not_touched_by_a_call():
    definition = declare()
    resolve_options(definition, {"tags": {"kind": "welcome"}})
    assert resolve_options(definition, {}).tags == {"team": "shop", "kind": "mail"}


def test_merged_tags_stay_within_the_bound():
    with pytest.raises(FlareOptionError, match="tags: 34 tags with those of @job, at most 32"):
        resolve_options(declare(), {"tags": {f"k{n}": "" for n in range(32)}})


def test_a_backoff_equal_to_the_settings_is_not_stored():
    definition = declare()
    with override_settings(FLARE={"BACKOFF": {"base": 1, "cap": 2, "jitter": 3}}):
        assert resolve_options(definition, {}).backoff is None
    assert resolve_options(definition, {}).backoff == Backoff(1, 2, 3)


def test_defaults_are_resolved_once_per_settings():
    definition = declare()
    first = resolve_options(definition, {})
    assert resolve_options(definition, {}) is first
    with override_settings(FLARE={"MAX_ATTEMPTS": 2}):
        assert resolve_options(definition, {}) is not first

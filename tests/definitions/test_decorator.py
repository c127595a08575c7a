"""`@job`: what it takes, what it leaves alone, what it refuses."""

import asyncio
import functools
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_flare.definitions import Backoff, job, registry, resolve
from django_flare.errors import FlareJobTypeError, FlareOptionError
from tests.definitions import payload_types
from tests.definitions.payload_types import OrderPayload

CONTEXT = object()


def test_a_function_stays_what_it_was():
    def double(payload):
        return payload * 2

    assert job(double) is double
    assert job(queue="a")(double) is double
    assert double(21) == 42


def test_a_class_stays_what_it_was():
    class Greeter:
        def execute(self, payload): ...

    assert job(Greeter) is Greeter
    assert isinstance(Greeter(), Greeter)


def test_the_name_is_the_dotted_path_unless_given():
    @job
    def handler(): ...

    @job(name="mail.named")
    def welcome(): ...

    path = f"{__name__}.test_the_name_is_the_dotted_path_unless_given.<locals>."
    assert resolve(handler).name == resolve(handler).path == f"{path}handler"
    assert (resolve(welcome).name, resolve(welcome).path) == ("mail.named", f"{path}welcome")
    assert resolve("mail.named") is resolve(welcome)


def test_it_may_be_used_with_empty_parentheses():
    @job()
    def handler(): ...

    assert resolve(handler).handler is handler


def test_the_definition_says_what_the_handler_is():
    @job(atomic=True, backoff=Backoff(1))
    def function(ctx, payload=None): ...

    @job
    class Class:
        async def execute(self): ...

    one, other = resolve(function), resolve(Class)
    assert (one.is_class, one.is_async, one.takes_payload, one.takes_context) == (False, False, True, True)
    assert (one.atomic, one.backoff) == (True, Backoff(1))
    assert (other.is_class, other.is_async, other.takes_payload, other.takes_context) == (
        True,
        True,
        False,
        False,
    )
    assert (other.atomic, other.backoff) == (False, None)


def takes_payload(payload):
    return (payload,)


def takes_context(ctx):
    return (ctx,)


def takes_both(ctx, payload):
    return (payload, ctx)


def takes_neither():
    return ()


def takes_by_keyword(*, payload, ctx):
    return (payload, ctx)


def takes_more_with_defaults(payload, retries=3, *rest, ctx=None, **more):
    return (payload, ctx)


@pytest.mark.parametrize(
    ("handler", "given"),
    [
        (takes_payload, ("p",)),
        (takes_context, (CONTEXT,)),
        (takes_both, ("p", CONTEXT)),
        (takes_neither, ()),
        (takes_by_keyword, ("p", CONTEXT)),
        (takes_more_with_defaults, ("p", CONTEXT)),
    ],
)
def test_a_handler_gets_what_it_takes_by_name(handler, given):
    assert resolve(job(handler)).call("p", CONTEXT) == given


def test_a_class_gets_a_fresh_instance_for_each_attempt():
    @job
    class Counter:
        def __init__(self, start=0):
            self.runs = start

        def execute(self, payload):
            self.runs += 1
            return self, self.runs

    (first, runs), (second, again) = (resolve(Counter).call({}, CONTEXT) for _ in range(2))
    assert first is not second
    assert runs == again == 1


def test_execute_may_be_static_or_of_the_class():
    @job
    class Static:
        @staticmethod
        def execute(payload):
            return payload

    @job
    class OfClass:
        @classmethod
        def execute(cls, ctx):
            return cls, ctx

    assert resolve(Static).call("p", CONTEXT) == "p"
    assert resolve(OfClass).call("p", CONTEXT) == (OfClass, CONTEXT)


def test_an_async_handler_returns_its_coroutine():
    @job
    async def handler(payload):
        return payload

    assert asyncio.run(resolve(handler).call("p", CONTEXT)) == "p"


def test_a_wrapped_handler_is_known_by_its_inner_signature():
    def wrapper(inner):
        @functools.wraps(inner)
        def outer(*args, **kwargs):
            return inner(*args, **kwargs)

        return outer

    @job
    @wrapper
    def handler(payload: OrderPayload):
        return payload

    definition = resolve(handler)
    assert definition.call("p", CONTEXT) == "p"
    assert definition.codec.encode(OrderPayload(1)) == '{"order_id":1,"note":""}'


def positional_only(payload, /): ...


def method(self, payload): ...


def other_name(payload, context): ...


def keyword(*, payload, tenant): ...


def generator(payload):
    yield payload


async def async_generator(payload):
    yield payload


class WithoutExecute:
    def run(self, payload): ...


class ExecuteIsNoMethod:
    execute = 5


class NeedsArguments:
    def __init__(self, client):
        self.client = client

    def execute(self, payload): ...


class ExecuteTakesMore:
    def execute(self, payload, tenant): ...


REFUSED = [
    (positional_only, "positional_only: takes 'payload'; a handler takes payload and ctx, by name"),
    (method, "method: takes 'self'"),
    (other_name, "other_name: takes 'context'"),
    (keyword, "keyword: takes 'tenant'"),
    (generator, "generator: a generator does nothing"),
    (async_generator, "async_generator: a generator does nothing"),
    (WithoutExecute, "WithoutExecute: a class needs a method execute"),
    (ExecuteIsNoMethod, "ExecuteIsNoMethod: a class needs a method execute"),
    (
        NeedsArguments,
        "NeedsArguments: built without arguments for each run: missing a required argument: 'client'",
    ),
    (ExecuteTakesMore, "ExecuteTakesMore.execute: takes 'tenant'"),
    (functools.partial(takes_payload), "@job takes a function or a class with execute, not partial"),
    ("mail.welcome", "@job takes a function or a class with execute, not str"),
    (5, "@job takes a function or a class with execute, not int"),
]


@pytest.mark.parametrize(("handler", "message"), REFUSED, ids=[row[1].split(":")[0] for row in REFUSED])
def test_what_cannot_be_a_handler_is_refused_when_decorated(handler, message):
    before = registry.names()
    with pytest.raises(TypeError) as caught:
        job(handler)
    assert message in str(caught.value)
    assert registry.names() == before


def test_a_wrapper_that_hides_its_signature_is_refused():
    def handler(*args, **kwargs): ...

    with pytest.raises(TypeError, match=r"handler: takes \*args, \*\*kwargs"):
        job(handler)


def test_atomic_needs_a_sync_handler():
    async def handler(): ...

    with pytest.raises(TypeError, match="handler: atomic=True needs a sync handler"):
        job(atomic=True)(handler)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue": "a b"}, "queue: ' ' is not allowed"),
        ({"max_attempts": 0}, "max_attempts: 0, expected 1 to 100"),
        ({"timeout": 5}, "timeout: int, expected a timedelta"),
        ({"priority": True}, "priority: bool, expected an integer"),
        ({"tags": {"a": 1}}, "tags: the value of 'a': int, expected a string"),
        ({"backoff": {"base": 1}}, "backoff: dict, expected a Backoff"),
        ({"backoff": 5}, "backoff: int, expected a Backoff"),
        ({"atomic": "yes"}, "atomic: str, expected True or False"),
        ({"name": ""}, "name: empty"),
        ({"name": 5}, "name: int, expected a string"),
        ({"name": "n" * 501}, "name: 501 characters, at most 500"),
        ({"name": "a b"}, "name: 'a b', spaces and control characters are not allowed"),
        ({"name": "a\n"}, "name: 'a\\n', spaces"),
        ({"name": "a\0"}, "name: a NUL character is not allowed"),
        ({"name": "\u202ea"}, "name: '\\u202ea', spaces"),
    ],
)
def test_a_bad_option_is_refused_when_declared(options, message):
    with pytest.raises(FlareOptionError) as caught:
        job(**options)
    assert str(caught.value).startswith(message)


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="unknown option 'ques', did you mean 'queue'"):
        job(ques="a")
    with pytest.raises(TypeError, match="idempotency_key is an option of a call"):
        job(idempotency_key="a")


def test_none_leaves_an_option_to_the_settings():
    @job(queue=None, max_attempts=None, timeout=timedelta(seconds=5))
    def handler(): ...

    assert resolve(handler).options == {"timeout": timedelta(seconds=5)}


def test_a_subclass_of_a_handler_is_none():
    @job(queue="mail")
    class Parent:
        def execute(self): ...

    class Child(Parent): ...

    with pytest.raises(FlareJobTypeError, match="Child is not registered; decorate it with @job"):
        resolve(Child)

    job(Child)
    assert resolve(Child).options == {}
    assert resolve(Parent).options == {"queue": "mail"}


def test_a_type_may_be_defined_after_its_handler():
    definition = resolve(job(payload_types.takes_forward))
    assert definition.codec.decode({"value": 1}) == payload_types.DefinedLater(1)


def test_what_only_type_checkers_import_does_not_matter():
    definition = resolve(job(payload_types.takes_context_of_type_checkers))
    assert definition.codec.decode({"order_id": 1}) == OrderPayload(1)


@pytest.mark.parametrize("handler", [payload_types.takes_missing])
def test_a_type_that_cannot_be_found_is_told_at_start_up(handler):
    job(handler)
    with pytest.raises(
        ImproperlyConfigured, match=r"takes_missing: the annotation of payload: .*NowhereDefined"
    ):
        registry.check()


def test_a_type_that_is_no_object_is_told_at_start_up():
    @job
    def handler(payload: list[int]): ...

    with pytest.raises(
        ImproperlyConfigured, match=r"handler: the annotation of payload: .* is no JSON object"
    ):
        registry.check()


def test_a_handler_without_payload_takes_any_dict():
    assert resolve(job(takes_context)).codec.encode({"a": 1}) == '{"a":1}'

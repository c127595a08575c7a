"""Which requests are sent again, how often, and after which pauses (spec, sections 10 and 23)."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from django_flare import FlareApiError, FlareConflictError, FlareRateLimitError
from django_flare.client.replies import Reply
from django_flare.client.retrying import Repeats
from tests.client.support import ID, JOB, Server, answer, connect, connect_async, refusal

PASSING = [
    refusal("rate_limit_exceeded", 429),
    httpx.Response(502, text="<h1>Bad Gateway</h1>"),
    refusal("unavailable", 503),
    httpx.Response(504),
    refusal("idempotency_in_progress", 409, Retry_After=1),
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("too slow"),
    httpx.RemoteProtocolError("gone"),
]


def named(trouble):
    return str(getattr(trouble, "status_code", None) or type(trouble).__name__)


@pytest.mark.parametrize("trouble", PASSING, ids=named)
class TestATroubleThatPasses:
    def test_the_request_is_sent_again(self, trouble):
        server = Server(trouble, answer(status=201))
        client, pauses = connect(server)
        assert client.enqueue("mail.welcome") == ID
        assert (len(server.requests), len(pauses)) == (2, 1)

    def test_it_is_the_same_request_under_the_same_key(self, trouble):
        server = Server(trouble, trouble, answer(status=201))
        connect(server)[0].enqueue("mail.welcome", {"a": 1})
        first, *others = server.requests
        assert first.headers["Idempotency-Key"]
        assert [(each.content, each.headers) for each in others] == [(first.content, first.headers)] * 2

    def test_at_most_three_times(self, trouble):
        server = Server(trouble)
        client, pauses = connect(server)
        with pytest.raises((FlareApiError, FlareConflictError)):
            client.enqueue("mail.welcome")
        assert (len(server.requests), len(pauses)) == (4, 3)

    def test_the_other_client_does_the_same(self, trouble):
        server = Server(trouble, trouble, trouble, answer(status=201))
        client, pauses = connect_async(server)
        assert asyncio.run(client.enqueue("mail.welcome")) == ID
        assert (len(server.requests), len(pauses)) == (4, 3)


@pytest.mark.parametrize(
    "answered",
    [
        answer(JOB, 201),
        refusal("invalid_option", 400),
        refusal("unauthorized", 401),
        refusal("forbidden", 403),
        refusal("not_found", 404),
        refusal("idempotency_key_reuse", 409),
        refusal("payload_too_large", 413),
        refusal("internal_error", 500, Retry_After=1),
        httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
    ],
    ids=named,
)
def test_any_other_answer_is_the_last(answered):
    server = Server(answered)
    client, pauses = connect(server)
    try:
        client.enqueue("mail.welcome")
    except Exception:
        assert answered.status_code != 201
    assert (len(server.requests), pauses) == (1, [])


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("get_status", (ID,)),
        ("cancel", (ID,)),
        ("list_jobs", ()),
        ("explain", (ID,)),
        ("pause_queue", ("mail",)),
        ("enqueue_many", ("mail.welcome", [{}])),
    ],
)
def test_every_verb_is_sent_again(verb, arguments):
    server = Server(httpx.ConnectError("refused"))
    client, pauses = connect(server)
    with pytest.raises(FlareApiError):
        getattr(client, verb)(*arguments)
    assert (len(server.requests), len(pauses)) == (4, 3)


class TestPauses:
    def pauses(self, reply, uniform):
        repeats = Repeats(uniform)
        return [repeats.pause(reply) for _ in range(4)]

    def reply(self, status=503, **headers):
        return Reply("GET v1/jobs", status, {name.replace("_", "-"): text for name, text in headers.items()})

    def test_they_are_chosen_between_nothing_and_a_bound_that_doubles(self):
        asked = []
        self.pauses(self.reply(), lambda low, high: asked.append((low, high)) or 0)
        assert asked == [(0, 0.5), (0, 1.0), (0, 2.0)]

    def test_they_are_what_was_chosen(self):
        chosen = iter([0.25, 0.0, 1.75])
        assert self.pauses(self.reply(), lambda *_: next(chosen)) == [0.25, 0.0, 1.75, None]

    def test_no_two_clients_choose_the_same(self):
        assert Repeats().pause(self.reply()) != Repeats().pause(self.reply())

    @pytest.mark.parametrize("seconds", [1, 7, 60])
    def test_the_server_may_order_a_longer_one(self, seconds):
        reply = self.reply(429, retry_after=str(seconds))
        assert self.pauses(reply, lambda *_: 0.5) == [seconds, seconds, seconds, None]

    def test_an_order_does_not_shorten_it(self):
        assert Repeats(lambda *_: 0.4).pause(self.reply(retry_after="0")) == 0.4

    def test_a_longer_order_than_a_minute_is_not_waited_for(self):
        assert Repeats().pause(self.reply(429, retry_after="61")) is None

    def test_an_order_may_be_a_date(self):
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
        assert 30 < Repeats().pause(self.reply(retry_after=soon)) <= 50
        late = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        assert Repeats().pause(self.reply(retry_after=late)) is None

    @pytest.mark.parametrize(
        "order",
        [
            *("", "soon", "-5", "1.5", "9" * 5000, "Mon, 99 Foo", "²", "1e3"),
            "Fri, 20 Nov 99999999999 10:00:00 GMT",
        ],
    )
    def test_an_order_that_is_none_is_passed_over(self, order):
        assert Repeats(lambda *_: 0.4).pause(self.reply(retry_after=order)) == 0.4


class TestTheEndOfTheRepeats:
    def test_the_last_answer_is_the_error(self):
        server = Server(httpx.ConnectError("refused"), refusal("unavailable", 503, "the database is busy"))
        with pytest.raises(FlareApiError, match="the database is busy") as caught:
            connect(server)[0].get_status(ID)
        assert (caught.value.code, caught.value.status_code) == ("unavailable", 503)

    def test_no_answer_is_a_connection_error_with_its_cause(self):
        with pytest.raises(
            FlareApiError, match=r"GET v1/jobs/\S+: no answer \(ConnectError: refused\)"
        ) as caught:
            connect(Server(httpx.ConnectError("refused")))[0].get_status(ID)
        assert (caught.value.code, caught.value.status_code) == ("connection_error", None)
        assert isinstance(caught.value.__cause__, httpx.ConnectError)

    def test_a_rate_that_is_used_up_for_long_is_told_at_once(self):
        server = Server(
            refusal(
                "rate_limit_exceeded",
                429,
                Retry_After=1800,
                X_RateLimit_Limit=1000,
                X_RateLimit_Remaining=0,
                X_RateLimit_Reset=1_900_000_000,
            )
        )
        with pytest.raises(FlareRateLimitError) as caught:
            connect(server)[0].get_status(ID)
        assert (caught.value.limit, caught.value.remaining) == (1000, 0)
        assert caught.value.reset_at == datetime.fromtimestamp(1_900_000_000, UTC)
        assert len(server.requests) == 1


def test_a_repeat_may_find_its_own_work_done():
    server = Server(httpx.ReadTimeout("the answer got lost"), refusal("invalid_state", 409))
    assert connect(server)[0].cancel(ID) is False

"""What the verbs send, and what they refuse to send (spec, sections 9 and 10)."""

import dataclasses
import enum
import json
from collections import UserDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import msgspec
import pydantic
import pytest

from django_flare import FlareNotFoundError, FlareOptionError, FlarePayloadError
from django_flare.status import JobPage
from tests.client.support import ID, KEY, Server, answer, connect

TYPE = "mail.welcome"
OTHER = "0197b0de-0000-7000-8000-000000000002"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def sent(verb, *arguments, body=None, status=200, **options):
    """Return the server that a verb has asked."""
    server = Server(answer(body, status) if body is not None else answer())
    getattr(connect(server)[0], verb)(*arguments, **options)
    return server


def unsent(verb, *arguments, **options):
    """Return what a verb says without asking the server."""
    server = Server(answer())
    found = getattr(connect(server)[0], verb)(*arguments, **options)
    assert server.requests == []
    return found


def created(*arguments, verb="enqueue", **options):
    """Return the body of the request that creates a job."""
    return sent(verb, *arguments, **options).body


class TestAddresses:
    @pytest.mark.parametrize(
        ("verb", "arguments", "method", "path"),
        [
            ("enqueue", (TYPE,), "POST", "/flare/v1/jobs"),
            ("get_status", (ID,), "GET", f"/flare/v1/jobs/{ID}"),
            ("get_status", (UUID(ID),), "GET", f"/flare/v1/jobs/{ID}"),
            ("get_status", (ID.upper(),), "GET", f"/flare/v1/jobs/{ID}"),
            ("cancel", (ID,), "POST", f"/flare/v1/jobs/{ID}/cancel"),
            ("retry", (ID,), "POST", f"/flare/v1/jobs/{ID}/retry"),
            ("discard", (ID,), "POST", f"/flare/v1/jobs/{ID}/discard"),
            ("stop", (ID,), "POST", f"/flare/v1/jobs/{ID}/stop"),
        ],
    )
    def test_a_verb_has_its_address(self, verb, arguments, method, path):
        request = sent(verb, *arguments).request
        assert (request.method, request.url.path, request.url.host) == (method, path, "flare.example")

    @pytest.mark.parametrize(
        ("name", "part"),
        [("mail", "mail"), ("a.b:c_d-9", "a%2Eb%3Ac_d-9"), (".", "%2E"), ("..", "%2E%2E")],
    )
    def test_a_queues_name_is_one_part_of_it(self, name, part):
        body = {"name": name, "paused": True, "changed": True}
        request = sent("pause_queue", name, body=body).request
        assert request.url.raw_path.decode() == f"/flare/v1/queues/{part}/pause"

    def test_every_request_carries_the_key(self):
        assert sent("get_status", ID).request.headers["Authorization"] == f"Bearer {KEY}"

    def test_only_a_body_has_a_type(self):
        assert "Content-Type" not in sent("cancel", ID).request.headers
        assert sent("enqueue", TYPE).request.headers["Content-Type"] == "application/json"


class TestCreating:
    def test_the_body_holds_what_was_given(self):
        body = created(
            TYPE,
            {"a": 1},
            queue="q",
            max_attempts=2,
            timeout=timedelta(minutes=1.5),
            priority=-3,
            tags={"k": "v"},
        )
        assert body == {
            "job_type": TYPE,
            "payload": {"a": 1},
            "queue": "q",
            "max_attempts": 2,
            "timeout_seconds": 90,
            "priority": -3,
            "tags": {"k": "v"},
        }

    def test_and_nothing_else(self):
        assert created(TYPE) == {"job_type": TYPE, "payload": {}}

    def test_the_idempotency_key_is_a_header(self):
        request = sent("enqueue", TYPE, idempotency_key="order:7").request
        assert request.headers["Idempotency-Key"] == "order:7"
        assert "idempotency_key" not in json.loads(request.content)

    def test_one_with_a_comma_is_in_the_body(self):
        """Servers join two headers by a comma."""
        request = sent("enqueue", TYPE, idempotency_key="order:7,8").request
        assert "Idempotency-Key" not in request.headers
        assert json.loads(request.content)["idempotency_key"] == "order:7,8"

    def test_without_one_each_call_makes_its_own(self):
        keys = {sent("enqueue", TYPE).request.headers["Idempotency-Key"] for _ in range(3)}
        assert len(keys) == 3

    def test_a_moment_is_sent_in_utc(self):
        east = NOON.astimezone(timezone(timedelta(hours=5)))
        body = created(TYPE, verb="schedule", when=east)
        assert datetime.fromisoformat(body["run_at"]) == NOON

    def test_a_delay_is_a_moment_by_this_machines_clock(self):
        before = datetime.now(UTC)
        run_at = datetime.fromisoformat(created(TYPE, verb="schedule", when=timedelta(hours=1))["run_at"])
        assert before <= run_at - timedelta(hours=1) <= datetime.now(UTC)

    @pytest.mark.parametrize("delay", [timedelta(0), timedelta(seconds=-1), timedelta.min])
    def test_no_delay_is_no_moment(self, delay):
        assert "run_at" not in created(TYPE, verb="schedule", when=delay)

    @pytest.mark.parametrize("parents", [ID, UUID(ID), [ID], (UUID(ID), ID), {ID}])
    def test_parents_are_a_list_each_once(self, parents):
        body = created(parents, TYPE, {"a": 1}, verb="continue_with", when=NOON)
        assert body["parent_job_ids"] == [ID]
        assert (body["payload"], datetime.fromisoformat(body["run_at"])) == ({"a": 1}, NOON)

    def test_retrying_says_no_more_than_it_must(self):
        assert sent("retry", ID).request.content == b""
        assert sent("retry", ID, revive=True).body == {"revive": True}


class TestCreatingMany:
    def many(self, payloads, **options):
        payloads = list(payloads)
        ids = {"ids": [ID] * len(payloads)}
        return sent("enqueue_many", TYPE, payloads, body=ids, status=201, **options).body["jobs"]

    def test_each_has_its_payload_the_options_and_a_key_of_its_own(self):
        first, second = self.many([{"n": 1}, None], queue="q")
        keys = {first.pop("idempotency_key"), second.pop("idempotency_key")}
        assert len(keys) == 2
        assert first == {"job_type": TYPE, "payload": {"n": 1}, "queue": "q"}
        assert second == {"job_type": TYPE, "payload": {}, "queue": "q"}

    def test_a_key_may_be_made_from_the_payload(self):
        made = self.many([{"n": 1}, {"n": 2}], idempotency_key=lambda payload: f"n:{payload['n']}")
        assert [each["idempotency_key"] for each in made] == ["n:1", "n:2"]

    def test_a_thousand_go_together(self):
        assert len(self.many({"n": number} for number in range(1000))) == 1000

    def test_one_more_is_refused_as_they_could_not_be_all_or_none(self):
        def endless():
            while True:
                yield {}

        with pytest.raises(FlareOptionError, match="payloads: more than 1000"):
            unsent("enqueue_many", TYPE, endless())

    def test_none_are_none(self):
        assert unsent("enqueue_many", TYPE, []) == []

    def test_a_bad_one_is_named_by_its_place(self):
        with pytest.raises(FlarePayloadError) as caught:
            unsent("enqueue_many", TYPE, [{}, {"a": {1}}])
        assert caught.value.details[-1] == {"index": 1}


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Line:
    sku: str
    count: int


@dataclasses.dataclass
class Order:
    order_id: int
    lines: list[Line]
    due: datetime
    on: date
    grace: timedelta
    price: Decimal
    key: UUID
    colour: Colour


class Event(msgspec.Struct):
    user_id: int
    at: datetime


class Model(pydantic.BaseModel):
    user_id: int
    name: str = pydantic.Field(alias="userName")
    at: datetime


ORDER = Order(
    7, [Line("a", 2)], NOON, NOON.date(), timedelta(minutes=5), Decimal("1.50"), UUID(ID), Colour.RED
)
ORDER_JSON = {
    "order_id": 7,
    "lines": [{"sku": "a", "count": 2}],
    "due": "2030-01-01T12:00:00Z",
    "on": "2030-01-01",
    "grace": "PT300S",
    "price": "1.50",
    "key": ID,
    "colour": "red",
}


class TestPayloads:
    @pytest.mark.parametrize(
        ("payload", "expected"),
        [
            (None, {}),
            ({}, {}),
            ({"a": [1, 1.5, "x", True, None, {"b": []}]}, {"a": [1, 1.5, "x", True, None, {"b": []}]}),
            ({"a": (1, 2)}, {"a": [1, 2]}),
            ({"é": "\u20ac💥"}, {"é": "\u20ac💥"}),
            (UserDict(a=1), {"a": 1}),
            (ORDER, ORDER_JSON),
            (vars(ORDER), ORDER_JSON),
            (Event(1, NOON), {"user_id": 1, "at": "2030-01-01T12:00:00Z"}),
            ({"event": Event(1, NOON)}, {"event": {"user_id": 1, "at": "2030-01-01T12:00:00Z"}}),
            (
                Model(user_id=1, userName="ada", at=NOON),
                {"user_id": 1, "userName": "ada", "at": "2030-01-01T12:00:00Z"},
            ),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_it_is_sent_as_json(self, payload, expected):
        assert created(TYPE, payload)["payload"] == expected

    def test_the_deepest_that_any_server_takes(self):
        value = []
        for _ in range(498):
            value = [value]
        assert created(TYPE, {"a": value})["payload"] == {"a": value}

    @pytest.mark.parametrize(
        ("payload", "field"),
        [
            ([1], "payload"),
            ("text", "payload"),
            (1, "payload"),
            (b"{}", "payload"),
            (object(), "payload"),
            ({1: "a"}, "payload"),
            ({"a": {None: 1}}, "payload.a"),
            ({"a": float("nan")}, "payload.a"),
            ({"a": [float("inf")]}, "payload.a[0]"),
            ({"a": 10**5000}, "payload.a"),
            ({"a b": {1, 2}}, "payload['a b']"),
            ({"a": b"x"}, "payload.a"),
            ({"a": object()}, "payload.a"),
            ({"a": len}, "payload.a"),
            ({"a": iter([1])}, "payload.a"),
            ({"a": 1j}, "payload.a"),
        ],
    )
    def test_what_json_cannot_hold_is_refused_with_its_place(self, payload, field):
        with pytest.raises(FlarePayloadError) as caught:
            unsent("enqueue", TYPE, payload)
        assert caught.value.details[0]["field"] == field

    def test_so_is_what_never_ends(self):
        circular = {}
        circular["a"] = [circular]
        with pytest.raises(FlarePayloadError, match="circular"):
            unsent("enqueue", TYPE, circular)


class TestListing:
    EMPTY = {"jobs": [], "has_more": False, "next_cursor": None}

    def query(self, **filters):
        return sent("list_jobs", body=self.EMPTY, **filters).request.url.params.multi_items()

    def test_without_filters_it_asks_for_twenty(self):
        assert self.query() == [("limit", "20")]

    def test_each_filter_is_a_parameter(self):
        query = self.query(
            state=["pending", "failed", "pending"],
            queue="q&=#",
            job_type="mail.welcome",
            tags={"team": "blue:green", "é": ""},
            created_after=NOON,
            created_before=NOON,
            limit=5,
            cursor="abc",
        )
        assert query == [
            ("limit", "5"),
            ("state", "failed"),
            ("state", "pending"),
            ("queue", "q&=#"),
            ("job_type", "mail.welcome"),
            ("tag", "team:blue:green"),
            ("tag", "é:"),
            ("created_after", "2030-01-01T12:00:00+00:00"),
            ("created_before", "2030-01-01T12:00:00+00:00"),
            ("cursor", "abc"),
        ]

    def test_no_state_at_all_is_no_job(self):
        assert unsent("list_jobs", state=[]) == JobPage([], has_more=False, next_cursor=None)

    def test_a_tags_key_with_a_colon_cannot_be_asked_for(self):
        with pytest.raises(FlareOptionError, match="tags: the key 'a:b'"):
            unsent("list_jobs", tags={"a:b": "c"})

    @pytest.mark.parametrize("cursor", [5, b"x", "é", "\ud800", "a" * 10_000])
    def test_a_cursor_that_no_server_gave_is_refused(self, cursor):
        with pytest.raises(FlareOptionError, match="cursor"):
            unsent("list_jobs", cursor=cursor)


class TestIds:
    STRANGE = ("", "batch", "..", "a/b", "x" * 10_000, "\x00", "\ud800", f"{ID}/cancel", f"{{{ID}}}", "é")

    @pytest.mark.parametrize("job_id", STRANGE)
    def test_what_is_no_id_is_unknown_without_asking(self, job_id):
        assert unsent("get_status", job_id) is None
        for verb in ("cancel", "retry", "discard", "stop", "explain"):
            with pytest.raises(FlareNotFoundError, match="job_id"):
                unsent(verb, job_id)
        with pytest.raises((FlareNotFoundError, FlareOptionError), match="parents"):
            unsent("continue_with", [OTHER, job_id], TYPE)


def undecorated(payload): ...


@pytest.mark.parametrize("job", [None, 5, b"mail.welcome", undecorated, Order])
def test_a_job_is_named_by_its_types_name(job):
    with pytest.raises(FlareOptionError, match=r"job: .*, expected the name of a job type"):
        unsent("enqueue", job)

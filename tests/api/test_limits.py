"""The rate limit: counted per key over all processes, not to be evaded, told in headers."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.cache.backends import db
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from django_flare.api import throttling
from django_flare.store import api_keys
from tests.api.support import Api, error, make_key

NAMES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


class BrokenCache(BaseCache):
    """A cache whose server is gone."""

    def __init__(self, location, parameters):
        super().__init__(parameters)

    def add(self, *_, **__):
        raise ConnectionError("gone")

    def clear(self): ...


@pytest.fixture(autouse=True)
def _one_window(monkeypatch):
    """Stand still in the middle of an hour, so that no window ends during a test."""
    monkeypatch.setattr(throttling, "time", SimpleNamespace(time=lambda: 1_800_001_800.5))


def rate(answer):
    return tuple(int(answer.headers[name]) for name in NAMES)


@pytest.mark.django_db
class TestCounting:
    def test_every_answer_tells(self, api, settings):
        settings.FLARE = {"API_RATE": "10/hour"}
        reset = 1_800_003_600
        asked = [
            api.get("v1/jobs"),
            api.get("v1/jobs/1"),
            api.post("v1/jobs", {}),
            api.ask("PUT", "v1/jobs"),
            api.get("nowhere"),
            api.get("v1/jobs", Accept="text/html"),
            api.post("v1/jobs", data="x", content_type="text/plain"),
            Api(api.key).get("v1/queues"),
        ]
        assert [answer.status_code for answer in asked] == [200, 404, 400, 405, 404, 406, 415, 200]
        assert [rate(answer) for answer in asked] == [(10, 9 - n, reset) for n in range(len(asked))]

    def test_one_too_many(self, api, settings):
        settings.FLARE = {"API_RATE": "2/minute"}
        assert [api.get("v1/jobs").status_code for _ in range(2)] == [200, 200]
        answer = api.get("v1/jobs")
        assert error(answer) == (429, "rate_limit_exceeded")
        assert rate(answer) == (2, 0, 1_800_001_860)
        assert answer.headers["Retry-After"] == "60"

    def test_the_next_window(self, api, settings, monkeypatch):
        settings.FLARE = {"API_RATE": "1/s"}
        assert [api.get("v1/jobs").status_code for _ in range(2)] == [200, 429]
        monkeypatch.setattr(throttling, "time", SimpleNamespace(time=lambda: 1_800_001_801.5))
        assert api.get("v1/jobs").status_code == 200

    def test_keys_are_counted_apart(self, api, settings):
        settings.FLARE = {"API_RATE": "1/hour"}
        assert [api.get("v1/jobs").status_code for _ in range(2)] == [200, 429]
        assert Api(make_key("read")).get("v1/jobs").status_code == 200

    def test_a_rotated_key_is_the_same(self, settings):
        settings.FLARE = {"API_RATE": "1/hour"}
        api = Api(make_key(name="shop"))
        assert api.get("v1/jobs").status_code == 200
        api.key = api_keys.rotate("shop").text
        assert api.get("v1/jobs").status_code == 429

    def test_forged_headers_change_nothing(self, api, nobody, settings):
        settings.FLARE = {"API_RATE": "3/hour"}
        for asks, first in ((api, 200), (nobody, 401)):
            found = [
                asks.get(
                    "v1/jobs", X_Forwarded_For=f"10.0.0.{n}", X_Real_IP=f"10.0.0.{n}", Forwarded=f"for={n}"
                )
                for n in range(4)
            ]
            assert [answer.status_code for answer in found] == [first, first, first, 429]

    def test_failed_authentication_is_counted_by_address(self, api, settings):
        settings.FLARE = {"API_RATE": "2/hour"}
        found = [Api(f"flare_{n}").get("v1/jobs") for n in range(3)]
        assert [answer.status_code for answer in found] == [401, 401, 429]
        assert error(found[2]) == (429, "rate_limit_exceeded")
        assert found[2].headers["Retry-After"]
        assert api.get("v1/jobs").status_code == 200

    def test_no_limit(self, api, settings):
        settings.FLARE = {"API_RATE": None}
        assert not set(NAMES) & set(api.get("v1/jobs").headers)

    def test_a_cache_that_fails_closes_nothing(self, api, settings, caplog):
        settings.FLARE = {"API_RATE": "1/hour"}
        settings.CACHES = {"default": {"BACKEND": "tests.api.test_limits.BrokenCache"}}
        assert [api.get("v1/jobs").status_code for _ in range(2)] == [200, 200]
        assert "let through" in caplog.text


class Wall:
    """Tell the caches of Django a time that moves when told."""

    def __init__(self, monkeypatch):
        self.passed = 0
        now, tz_now = time.time, timezone.now
        monkeypatch.setattr(time, "time", lambda: now() + self.passed)
        monkeypatch.setattr(db, "tz_now", lambda: tz_now() + timedelta(seconds=self.passed))


@pytest.fixture
def stored(request, settings, transactional_db, tmp_path):
    """Count in a cache that Django keeps in files or in a table, by default for so many seconds."""
    kind, seconds = request.param
    location = "counts" if kind == TABLE else str(tmp_path / "cache")
    settings.CACHES = {"default": {"BACKEND": kind, "LOCATION": location, "TIMEOUT": seconds}}
    if kind == TABLE:
        call_command("createcachetable")
    yield
    if kind == TABLE:
        with connection.schema_editor() as editor:
            editor.execute("DROP TABLE counts")


FILES = "django.core.cache.backends.filebased.FileBasedCache"
TABLE = "django.core.cache.backends.db.DatabaseCache"
LOCKED = "tests.api.shared_cache.LockedFileCache"


@pytest.mark.parametrize(
    "stored", [(kind, seconds) for kind in (FILES, TABLE, LOCKED) for seconds in (1, 0, None)], indirect=True
)
class TestWhatDjangoStores:
    """Its increments give an entry the cache's own TIMEOUT; a count lasts for its window all the same."""

    def test_who_pauses_is_counted_on(self, stored, settings, monkeypatch):
        settings.FLARE = {"API_RATE": "4/hour"}
        wall, api = Wall(monkeypatch), Api(make_key("read"))
        statuses = []
        for _ in range(6):
            statuses.append(api.get("v1/jobs").status_code)
            wall.passed += 100
        assert statuses == [200, 200, 200, 200, 429, 429]

    def test_who_fails_and_pauses_is_counted_on(self, stored, settings, monkeypatch):
        settings.FLARE = {"API_RATE": "2/hour"}
        wall = Wall(monkeypatch)
        statuses = []
        for number in range(4):
            statuses.append(Api(f"flare_{number}").get("v1/jobs").status_code)
            wall.passed += 100
        assert statuses == [401, 401, 429, 429]

    def test_what_is_counted_goes_at_last(self, stored, settings, monkeypatch):
        settings.FLARE = {"API_RATE": "1/minute"}
        wall, api = Wall(monkeypatch), Api(make_key("read"))
        assert [api.get("v1/jobs").status_code for _ in range(2)] == [200, 429]
        wall.passed += 121
        assert api.get("v1/jobs").status_code == 200


@pytest.mark.django_db
def test_a_cache_that_keeps_its_time_is_asked_once(api, settings, monkeypatch):
    settings.FLARE = {"API_RATE": "5/hour"}
    assert api.get("v1/jobs").status_code == 200
    monkeypatch.setattr(LocMemCache, "touch", lambda *_, **__: pytest.fail("asked twice"))
    assert api.get("v1/jobs").headers["X-RateLimit-Remaining"] == "3"


@pytest.mark.django_db(transaction=True)
def test_threads_together_get_no_more(settings):
    settings.FLARE = {"API_RATE": "50/hour"}
    key = make_key("read")
    Api(key).get("v1/jobs")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ask_and_close(key), range(100)))
    assert sorted(found) == [200] * 49 + [429] * 51


def ask_and_close(key):
    try:
        return Api(key).get("v1/jobs").status_code
    finally:
        connections.close_all()

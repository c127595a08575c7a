"""Ask the HTTP API, under gunicorn, and a bare view of Django REST framework in the same way."""

import json
from collections.abc import Callable
from statistics import median

from django.conf import settings
from django.db import connection, reset_queries
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks import history, web
from benchmarks.queues import BARE_HTTP, QUEUES

Numbers = dict[str, float]

_FEW = 1_000
_MEGABYTE = 2**20
_JOB = {"job_type": "benchmarks.jobs.noop", "payload": {"number": 7}, "queue": "default"}
_NOTE = {"kind": "benchmarks.jobs.noop", "payload": {"number": 7}, "queue": "default"}
_LEVELS = 500_000
_FIRST = 65_536
_SENT = "20 MB sent"


def create(count: int) -> Numbers:
    """Create rows from four callers at once."""
    address, body = ("/bare/notes", _NOTE) if _is_bare() else ("/flare/v1/jobs", _JOB)
    with web.served() as port:
        caller = web.Caller(port, _key())
        return web.together(count, lambda: web.require(201, caller.ask("POST", address, body)))


def read(count: int) -> Numbers:
    """Read one row again and again from four callers at once."""
    collection, body = ("/bare/notes", _NOTE) if _is_bare() else ("/flare/v1/jobs", _JOB)
    with web.served() as port:
        caller = web.Caller(port, _key())
        made = json.loads(web.require(201, caller.ask("POST", collection, body)))
        address = f"{collection}/{made['id']}"
        return web.together(count, lambda: web.require(200, caller.ask("GET", address)))


def listing(count: int) -> Numbers:
    """Read pages of 100 jobs one after the other, of a short table and of a long one.

    The long one is searched, too, for a tag that no job has: that looks at every row, or is ended.
    """
    with web.served() as port:
        caller = web.Caller(port, _key())
        history.write(_FEW, 0)
        numbers = {f"short {name}": took for name, took in _pages(caller, count).items()}
        history.write(settings.HISTORY, 0)
        numbers |= {f"long {name}": took for name, took in _pages(caller, count).items()}
        statuses: list[int] = []
        numbers["search ms"] = web.timed(
            lambda: statuses.append(caller.ask("GET", "/flare/v1/jobs?tag=no:such")[0])
        )
        numbers["search status"] = statuses[0]
        return numbers | {"statements": _statements()}


def _pages(caller: web.Caller, count: int) -> Numbers:
    def page() -> object:
        return web.require(200, caller.ask("GET", "/flare/v1/jobs?limit=100"))

    for _ in range(20):
        page()
    return web.percentiles(sorted(web.timed(page) for _ in range(count)))


def _statements() -> float:
    client, headers = Client(), {"Authorization": f"Bearer {_key()}"}
    client.get("/flare/v1/jobs?limit=100", headers=headers)
    reset_queries()
    with CaptureQueriesContext(connection) as captured:
        client.get("/flare/v1/jobs?limit=100", headers=headers)
    return float(len(captured))


def refusals(count: int) -> Numbers:
    """Ask for what is refused; the median of `count` requests each."""
    deep = f'{{"job_type": "benchmarks.jobs.noop", "payload": {{"a": {"[" * _LEVELS}{"]" * _LEVELS}}}}}'
    filters = "&".join(["state=pending"] * 10_000)
    with web.served() as port:
        caller = web.Caller(port, _key())
        body = b" " * (20 * _MEGABYTE)
        asked = {
            "20 MB": lambda: caller.announce("POST", "/flare/v1/jobs", len(body), body[:_FIRST]),
            _SENT: lambda: caller.pour("POST", "/flare/v1/jobs", body),
            f"{_LEVELS:,} levels": lambda: caller.ask("POST", "/flare/v1/jobs", deep.encode())[0],
            "10,000 filters": lambda: caller.ask("GET", f"/flare/v1/jobs?{filters}")[0],
        }
        numbers: Numbers = {}
        for name, ask in asked.items():
            numbers |= _refused(name, ask, count)
        return numbers


def _refused(name: str, ask: Callable[[], int], count: int) -> Numbers:
    statuses = [ask()]
    took = [web.timed(lambda: statuses.append(ask())) for _ in range(count)]
    # Who goes on sending may find the connection closed before the answer is read.
    allowed = {0, 413} if name == _SENT else {400, 413}
    if not allowed.issuperset(statuses):
        raise RuntimeError(f"{name}: {statuses}")
    untold = {f"{name}, share untold": statuses.count(0) / len(statuses)} if 0 in statuses else {}
    return {f"{name} ms": median(took), **untold}


def _is_bare() -> bool:
    return bool(QUEUES[BARE_HTTP] is settings.QUEUE)


def _key() -> str:
    # The project of another queue has no such app.
    from django_flare.models import ApiKey  # noqa: PLC0415
    from django_flare.store import api_keys  # noqa: PLC0415

    name = f"benchmarks {ApiKey.objects.count()}"
    return api_keys.issue(name, ["write"]).text

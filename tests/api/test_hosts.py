"""The API behaves alike in every project, and says so when the database does not serve."""

import json
import logging
import os
import subprocess
import sys

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from rest_framework.settings import api_settings

from django_flare import FlareError, jobs
from django_flare.models import Job, Reply
from tests.api.support import Api, error, make_key
from tests.support import make_job

PLAIN = "tests.testapp.jobs.plain"


def not_to_be_asked():
    raise RuntimeError("the settings of the project were asked")


HOSTILE = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "1/day", "user": "1/day"},
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "tests.nowhere.Negotiation",
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "DEFAULT_METADATA_CLASS": "rest_framework.metadata.SimpleMetadata",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 1,
    "EXCEPTION_HANDLER": "tests.nowhere.handler",
    "UNAUTHENTICATED_USER": not_to_be_asked,
    "UNAUTHENTICATED_TOKEN": not_to_be_asked,
    "URL_FORMAT_OVERRIDE": "limit",
    "FORMAT_SUFFIX_KWARG": "job_id",
    "COMPACT_JSON": False,
    "UNICODE_JSON": False,
    "DATETIME_FORMAT": "%d",
    "NUM_PROXIES": 0,
    "VIEW_NAME_FUNCTION": "tests.nowhere.name",
    "ALLOWED_VERSIONS": ["9"],
}


def story(key):
    """Ask a bit of everything; return statuses, headers and bodies, without what differs each time."""
    api, told = Api(key), []
    made = api.post(
        "v1/jobs", {"job_type": PLAIN, "payload": {"é": 1}, "idempotency_key": "k"}, X_Request_Id="r"
    )
    told.append(made)
    job = jobs.list_jobs().jobs[0].job_id
    for method, path, options in (
        ("GET", "v1/jobs?limit=1", {}),
        ("GET", "v1/jobs?format=api", {}),
        ("GET", f"v1/jobs/{job}", {}),
        ("GET", f"v1/jobs/{job}", {"Accept": "text/html"}),
        ("OPTIONS", "v1/jobs", {}),
        ("POST", "v1/jobs", {"data": "a=b", "content_type": "application/x-www-form-urlencoded"}),
        ("POST", f"v1/jobs/{job}/cancel", {}),
        ("GET", "nowhere", {}),
        ("GET", "health/ready", {}),
    ):
        told.append(api.ask(method, path, X_Request_Id="r", **options))
    told.append(Api().get("v1/jobs", X_Request_Id="r"))
    return [
        (each.status_code, set(each.headers), each.headers["Content-Type"], shape(each)) for each in told
    ], job


def shape(answer):
    found = answer.json()
    return found if "error" in found else sorted(found)


@pytest.mark.django_db
def test_two_projects_with_other_defaults_see_the_same(settings):
    make_job()
    key = make_key()
    settings.REST_FRAMEWORK = {}
    first, job = story(key)
    Reply.objects.all().delete()
    Job.objects.all()._raw_delete("default")
    make_job()
    settings.REST_FRAMEWORK = HOSTILE
    assert api_settings.PAGE_SIZE == 1
    second, other = story(key)
    assert [repr(each).replace(job, "") for each in first] == [
        repr(each).replace(other, "") for each in second
    ]
    assert [status for status, *_ in first] == [201, 200, 400, 200, 406, 405, 415, 200, 404, 200, 401]


TWO_APPS = """
import json
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["rest_framework", "django_flare"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    ROOT_URLCONF="tests.two_apps_urls",
    ALLOWED_HOSTS=["testserver"],
)
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
from django_flare.store import api_keys
key = api_keys.issue("mail", ["write"]).text
def ask(path, key=None, data=None):
    options = {"data": data, "content_type": "application/json"} if data else {}
    headers = {"Authorization": key} if key else {}
    send = Client().post if data else Client().get
    return send("/flare/" + path, headers=headers, **options).status_code
created = json.dumps({"job_type": "tests.two_apps_urls.plain"})
print(json.dumps([
    ask("v1/jobs"),
    ask("v1/jobs", "Bearer x"),
    ask("v1/jobs", data=created),
    ask("nowhere"),
    ask("health/live"),
    ask("health/ready"),
    ask("v1/jobs", "Bearer " + key),
    ask("v1/jobs", "Bearer " + key, created),
    ask("v1/schema", "Bearer " + key),
    ask("nowhere", "Bearer " + key),
]))
"""


def test_it_needs_two_apps_and_no_other():
    """Without `django.contrib.auth` there is nobody who is signed in, and still somebody to refuse."""
    environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(
        [sys.executable, "-c", TWO_APPS], env=environment, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    answers = json.loads(ran.stdout.splitlines()[-1])
    assert answers == [401, 401, 401, 401, 200, 200, 200, 201, 200, 404], ran.stderr


def test_no_setting_of_the_framework_is_touched(settings):
    import django_flare.api.urls

    assert django_flare.api.urls.urlpatterns
    assert not hasattr(settings, "REST_FRAMEWORK")


@pytest.mark.django_db(transaction=True)
class TestTransactionsOfTheProject:
    def test_atomic_requests_change_nothing(self, api, settings, monkeypatch):
        monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
        assert api.create(idempotency_key="k")
        assert api.post("v1/jobs", {"job_type": PLAIN, "idempotency_key": "k"}).status_code == 201
        assert error(api.post("v1/jobs", {"job_type": PLAIN, "queue": "-"})) == (400, "invalid_option")
        assert Job.objects.count() == 1


@pytest.fixture
def absent_database(transactional_db, database_vendor, monkeypatch, tmp_path):
    """Let the jobs' database not answer: connections are refused."""
    lost = {"NAME": str(tmp_path / "no" / "db.sqlite3")} if database_vendor == "sqlite" else {"PORT": "9"}
    connection = connections["default"]
    connection.close()
    with monkeypatch.context() as patch:
        for name, value in lost.items():
            patch.setitem(connection.settings_dict, name, value)
        yield
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "v1/jobs", None),
        ("POST", "v1/jobs", {"job_type": PLAIN}),
        ("GET", "nowhere", None),
        ("GET", "health/ready", None),
    ],
)
def test_a_database_that_is_down(absent_database, caplog, method, path, body):
    answer = Api("flare_" + "0" * 16 + "_" + "0" * 64).ask(method, path, body)
    assert error(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "Traceback" not in caplog.text
    (record,) = [each for each in caplog.records if each.name == "django_flare.api"]
    assert (record.levelname, record.request_id) == ("WARNING", answer.headers["X-Request-Id"])
    assert Api().get("health/live").status_code == 200


@pytest.mark.django_db
def test_what_nobody_expected(api, monkeypatch, caplog):
    def broken(_):
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(jobs, "get_status", broken)
    answer = api.get(f"v1/jobs/{make_job()}")
    assert error(answer) == (500, "internal_error")
    assert "secret of the house" not in answer.content.decode()
    assert "secret of the house" in caplog.text
    assert answer.headers["X-Request-Id"] in caplog.text
    assert "X-RateLimit-Limit" in answer.headers
    # The project's own receivers, as those of error trackers, hear of it.
    with pytest.raises(RuntimeError, match="secret"):
        Client(headers={"Authorization": f"Bearer {api.key}"}).get(f"/flare/v1/jobs/{make_job()}")


@pytest.mark.django_db
def test_an_error_of_ours_that_belongs_to_no_request(api, monkeypatch, caplog):
    def broken(_):
        raise FlareError("the secret of the house")

    monkeypatch.setattr(jobs, "get_status", broken)
    answer = api.get(f"v1/jobs/{make_job()}")
    assert error(answer) == (500, "internal_error")
    assert "secret" not in answer.content.decode()
    assert "secret of the house" in caplog.text


@pytest.mark.django_db
def test_a_refusal_is_found_in_the_log_by_its_id(api, caplog):
    caplog.set_level(logging.INFO, "django_flare")
    assert error(api.get("v1/jobs/x", X_Request_Id="mine")) == (404, "job_not_found")
    (record,) = [each for each in caplog.records if each.name == "django_flare.api"]
    assert (record.levelname, record.request_id) == ("INFO", "mine")
    assert "mine was answered 404 job_not_found" in caplog.text


@pytest.mark.django_db
def test_payloads_are_not_logged(api, caplog):
    caplog.set_level(logging.DEBUG, "django_flare")
    api.create(payload={"card": "4111111111111111"})
    api.post("v1/jobs", {"job_type": PLAIN, "queue": "-", "payload": {"card": "4111111111111111"}})
    assert "4111111111111111" not in caplog.text


@pytest.mark.django_db
def test_a_prefix_that_captures_a_part_of_the_address(api, settings):
    settings.ROOT_URLCONF = "tests.deep_urls"
    headers = {"Authorization": f"Bearer {api.key}"}
    body = {"job_type": PLAIN}
    made = api.client.post("/a/7/b/c/v1/jobs", body, content_type="application/json", headers=headers)
    assert made.status_code == 201
    found = api.client.get(made.headers["Location"], headers=headers)
    assert found.json() == made.json()


@pytest.mark.django_db
def test_what_is_redacted_is_in_no_answer(api):
    payload = {"user": {"Password": "hunter2", "name": "ada"}, "lines": [{"TOKEN": {"a": "hunter2"}}]}
    body = {"job_type": PLAIN, "payload": payload, "idempotency_key": "k"}
    made = api.post("v1/jobs", body)
    job = made.json()["id"]
    shown = {"user": {"Password": "[redacted]", "name": "ada"}, "lines": [{"TOKEN": "[redacted]"}]}
    assert made.json()["payload"] == shown
    answers = [
        api.post("v1/jobs", body),
        api.get(f"v1/jobs/{job}"),
        api.get("v1/jobs"),
        api.post(f"v1/jobs/{job}/cancel"),
    ]
    assert [each for each in answers if b"hunter2" in each.content] == []
    assert jobs.get_status(job).payload == payload


def test_a_project_that_routes_it_can_still_name_its_own_addresses(settings):
    """Django's reverse() reads every pattern of the project."""
    settings.ROOT_URLCONF = "tests.deep_urls"
    assert reverse("own") == "/own/"

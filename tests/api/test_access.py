"""Who may do what: keys and their scopes, signed-in users and their permissions."""

import logging
from datetime import timedelta
from itertools import product

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.utils import timezone

from django_flare import jobs
from django_flare.api.views.document import read_document
from django_flare.models import ApiKey
from django_flare.store import api_keys
from tests.api.support import Api, error, make_key
from tests.support import Driver, make_job

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

UNKNOWN = "00000000-0000-7000-8000-000000000000"
ENDPOINTS = {
    ("GET", "v1/jobs"): ("read", "view_job"),
    ("POST", "v1/jobs"): ("write", "add_job"),
    ("POST", "v1/jobs/batch"): ("write", "add_job"),
    ("GET", f"v1/jobs/{UNKNOWN}"): ("read", "view_job"),
    ("GET", f"v1/jobs/{UNKNOWN}/explain"): ("read", "view_job"),
    ("GET", f"v1/jobs/{UNKNOWN}/attempts"): ("read", "view_attempt"),
    ("POST", f"v1/jobs/{UNKNOWN}/cancel"): ("write", "cancel_job"),
    ("POST", f"v1/jobs/{UNKNOWN}/retry"): ("write", "retry_job"),
    ("POST", f"v1/jobs/{UNKNOWN}/discard"): ("write", "discard_job"),
    ("POST", f"v1/jobs/{UNKNOWN}/stop"): ("write", "stop_job"),
    ("GET", "v1/queues"): ("read", "view_queue"),
    ("POST", "v1/queues/mail/pause"): ("admin", "pause_queue"),
    ("POST", "v1/queues/mail/resume"): ("admin", "pause_queue"),
    ("GET", "v1/workers"): ("read", "view_worker"),
    ("GET", "v1/metrics/summary"): ("read", "view_job"),
    ("GET", "v1/schema"): ("read", "view_job"),
}
PATHS = sorted({path for _, path in ENDPOINTS})
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
ORDER = ("read", "write", "admin")
TOKEN = "x" * 32


def expected(method, path, scope):
    """Return what a key with `scope` gets: 403, 405, or None for anything else."""
    if (method, path) not in ENDPOINTS:
        return (405, "method_not_allowed")
    needed = ENDPOINTS[method, path][0]
    return None if ORDER.index(scope) >= ORDER.index(needed) else (403, "forbidden")


def expected_of_user(method, path, codename, *, has_token):
    """Return what a signed-in user with one permission gets: 403, 404, 405, or None for anything else."""
    if path == "nowhere":
        return (404, "not_found")
    if (method, path) not in ENDPOINTS:
        return (405, "method_not_allowed")
    may = ENDPOINTS[method, path][1] == codename and (has_token or method == "GET")
    return None if may else (403, "forbidden")


@pytest.mark.parametrize("scope", ORDER)
def test_every_scope_on_every_method_of_every_path(scope):
    api = Api(make_key(scope))
    for path in PATHS:
        for method in METHODS:
            answer = api.ask(method, path)
            wanted = expected(method, path, scope)
            if wanted is None:
                assert answer.status_code not in (401, 403, 405, 500), (method, path)
            else:
                assert error(answer) == wanted, (method, path)
            if wanted == (405, "method_not_allowed"):
                allowed = {each for each, at in ENDPOINTS if at == path}
                assert set(answer.headers["Allow"].split(", ")) - {"HEAD"} == allowed


def test_every_address_is_among_them():
    documented = read_document()["paths"]
    shown = {path.replace("{job_id}", UNKNOWN).replace("{name}", "mail").lstrip("/") for path in documented}
    assert shown == {*PATHS, "health/live", "health/ready"}


def test_nobody_gets_anything(nobody):
    for path in PATHS:
        for method in METHODS:
            assert error(nobody.ask(method, path)) == (401, "unauthorized"), (method, path)


class TestKeys:
    def refused(self, header):
        answer = Api().get("v1/jobs", X_Request_Id="same", **({"Authorization": header} if header else {}))
        assert error(answer) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="django_flare"'
        assert not [name for name in answer.headers if name.startswith("X-RateLimit")]
        return answer.content

    def test_all_that_fail_look_alike(self):
        good, wrong = make_key(name="good"), make_key(name="wrong")
        revoked, expired = make_key(name="revoked"), make_key(name="expired")
        api_keys.revoke("revoked")
        ApiKey.objects.filter(name="expired").update(
            created_at=timezone.now() - timedelta(2), expires_at=timezone.now() - timedelta(1)
        )
        headers = [
            None,
            "",
            "Bearer",
            "Bearer ",
            f"Basic {good}",
            good,
            f"Bearer {good}x",
            f"Bearer {good} {good}",
            f"Bearer {good},Bearer {good}",
            f"Bearer {wrong[:-1]}{'0' if wrong[-1] != '0' else '1'}",
            f"Bearer flare_{'0' * 16}_{'0' * 64}",
            f"Bearer {revoked}",
            f"Bearer {expired}",
            "Bearer " + "x" * 10_000,
            "Bearer é",
            f"Bearer {good.upper()}",
        ]
        assert len({self.refused(header) for header in headers}) == 1
        assert Api().get("v1/jobs", Authorization=f"bearer  {good}").status_code == 200

    def test_a_key_in_the_address_is_none(self):
        key = make_key()
        assert error(Api().get(f"v1/jobs?key={key}&api_key={key}")) == (401, "unauthorized")

    def test_a_revoked_key_fails_on_the_next_request(self):
        api = Api(make_key(name="shop"))
        assert api.get("v1/jobs").status_code == 200
        api_keys.revoke("shop")
        assert error(api.get("v1/jobs")) == (401, "unauthorized")

    def test_the_last_use_is_noted_once_a_minute(self, clock):
        api = Api(make_key(name="shop"))
        uses = []
        for seconds in (0, 30, 29, 2):
            clock.advance(seconds)
            api.get("v1/jobs")
            uses.append(ApiKey.objects.get(name="shop").last_used_at)
        assert uses[0] == uses[1] == uses[2] < uses[3]

    def test_the_secret_is_in_no_log_error_or_row(self, caplog, monkeypatch):
        caplog.set_level(logging.DEBUG)
        key = make_key(name="shop")
        secret = key.rsplit("_", 1)[1]
        api = Api(key)

        def broken(**_):
            raise RuntimeError("broken")

        monkeypatch.setattr(jobs, "list_jobs", broken)
        answers = [api.get("v1/jobs"), api.post("v1/jobs", {}), Api(key + "0").get("v1/jobs")]
        assert [answer.status_code for answer in answers] == [500, 400, 401]
        assert b"broken" not in answers[0].content
        assert "broken" in caplog.text
        rows = str(list(ApiKey.objects.values()))
        for text in [
            caplog.text,
            rows,
            *(str(answer.headers) + answer.content.decode() for answer in answers),
        ]:
            assert secret not in text

    def test_tracebacks_are_for_admins(self):
        job = make_job()
        try:
            raise ValueError("boom")
        except ValueError as error:
            Driver().fail(job, error)
        for scope, shown in (("read", False), ("write", False), ("admin", True)):
            (attempt,) = Api(make_key(scope)).get(f"v1/jobs/{job}/attempts").json()["attempts"]
            assert (attempt["traceback"] is not None) is shown
            assert attempt["error_message"] == "boom"


class TestSignedIn:
    @pytest.fixture
    def user(self):
        call_command("migrate", verbosity=0)
        return User.objects.create_user("ada")

    def signed_in(self, user, **options):
        api = Api(**options)
        api.client.force_login(user)
        return api

    def allow(self, user, *codenames):
        found = Permission.objects.filter(content_type__app_label="django_flare", codename__in=codenames)
        user.user_permissions.set(found)

    @pytest.mark.parametrize(("method", "path"), ENDPOINTS)
    def test_each_action_takes_its_permission(self, user, method, path):
        codename = ENDPOINTS[method, path][1]
        others = {permission for _, permission in ENDPOINTS.values()} - {codename}
        self.allow(user, *others)
        assert error(self.signed_in(user).ask(method, path)) == (403, "forbidden")
        self.allow(user, codename)
        answer = self.signed_in(User.objects.get()).ask(method, path)
        assert answer.status_code not in (401, 403, 405, 500)

    def test_writing_takes_the_token_of_the_site(self, user):
        self.allow(user, "add_job", "view_job")
        api = self.signed_in(user, enforce_csrf_checks=True)
        body = {"job_type": "tests.testapp.jobs.plain"}
        assert error(api.post("v1/jobs", body)) == (403, "forbidden")
        assert api.get("v1/jobs").status_code == 200
        token = "x" * 32
        api.client.cookies["csrftoken"] = token
        assert api.post("v1/jobs", body, X_CSRFToken=token).status_code == 201
        assert error(api.post("v1/jobs", body, X_CSRFToken="y" * 32)) == (403, "forbidden")

    @pytest.mark.parametrize("codename", sorted({permission for _, permission in ENDPOINTS.values()}))
    def test_every_permission_on_every_method_of_every_path(self, user, codename):
        self.allow(user, codename)
        api = self.signed_in(user, enforce_csrf_checks=True)
        api.client.cookies["csrftoken"] = TOKEN
        for path, method, token in product([*PATHS, "nowhere"], METHODS, (None, TOKEN)):
            answer = api.ask(method, path, X_CSRFToken=token)
            wanted = expected_of_user(method, path, codename, has_token=token == TOKEN)
            if wanted is None:
                assert answer.status_code not in (401, 403, 405, 500), (method, path, token)
            else:
                assert error(answer) == wanted, (method, path, token)
            assert "X-RateLimit-Remaining" in answer.headers

    def test_without_a_token_requests_are_counted(self, user, settings):
        settings.FLARE = {"API_RATE": "3/hour"}
        self.allow(user, "add_job")
        api = self.signed_in(user, enforce_csrf_checks=True)
        form = "application/x-www-form-urlencoded"
        found = [
            api.post("v1/jobs", {}),
            api.post("v1/jobs", data="a=b", content_type=form),
            api.post("v1/jobs", {}),
            api.post("v1/jobs", data="a=b", content_type=form),
        ]
        assert [answer.status_code for answer in found] == [403, 415, 403, 429]

    def test_a_form_where_none_is_read(self, user):
        self.allow(user, "view_job")
        api = self.signed_in(user, enforce_csrf_checks=True)
        form = {"data": "a=b", "content_type": "application/x-www-form-urlencoded"}
        assert api.get("v1/jobs", **form).status_code == 200
        assert error(api.post("nowhere", **form)) == (404, "not_found")
        assert error(api.ask("PUT", "v1/jobs", **form)) == (405, "method_not_allowed")
        assert error(api.post("v1/jobs", **form)) == (403, "forbidden")

    def test_a_token_in_a_form_is_not_looked_for(self, user):
        self.allow(user, "cancel_job")
        api = self.signed_in(user, enforce_csrf_checks=True)
        api.client.cookies["csrftoken"] = "x" * 32
        answer = api.post(
            f"v1/jobs/{make_job()}/cancel",
            data="csrfmiddlewaretoken=" + "x" * 32,
            content_type="application/x-www-form-urlencoded",
        )
        assert error(answer) == (415, "unsupported_media_type")

    def test_a_bad_key_is_not_saved_by_a_session(self, user):
        self.allow(user, "view_job")
        api = self.signed_in(user)
        assert api.get("v1/jobs").status_code == 200
        assert error(api.get("v1/jobs", Authorization="Bearer x")) == (401, "unauthorized")

    def test_an_inactive_user_is_nobody(self, user):
        api = self.signed_in(user)
        User.objects.update(is_active=False, is_superuser=True)
        assert error(api.get("v1/jobs")) == (401, "unauthorized")

    def test_a_superuser_may_all(self, user):
        User.objects.update(is_superuser=True)
        assert self.signed_in(user).post("v1/queues/mail/pause").status_code == 200

    def test_keys_of_users_and_of_keys_are_apart(self, user):
        User.objects.update(is_superuser=True)
        body = {"job_type": "tests.testapp.jobs.plain", "idempotency_key": "k"}
        apis = [self.signed_in(user), Api(make_key()), Api(make_key())]
        ids = {api.post("v1/jobs", body).json()["id"] for api in apis}
        assert len(ids) == 3

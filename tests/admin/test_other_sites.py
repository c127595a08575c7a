"""An admin site of the project's own, with some of our pages only."""

import sys
from types import ModuleType

import pytest
from django.contrib.admin import AdminSite
from django.urls import path

from django_flare.admin.dashboard import DashboardAdmin
from django_flare.admin.jobs import JobAdmin
from django_flare.models import Dashboard, Job
from tests.admin.support import messages, parse
from tests.support import Driver, make_job
from tests.testapp.jobs import once

pytestmark = pytest.mark.django_db


@pytest.fixture
def serve(settings):
    """Serve a site under /staff/ on which these models are registered."""

    def serve_(**registered):
        site = AdminSite(name="staff")
        for model, page in ((Job, JobAdmin), (Dashboard, DashboardAdmin)):
            if model.__name__.lower() in registered["models"]:
                site.register(model, page)
        module = ModuleType("staff_urls")
        module.urlpatterns = [path("staff/", site.urls)]
        sys.modules["staff_urls"] = module
        settings.ROOT_URLCONF = "staff_urls"

    yield serve_
    sys.modules.pop("staff_urls", None)


@pytest.fixture
def dead(db):
    job_id = make_job(once, queue="mail")
    Driver().fail(job_id)
    return job_id


def test_jobs_alone(operator, serve, dead):
    serve(models=["job"])
    page = parse(operator.get("/staff/django_flare/job/"))
    (link,) = [each for each in page.find("a") if f"/job/{dead}/" in each.attributes["href"]]
    assert link.attributes["href"].startswith(f"/staff/django_flare/job/{dead}/change/")
    (button,) = parse(operator.get(link.attributes["href"])).find("div", "flare-head")[0].find("button")
    answer = operator.post(button.attributes["formaction"], follow=True)
    assert messages(answer) == ["1 job will run again."]
    assert answer.redirect_chain[0][0].startswith("/staff/")


def test_the_dashboard_alone(operator, serve, dead):
    serve(models=["dashboard"])
    page = parse(operator.get("/staff/django_flare/dashboard/"))
    assert "boom" in page.text
    assert [each.attributes["aria-labelledby"] for each in page.find("section")][-1] == "flare-dead"
    answer = operator.post("/staff/django_flare/dashboard/retry/", {"job": dead}, follow=True)
    assert "will run again." in messages(answer)[0]

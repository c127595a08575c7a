"""The quickstart, the tutorial and the tests that a guide shows work as written, in projects of their own."""

import os
import subprocess
import sys
import textwrap

import django
import pytest

from tests.docs.pages import README, ROOT, commands, files_of, python_blocks

HEADER = '''
import json, os
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
django.setup()
from django.core.management import call_command
from django.test import Client
from django_flare import jobs
client = Client(SERVER_NAME="localhost")

def work():
    call_command("flare_worker", burst=True)

def state(job_id):
    return client.get(f"/jobs/{job_id}{SLASH}").json()["state"]

def curl(words, **variables):
    """Ask as the words of a curl command say: an address, -H, -d; what else there is makes no difference."""
    headers, data, address = {}, "", None
    for name, value in variables.items():
        words = [word.replace(f"${name}", value) for word in words]
    for before, word in zip(words, words[1:]):
        if before == "-H":
            headers.update([word.split(": ", 1)])
        elif before == "-d":
            data = word
        elif word.startswith("http://127.0.0.1:8000"):
            address = word.removeprefix("http://127.0.0.1:8000")
    assert "$" not in str(words)
    media_type = headers.pop("Content-Type", "")
    return client.generic("POST" if data else "GET", address, data, media_type, headers=headers)
'''


class Project:
    """A Django project in a folder, made as a newcomer makes it."""

    def __init__(self, folder):
        self.folder = folder
        self.run("-m", "django", "startproject", "mysite", ".")
        self.run("manage.py", "startapp", "shop")

    def run(self, *arguments):
        # Nothing of the tests' own environment but the path to the package.
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("DJANGO", "FLARE"))
        }
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, file, code):
        (self.folder / file).write_text(code)

    def add_settings(self, code):
        with (self.folder / "mysite/settings.py").open("a") as settings:
            settings.write(f"\n{code}")

    def drive(self, code, slash=""):
        return self.run("-c", f"SLASH = {slash!r}\n{HEADER}\n{textwrap.dedent(code)}")


@pytest.fixture
def quickstart(tmp_path):
    project = Project(tmp_path)
    files = files_of(README)
    named = {}
    exec(files.pop("mysite/settings.py"), named)
    project.add_settings(f"INSTALLED_APPS += {named['INSTALLED_APPS']!r}\n")
    for file, code in files.items():
        project.write(file, code)
    return project


def test_the_quickstart(quickstart):
    quickstart.run("manage.py", "migrate")
    quickstart.drive(
        """
        answer = client.get("/greet/?name=Grace")
        assert answer.status_code == 202
        job_id = answer.json()["job_id"]
        assert state(job_id) == "pending"
        work()
        assert state(job_id) == "succeeded"
        assert jobs.get_status(job_id).result == "Hello, Grace!"
        assert client.get("/jobs/unknown/").status_code == 404
        """,
        slash="/",
    )


def test_the_tests_that_the_guide_shows(quickstart):
    *tests, settings = python_blocks(ROOT / "docs/how-to/test.rst")
    for number, block in enumerate(tests):
        quickstart.write(f"shop/test_{number}.py", block.code)
    (quickstart.folder / "shop/tests.py").unlink()
    quickstart.add_settings(settings.code)
    # Django's runner writes to stderr, so count what it ran by asking for it.
    quickstart.run("-c", COUNTED)


COUNTED = """
import os
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
django.setup()
from django.test.runner import DiscoverRunner
from django.test.utils import setup_test_environment
runner = DiscoverRunner()
assert runner.build_suite().countTestCases() == 3
raise SystemExit(runner.run_tests([]))
"""


def test_the_tutorial(tmp_path):
    project = Project(tmp_path)
    page = ROOT / "docs/tutorial.rst"
    files = files_of(page)
    project.add_settings(files.pop("mysite/settings.py"))
    [mail] = [block.code for block in python_blocks(page) if block.code.startswith("EMAIL_BACKEND")]
    if django.VERSION < (6, 1):
        project.add_settings(mail)
    for file, code in files.items():
        project.write(file, code)
    project.run("manage.py", "makemigrations", "shop")
    project.run("manage.py", "migrate")
    mailed = project.drive(
        """
        answer = client.post("/orders", {"email": "ada@example.com", "amount": "14.70"})
        assert answer.status_code == 201
        job_id = answer.json()["job_id"]
        work()
        assert state(job_id) == "succeeded"
        assert client.get(f"/jobs/{job_id}").json()["result"] == {"amount": "14.70"}
        """
    )
    assert mailed.count("You paid 14.70.") == 1

    mailed = project.drive(
        """
        job_id = client.post("/orders", {"email": "linus@example.com", "amount": "75000"}).json()["job_id"]
        # Instead of waiting for the backoff.
        for left in (2, 1, 0):
            work()
            assert state(job_id) == ("failed" if left else "dead_letter")
            if left:
                assert jobs.retry(job_id)
        status = jobs.get_status(job_id)
        assert status.error_message == "CardDeclined: the card was declined"
        [confirmation] = jobs.list_jobs(state="cancelled").jobs
        assert confirmation.cancelled_by == job_id
        """
    )
    assert "You paid" not in mailed

    project.write("shop/jobs.py", files["shop/jobs.py"].replace("> 1000:", "> 100000:"))
    mailed = project.drive(
        """
        [dead] = jobs.list_jobs(state="dead_letter").jobs
        assert client.post(f"/jobs/{dead.job_id}/retry").json() == {"retried": True}
        work()
        assert state(dead.job_id) == "succeeded"
        assert client.post(f"/jobs/{dead.job_id}/retry").status_code == 409
        """
    )
    assert mailed.count("You paid 75000.00.") == 1


MAKE_KEY = ("flare_apikey", "create", "shop", "--scope", "write")


def test_the_http_api(tmp_path):
    project = Project(tmp_path)
    page = ROOT / "docs/how-to/http-api.rst"
    files = files_of(page)
    project.add_settings(files.pop("mysite/settings.py"))
    for file, code in files.items():
        project.write(file, code)
    for words in commands(page, "python manage.py migrate"):
        project.run(*words[1:])
    project.run("manage.py", "check", "--fail-level", "WARNING")
    key = project.run("manage.py", *MAKE_KEY).splitlines()[-1]
    assert f"$(python manage.py {' '.join(MAKE_KEY)} | tail -n 1)" in page.read_text()
    project.drive(
        f"""
        KEY = {key!r}
        create, read, poll, explain, schema = {commands(page, "curl")!r}
        made = curl(create, KEY=KEY)
        assert made.status_code == 201, made.content
        ID = made.json()["id"]
        assert made.headers["Location"] == f"/flare/v1/jobs/{{ID}}"
        again = curl(create, KEY=KEY)
        assert (again.status_code, again.content) == (201, made.content)
        assert again.headers["Idempotent-Replay"] == "true"
        assert curl(explain, KEY=KEY, ID=ID).json()["code"] == "no_worker_for_queue"
        work()
        found = curl(read, KEY=KEY, ID=ID)
        assert (found.json()["state"], found.json()["result"]) == ("succeeded", "Hello, Grace!")
        assert curl(poll, KEY=KEY, ID=ID, ETAG=found.headers["ETag"]).status_code == 304
        assert curl(schema, KEY=KEY).json()["openapi"] == "3.1.0"
        assert curl(create, KEY="flare_x").status_code == 401
        """
    )

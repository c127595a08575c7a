"""The clients have the verbs of `jobs` with their signatures, and need no Django (spec, section 10)."""

import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from django_flare import jobs
from django_flare.client import AsyncFlareClient, FlareClient
from tests.client.support import ID, JOB, KEY, URL

ROOT = Path(__file__).parents[2]
VERBS = sorted(name for name in jobs.__all__ if f"a{name}" in jobs.__all__)


def parameters(function):
    """Return name, kind and default of each parameter."""
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in found if each.name != "self"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", [FlareClient, AsyncFlareClient])
def test_a_verb_has_the_signature_of_its_twin(kind, verb):
    assert parameters(getattr(kind, verb)) == parameters(getattr(jobs, verb))


@pytest.mark.parametrize("kind", [FlareClient, AsyncFlareClient])
def test_there_are_no_others(kind):
    assert {name for name in vars(kind) if not name.startswith("_")} == {*VERBS, "close"}


def test_all_of_the_async_client_is_awaited():
    for name in (*VERBS, "close"):
        assert inspect.iscoroutinefunction(getattr(AsyncFlareClient, name))
        assert getattr(AsyncFlareClient, name).__doc__


def run(code):
    """Run a program that has the package on its path, but no settings."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_works_in_a_process_without_django():
    done = run(
        f"""
        import sys

        class NoDjango:
            def find_spec(self, name, *_):
                if name.split(".")[0] in ("django", "rest_framework", "asgiref", "environ"):
                    raise ImportError(f"{{name}} is not to be imported")

        sys.meta_path.insert(0, NoDjango())
        import httpx
        from django_flare.client import FlareClient
        from django_flare import FlareNotFoundError, JobOptions, JobState, JobStatus

        transport = httpx.MockTransport(lambda request: httpx.Response(200, json={JOB!r}))
        with FlareClient({URL!r}, {KEY!r}, transport=transport) as client:
            assert client.enqueue("mail.welcome", {{"a": 1}}, priority=3) == {ID!r}
            assert client.get_status({ID!r}).state is JobState.PENDING
            assert client.cancel({ID!r}) is True
        ours = sorted(name for name in sys.modules if name.startswith("django_flare."))
        print(*(name for name in ours if not name.startswith("django_flare.client")))
        """
    )
    assert done.returncode == 0, done.stderr
    words = ("arguments", "errors", "states", "status", "values")
    assert done.stdout.split() == [f"django_flare.{word}" for word in words]


def test_without_httpx_it_says_what_to_install():
    done = run(
        """
        import sys
        sys.modules["httpx"] = None
        import django_flare.client
        """
    )
    assert "needs httpx: pip install 'django-flare[client]'" in done.stderr

import subprocess
import sys

from tests.docs.pages import ROOT

PROGRAM = """
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "django_flare"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "none"}},
)
import django, sys
django.setup()
from django_flare import jobs, operations
from django_flare.definitions import registry
assert operations.NAME in registry.names()
assert not [name for name in sys.modules if name.startswith("django_flare.admin")]
"""


def test_a_project_without_the_admin_needs_none_of_it():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

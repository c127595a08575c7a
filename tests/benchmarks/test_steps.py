"""The measurements, as the projects of other queues find them."""

import subprocess
import sys

PROJECT = """
from django.conf import settings

settings.configure(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"])
import django

django.setup()
import benchmarks.steps

print(len(benchmarks.steps.STEPS))
"""


def test_the_project_of_another_queue_can_be_measured():
    ended = subprocess.run([sys.executable, "-c", PROJECT], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 10

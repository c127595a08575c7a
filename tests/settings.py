"""Settings of the test project; `FLARE_TEST_DATABASE` chooses sqlite, postgres or mariadb."""

import json
import os

from tests import databases

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "rest_framework",
    "django_flare",
    "example_project.shop",
    "tests.testapp",
]
DATABASES = {"default": databases.chosen()}
MIGRATION_MODULES = {"testapp": None}
# What the example's app needs; its tests have a folder of their own.
REPORTS_DIR = "var/reports"
PAYMENT_SECONDS = 0
# Tests may kill a worker at a named place, and give the processes that they start settings of their own.
FLARE_FAILPOINTS_ALLOWED = "FLARE_TEST_NO_FAILPOINTS" not in os.environ
FLARE = json.loads(os.environ.get("FLARE_TEST_SETTINGS", "{}"))

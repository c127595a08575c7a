"""Settings of the test project; `FLARE_TEST_DATABASE` chooses sqlite, postgres or mariadb."""

import json
import os

from tests import databases

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular_sidecar",
    "django_flare",
    "example_project.shop",
    "tests.testapp",
]
MIDDLEWARE = [
    "tests.csp.middleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "tests.urls"
# Where a live server looks for files; it would take every address for one otherwise.
STATIC_URL, MEDIA_URL = "static/", "media/"
DATABASES = {"default": databases.chosen()}
# A worker may be given another way to the same database, and a pool of connections.
if "FLARE_TEST_DIRECT_URL" in os.environ:
    DATABASES["direct"] = databases.reached_by(os.environ["FLARE_TEST_DIRECT_URL"])
DATABASES["default"].setdefault("OPTIONS", {}).update(json.loads(os.environ.get("FLARE_TEST_OPTIONS", "{}")))
MIGRATION_MODULES = {"testapp": None}
# What the example's app needs; its tests have a folder of their own.
REPORTS_DIR = "var/reports"
PAYMENT_SECONDS = LABEL_SECONDS = 0
# Tests may kill a worker at a named place, and give the processes that they start settings of their own.
FLARE_FAILPOINTS_ALLOWED = "FLARE_TEST_NO_FAILPOINTS" not in os.environ
LOGGING = json.loads(os.environ.get("FLARE_TEST_LOGGING", "{}"))
FLARE = json.loads(os.environ.get("FLARE_TEST_SETTINGS", "{}"))
if "FLARE_TEST_BROKEN_CHILD" in os.environ and "FLARE_WORKER_CHILD" in os.environ:
    raise ImportError("a child cannot import its settings")

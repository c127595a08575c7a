"""The measured project: defaults everywhere, and for SQLite what the documentation recommends."""

import os
from typing import Any

import environ

from benchmarks.plan import PAGES
from benchmarks.queues import QUEUES


def database(url: str) -> dict[str, Any]:
    """Return Django's configuration of the database at `url`."""
    found: dict[str, Any] = environ.Env.db_url_config(url)
    if found["ENGINE"].endswith("sqlite3"):
        init = "PRAGMA journal_mode = WAL"
        found["OPTIONS"] = {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": init}
    if found["ENGINE"].endswith("mysql"):
        import pymysql  # noqa: PLC0415 - needed on this database alone

        pymysql.install_as_MySQLdb()
    return found


def address() -> str:
    """Return the URL of Django's database; a queue that has none of its own gets one that is forgotten."""
    url = os.environ.get("BENCHMARKS_URL", "")
    return "sqlite://:memory:" if not url or url.startswith("redis") else url


QUEUE = QUEUES[os.environ.get("BENCHMARKS_QUEUE", "django_flare")]
HISTORY = int(os.environ.get("BENCHMARKS_HISTORY", "1000000"))

SECRET_KEY = "only-for-benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "benchmarks", *QUEUE.apps]
DATABASES = {"default": {**database(address()), **QUEUE.connection}}
if os.environ.get("BENCHMARKS_STEP") in PAGES:
    # The others are measured without what they do not need.
    INSTALLED_APPS += ["django.contrib.admin", "django.contrib.messages", "django.contrib.sessions"]
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    _PROCESSORS = [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]
    _ENGINE = "django.template.backends.django.DjangoTemplates"
    TEMPLATES = [{"BACKEND": _ENGINE, "APP_DIRS": True, "OPTIONS": {"context_processors": _PROCESSORS}}]
    ALLOWED_HOSTS, ROOT_URLCONF, STATIC_URL = ["testserver"], "benchmarks.urls", "static/"
globals().update(QUEUE.settings)

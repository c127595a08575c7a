"""The project that the campaign runs; each process gets its database and its part by the environment."""

import json
import os
import sys

import environ

LEASE, BEAT = 5, 1
SLOTS = 4

SECRET_KEY = "only-for-tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "rest_framework",
    "django_flare",
    "tests.chaos",
]
ROOT_URLCONF = "tests.chaos.urls"
STATIC_URL = "static/"
MIGRATION_MODULES = {"chaos": None}
LOGGING = {} if "flare_worker" in sys.argv else {"version": 1, "disable_existing_loggers": False}

# What this process is, so that the server's views and the trigger can tell who does something.
PART = os.environ.get("CHAOS_PART", "tool")
DATABASES = {"default": environ.Env.db_url_config(os.environ.get("CHAOS_URL", "sqlite://:memory:"))}
if "CHAOS_URL" in os.environ:
    DATABASES["default"]["OPTIONS"] = {
        "sslmode": "disable",
        "connect_timeout": 5,
        "application_name": f"chaos-{PART}-{os.getpid()}",
    }
if PART == "api":
    DATABASES["default"].update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)

FLARE = {
    "LEASE": LEASE,
    "BEAT": BEAT,
    "MAX_ATTEMPTS": 15,
    "TIMEOUT": 40,
    "BACKOFF": {"base": 0.3, "cap": 3, "jitter": 0.3},
    "KEEP": dict.fromkeys(("succeeded", "cancelled", "dead_letter"), 30),
    "API_RATE": None,
    **json.loads(os.environ.get("CHAOS_FLARE", "{}")),
}

"""Settings of the example project, filled from the environment and from a file `.env` beside manage.py.

DATABASE_URL takes `sqlite:///path`, `postgres://user:password@host/name` or `mysql://…`. Without any
variable this is a development project on a SQLite file; in production set SECRET_KEY, ALLOWED_HOSTS and
DEBUG=no.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import environ  # type: ignore[import-untyped]

from django_flare.env import flare_settings

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")


def database(url: dict[str, Any]) -> dict[str, Any]:
    """Complete the database of DATABASE_URL with what its engine needs under a web server and workers."""
    if url["ENGINE"].endswith("sqlite3"):
        # Readers beside a writer, and writers that wait for each other instead of failing.
        options = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode = WAL",
        }
        return {**url, "OPTIONS": {**options, **url.get("OPTIONS", {})}}
    if url["ENGINE"].endswith("postgresql"):
        # A server that vanishes without a word is noticed after seconds.
        options = {
            "tcp_user_timeout": 20_000,
            "keepalives_idle": 20,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
        return {**url, "OPTIONS": {**options, **url.get("OPTIONS", {})}}
    if url["ENGINE"].endswith("mysql") and find_spec("MySQLdb") is None:
        # Where mysqlclient is not installed, PyMySQL stands in for it.
        import_module("pymysql").install_as_MySQLdb()
    return url


DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = env.str("SECRET_KEY", default="django-insecure-for-development-only")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])

# HTTPS=no only where a site without DEBUG is to be tried on one's own machine.
HTTPS = env.bool("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS

SQLITE_URL = f"sqlite:///{quote(str(BASE_DIR / 'db.sqlite3'))}"
DATABASES = {"default": database(env.db_url("DATABASE_URL", default=SQLITE_URL))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

FLARE = flare_settings(env)
# What other programs may ask for over HTTP; orders are the shop's own business.
FLARE.setdefault("API_JOB_TYPES", ["shop.PrintLabels"])

# Requests to the API are counted here. Files are enough for one machine; CACHE_URL=redis://… for several.
CACHE_FOLDER = quote(str(BASE_DIR / "var" / "cache"))
CACHES = {"default": env.cache_url("CACHE_URL", default=f"filecache://{CACHE_FOLDER}")}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_flare",
    "example_project.shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
STATIC_URL = "static/"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# Mail is written to files, so that the example needs no mail server.
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = env.str("EMAIL_FILE_PATH", default=str(BASE_DIR / "var" / "mail"))
DEFAULT_FROM_EMAIL = "The shop <shop@example.com>"

REPORTS_DIR = Path(env.str("REPORTS_DIR", default=str(BASE_DIR / "var" / "reports")))
# How long the pretended payment provider takes to answer, in seconds.
PAYMENT_SECONDS = env.float("PAYMENT_SECONDS", default=1.0)
# How long the pretended printer takes for a label.
LABEL_SECONDS = env.float("LABEL_SECONDS", default=0.5)

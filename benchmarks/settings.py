"""Settings of the measured project: what the documentation recommends for each database, nothing tuned."""

import os

import environ

import django_flare.env
from benchmarks import queues
from example_project.settings import database

QUEUE = queues.named(os.environ.get("BENCHMARKS_QUEUE", "django_flare"))

SECRET_KEY = "benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "benchmarks",
    *QUEUE.apps,
]
DATABASES = {
    "default": database(environ.Env.db_url_config(os.environ.get("BENCHMARKS_URL", "sqlite:///:memory:")))
}

"""Settings of every process here, whichever release's code it runs."""

import os

import environ

SECRET_KEY = "only-for-tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_flare",
    "tests.upgrade",
]
DATABASES = {
    "default": {
        **environ.Env.db_url_config(os.environ["FLARE_UPGRADE_URL"]),
        "OPTIONS": {"options": "-c synchronous_commit=off"},
    }
}

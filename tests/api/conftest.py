"""What the tests of the API share."""

import os

import pytest
from django.core.cache import cache

from tests.api.support import Api, make_key

# It takes a while, and the engines that differ most in what they store will do.
collect_ignore = ["test_fuzzing.py"] if os.environ.get("FLARE_TEST_DATABASE") == "mariadb" else []


@pytest.fixture(autouse=True)
def _nobody_has_asked_before():
    """Begin each test with an empty cache: it holds the counts of requests."""
    cache.clear()


@pytest.fixture
def api(db):
    """Ask with a key that may do everything."""
    return Api(make_key("admin"))


@pytest.fixture
def nobody(db):
    """Ask without a key."""
    return Api()

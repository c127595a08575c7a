import pytest

from django_flare.definitions import registry


@pytest.fixture(autouse=True)
def _registry_as_before():
    """Forget the handlers that a test declares."""
    by_name, by_handler = registry._by_name.copy(), registry._by_handler.copy()
    yield
    registry._by_name, registry._by_handler = by_name, by_handler

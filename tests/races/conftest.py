import pytest

from tests.races import support


@pytest.fixture
def stage():
    """Start threads with connections of their own; the test's end waits for theirs."""
    stage = support.Stage()
    yield stage
    stage.close()

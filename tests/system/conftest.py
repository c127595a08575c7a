import pytest

from tests.system.support import Workers


@pytest.fixture
def workers(transactional_db, request):
    """Start worker processes; the test's end is theirs, before the tables are emptied."""
    workers = Workers()
    yield workers
    workers.end()
    for number, worker in enumerate(workers.all, 1):
        # pytest shows it when the test has failed.
        print(f"--- worker {number}, process {worker.pid} ---\n{worker.log}")  # noqa: T201


@pytest.fixture
def gate(tmp_path):
    """Hold back the handlers that look at `gate.path` until `gate.open()`."""
    return Gate(tmp_path / "gate")


class Gate:
    def __init__(self, file):
        self._file = file
        self.path = str(file)

    def open(self):
        self._file.touch()

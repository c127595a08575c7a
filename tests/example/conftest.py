import pytest
from asgiref.sync import async_to_sync

from tests.conftest import _vendor

# The demo brings its own SQLite database, so it need not run beside the other databases.
collect_ignore = [] if _vendor() == "sqlite" else ["test_demo.py"]


class Runner:
    """Run jobs as a worker does, one after the other, in the test's own thread."""

    def __init__(self, clock):
        from tests.support import Driver

        self._clock = clock
        self._driver = Driver()

    def drain(self):
        """Run jobs until none is claimable; return how many runs there were."""
        count = 0
        while claimed := self._driver.claim():
            for row in claimed:
                self.run(row)
            count += len(claimed)
        return count

    def drain_later(self, seconds):
        """Let the time pass, then drain."""
        from django_flare.lifecycle import housekeeping

        self._clock.advance(seconds)
        housekeeping.promote_due("default")
        return self.drain()

    def start(self, job_id):
        """Claim this job and do nothing yet."""
        return self._driver.start(job_id)

    def run(self, row, *, prepare=lambda run: None):
        """Run a claimed job; `prepare` may change the run before the handler is called."""
        from django_flare.definitions import registry
        from django_flare.lifecycle import finish
        from django_flare.worker.runs import Run, failure, success

        run = Run(row, registry.get(row.job_type), lambda: None)
        prepare(run)
        try:
            outcome = success(run, _call(run.definition, *run.arguments("default")))
        except BaseException as error:
            outcome = failure(run, error)
        finish.apply([outcome], "default")
        return run


def _call(definition, payload, ctx):
    async def wait():
        return await definition.call(payload, ctx)

    return async_to_sync(wait)() if definition.is_async else definition.call(payload, ctx)


@pytest.fixture
def runner(clock):
    return Runner(clock)


@pytest.fixture
def products(db):
    """Return the catalogue's products by SKU."""
    from example_project.shop.catalogue import stock

    return {product.sku: product for product in stock()}


@pytest.fixture
def place(products):
    """Return a function that places an order for a SKU."""
    from example_project.shop.orders import place_order

    return lambda sku, quantity=1: place_order("ada@example.com", products[sku], quantity)


@pytest.fixture
def reports(settings, tmp_path):
    settings.REPORTS_DIR = tmp_path / "reports"
    return settings.REPORTS_DIR

"""The same no-op job for procrastinate."""

from procrastinate.contrib.django import app


@app.task
async def noop(number: int) -> dict[str, int]:
    """Do nothing; on procrastinate's own event loop, which is its fastest way."""
    return {"done": number}


def fill(count: int) -> None:
    """Queue `count` jobs in calls of a thousand."""
    for start in range(0, count, 1000):
        noop.batch_defer(*({"number": number} for number in range(start, min(start + 1000, count))))

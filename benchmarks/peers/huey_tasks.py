"""The same jobs for huey with its SQLite storage."""

import os

from huey import SqliteHuey

from benchmarks import starts

FILE = os.environ["BENCHMARKS_URL"].removeprefix("sqlite:///") + ".huey"
huey = SqliteHuey(filename=FILE, fsync=os.environ.get("BENCHMARKS_QUEUE") == "huey")


@huey.task()
def noop(number: int) -> dict[str, int]:
    """Do nothing, with a result to store."""
    return {"done": number}


@huey.task()
def tell_start(number: int) -> dict[str, int]:
    """Note the time at which the handler began."""
    return starts.note(number)


def one(number: int) -> None:
    noop(number)


def many(count: int) -> int:
    """Queue `count` jobs, one by one: there is no other way."""
    for number in range(count):
        one(number)
    return count


def tell(number: int) -> None:
    tell_start(number)


def done() -> int:
    """Count the results."""
    return int(huey.storage.result_store_size())

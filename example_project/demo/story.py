"""What happens in the demo, from the empty folder to the last job."""

from __future__ import annotations

import csv
import io
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import NoReturn

from django_flare import JobState
from example_project.demo import findings
from example_project.demo.board import Board, Row, WatchedJob
from example_project.demo.errors import DemoError
from example_project.demo.processes import ROOT
from example_project.demo.site import PASSWORD, USER, Site, chosen_folder, short
from example_project.demo.view import Lines, View, choose_view

ORDERS = ROOT / "example_project" / "orders.csv"

# How an order's job and its confirmation end, by the product's SKU.
_ENDS = {
    "tea": (JobState.SUCCEEDED, JobState.SUCCEEDED),
    "camera": (JobState.SUCCEEDED, JobState.SUCCEEDED),
    "yacht": (JobState.DEAD_LETTER, JobState.CANCELLED),
}
_REPORT_AFTER = timedelta(seconds=6)
_WATCH_SECONDS = 40
_PAUSE = 0.15


def main() -> int:
    """Run the demo; 0 if all went as expected, 1 if not, 128 and the signal's number when stopped by one."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _leave)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Seen at once also in a file, and in any encoding.
        sys.stdout.reconfigure(line_buffering=True, errors="replace")
    try:
        Story(Site(chosen_folder())).tell()
    except DemoError as error:
        print(f"\nThe demo has failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was interrupted; its server and worker are stopped.", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def _leave(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


class Story:
    """One run of the demo on a site of its own."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._board = Board()
        self._began = time.monotonic()
        self._view: View = Lines()
        self._problems: list[str] = []

    def tell(self) -> None:
        """Tell it, and stop the server and the worker whatever happens."""
        try:
            self._begin()
            self._happen()
        except DemoError as error:
            raise DemoError(f"{error}\n{self._site.tails()}".rstrip()) from error
        finally:
            self._problems = self._site.stop()
        self._end()

    def _begin(self) -> None:
        print(f"Preparing a shop in {short(self._site.folder)} …")
        self._site.prepare()
        self._site.start()
        address = f"http://127.0.0.1:{self._site.port}"
        print(f"Server on {address}, admin on {address}/admin/ (user {USER}, password {PASSWORD})")

    def _happen(self) -> None:
        client = self._site.client
        self._began = time.monotonic()
        with ORDERS.open(newline="", encoding="utf-8") as file:
            for order in csv.DictReader(file):
                self._place(order)
        self._add_report("report in 6 s", _REPORT_AFTER, JobState.SUCCEEDED)
        tomorrow = self._add_report("report tomorrow", timedelta(days=1), JobState.CANCELLED)
        print(f"{len(self._board.rows) - 2} orders placed, 2 reports scheduled.\n")
        self._view = choose_view(len(self._board.rows))
        self._watch(lambda: self._seconds > 2 and tomorrow.reading is not None)
        client.cancel(tomorrow.job_id)
        self._watch(lambda: self._board.is_final)

    def _place(self, order: dict[str, str]) -> None:
        placed = self._site.client.place_order(order)
        process, confirm = _ENDS[order["product"]]
        self._board.rows.append(
            Row(
                f"order {placed.order_id}: {order['quantity']} × {order['product']}",
                [
                    WatchedJob(placed.job_id, "shop.ProcessOrder", process),
                    WatchedJob(placed.confirmation_job_id, "shop.SendOrderConfirmation", confirm),
                ],
                placed.email,
            )
        )

    def _add_report(self, title: str, delay: timedelta, expected: JobState) -> WatchedJob:
        job_id = self._site.client.schedule_report(datetime.now(UTC) + delay)
        job = WatchedJob(job_id, "shop.GenerateReport", expected)
        self._board.rows.append(Row(title, [job]))
        return job

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _watch(self, enough: Callable[[], bool]) -> None:
        while not enough():
            self._site.check()
            self._view.show(self._board, self._board.refresh(self._site.client), self._seconds)
            if self._seconds > _WATCH_SECONDS:
                open_jobs = sum(not job.is_final for job in self._board.jobs)
                raise DemoError(f"{open_jobs} jobs have not ended after {_WATCH_SECONDS} s")
            time.sleep(_PAUSE)

    def _end(self) -> None:
        findings.show(self._board, self._site)
        self._problems += findings.problems(self._board, self._site)
        if self._problems:
            raise DemoError("\n".join(self._problems))
        print(f"\nAll {len(self._board.jobs)} jobs have ended as expected, after {self._seconds:.0f} s.")
        print("Server and worker have been stopped; `make serve` starts both again. The server alone:\n")
        print(f"  {self._site.serve_command()}")
        print(f"  http://127.0.0.1:8000/admin/ (user {USER}, password {PASSWORD})")

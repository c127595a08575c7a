"""`make demo` as a whole: real processes, a real database, from the empty folder to the last line."""

import csv
import http.client
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.support import eventually

# On a database of its own.
pytestmark = [pytest.mark.system, pytest.mark.whole_run_on("sqlite")]

ROOT = Path(__file__).parent.parent.parent
JOB_LINE = re.compile(r"^  ([0-9a-f-]{36})  (shop\.\w+) +(\w+) +(.+)$", re.MULTILINE)
WITH_LOGIN = """
from django.test import Client
client = Client(SERVER_NAME="localhost")
assert client.login(username="demo", password="demo")
for path in ("", "shop/product/", "shop/order/", "shop/order/2/change/"):
    answer = client.get(f"/admin/{path}")
    assert answer.status_code == 200, (path, answer.status_code)
    print(answer.content.decode())
"""


@dataclass
class Ended:
    """A demo that has ended."""

    status: int
    output: str
    folder: Path

    def jobs(self, job_type):
        """Return (title, state) of the jobs of a type, from the lines that say how they ended."""
        found = JOB_LINE.findall(self.output)
        return [(title, state) for _, name, state, title in found if name == job_type]


def start(folder, **variables):
    return subprocess.Popen(
        [sys.executable, "-m", "example_project.demo"],
        cwd=ROOT,
        env={**os.environ, "FLARE_DEMO_DIR": str(folder), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    # The encoding of the poorest terminal is enough.
    process = start(folder, PYTHONIOENCODING="ascii")
    output, _ = process.communicate(timeout=100)
    return Ended(process.returncode, output, folder)


def test_it_ends_well(demo):
    assert demo.status == 0, demo.output


def test_a_line_for_each_order_says_how_it_ended(demo):
    with (ROOT / "example_project" / "orders.csv").open(newline="") as file:
        skus = [order["product"] for order in csv.DictReader(file)]
    expected = ["dead_letter" if sku == "yacht" else "succeeded" for sku in skus]
    assert [state for _, state in demo.jobs("shop.ProcessOrder")] == expected
    assert {"tea", "camera", "yacht"} == set(skus)


def test_a_confirmation_is_sent_unless_the_order_is_dead(demo):
    ends = {"succeeded": "succeeded", "dead_letter": "cancelled"}
    orders = [ends[state] for _, state in demo.jobs("shop.ProcessOrder")]
    assert [state for _, state in demo.jobs("shop.SendOrderConfirmation")] == orders


def test_one_report_is_written_and_one_cancelled(demo):
    assert [state for _, state in demo.jobs("shop.GenerateReport")] == ["succeeded", "cancelled"]


def test_the_failures_on_the_way_are_seen(demo):
    cameras = [line for line in demo.output.splitlines() if "camera" in line and "ProcessOrder" in line]
    assert any("failed 1/3" in line and "did not answer" in line for line in cameras)
    assert any("succeeded 3/3" in line for line in cameras)


def test_another_program_gets_its_labels_over_the_http_api(demo):
    assert [state for _, state in demo.jobs("shop.PrintLabels")] == ["succeeded"]
    job_id = re.search(r"asked for 8 labels: job (\S+)", demo.output)[1]
    assert f"  {job_id}  shop.PrintLabels" in demo.output
    assert re.search(r"^ +\d+\.\d s  succeeded 100%$", demo.output, re.MULTILINE)
    asked, unchanged = map(int, re.search(r"asked (\d+) times, (\d+) answers were 304", demo.output).groups())
    assert asked > unchanged


def test_its_key_is_in_no_file(demo):
    key = re.search(r"Authorization: Bearer (flare_\w+)", demo.output)[1]
    found = [path for path in demo.folder.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert found == []


def test_it_names_what_was_mailed_and_written(demo):
    for path in [*(demo.folder / "mail").iterdir(), *(demo.folder / "reports").iterdir()]:
        assert path.name in demo.output
    assert "Thank you for your order" in demo.output
    assert "order,created_at,email,sku" in demo.output


def test_it_says_how_to_log_in_to_the_admin_and_that_is_true(demo):
    assert "/admin/ (user demo, password demo)" in demo.output
    url = re.search(r"env '?(DATABASE_URL=\S+?)'? ", demo.output)[1].partition("=")[2]
    looked = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", WITH_LOGIN],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "example_project.settings"},
        capture_output=True,
        text=True,
    )
    assert looked.returncode == 0, looked.stderr
    assert "grace@example.com" in looked.stdout
    assert "Instant camera" in looked.stdout


def test_it_leaves_the_output_of_its_programs(demo):
    assert "has ended" in (demo.folder / "flare_worker.log").read_text()
    assert "POST /orders" in (demo.folder / "runserver.log").read_text()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_everything(tmp_path, number, status):
    process = start(tmp_path / "demo")
    port = None
    for line in process.stdout:
        found = re.match(r"Server on http://127\.0\.0\.1:(\d+)", line)
        port = int(found[1]) if found else port
        if "orders placed" in line:
            break
    log = tmp_path / "demo" / "flare_worker.log"
    # Before, Python itself ends, without a word.
    eventually(lambda: "slots, queues" in log.read_text())
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == status
    assert "has ended" in log.read_text()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port).connect()

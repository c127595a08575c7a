"""`make serve` goes on with what the demo has left."""

import http.client
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT
from tests.system.support import eventually

pytestmark = [pytest.mark.system, pytest.mark.whole_run_on("sqlite")]


def start(folder):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLARE_", "DJANGO_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "example_project.demo.serve"],
        cwd=ROOT,
        env={**kept, "FLARE_DEMO_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_without_a_demo_it_says_what_to_do(tmp_path):
    process = start(tmp_path / "demo")
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "There is no demo's database yet: run make demo first.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_admin_until_it_is_told_to_stop(tmp_path, number):
    folder = tmp_path / "demo"
    prepare = (
        "from pathlib import Path; from example_project.demo.site import Site;"
        f" Site(Path({str(folder)!r})).prepare()"
    )
    subprocess.run([sys.executable, "-c", prepare], cwd=ROOT, check=True)
    process = start(folder)
    try:
        first = process.stdout.readline()
        port = int(re.match(r"Server on http://127\.0\.0\.1:(\d+), admin on ", first)[1])
        assert "(user demo, password demo)" in first
        process.stdout.readline()
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        client.request("GET", "/admin/login/")
        assert client.getresponse().status == 200
        client.close()
        log = folder / "flare_worker.log"
        eventually(lambda: "slots, queues:" in log.read_text())
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, output
    assert "has ended" in log.read_text()

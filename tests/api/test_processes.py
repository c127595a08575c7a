"""The rate limit counts over processes when they share a cache."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.api.support import make_key

PROCESSES, EACH, LIMIT = 4, 100, 50
AT_ONCE = 5
"""In each process; a database has only so many connections."""
PROGRAM = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import django
django.setup()
from django.db import connections
from django.test.utils import override_settings
from tests.api.support import Api
def ask(_):
    try:
        return Api(key).get("v1/jobs").status_code
    finally:
        connections.close_all()
print("ready", flush=True)
key, folder = sys.stdin.read().split()
cache = {"default": {"BACKEND": "tests.api.shared_cache.LockedFileCache", "LOCATION": folder}}
with override_settings(CACHES=cache, FLARE={"API_RATE": "%d/day"}, ALLOWED_HOSTS=["testserver"]):
    with ThreadPoolExecutor(%d) as pool:
        print(json.dumps(list(pool.map(ask, range(%d)))))
"""


@pytest.mark.system
@pytest.mark.django_db(transaction=True)
def test_processes_together_get_no_more(tmp_path):
    given = f"{make_key('read')} {tmp_path / 'cache'}"
    command = [sys.executable, "-c", PROGRAM % (LIMIT, AT_ONCE, EACH)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    started = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    # They begin together: none is still importing while another has used up the limit.
    assert [process.stdout.readline() for process in started] == ["ready\n"] * PROCESSES
    for process in started:
        process.stdin.write(given)
        process.stdin.close()
    answers = Counter()
    for process in started:
        answers.update(json.loads(process.stdout.read()))
        assert process.wait(60) == 0
    assert answers == {200: LIMIT, 429: PROCESSES * EACH - LIMIT}

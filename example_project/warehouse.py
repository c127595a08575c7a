"""The warehouse: a program that is no part of the shop and has no Django. It lets the shop print labels.

    FLARE_API_KEY=flare_… python -m example_project.warehouse http://127.0.0.1:8000/flare

It creates a job over the HTTP API and follows it by asking again and again, each time with the `ETag` of the
answer before: while nothing has changed, the server answers 304 and sends no body.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import httpx

from django_flare import FlareError, JobState
from django_flare.client import FlareClient
from django_flare.states import FINAL

PARCELS = 8
_PAUSE = 0.1
_PATIENCE = 40.0


def main() -> int:
    """Ask for labels and wait for them; 0 if they were printed."""
    address, key = sys.argv[1].rstrip("/"), os.environ["FLARE_API_KEY"]
    try:
        with FlareClient(address, key) as shop:
            payload = {"sku": "tea", "parcels": PARCELS}
            job_id = shop.enqueue("shop.PrintLabels", payload, idempotency_key="delivery:1")
    except FlareError as error:
        print(f"the shop has refused: {error} ({error.code})")
        return 1
    print(f"asked for {PARCELS} labels: job {job_id}", flush=True)
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}) as http:
        state = follow(http, f"{address}/v1/jobs/{job_id}")
    return int(state is not JobState.SUCCEEDED)


def follow(http: httpx.Client, url: str) -> JobState:
    """Print each change of the job until it has ended; return its last state."""
    began, asked, unchanged = time.monotonic(), 0, 0
    job: dict[str, Any] = {}
    known: dict[str, str] = {}
    while job.get("state") not in FINAL and time.monotonic() - began < _PATIENCE:
        answer = http.get(url, headers=known)
        asked += 1
        if answer.status_code == httpx.codes.NOT_MODIFIED:
            unchanged += 1
        else:
            job = answer.raise_for_status().json()
            known = {"If-None-Match": answer.headers["ETag"]}
            print(f"{time.monotonic() - began:5.1f} s  {job['state']}{_progress(job)}", flush=True)
        time.sleep(_PAUSE)
    print(f"asked {asked} times, {unchanged} answers were 304 Not Modified")
    return JobState(job["state"])


def _progress(job: dict[str, Any]) -> str:
    return "" if job["progress"] is None else f" {job['progress']:.0%}"


if __name__ == "__main__":
    sys.exit(main())

"""The process of those who enqueue and operate: `python -m tests.chaos.clients`, told what to do as JSON.

Threads: callers that enqueue in their own transactions, callers over HTTP that ask again under the same key
on any doubt, an operator who cancels, retries, discards and stops, and one who prunes.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections import deque
from pathlib import Path

import django

_MOST_WAITING = 3000
_DOUBT = 45.0
"""Seconds for which a caller over HTTP asks again."""


class Pace:
    """Hand out the jobs' numbers evenly over the time, and stop when all are out."""

    def __init__(self, jobs, seconds):
        self._rate = jobs / seconds
        self._jobs = jobs
        self._given = 0
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.is_open = threading.Event()
        self.is_open.set()

    def take(self, count):
        """Take `count` jobs when it is time and not too many wait; False when all have been given."""
        self.is_open.wait()
        with self._lock:
            if self._given >= self._jobs:
                return False
            self._given += count
            due = self._began + self._given / self._rate
        time.sleep(max(0.0, due - time.monotonic()))
        return True

    def give_back(self, count):
        """Let somebody ask for these again: nobody knows whether they are there."""
        with self._lock:
            self._given -= count


class Client(threading.Thread):
    """One caller: a seed of its own, a log, and the ids that it shares with the operator."""

    channel = ""

    def __init__(self, order, number, pace, known):
        super().__init__(name=f"{self.channel}-{number}")
        self.order = order
        self.name_of = f"{self.channel}{number}"
        self.draw = random.Random(f"{order['seed']}.{self.name}")
        self.pace = pace
        self.known = known
        self.log = ClientLog(order["logs"], self.name)
        self._tokens = 0

    def run(self):
        while True:
            items = draw_items(self.draw, self.order["shares"])
            if not self.pace.take(len(items)):
                return
            try:
                self.place(items)
            except Exception as error:
                # The log says unknown; what is left of a graph is not asked for.
                self.pace.give_back(len(items))
                time.sleep(self.draw.uniform(0.2, 0.8))
                print(f"{self.name}: {type(error).__name__}: {error}"[:200], file=sys.stderr)

    def token(self):
        self._tokens += 1
        return f"{self.name_of}-{self._tokens}"

    def note(self, job_id):
        self.known.append(job_id)

    def place(self, items):
        raise NotImplementedError


class Transactional(Client):
    """Enqueue beside a row of one's own, in one transaction; sometimes it is rolled back."""

    channel = "transactional"

    def place(self, items):
        try:
            self._place(items)
        except (DatabaseError, InterfaceError):
            connection.close()
            raise

    def _place(self, items):
        ids = []
        for item in items:
            if item.payload.get("late"):
                time.sleep(self.draw.uniform(0, 0.4))
            if item.payload.get("keyed"):
                ids.append(self._keyed())
            else:
                ids.append(self._enqueue(item, [ids[place] for place in item.parents]))
        for job_id in ids:
            if job_id:
                self.note(job_id)

    def _enqueue(self, item, parents):
        token = self.token()
        gives_up = not item.parents and self.draw.random() < 0.02
        with self.log.asking("enqueue", self.channel, token=token) as answer:
            try:
                with transaction.atomic():
                    Order.objects.create(token=token)
                    job_id = _created(item, token, parents)
                    if gives_up:
                        raise _GivingUpError
                answer.update(result="ok", job=job_id)
            except (_GivingUpError, FlareNotFoundError) as error:
                answer.update(result="rolled_back")
                if isinstance(error, FlareNotFoundError):
                    # A parent has been pruned; children of this one cannot be asked for.
                    raise
                return self._enqueue_plainly(item)
        return job_id

    def _enqueue_plainly(self, item):
        token = self.token()
        with self.log.asking("enqueue", "plain", token=token) as answer:
            job_id = _created(item, token, [])
            answer.update(result="ok", job=job_id)
        return job_id

    def _keyed(self):
        """Enqueue under a key that another thread uses at about the same time."""
        slot = int(time.time() / 0.5)
        key = f"key-{slot}-{self.draw.randrange(3)}"
        token = key if self.draw.random() < 0.8 else f"{key}-other"
        with self.log.asking("enqueue", "keyed", token=token, key=key) as answer:
            try:
                job_id = jobs.enqueue("chaos.noop", {"token": token, "keyed": True}, idempotency_key=key)
                answer.update(result="ok", job=job_id)
            except FlareConflictError as error:
                answer.update(result="refused", error=error.code)
                return None
        return job_id


def _created(item, token, parents):
    payload = {**item.payload, "token": token}
    if parents:
        return jobs.continue_with(parents, item.kind, payload)
    if item.when:
        return jobs.schedule(item.kind, payload, when=item.when)
    return jobs.enqueue(item.kind, payload)


class _GivingUpError(Exception):
    """The caller's own transaction is rolled back."""


class OverHttp(Client):
    """Create over HTTP under a key; ask again, with the same body, until there is an answer."""

    channel = "http"

    def __init__(self, *given):
        super().__init__(*given)
        self.http = httpx.Client(
            base_url=self.order["api"],
            headers={"Authorization": f"Bearer {self.order['key']}"},
            timeout=8.0,
            limits=httpx.Limits(max_keepalive_connections=1),
        )

    def place(self, items):
        ids = []
        for item in items:
            parents = [ids[place] for place in item.parents]
            if None in parents:
                return
            ids.append(self._create(item, parents))
            if ids[-1]:
                self.note(ids[-1])

    def _create(self, item, parents):
        token = self.token()
        key = token
        if item.payload.get("keyed"):
            key = f"shared-{int(time.time() / 0.5)}-{self.draw.randrange(2)}"
            token = key if self.draw.random() < 0.8 else f"{key}-other"
        body = {"job_type": item.kind, "payload": {**item.payload, "delay": 0, "token": token}}
        if parents:
            body["parent_job_ids"] = parents
        with self.log.asking("enqueue", self.channel, token=token, key=key) as answer:
            found = self.ask("v1/jobs", body, answer, key)
            if found is None:
                return None
            if found.status_code == 201:
                answer.update(result="ok", job=found.json()["id"])
                return found.json()["id"]
            answer.update(result="refused", error=found.text[:300])
            return None

    def ask(self, path, body, answer, key=None):
        """Ask until there is an answer that says something; None when that took too long."""
        statuses = answer["statuses"] = []
        until = time.monotonic() + _DOUBT
        while time.monotonic() < until:
            try:
                headers = {"Idempotency-Key": key} if key else {}
                found = self.http.post(path, json=body, headers=headers)
            except httpx.HTTPError:
                time.sleep(self.draw.uniform(0.1, 0.5))
                continue
            statuses.append((found.status_code, "retry-after" in found.headers))
            in_progress = found.status_code == 409 and "idempotency_in_progress" in found.text
            if found.status_code < 500 and not in_progress:
                return found
            time.sleep(self.draw.uniform(0.1, 0.5))
        return None


class Operator(OverHttp):
    """Cancel, retry, discard and stop, by Python and over HTTP, at random moments."""

    channel = "operator"

    def __init__(self, *given):
        super().__init__(*given)
        self.ended = threading.Event()

    def run(self):
        pause = self.order["seconds"] / max(1.0, self.order["jobs"] * 0.025)
        while not self.ended.wait(self.draw.expovariate(1 / pause)):
            if not self.known:
                continue
            try:
                self._act()
            except Exception as error:
                connection.close()
                print(f"{self.name}: {type(error).__name__}: {error}"[:200], file=sys.stderr)

    def _act(self):
        verb = self.draw.choices(["cancel", "stop", "discard", "retry"], [80, 5, 5, 10])[0]
        if verb in ("retry", "discard", "stop"):
            job_id = self._one_in({"retry": "dead_letter", "discard": "failed", "stop": "processing"}[verb])
        else:
            job_id = self.known[-1 - self.draw.randrange(min(len(self.known), 20))]
        if job_id and (verb == "stop" or self.draw.random() < 0.7):
            self._by_python(verb, str(job_id))
        elif job_id:
            self._by_http(verb, str(job_id))

    def _one_in(self, state):
        found = Job.objects.filter(state=state).exclude(job_type="chaos.poison").order_by("?")
        return found.values_list("public_id", flat=True).first()

    def _by_python(self, verb, job_id):
        options = {"revive": self.draw.random() < 0.5} if verb == "retry" else {}
        with self.log.asking(verb, "operator", job=job_id, **options) as answer:
            try:
                answer.update(answer=getattr(jobs, verb)(job_id, **options), result="ok")
            except FlareNotFoundError:
                answer.update(result="refused")

    def _by_http(self, verb, job_id):
        # Once: a second cancel would find the first's work and answer 409.
        with self.log.asking(verb, "http", job=job_id) as answer:
            found = self.http.post(f"v1/jobs/{job_id}/{verb}")
            answer["statuses"] = [(found.status_code, "retry-after" in found.headers)]
            if found.status_code in (200, 409):
                answer.update(answer=found.status_code == 200, result="ok")
            elif found.status_code < 500:
                answer.update(result="refused")


class Brake(threading.Thread):
    """Hold the callers up while more jobs wait than the workers can drain in a minute or so."""

    def __init__(self, pace):
        super().__init__(name="brake")
        self._pace = pace

    def run(self):
        while True:
            time.sleep(1)
            try:
                waiting = collecting.unfinished(os.environ["CHAOS_LEDGER_URL"])
            except psycopg.Error:
                continue
            (self._pace.is_open.clear if waiting > _MOST_WAITING else self._pace.is_open.set)()


class Pruner(threading.Thread):
    """Delete what has expired, as `flare_prune` does, again and again."""

    def __init__(self):
        super().__init__(name="pruner")
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(10):
            try:
                call_command("flare_prune", verbosity=0, stdout=open(os.devnull, "w"))  # noqa: SIM115
            except Exception as error:
                connection.close()
                print(f"pruner: {type(error).__name__}: {error}"[:200], file=sys.stderr)


def main():
    order = json.loads(sys.argv[1])
    known = deque(maxlen=500)
    pace = Pace(order["jobs"], order["seconds"])
    callers = [Transactional(order, number, pace, known) for number in range(3)]
    callers += [OverHttp(order, number, pace, known) for number in range(order["over_http"])]
    helpers = [Operator(order, 0, pace, known), Pruner(), Brake(pace)]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    for thread in (*callers, *helpers):
        thread.daemon = True
        thread.start()
    for caller in callers:
        caller.join()
    helpers[0].ended.set()
    helpers[0].join(60)
    Path(order["logs"], "callers-are-done").touch()
    # Retention goes on while the workers drain.
    stop.wait()
    return 0


if __name__ == "__main__":
    django.setup()

import httpx  # noqa: E402 - the apps must be ready before what follows
import psycopg  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import DatabaseError, InterfaceError, connection, transaction  # noqa: E402

from django_flare import jobs  # noqa: E402
from django_flare.errors import FlareConflictError, FlareNotFoundError  # noqa: E402
from django_flare.models import Job  # noqa: E402
from tests.chaos import collecting  # noqa: E402
from tests.chaos.client_log import ClientLog  # noqa: E402
from tests.chaos.models import Order  # noqa: E402
from tests.chaos.workload import draw_items  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())

"""Answer probes on 127.0.0.1: whether the worker's loops go round, and what it has done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socket import SHUT_RDWR
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple

from django_flare.worker.metrics import CONTENT_TYPE, is_available, metrics_text
from django_flare.worker.vitals import Limits, Vitals

logger = logging.getLogger("django_flare.worker")

HOST = "127.0.0.1"
_PATIENCE = 5.0
"""Seconds that a client may take for its whole request."""


def stuck(vitals: Vitals, limits: Limits) -> str | None:
    """Say why only a new process would help, or return None.

    A database that does not answer is no such reason: the worker goes on when it does.
    """
    if vitals.overdue > limits.overdue:
        return f"the claim loop is {vitals.overdue:.0f} s overdue"
    if vitals.worker_id and not vitals.failing and vitals.beat_age > limits.lost_beat:
        return "the database answers, and yet no beat has been recorded for two leases"
    return None


def unready(vitals: Vitals, limits: Limits) -> str | None:
    """Say why the worker claims no jobs at this moment, or return None."""
    if reason := stuck(vitals, limits):
        return reason
    if not vitals.worker_id:
        return "not registered yet"
    if vitals.failing:
        return f"the database has refused the claim loop for {vitals.failing:.0f} s"
    if vitals.beat_age > limits.beat_age:
        return f"no beat has been recorded for {vitals.beat_age:.0f} s"
    return None


class Answer(NamedTuple):
    """Hold what a probe is told."""

    status: HTTPStatus
    text: str
    kind: str = "text/plain; charset=utf-8"


class HealthServer:
    """Serve `/livez`, `/readyz` and `/metrics` for the processes whose vitals `vitals` returns.

    The port is bound at once and served from `start` to `stop`. Raises OSError when it cannot be bound.
    """

    def __init__(
        self,
        port: int,
        limits: Limits,
        vitals: Callable[[], Sequence[Vitals]],
        is_stopping: Callable[[], bool] = lambda: False,
        counts: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._vitals = vitals
        self._limits = limits
        self._counts = counts
        self._is_stopping = is_stopping
        self._server = _Server((HOST, port), self.answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[0.2], name="flare-health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is served, also when 0 was asked for."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> Answer:
        """Return what a GET of `path` is told."""
        page = {"/livez": self._live, "/readyz": self._ready, "/metrics": self._measured}.get(path)
        if page is None:
            return Answer(HTTPStatus.NOT_FOUND, "There are /livez, /readyz and /metrics.")
        return page()

    def _live(self) -> Answer:
        return _judged([(each, stuck(each, self._limits)) for each in self._vitals()])

    def _ready(self) -> Answer:
        if self._is_stopping():
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "stopping")
        found = [(each, unready(each, self._limits)) for each in self._vitals()]
        return _judged(found) if found else Answer(HTTPStatus.SERVICE_UNAVAILABLE, "no process is there yet")

    def _measured(self) -> Answer:
        if not is_available:
            return Answer(HTTPStatus.NOT_FOUND, "Metrics need the package prometheus-client.")
        return Answer(HTTPStatus.OK, metrics_text(self._vitals(), self._counts()), CONTENT_TYPE)


def _judged(found: Sequence[tuple[Vitals, str | None]]) -> Answer:
    reasons = [f"{each.worker_id or 'worker'}: {reason}" for each, reason in found if reason]
    if reasons:
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join(reasons))
    return Answer(HTTPStatus.OK, "ok")


class _Server(ThreadingTCPServer):
    # Not http.server's own, which asks the resolver for the host's full name before it listens.
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], answer: Callable[[str], Answer]) -> None:
        self.answer = answer
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away or was cut off.
        logger.debug("A probe from %s was not answered", client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "django_flare"
    sys_version = ""
    timeout = _PATIENCE

    def handle(self) -> None:
        # The timeout above is for each read; a client that sends a letter a second is cut off here.
        cut = threading.Timer(_PATIENCE, self._cut_off)
        cut.daemon = True
        cut.start()
        try:
            super().handle()
        finally:
            cut.cancel()

    def _cut_off(self) -> None:
        try:
            self.connection.shutdown(SHUT_RDWR)
        except OSError:
            logger.debug("A slow client had gone already", exc_info=True)

    def do_GET(self) -> None:
        try:
            answer = self.server.answer(self.path.partition("?")[0])
        except Exception:
            logger.exception("A probe could not be answered")
            answer = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "The worker could not tell; see its log.")
        self._send(answer)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a bad request in plain words; http.server's page repeats what the client has sent."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._send(Answer(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD."))
        else:
            self._send(Answer(HTTPStatus(code), HTTPStatus(code).phrase))

    def _send(self, answer: Answer) -> None:
        body = f"{answer.text}\n".encode()
        # What could not be read counts as HTTP/0.9 to http.server, whose answers have no status.
        self.request_version = "HTTP/1.0"
        self.send_response(answer.status)
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        for name, value in {
            "Content-Type": answer.kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug("Probe: %s", format % args)

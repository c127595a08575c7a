"""Whether another process would log what this one logs, and whether it can."""

import functools
import logging
import sys

import pytest

from django_flare.worker import log_routes, logs

WORKER, OURS = logging.getLogger("django_flare.worker"), logging.getLogger("django_flare")


class Odd(logging.StreamHandler):
    pass


@pytest.fixture(autouse=True)
def log(monkeypatch):
    """Leave only what the test adds; pytest has handlers of its own at the root."""
    monkeypatch.setattr(log_routes, "_chain", lambda: iter([WORKER, OURS]))
    for logger in (WORKER, OURS):
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "filters", [])
    monkeypatch.setattr(OURS, "level", logging.INFO)


@pytest.fixture
def own():
    handler = logging.StreamHandler()
    handler.setFormatter(logs.TextFormatter())
    OURS.addHandler(handler)
    return handler


def test_what_set_up_adds_is_our_own(own):
    assert log_routes.are_own()
    own.setFormatter(logs.JsonFormatter())
    assert log_routes.are_own()


def _add_handler(own, monkeypatch):
    OURS.addHandler(logging.NullHandler())


def _change_formatter(own, monkeypatch):
    own.setFormatter(logging.Formatter("%(message)s"))


def _change_level(own, monkeypatch):
    monkeypatch.setattr(OURS, "level", logging.DEBUG)


def _filter_handler(own, monkeypatch):
    own.addFilter(lambda record: True)


def _filter_logger(own, monkeypatch):
    WORKER.addFilter(lambda record: True)


def _patch_as_error_trackers_do(own, monkeypatch):
    original = logging.Logger.callHandlers

    @functools.wraps(original)
    def spied(self, record):
        return original(self, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", spied)


def _make_other_records(own, monkeypatch):
    monkeypatch.setattr(logging, "_logRecordFactory", lambda *args, **more: logging.LogRecord(*args, **more))


CHANGES = [
    _add_handler,
    _change_formatter,
    _change_level,
    _filter_handler,
    _filter_logger,
    _patch_as_error_trackers_do,
    _make_other_records,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_project_may_do_to_the_log_is_seen(own, monkeypatch, change):
    before = log_routes.routes()
    assert before == log_routes.routes()
    change(own, monkeypatch)
    assert log_routes.routes() != before
    assert not log_routes.are_own()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda path: logging.FileHandler(path / "a"), lambda path: logging.FileHandler(path / "b")),
        (lambda path: logging.StreamHandler(), lambda path: logging.StreamHandler(sys.__stdout__)),
    ],
)
def test_the_same_handler_to_another_place_is_another(tmp_path, one, other):
    OURS.addHandler(first := one(tmp_path))
    before = log_routes.routes()
    OURS.removeHandler(first)
    OURS.addHandler(second := other(tmp_path))
    assert log_routes.routes() != before
    for each in (first, second):
        each.close()


def test_a_disabled_logger_is_another_route(own, monkeypatch):
    before = log_routes.routes()
    monkeypatch.setattr(WORKER, "disabled", True)
    assert log_routes.routes() != before


def test_only_handlers_that_are_known_to_need_no_apps_are_taken(own):
    """Django's mail to the admins renders templates, which needs them."""
    from django.utils.log import AdminEmailHandler

    assert log_routes.unknown_handler() == ""
    OURS.addHandler(AdminEmailHandler())
    assert log_routes.unknown_handler() == "django.utils.log.AdminEmailHandler"
    OURS.handlers[1:] = [Odd()]
    assert log_routes.unknown_handler().endswith("test_log_routes.Odd")


def test_a_rehearsal_raises_what_filters_and_formatters_raise_and_writes_nothing(own, capsys):
    log_routes.rehearse()
    assert capsys.readouterr() == ("", "")
    own.addFilter(_needs_apps)
    with pytest.raises(LookupError):
        log_routes.rehearse()
    own.removeFilter(_needs_apps)
    own.formatter.format = _needs_apps
    with pytest.raises(LookupError):
        log_routes.rehearse()
    del own.formatter.format
    WORKER.addFilter(_needs_apps)
    with pytest.raises(LookupError):
        log_routes.rehearse()


def _needs_apps(record):
    raise LookupError("Apps aren't loaded yet.")

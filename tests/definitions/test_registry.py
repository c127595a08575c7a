"""Which handler runs which job type, and how handlers are found."""

import importlib
import sys
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_flare.definitions import Registry, autodiscover, registry, resolve
from django_flare.definitions.definition import define
from django_flare.errors import FlareJobTypeError, FlareOptionError


def definition_of(handler, name=None):
    return define(handler, name=name, options={}, backoff=None, atomic=False)


def one(): ...


def other(): ...


@pytest.fixture
def empty():
    return Registry()


def test_a_type_is_found_by_name_and_by_handler(empty):
    definition = definition_of(one, "one")
    empty.register(definition)
    assert empty.get("one") is empty.resolve("one") is empty.resolve(one) is definition


def test_names_and_definitions_are_sorted(empty):
    second, first = definition_of(one, "b"), definition_of(other, "a")
    empty.register(second)
    empty.register(first)
    assert empty.names() == ["a", "b"]
    assert empty.definitions() == [first, second]


def test_an_unknown_name_is_told_with_the_nearest(empty):
    empty.register(definition_of(one, "mail.welcome"))
    with pytest.raises(FlareJobTypeError, match=r"job type 'mail\.welcom'; did you mean 'mail\.welcome'\?"):
        empty.resolve("mail.welcom")


@pytest.mark.parametrize("name", ["", "../jobs", "__class__", "os.system", "x\0", "\ud800", "n" * 100_000])
def test_a_strange_name_is_unknown_and_nothing_is_imported(empty, name):
    before = set(sys.modules)
    with pytest.raises(FlareJobTypeError) as caught:
        empty.resolve(name)
    assert len(str(caught.value)) < 1000
    assert set(sys.modules) == before


@pytest.mark.parametrize("handler", [one, Registry, len, lambda: None])
def test_what_was_never_decorated_is_not_registered(empty, handler):
    with pytest.raises(FlareJobTypeError, match="is not registered; decorate it with @job"):
        empty.resolve(handler)


@pytest.mark.parametrize("value", [None, 5, b"mail.welcome", [], object()])
def test_what_is_no_handler_is_an_option_error(empty, value):
    with pytest.raises(FlareOptionError, match=r"job: .*, expected a handler or the name of a job type"):
        empty.resolve(value)


def test_two_handlers_of_one_name_are_refused_with_both_paths(empty):
    empty.register(definition_of(one, "mail"))
    with pytest.raises(ImproperlyConfigured) as caught:
        empty.register(definition_of(other, "mail"))
    assert f"two handlers are named 'mail': {__name__}.one and {__name__}.other" in str(caught.value)
    assert empty.resolve("mail").handler is one


def test_one_handler_under_two_names_is_refused(empty):
    empty.register(definition_of(one, "a"))
    with pytest.raises(ImproperlyConfigured, match="is registered twice: 'a' and 'b'"):
        empty.register(definition_of(one, "b"))


def test_a_handler_of_the_same_path_replaces_the_old_one(empty):
    def make():
        def handler(): ...

        return handler

    old, new = make(), make()
    empty.register(definition_of(old))
    empty.register(definition_of(new))
    assert empty.resolve(new).handler is new
    assert len(empty.names()) == 1
    with pytest.raises(FlareJobTypeError):
        empty.resolve(old)


@pytest.fixture
def app(tmp_path, monkeypatch):
    """Return a function that writes modules of an installed app `found` from their texts."""
    package = tmp_path / "found"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(apps, "get_app_configs", lambda: [SimpleNamespace(name="found")])

    def write(**modules):
        for name, text in modules.items():
            (package / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "found"]:
        del sys.modules[name]


JOBS = "from django_flare import job\n@job\ndef handler(): ...\n"


def test_the_module_jobs_of_each_app_is_imported(app):
    app(jobs=JOBS)
    autodiscover()
    assert resolve("found.jobs.handler").path == "found.jobs.handler"


def test_a_reloaded_module_registers_again(app):
    app(jobs=JOBS)
    autodiscover()
    module = importlib.reload(sys.modules["found.jobs"])
    assert resolve("found.jobs.handler").handler is module.handler


def test_the_settings_may_name_another_module(app):
    app(background=JOBS)
    with override_settings(FLARE={"AUTODISCOVER": "background"}):
        autodiscover()
    assert "found.background.handler" in registry.names()


@pytest.mark.parametrize("name", ["jobs", "missing", "missing.jobs"])
def test_an_app_without_the_module_is_fine(app, name):
    with override_settings(FLARE={"AUTODISCOVER": name}):
        autodiscover()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import nowhere_to_be_found", ModuleNotFoundError),
        ("import found.nowhere", ModuleNotFoundError),
        ("from found import nothing", ImportError),
        ("1 / 0", ZeroDivisionError),
        ("from django_flare import job\n@job(queue=5)\ndef handler(): ...\n", FlareOptionError),
    ],
)
def test_an_error_inside_the_module_is_passed_on(app, text, error):
    app(jobs=text)
    with pytest.raises(error):
        autodiscover()


def test_our_own_package_is_left_out(monkeypatch):
    monkeypatch.setattr(apps, "get_app_configs", lambda: [SimpleNamespace(name="django_flare")])
    with override_settings(FLARE={"AUTODISCOVER": "definitely.broken"}):
        autodiscover()


def test_the_app_starts_by_finding_and_checking_handlers(app):
    app(jobs="from django_flare import job\n@job\ndef handler(payload: 'Missing'): ...\n")
    with pytest.raises(ImproperlyConfigured, match=r"found\.jobs\.handler: the annotation of payload"):
        apps.get_app_config("django_flare").ready()


def test_the_app_is_named_for_people():
    config = apps.get_app_config("django_flare")
    assert (config.label, str(config.verbose_name)) == ("django_flare", "Background jobs")

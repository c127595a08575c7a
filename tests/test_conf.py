"""The dict FLARE as one frozen object."""

import dataclasses
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_flare.conf import (
    KEYS,
    BackoffSettings,
    autodiscover_module,
    build_settings,
    describe_problems,
    flare_settings,
)
from django_flare.states import FINAL, JobState


def test_an_empty_dict_gives_the_documented_defaults():
    assert vars(build_settings({})) == {
        "database": "default",
        "queue": "default",
        "max_attempts": 3,
        "timeout": timedelta(minutes=30),
        "priority": 0,
        "backoff": BackoffSettings(15.0, 21_600.0, 3.0),
        "autodiscover": "jobs",
        "lease": timedelta(seconds=30),
        "beat": timedelta(seconds=5),
        "poll_interval": None,
        "timeout_grace": timedelta(seconds=5),
        "keep": {
            JobState.SUCCEEDED: timedelta(days=7),
            JobState.CANCELLED: timedelta(days=7),
            JobState.DEAD_LETTER: timedelta(days=90),
        },
        "max_payload": 2**20,
        "max_depth": 100,
        "notify": True,
        "listen": None,
        "api_rate": "1000/hour",
        "api_job_types": None,
        "redact": frozenset({"password", "passwd", "secret", "token", "api_key", "authorization"}),
    }


def test_every_key_is_an_attribute_and_nothing_else_is():
    assert [key.lower() for key in KEYS] == [field.name for field in dataclasses.fields(flare_settings())]


def test_the_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        flare_settings().queue = "other"


@override_settings()
def test_the_dict_may_be_left_out(settings):
    settings.FLARE = {}
    del settings.FLARE
    assert flare_settings().queue == "default"


def test_the_object_is_kept_until_the_setting_changes():
    before = flare_settings()
    assert flare_settings() is before
    with override_settings(FLARE={"QUEUE": "mail"}):
        assert flare_settings().queue == "mail"
    assert flare_settings().queue == before.queue


def test_another_setting_leaves_it_alone():
    before = flare_settings()
    with override_settings(DEBUG=True):
        assert flare_settings() is before


def test_durations_are_timedeltas_or_seconds():
    given = build_settings(
        {"TIMEOUT": 90, "LEASE": 7.5, "BEAT": timedelta(seconds=2.5), "POLL_INTERVAL": timedelta(seconds=2)}
    )
    assert (given.timeout, given.lease, given.beat) == (
        timedelta(seconds=90),
        timedelta(seconds=7.5),
        timedelta(seconds=2.5),
    )
    assert given.poll_interval == 2.0


def test_parts_of_backoff_and_keep_may_be_left_out():
    given = build_settings({"BACKOFF": {"base": 1}, "KEEP": {"dead_letter": 3600}})
    assert given.backoff == BackoffSettings(1.0, 21_600.0, 3.0)
    assert given.keep[JobState.DEAD_LETTER] == timedelta(hours=1)
    assert given.keep[JobState.SUCCEEDED] == timedelta(days=7)
    assert set(given.keep) == FINAL


def test_names_of_redacted_keys_ignore_case():
    assert build_settings({"REDACT": ["IBAN"]}).redact == {"iban"}


def test_no_rate_means_no_limit():
    assert build_settings({"API_RATE": None}).api_rate is None


@pytest.mark.parametrize("lease", [1.5, timedelta(seconds=1.5)])
def test_a_lease_of_exactly_three_beats_is_enough(lease):
    assert build_settings({"LEASE": lease, "BEAT": 0.5}).lease == timedelta(seconds=1.5)


BAD = [
    ("DATABASE", 5, "int, expected a string"),
    ("DATABASE", "", "empty"),
    ("QUEUE", "q" * 140, "140 characters, at most 100"),
    ("QUEUE", "a b", "' ' is not allowed, only ASCII letters, digits and _ . : -"),
    ("QUEUE", None, "None, expected a string"),
    ("MAX_ATTEMPTS", 0, "0, expected 1 to 100"),
    ("MAX_ATTEMPTS", 10**5000, "an integer of 16610 bits, expected 1 to 100"),
    ("MAX_ATTEMPTS", True, "bool, expected an integer"),
    ("MAX_ATTEMPTS", 2.0, "float, expected an integer"),
    ("TIMEOUT", 0, "0 s, expected 1 s to 86400 s"),
    ("TIMEOUT", timedelta(days=2), "172800 s, expected 1 s to 86400 s"),
    ("TIMEOUT", "30", "str, expected a timedelta or seconds"),
    ("TIMEOUT", float("nan"), "nan s, expected 1 s to 86400 s"),
    ("TIMEOUT", 10**400, "an integer of 1329 bits s, expected 1 s to 86400 s"),
    ("PRIORITY", 101, "101, expected -100 to 100"),
    ("BACKOFF", 15, "int, expected a dict"),
    ("BACKOFF", {"factor": 2}, "unknown key 'factor', expected base, cap, jitter"),
    ("BACKOFF", {"base": -1}, "base: -1 s, expected 0 s to"),
    ("BACKOFF", {"cap": "1h"}, "cap: str, expected a timedelta or seconds"),
    ("AUTODISCOVER", "my-jobs", "'my-jobs', expected a module's name such as 'jobs'"),
    ("LEASE", 0, "0 s, expected 0.1 s to 86400 s"),
    ("LEASE", 10, "10 s, at least 3 beats of 5 s"),
    ("BEAT", -5, "-5 s, expected 0.01 s to 3600 s"),
    ("POLL_INTERVAL", 0, "0 s, expected 0.001 s to 3600 s"),
    ("TIMEOUT_GRACE", -1, "-1 s, expected 0 s to 3600 s"),
    ("KEEP", {"pending": 5}, "unknown key 'pending', expected"),
    ("KEEP", {"succeeded": None}, "succeeded: None, expected a timedelta or seconds"),
    ("MAX_PAYLOAD", 1.5, "float, expected an integer"),
    ("MAX_DEPTH", 10_000, "10000, expected 1 to 500"),
    ("NOTIFY", "no", "str, expected True or False"),
    ("API_RATE", "many", "'many', expected a rate such as '1000/hour', or None"),
    ("API_RATE", "0/hour", "'0/hour', expected a rate such as '1000/hour', or None"),
    ("API_JOB_TYPES", "mail", "str, expected a list of strings"),
    ("REDACT", [5], "int, expected a string"),
]


@pytest.mark.parametrize(
    ("key", "value", "message"), BAD, ids=[f"{key}-{n}" for n, (key, _, _) in enumerate(BAD)]
)
def test_a_bad_value_is_refused_with_key_kind_and_bound(key, value, message):
    with override_settings(FLARE={key: value}), pytest.raises(ImproperlyConfigured) as caught:
        flare_settings()
    assert str(caught.value).startswith(f"FLARE['{key}']: {message}")


@pytest.mark.parametrize("raw", [None, [], "FLARE"])
def test_anything_but_a_dict_is_refused(raw):
    with pytest.raises(ImproperlyConfigured, match="expected a dict"):
        build_settings(raw)
    assert len(describe_problems(raw)) == 1


def test_all_bad_values_are_told_at_once():
    problems = describe_problems({"QUEUE": 5, "PRIORITY": "high", "QUEU": "x"})
    assert [problem.key for problem in problems] == ["QUEU", "QUEUE", "PRIORITY"]


def test_an_unknown_key_does_not_stop_the_reading():
    assert build_settings({"QUEU": "mail"}).queue == "default"


def test_start_up_survives_a_bad_dict_to_reach_the_check():
    with override_settings(FLARE={"AUTODISCOVER": "tasks", "QUEUE": 5}):
        assert autodiscover_module() == "tasks"
    for raw in (None, {"AUTODISCOVER": 5}):
        with override_settings(FLARE=raw):
            assert autodiscover_module() == "jobs"

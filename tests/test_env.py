"""The dict FLARE from the environment."""

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured

from django_flare.conf import KEYS, BackoffSettings, build_settings
from django_flare.env import _READERS, flare_settings


def env_of(**variables):
    env = environ.Env()
    env.ENVIRON = variables
    return env


def test_every_setting_has_a_variable():
    assert set(_READERS) == set(KEYS)


def test_only_what_is_set_is_in_the_dict():
    assert flare_settings(env_of()) == {}
    assert flare_settings(env_of(FLARE_QUEUE="mail", FLARE_LEASE="")) == {"QUEUE": "mail"}


def test_variables_of_the_worker_and_the_tests_are_left_alone():
    env = env_of(FLARE_WORKER_QUEUES="a", FLARE_TEST_DATABASE="sqlite", FLARE_WORKER_TIMEOUT="5", FLARE_="x")
    assert flare_settings(env) == {}


def test_each_kind_of_value_is_read():
    given = flare_settings(
        env_of(
            FLARE_DATABASE="jobs",
            FLARE_MAX_ATTEMPTS="5",
            FLARE_TIMEOUT="1e3",
            FLARE_BACKOFF='{"base": 1, "cap": 60, "jitter": 0}',
            FLARE_KEEP='{"succeeded": 3600}',
            FLARE_NOTIFY="off",
            FLARE_API_JOB_TYPES="mail.welcome, shop.order,",
            FLARE_POLL_INTERVAL="0.5",
        )
    )
    assert given == {
        "DATABASE": "jobs",
        "MAX_ATTEMPTS": 5,
        "TIMEOUT": 1000.0,
        "POLL_INTERVAL": 0.5,
        "BACKOFF": {"base": 1, "cap": 60, "jitter": 0},
        "KEEP": {"succeeded": 3600},
        "NOTIFY": False,
        "API_JOB_TYPES": ["mail.welcome", "shop.order"],
    }
    assert build_settings(given).backoff == BackoffSettings(1.0, 60.0, 0.0)


def test_a_prefix_of_the_env_is_honoured():
    env = env_of(SHOP_FLARE_QUEUE="mail")
    env.prefix = "SHOP_"
    assert flare_settings(env) == {"QUEUE": "mail"}


@pytest.mark.parametrize("word", ["true", "on", "1", "yes", "True"])
def test_words_for_true(word):
    assert flare_settings(env_of(FLARE_NOTIFY=word)) == {"NOTIFY": True}


@pytest.mark.parametrize("word", ["false", "off", "0", "no", "False"])
def test_words_for_false(word):
    assert flare_settings(env_of(FLARE_NOTIFY=word)) == {"NOTIFY": False}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("FLARE_MAX_ATTEMPTS", "five", "an integer"),
        ("FLARE_TIMEOUT", "5 min", "a number of seconds"),
        ("FLARE_BACKOFF", "{base: 1}", "a JSON object"),
        ("FLARE_NOTIFY", "ture", "true or false"),
    ],
)
def test_a_value_of_the_wrong_kind_names_its_variable(name, value, wanted):
    with pytest.raises(ImproperlyConfigured, match=f"{name}: .*, expected {wanted}"):
        flare_settings(env_of(**{name: value}))

"""The options of a worker, as the command line and the environment give them: strings."""

import pytest
from django.test import override_settings

from django_flare.worker.options import WorkerOptions, read_options

GOOD = [
    ({}, WorkerOptions()),
    ({"queues": None, "concurrency": None, "burst": False}, WorkerOptions()),
    ({"queues": "mail"}, WorkerOptions(queues=("mail",))),
    ({"queues": "b, a,b"}, WorkerOptions(queues=("b", "a"))),
    ({"concurrency": "1"}, WorkerOptions(concurrency=1)),
    ({"concurrency": 1000}, WorkerOptions(concurrency=1000)),
    ({"processes": "0"}, WorkerOptions(processes=0)),
    ({"processes": 64}, WorkerOptions(processes=64)),
    ({"max_memory": "512"}, WorkerOptions(max_memory=512 * 2**20)),
    ({"max_memory": "512M"}, WorkerOptions(max_memory=512 * 2**20)),
    ({"max_memory": "2g"}, WorkerOptions(max_memory=2 * 2**30)),
    ({"max_memory": 1}, WorkerOptions(max_memory=2**20)),
    ({"poll_interval": "0.25"}, WorkerOptions(poll_interval=0.25)),
    ({"poll_interval": "0.001"}, WorkerOptions(poll_interval=0.001)),
    ({"burst": True}, WorkerOptions(burst=True)),
    ({"max_jobs": "1"}, WorkerOptions(max_jobs=1)),
    ({"shutdown_timeout": "0"}, WorkerOptions(shutdown_timeout=0.0)),
    ({"shutdown_timeout": "3600"}, WorkerOptions(shutdown_timeout=3600.0)),
    ({"database": "default"}, WorkerOptions()),
    ({"health_port": "8080"}, WorkerOptions(health_port=8080)),
    ({"log_format": "json"}, WorkerOptions(log_format="json")),
]

BAD = [
    ({"queues": ""}, "--queues: empty"),
    ({"queues": "a,,b"}, "--queues: empty"),
    ({"queues": "a,b c"}, "--queues: ' ' is not allowed, only ASCII letters, digits and _ . : -"),
    ({"queues": "q" * 101}, "--queues: 101 characters, at most 100"),
    ({"queues": "a\nb"}, "--queues: '\\n' is not allowed"),
    ({"concurrency": "0"}, "--concurrency: 0, a whole number from 1 to 1000"),
    ({"concurrency": "1001"}, "--concurrency: 1001, a whole number from 1 to 1000"),
    ({"concurrency": "1.5"}, "--concurrency: '1.5', a whole number"),
    ({"concurrency": "ten"}, "--concurrency: 'ten', a whole number"),
    ({"concurrency": "-3"}, "--concurrency: -3, a whole number"),
    ({"concurrency": ""}, "--concurrency: '', a whole number"),
    ({"processes": "-1"}, "--processes: -1, a whole number from 0 to 64"),
    ({"processes": "65"}, "--processes: 65, a whole number from 0 to 64"),
    ({"processes": "two"}, "--processes: 'two', a whole number from 0 to 64"),
    ({"max_memory": "0"}, "--max-memory: '0', MiB or a number with M or G, from 1M to 1024G"),
    ({"max_memory": "1025G"}, "--max-memory: '1025G', MiB or"),
    ({"max_memory": "1.5G"}, "--max-memory: '1.5G', MiB or"),
    ({"max_memory": "-1"}, "--max-memory: '-1', MiB or"),
    ({"max_memory": "512K"}, "--max-memory: '512K', MiB or"),
    ({"max_memory": ""}, "--max-memory: '', MiB or"),
    ({"max_memory": "٣"}, "--max-memory: '٣', MiB or"),
    ({"max_jobs": "0"}, "--max-jobs: 0, a whole number from 1"),
    ({"max_jobs": "1" * 5000}, "--max-jobs: "),
    ({"poll_interval": "0"}, "--poll-interval: '0', seconds from 0.001 to 3600"),
    ({"poll_interval": "nan"}, "--poll-interval: 'nan', seconds from 0.001 to 3600"),
    ({"poll_interval": "inf"}, "--poll-interval: 'inf', seconds from"),
    ({"poll_interval": "1 s"}, "--poll-interval: '1 s', seconds from"),
    ({"shutdown_timeout": "-1"}, "--shutdown-timeout: '-1', seconds from 0 to 3600"),
    ({"shutdown_timeout": "3601"}, "--shutdown-timeout: '3601', seconds from 0 to 3600"),
    ({"database": "elsewhere"}, "--database: 'elsewhere' is not in DATABASES"),
    ({"health_port": "0"}, "--health-port: 0, a whole number from 1 to 65535"),
    ({"health_port": "65536"}, "--health-port: 65536, a whole number from 1 to 65535"),
    ({"health_port": "http"}, "--health-port: 'http', a whole number"),
    ({"log_format": "xml"}, "--log-format: 'xml', text or json"),
    ({"log_format": "JSON"}, "--log-format: 'JSON', text or json"),
    ({"database": "a\nb"}, "--database: 'a\\nb' is not in DATABASES"),
]


@pytest.mark.parametrize(("given", "expected"), GOOD)
def test_good_options(given, expected):
    assert read_options(given) == expected


@pytest.mark.parametrize(("given", "complaint"), BAD)
def test_a_bad_option_is_named_in_one_line(given, complaint):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the text is checked below
        read_options(given)
    assert str(error.value).startswith(complaint)
    assert len(str(error.value).splitlines()) == 1


def test_settings_stand_in_for_what_is_not_given():
    with override_settings(FLARE={"POLL_INTERVAL": 0.5}):
        assert read_options({}).poll_interval == 0.5
        assert read_options({"poll_interval": "2"}).poll_interval == 2


@pytest.mark.parametrize("value", ["1", "true", "Yes", "ON", True])
def test_a_switch_is_on(value):
    assert read_options({"burst": value}).burst


@pytest.mark.parametrize("value", ["0", "false", "No", "OFF", False, None])
def test_or_off(value):
    assert not read_options({"burst": value}).burst

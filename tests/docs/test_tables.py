"""The tables of the reference say what the code says."""

import dataclasses
import importlib.util
import inspect
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.core.management.base import BaseCommand
from django.utils import timezone

from django_flare import (
    FlareError,
    FlareOptionError,
    JobContext,
    JobStatus,
    checks,
    errors,
    job,
    jobs,
    values,
)
from django_flare.api import urls
from django_flare.api.documentation.headers import HEADERS
from django_flare.api.documentation.schemas import SCHEMAS
from django_flare.api.problems import STATUSES
from django_flare.arguments import MAX_BATCH, MAX_PARENTS
from django_flare.client.access import DEFAULT_TIMEOUT
from django_flare.client.failures import KINDS
from django_flare.client.retrying import LONGEST_ORDER, MOST_REPEATS, PASSING
from django_flare.conf import KEYS, build_settings
from django_flare.definitions import Backoff, JobOptions, validate_options
from django_flare.definitions.decorator import MAX_NAME_LENGTH
from django_flare.lifecycle import rollups
from django_flare.models import Rollup
from django_flare.models.api_key import Scope
from django_flare.models.rollup import BOUNDS, RAN, WAITED, Level
from django_flare.states import ENDED, FINAL, TRANSITIONS, AttemptOutcome, JobState
from django_flare.status import JobPage, Reason
from django_flare.worker.options import (
    LOG_FORMATS,
    MAX_PORT,
    MAX_PROCESSES,
    MAX_SLOTS,
    WorkerOptions,
    read_options,
)
from tests.docs.pages import README, ROOT, rows, table


def load_from_docs(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestStates:
    def test_the_states_and_which_are_final(self):
        written = {name: final == "yes" for name, _, final in table("reference/states", "States")}
        assert written == {state.value: state in FINAL for state in JobState}

    def test_the_transitions_are_made_from_the_machine(self):
        made = load_from_docs("transitions")
        written = {event: (sources, targets) for event, sources, targets, _ in rows(made.table())[1:]}
        assert written.keys() == {event.value for event in TRANSITIONS}
        for event, each in TRANSITIONS.items():
            sources, targets = written[event.value]
            assert set(sources.split(", ")) - {"–"} == each.sources
            assert set(targets.split(", ")) == each.targets

    def test_the_page_of_the_states_shows_them(self):
        assert ".. flare-transitions::" in (ROOT / "docs/reference/states.rst").read_text()

    def test_the_outcomes_of_attempts(self):
        written = {attempt for *_, attempt in table("reference/failures", "How a run ends")} - {"none"}
        assert written == set(AttemptOutcome)


class TestSettings:
    ROWS = {key: (default, takes) for key, default, takes in table("reference/settings", "Settings")}

    def test_the_keys_in_order(self):
        assert tuple(self.ROWS) == KEYS

    @pytest.mark.parametrize("key", KEYS)
    def test_the_default(self, key):
        default = eval(self.ROWS[key][0], {"timedelta": timedelta})
        field = key.lower()
        assert getattr(build_settings({key: default}), field) == getattr(build_settings({}), field)

    def test_the_rest_of_the_page_agrees_on_lease_and_beat(self):
        settings = build_settings({})
        assert (settings.lease, settings.beat) == (timedelta(seconds=30), timedelta(seconds=5))
        assert "The lease is 30 s, a\nbeat 5 s" in (ROOT / "docs/how-to/run-workers.rst").read_text()


class TestOptions:
    ROWS = {row[0]: row[1:] for row in table("reference/options", "Options")}

    def test_those_of_a_call(self):
        written = {name for name, (of_call, _, _) in self.ROWS.items() if of_call == "yes"}
        assert written == set(JobOptions.__annotations__)

    def test_those_of_the_decorator(self):
        written = {name for name, (_, of_job, _) in self.ROWS.items() if of_job == "yes"}
        assert written == {*inspect.signature(job).parameters, *JobOptions.__annotations__} - {
            "handler",
            "options",
            "idempotency_key",
        }

    def test_the_bounds(self):
        takes = {name: text.replace("−", "-") for name, (_, _, text) in self.ROWS.items()}
        assert f"1 to {values.MAX_QUEUE_LENGTH} " in takes["queue"]
        assert takes["max_attempts"] == f"1 to {values.MAX_ATTEMPTS_BOUND}"
        assert (values.MIN_TIMEOUT, values.MAX_TIMEOUT) == (1, 24 * 3600)
        assert takes["timeout"] == "a timedelta from 1 s to 24 h"
        assert takes["priority"].startswith(f"-{values.PRIORITY_BOUND} to {values.PRIORITY_BOUND};")
        assert f"at most {values.MAX_TAGS} strings" in takes["tags"]
        assert f"keys of 1 to {values.MAX_TAG_KEY_LENGTH} characters" in takes["tags"]
        assert f"values of at most {values.MAX_TAG_VALUE_LENGTH};" in takes["tags"]
        assert takes["idempotency_key"].startswith(f"1 to {values.MAX_KEY_LENGTH} ")
        assert f"at most {MAX_NAME_LENGTH} characters" in takes["name"]

    @pytest.mark.parametrize(
        ("name", "good", "bad"),
        [
            ("queue", ["a", "a" * 100, "A-Z_9.:-"], ["", "a" * 101, "-a", "a b", "ä"]),
            ("max_attempts", [1, 100], [0, 101]),
            (
                "timeout",
                [timedelta(seconds=1), timedelta(hours=24)],
                [timedelta(milliseconds=999), timedelta(1, 1)],
            ),
            ("priority", [-100, 100], [-101, 101]),
            (
                "tags",
                [{}, {"k" * 64: "v" * 200}],
                [{"k" * 65: ""}, {"k": "v" * 201}, {str(n): "" for n in range(33)}],
            ),
            ("idempotency_key", ["a", "~" * 200], ["", "a" * 201, "a b", "ä"]),
        ],
    )
    def test_the_bounds_hold(self, name, good, bad):
        for value in good:
            validate_options({name: value})
        for value in bad:
            with pytest.raises(FlareOptionError):
                validate_options({name: value})

    def test_the_backoff(self):
        backoff = Backoff()
        written = f"Backoff(base={backoff.base:g}, cap={backoff.cap:g}, jitter={backoff.jitter:g})"
        assert self.ROWS["backoff"][2].startswith(written)


class TestWorkerOptions:
    ROWS = {row[0]: row[1:] for row in table("reference/worker", "Options of flare_worker")}

    def test_the_options_of_the_command(self):
        assert set(self.ROWS) == own_options()

    @pytest.mark.parametrize("option", ROWS)
    def test_the_variable(self, option, monkeypatch):
        name = option[2:].replace("-", "_")
        assert self.ROWS[option][0] == f"FLARE_WORKER_{name.upper()}"
        monkeypatch.setenv(self.ROWS[option][0], "1")
        assert str(parsed()[name]) in ("1", "True")

    def test_the_defaults(self):
        defaults = {option: default for option, (_, default, _, _) in self.ROWS.items()}
        assert defaults["--concurrency"] == str(WorkerOptions.concurrency)
        assert defaults["--processes"] == str(WorkerOptions.processes)
        assert (defaults["--max-memory"], WorkerOptions.max_memory) == ("no limit", None)
        assert defaults["--shutdown-timeout"] == f"{WorkerOptions.shutdown_timeout:g}"
        assert (defaults["--queues"], WorkerOptions.queues) == ("all", ())
        assert (defaults["--burst"], WorkerOptions.burst) == ("off", False)
        assert (defaults["--max-jobs"], WorkerOptions.max_jobs) == ("no limit", None)
        assert defaults["--poll-interval"] == defaults["--database"] == "the setting"
        assert (defaults["--health-port"], WorkerOptions.health_port) == ("none", None)
        assert defaults["--log-format"] == WorkerOptions.log_format

    def test_the_bounds(self):
        takes = {option: text for option, (_, _, text, _) in self.ROWS.items()}
        assert takes["--concurrency"] == f"1 to {MAX_SLOTS}"
        assert takes["--processes"] == f"0 to {MAX_PROCESSES}"
        assert takes["--max-memory"].endswith("1M to 1024G")
        assert takes["--poll-interval"] == "seconds, 0.001 to 3600"
        assert takes["--shutdown-timeout"] == "seconds, 0 to 3600"
        assert takes["--max-jobs"] == "1 or more"
        assert takes["--health-port"] == f"1 to {MAX_PORT}"
        assert takes["--log-format"] == ", ".join(LOG_FORMATS)

    @pytest.mark.parametrize(
        ("name", "good", "bad"),
        [
            ("concurrency", ["1", "1000"], ["0", "1001", "x"]),
            ("poll_interval", ["0.001", "3600"], ["0.0009", "3601", "nan"]),
            ("shutdown_timeout", ["0", "3600"], ["-1", "3601"]),
            ("max_jobs", ["1", "1000000"], ["0", "1.5"]),
            ("processes", ["0", "64"], ["-1", "65"]),
            ("max_memory", ["1M", "1024G", "512"], ["0", "1025G", "x"]),
            ("database", ["default"], ["elsewhere"]),
            ("queues", ["a", "a, b"], ["a b", "a,,b"]),
            ("health_port", ["1", "65535"], ["0", "65536", "x"]),
            ("log_format", ["text", "json"], ["xml", ""]),
        ],
    )
    def test_the_bounds_hold(self, name, good, bad):
        for value in good:
            read_options({name: value})
        for value in bad:
            with pytest.raises(ValueError, match=f"--{name.replace('_', '-')}: "):
                read_options({name: value})


def parser():
    return load_command_class("django_flare", "flare_worker").create_parser("manage.py", "flare_worker")


def parsed():
    return vars(parser().parse_args([]))


def own_options():
    every_command = BaseCommand().create_parser("manage.py", "any")._option_string_actions
    return {option for option in parser()._option_string_actions if option not in every_command}


class TestErrors:
    ROWS = table("reference/errors", "Errors")
    OF_HTTP = table("reference/errors", "Errors of the HTTP client alone")
    TEXT = (ROOT / "docs/reference/errors.rst").read_text()

    def classes(self):
        return {
            each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, FlareError)
        }

    def test_all_classes(self):
        assert {name for name, *_ in self.ROWS} <= {each.__name__ for each in self.classes()}
        for each in self.classes():
            assert f"``{each.__name__}``" in self.TEXT

    def test_the_codes(self):
        for each in self.classes():
            assert f"``{each.default_code}``" in self.TEXT
        for name, _, code, *_ in self.ROWS:
            others = {"FlareConflictError": "idempotency_in_progress", "FlareError": "read_only"}
            assert code in (getattr(errors, name).default_code, others.get(name))

    def test_the_codes_are_those_that_the_code_gives(self):
        spelled = set()
        for path in (ROOT / "django_flare").rglob("*.py"):
            spelled |= set(re.findall(r"\bcode=\"(\w+)\"", path.read_text()))
        defaults = {each.default_code for each in self.classes()}
        of_http = {code for _, code, *_ in self.OF_HTTP}
        assert {code for _, _, code, *_ in self.ROWS} == (spelled | defaults) - of_http - {"internal_error"}

    def test_the_codes_that_only_the_client_meets(self):
        written = {code: name for name, code, *_ in self.OF_HTTP if code != "any other"}
        own = {"connection_error": "FlareApiError", "unexpected_answer": "FlareApiError"}
        in_process = {code for _, _, code, *_ in self.ROWS}
        assert written == own | {
            code: kind.__name__ for code, kind in KINDS.items() if code not in in_process
        }

    def test_the_builtin_bases(self):
        for name, also, *_ in self.ROWS:
            bases = {base.__name__ for base in getattr(errors, name).__mro__} & {"LookupError", "ValueError"}
            assert bases == {also} - {"–"}


class TestHttpApi:
    ADDRESSES = table("reference/http-api", "Addresses")
    CODES = table("reference/http-api", "Codes")
    TEXT = (ROOT / "docs/reference/http-api.rst").read_text()

    def routes(self):
        for each in urls.urlpatterns[:-1]:
            address = re.sub(r"<str:(\w+)>", r"{\1}", str(each.pattern))
            for method, action in each.callback.actions.items():
                if method != "head":
                    yield method.upper(), address, each.callback.cls.needs.get(action)

    def test_all_addresses_and_what_they_take(self):
        written = {
            (method, address): (scope, permission) for method, address, scope, permission, _ in self.ADDRESSES
        }
        assert written == {
            (method, address): ("none", "none") if need is None else (need.scope.value, need.permission)
            for method, address, need in self.routes()
        }

    def test_all_codes_and_their_statuses(self):
        assert [(code, int(status)) for code, status, *_ in self.CODES] == list(STATUSES.items())
        assert all(cause and remedy for *_, cause, remedy in self.CODES)

    def test_the_fields_are_made_from_the_document(self):
        fields = load_from_docs("fields")
        shown = re.findall(r"^\.\. flare-fields:: (\w+)$", self.TEXT, re.MULTILINE)
        # The other two have no fields worth a table.
        assert sorted(shown) == sorted(set(SCHEMAS) - {"Document", "Health"})
        for name in shown:
            made = rows(fields.table(name))[1:]
            assert [field for field, *_ in made if "." not in field] == list(SCHEMAS[name]["properties"])
            assert all(kind and text for _, kind, text in made)

    def test_a_table_of_fields_tells_the_bounds(self):
        told = {field: kind for field, kind, _ in rows(load_from_docs("fields").table("NewJob"))}
        assert told["job_type"] == f"text of 1 to {MAX_NAME_LENGTH} characters; required"
        assert told["priority"] == f"integer −{values.PRIORITY_BOUND} to {values.PRIORITY_BOUND}"
        assert told["timeout_seconds"] == "number 1 to 86,400"
        assert told["parent_job_ids"] == f"array of 1 to {MAX_PARENTS} job id"
        assert told["payload"] == "object ({} unless given)"
        assert told["tags"].startswith(f"object of at most {values.MAX_TAGS} texts of at most 200 characters")

    def test_the_headers(self):
        written = {name for names, _ in table("reference/http-api", "Headers") for name in names.split(", ")}
        assert written == {*HEADERS, "Authorization", "Idempotency-Key", "If-None-Match"} - {
            "Location",
            "WWW-Authenticate",
        }


class TestHttpClient:
    TEXT = " ".join((ROOT / "docs/how-to/http-client.rst").read_text().split())

    def test_the_numbers(self):
        assert (MOST_REPEATS, LONGEST_ORDER, DEFAULT_TIMEOUT, MAX_BATCH) == (3, 60, 10, 1000)
        for told in ("up to three times", "longer than 60 seconds", "10 seconds unless", "at most 1,000"):
            assert told in self.TEXT

    def test_the_statuses_that_pass(self):
        assert sorted(PASSING) == [429, 502, 503, 504]
        assert "429, 502, 503 or 504" in self.TEXT


class TestOthers:
    def test_the_fields_of_a_status(self):
        now = timezone.now()
        filled = {each.name: None for each in dataclasses.fields(JobStatus)}
        filled |= {
            "state": JobState.PENDING,
            "created_at": now,
            "run_at": now,
            "timeout": timedelta(1),
            "parent_job_ids": (),
        }
        written = {field: key for field, key, _ in table("reference/status", "Fields of JobStatus")}
        assert set(written) == set(filled)
        assert set(written.values()) == set(JobStatus(**filled).as_dict())

    def test_the_fields_of_a_page(self):
        text = (ROOT / "docs/reference/status.rst").read_text()
        for each in dataclasses.fields(JobPage):
            assert f"``{each.name}``" in text

    def test_the_codes_of_an_explanation_in_order(self):
        written = [code for code, *_ in table("reference/status", "Codes of an explanation")]
        assert written == list(Reason)

    def test_the_scopes_of_a_key_in_order(self):
        assert [scope for scope, _ in table("how-to/api-keys", "Scopes")] == list(Scope)

    def test_what_a_context_holds(self):
        written = {name for name, _ in table("reference/context", "Attributes")}
        assert written == {
            each.name for each in dataclasses.fields(JobContext) if not each.name.startswith("_")
        }

    def test_what_a_context_can_do(self):
        text = (ROOT / "docs/reference/context.rst").read_text()
        written = set(re.findall(r"auto(?:method|property):: (\w+)", text))
        fields = {each.name for each in dataclasses.fields(JobContext)}
        public = {name for name in dir(JobContext) if not name.startswith("_")}
        assert written == public - fields

    def test_the_checks(self):
        sources = [path.read_text() for path in Path(checks.__file__).parent.glob("*.py")]
        spelled = set(re.findall(r"django_flare\.[EWI]\d{3}", "".join(sources)))
        assert {each for each, *_ in table("reference/checks", "Checks")} == spelled

    def test_the_verbs_and_their_parameters(self):
        text = (ROOT / "docs/reference/verbs.rst").read_text()
        written = dict(re.findall(r"autofunction:: (\w+)\((.*)\)", text))
        written.pop("job")
        assert set(written) == own_verbs()
        for verb, parameters in written.items():
            assert names(parameters) == list(inspect.signature(getattr(jobs, verb)).parameters)

    def test_the_verbs_of_the_readme(self):
        written = re.findall(r"^\| `(\w+)\(", README.read_text(), re.MULTILINE)
        assert set(written) == own_verbs()


def own_verbs():
    return {verb for verb in jobs.__all__ if f"a{verb}" in jobs.__all__}


def names(parameters):
    listed = [each.strip().split("=")[0].lstrip("*") for each in parameters.split(", ")]
    return [name for name in listed if name]


class TestRollups:
    TEXT = (ROOT / "docs/reference/rollups.rst").read_text()

    def test_the_outcomes(self):
        written = {outcome for outcome, *_ in table("reference/rollups", "What is counted")}
        assert written == {state.value for state in ENDED}

    def test_the_columns(self):
        written = {name for name, _ in table("reference/rollups", "Columns")}
        columns = {field.name for field in Rollup._meta.concrete_fields} - {"id", *RAN, *WAITED}
        assert written == columns | {f"{names[0]} … {names[-1]}" for names in (RAN, WAITED)}

    def test_the_classes(self):
        shown = [f"{1000 * bound:,.0f} ms" if bound < 1 else f"{bound:,.0f} s" for bound in BOUNDS]
        assert f"less than {', '.join(shown)}, and longer" in self.TEXT

    def test_the_levels(self):
        shown = dict(table("reference/rollups", "Columns"))["level"]
        assert shown == "0 part of a minute as it was written, 1 a minute, 2 a quarter of an hour, 3 an hour"
        assert [level.value for level in Level] == [0, 1, 2, 3]

    def test_how_long_they_stay(self):
        told = " ".join(self.TEXT.split())
        assert f"Minutes stay for {rollups.MINUTES_KEPT.total_seconds() / 3600:.0f} hours" in told
        assert f"those stay for {rollups.QUARTERS_KEPT.total_seconds() / 3600:.0f} hours" in told
        assert f"deleted after {rollups.HOURS_KEPT.days} days" in told

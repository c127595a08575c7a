"""`manage.py flare_apikey` (spec, sections 9, 17 and 23)."""

import io
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from django_flare.models import ApiKey
from django_flare.store import api_keys
from django_flare.store.clock import read_now
from tests.support import USING

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parent.parent.parent


def run(*arguments):
    """Return the lines that the command wrote."""
    out = io.StringIO()
    call_command("flare_apikey", *arguments, stdout=out)
    return out.getvalue().splitlines()


def refused(*arguments):
    """Return the one line and the exit code of a refusal."""
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    (line,) = str(caught.value).splitlines()
    return line, caught.value.returncode


def test_a_key_is_alone_on_the_last_line():
    lines = run("create", "shop", "--scope", "read", "--scope", "write")
    key = api_keys.verify(lines[-1])
    assert (key.name, key.scopes) == ("shop", ("read", "write"))
    assert lines[-1] not in "".join(lines[:-1])


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2030-01-31", "2030-01-31T00:00:00+00:00"),
        ("2030-01-31T12:30:00+02:00", "2030-01-31T10:30:00+00:00"),
        ("2030-01-31T12:30:00Z", "2030-01-31T12:30:00+00:00"),
    ],
)
def test_a_key_may_expire(given, meant):
    run("create", "shop", "--scope", "read", "--expires", given)
    assert ApiKey.objects.get().expires_at.isoformat() == meant


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scope", "root"], "scope: 'root', expected one or several of read, write, admin"),
        (
            ["--scope", "read", "--expires", "soon"],
            "expires: 'soon', expected a date or a time with an offset",
        ),
        (
            ["--scope", "read", "--expires", "2030-01-31T12:30:00"],
            "expires: '2030-01-31T12:30:00', expected a date or a time with an offset",
        ),
        (
            ["--scope", "read", "--expires", "0001-01-01T00:00:00+05:00"],
            "expires: '0001-01-01T00:00:00+05:00', expected a date or a time with an offset",
        ),
        (["--scope", "read", "--expires", "2020-01-31"], "expires: 2020-01-31, expected a time ahead"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_2(arguments, message):
    assert refused("create", "shop", *arguments) == (message, 2)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 101])
def test_a_bad_name_is_one_line(name):
    line, code = refused("create", name, "--scope", "read")
    assert line.startswith("name: ")
    assert code == 1


def test_a_name_that_is_taken_is_one_line():
    run("create", "shop", "--scope", "read")
    line, code = refused("create", "shop", "--scope", "read")
    assert line.startswith("name: ")
    assert code == 1


def test_the_list_shows_everything_but_secrets():
    texts = [run("create", name, "--scope", "write")[-1] for name in ("shop", "old")]
    api_keys.issue("late", ["read"], read_now(USING) + timedelta(days=1))
    run("revoke", "old")
    header, *lines = run("list")
    assert header.split() == ["NAME", "ID", "SCOPE", "STATE", "CREATED", "EXPIRES", "LAST", "USED"]
    assert [line.split()[0] for line in lines] == ["late", "old", "shop"]
    assert [line.split()[3] for line in lines] == ["valid", "revoked", "valid"]
    for text in texts:
        assert text.split("_")[1] in "".join(lines)
        assert text.split("_")[2] not in "".join(lines)


def test_the_list_of_no_keys_is_its_header():
    assert len(run("list")) == 1


def test_a_revoked_key_is_refused():
    text = run("create", "shop", "--scope", "read")[-1]
    assert run("revoke", "shop") == ["revoked shop"]
    assert api_keys.verify(text) is None
    assert refused("revoke", "shop") == ("name: no key 'shop' that could be revoked", 1)


def test_a_rotated_key_is_replaced():
    before = run("create", "shop", "--scope", "read")[-1]
    after = run("rotate", "shop")[-1]
    assert (api_keys.verify(before), api_keys.verify(after).name) == (None, "shop")
    assert refused("rotate", "unknown") == ("name: no valid key 'unknown'", 1)


def test_a_rotation_may_overlap():
    before = run("create", "shop", "--scope", "read")[-1]
    after = run("rotate", "shop", "--overlap", "3600")[-1]
    assert api_keys.verify(before) == api_keys.verify(after)


@pytest.mark.parametrize("overlap", ["-1", "nan", "inf", "x", "2592001"])
def test_a_bad_overlap_changes_nothing(overlap):
    text = run("create", "shop", "--scope", "read")[-1]
    assert refused("rotate", "shop", f"--overlap={overlap}") == (
        f"overlap: {overlap!r}, expected 0 to 2592000 seconds",
        2,
    )
    assert api_keys.verify(text)


def test_from_the_shell_no_verb_is_exit_2():
    ended = subprocess.run(
        [sys.executable, "-m", "django", "flare_apikey"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "FLARE_TEST_DATABASE": "sqlite"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, "")

"""What the audit of dependencies says; nobody is asked here."""

import json

import pytest

from tests import audit


def answer(*parts):
    return lambda versions: (json.dumps({"dependencies": parts}), "")


def part(name, *vulns):
    return {"name": name, "version": "1.0", "vulns": list(vulns)}


def test_it_is_about_what_a_site_installs():
    versions = audit.installed()
    # Also what those need in their turn, and what the extras bring.
    assert versions.keys() >= {
        "django",
        "sqlparse",
        "djangorestframework",
        "msgspec",
        "psycopg",
        "httpx",
        "h11",
    }
    assert versions.keys().isdisjoint({"django-flare", "pytest", "schemathesis", "ruff"})


def test_the_versions_asked_for_are_those_installed():
    asked = []
    audit.audit(lambda versions: asked.append(versions) or answer()(versions))
    assert asked == [audit.installed()]


def test_a_known_vulnerability_is_a_failure(capsys):
    found = {"id": "CVE-2026-1", "fix_versions": ["1.1"]}
    assert audit.audit(answer(part("django", found), part("msgspec"))) == 1
    assert "django 1.0: CVE-2026-1, fixed in 1.1" in capsys.readouterr().out


def test_none_is_a_success(capsys):
    assert audit.audit(answer(part("django"), part("msgspec"))) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 of ")
    assert "LEFT OUT" not in out


@pytest.mark.parametrize("said", ["No module named pip_audit", "ERROR: no connection"])
def test_without_an_answer_it_says_that_nothing_was_audited(capsys, said):
    assert audit.audit(lambda versions: ("", f"more\n{said}\n")) == 0
    assert capsys.readouterr().out == f"!!!! The audit of dependencies was LEFT OUT: {said}\n"


def test_what_the_database_does_not_know_is_named(capsys):
    assert audit.audit(answer({"name": "django", "skip_reason": "not found"}, part("msgspec"))) == 0
    out = capsys.readouterr().out
    assert "LEFT OUT: the database does not know django" in out
    assert out.splitlines()[-1].startswith("1 of ")

"""No tracked file holds a credential: neither one of ours nor one of the services that people use most.

The forms are those that their issuers document: PEM (RFC 7468), JSON Web Tokens (RFC 7519), and the prefixes
by which AWS, GitHub, GitLab, Google, PyPI, Slack and Stripe let their keys be found.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from django_flare.store import api_keys

ROOT = Path(__file__).parent.parent.parent
FORMS = {
    "django_flare": api_keys._FORM.pattern,
    "PEM": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "JSON Web Token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "AWS": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub": r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{40})",
    "GitLab": r"\bglpat-[\w-]{20}",
    "Google": r"\bAIza[\w-]{35}",
    "PyPI": r"\bpypi-AgE[\w-]{50}",
    "Slack": r"\bxox[abeprs]-[\w-]{10}",
    "Stripe": r"\b[rs]k_live_\w{20}",
}
_ANY = re.compile("|".join(FORMS.values()), re.ASCII)


def found_in(text):
    """Return what looks like a credential in the text."""
    return [match[0] for match in _ANY.finditer(text)]


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="nobody says which files are tracked"
)
def test_no_file_holds_a_credential():
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    texts = {name: path.read_text(errors="replace") for name in names if (path := ROOT / name).is_file()}
    assert len(texts) > 500
    assert {name: found for name, text in texts.items() if (found := found_in(text))} == {}


@pytest.mark.parametrize(
    "credential",
    [
        "flare_" + "0a" * 8 + "_" + "0b" * 32,
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        ".".join(["eyJ" + "a" * 20, "eyJ" + "b" * 20, "c" * 20]),
        "AKIA" + "Z" * 16,
        "ghp_" + "a" * 36,
        "github_" + "pat_" + "a" * 40,
        "glpat-" + "a" * 20,
        "AIza" + "a" * 35,
        "pypi-" + "AgE" + "a" * 50,
        "xoxb-" + "1" * 10,
        "sk_live_" + "a" * 20,
    ],
)
def test_each_form_is_found(credential):
    assert found_in(f'KEY = "{credential}"') == [credential]


def test_an_ordinary_line_is_none():
    assert found_in('SECRET_KEY = env.str("SECRET_KEY"); idempotency_key="order-4711"') == []

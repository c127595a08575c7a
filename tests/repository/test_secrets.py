"""No credential is in the repository: neither one of ours nor one of the services that people use most.

The forms are those that their issuers document: PEM (RFC 7468), JSON Web Tokens (RFC 7519), and the prefixes
by which AWS, GitHub, GitLab, Google, Slack and Stripe let their keys be found.
"""

import re
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
    "Slack": r"\bxox[abeprs]-[\w-]{10}",
    "Stripe": r"\b[rs]k_live_\w{20}",
}
_ANY = re.compile("|".join(FORMS.values()), re.ASCII)
NAMES = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
FILES = [ROOT / name for name in NAMES.stdout.split("\0") if name]


def found_in(text):
    """Return what looks like a credential in the text."""
    return [match[0] for match in _ANY.finditer(text)]


@pytest.mark.skipif(NAMES.returncode != 0, reason="this is no repository")
def test_no_file_holds_a_credential():
    assert len(FILES) > 500
    texts = {path: path.read_text(errors="replace") for path in FILES if path.is_file()}
    assert {path.name: found for path, text in texts.items() if (found := found_in(text))} == {}


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
        "xoxb-" + "1" * 10,
        "sk_live_" + "a" * 20,
    ],
)
def test_each_form_is_found(credential):
    assert found_in(f'KEY = "{credential}"') == [credential]


def test_an_ordinary_line_is_none():
    assert found_in('SECRET_KEY = env.str("SECRET_KEY"); idempotency_key="order-4711"') == []

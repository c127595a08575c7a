"""Look for known vulnerabilities in what a site installs with the package: `python -m tests.audit`.

pip-audit asks a public database. Where it is not installed or gets no answer, nothing was audited, and
that is what is said. It is no failure, for the machine is to blame, and nothing calls it a success.
"""

import importlib.metadata
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "django-flare"
EXTRAS = ("postgres", "mysql", "api", "client", "prometheus", "opentelemetry")
"""What a site may ask for; the tests' own tools come into no site."""

LEFT_OUT = "!!!! The audit of dependencies was LEFT OUT: {}"


def installed(name=PACKAGE, extras=EXTRAS, found=None):
    """Return the installed versions of all that `name` brings, by name."""
    found = {} if found is None else found
    for text in importlib.metadata.requires(name) or []:
        wanted = Requirement(text)
        key = canonicalize_name(wanted.name)
        if key in found or not _is_wanted(wanted, extras):
            continue
        try:
            found[key] = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        installed(wanted.name, wanted.extras, found)
    return found


def _is_wanted(requirement, extras):
    return requirement.marker is None or any(
        requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
    )


def ask(versions):
    """Let pip-audit look at these versions; return what it wrote to stdout and stderr."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json"]
        command = [sys.executable, "-m", "pip_audit", *options, f"--requirement={file}"]
        done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout, done.stderr


def audit(ask=ask):
    """Print what was found; return the exit code, 1 for a known vulnerability."""
    versions = installed()
    output, errors = ask(versions)
    try:
        audited = json.loads(output)["dependencies"]
    except ValueError:
        print(LEFT_OUT.format((errors.strip().splitlines() or ["pip-audit said nothing"])[-1]))
        return 0
    unknown = [part["name"] for part in audited if "skip_reason" in part]
    if unknown:
        print(LEFT_OUT.format(f"the database does not know {', '.join(unknown)}"))
    known = [(part, each) for part in audited for each in part.get("vulns", [])]
    for part, each in known:
        fixed = ", ".join(each["fix_versions"]) or "nothing yet"
        print(f"{part['name']} {part['version']}: {each['id']}, fixed in {fixed}")
    known_to_it = len(audited) - len(unknown)
    print(f"{known_to_it} of {len(versions)} packages audited, {len(known)} vulnerabilities known")
    return int(bool(known))


if __name__ == "__main__":
    sys.exit(audit())

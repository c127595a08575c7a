"""The code of the release before, out of the repository's own history."""

import subprocess
import zipfile

PACKAGE = "django_flare"
RELEASES = ("v[0-9]*", "[0-9]*")


class NoHistoryError(Exception):
    """There is no code of before: not a repository, or a clone without its past."""


def previous(root):
    """Return the revision before: the last release, but not the present commit itself.

    As long as there is no release, it is the commit that the newest migration met.
    """
    _git(root, "cat-file", "-e", f"HEAD:./{PACKAGE}/__init__.py")
    releases = _git(
        root, "tag", "--merged=HEAD", "--no-contains=HEAD", "--sort=-version:refname", "--list", *RELEASES
    )
    return releases.splitlines()[0] if releases else _before_newest_migration(root)


def _before_newest_migration(root):
    newest = max((root / PACKAGE / "migrations").glob("[0-9]*.py")).relative_to(root)
    added = _git(root, "log", "--diff-filter=A", "--max-count=1", "--format=%H", "--", str(newest))
    # One that is not committed yet met the code that is.
    return _git(root, "rev-parse", "--verify", f"{added}^" if added else "HEAD")


def take_out(root, revision, folder):
    """Write the package as it was at `revision` into `folder`."""
    archive = folder.with_suffix(".zip")
    _git(root, "archive", "--format=zip", f"--output={archive}", revision, PACKAGE)
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)


def _git(root, *arguments):
    # Whoever owns the folder: it is read, and no hook of it is run.
    command = ["git", "-c", "safe.directory=*", *arguments]
    try:
        found = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except FileNotFoundError:
        raise NoHistoryError("git is not installed") from None
    if found.returncode:
        raise NoHistoryError(f"git {arguments[0]}: {found.stderr.strip()}")
    return found.stdout.strip()

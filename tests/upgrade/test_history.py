"""Which code is the one before, in a repository of a few commits."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.upgrade import history

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


class Repository:
    def __init__(self, root):
        self.root = root
        self.git("init", "--quiet")
        self.write("__init__.py")
        self.first = self.commit("migrations/0001_initial.py")

    def git(self, *arguments):
        someone = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", *someone, "-C", str(self.root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, path, text=""):
        file = self.root / "django_flare" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, path, text=""):
        self.write(path, text)
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", path)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def test_without_a_release_it_is_what_the_newest_migration_met(repository):
    met = repository.commit("a.py")
    newest = repository.commit("migrations/0002_more.py")
    repository.commit("migrations/0002_more.py", "repaired")
    repository.commit("b.py")
    assert history.previous(repository.root) == met != newest


def test_a_migration_that_is_not_committed_meets_the_last_commit(repository):
    last = repository.commit("a.py")
    repository.write("migrations/0002_more.py")
    assert history.previous(repository.root) == last


def test_a_release_comes_first(repository):
    for number in (9, 10):
        repository.commit("a.py", str(number))
        repository.git("tag", f"v0.{number}.0")
    repository.commit("migrations/0002_more.py")
    repository.git("tag", "unrelated")
    assert history.previous(repository.root) == "v0.10.0"


def test_a_release_is_not_before_itself(repository):
    repository.git("tag", "v0.1.0")
    repository.commit("a.py")
    repository.git("tag", "v0.2.0")
    assert history.previous(repository.root) == "v0.1.0"


def test_the_first_release_is_compared_with_what_the_newest_migration_met(repository):
    repository.commit("migrations/0002_more.py")
    repository.git("tag", "v0.1.0")
    assert history.previous(repository.root) == repository.first


def test_the_code_is_that_of_then(repository, tmp_path_factory):
    repository.commit("a.py", "then")
    repository.git("tag", "v0.1.0")
    repository.commit("a.py", "now")
    folder = tmp_path_factory.mktemp("code") / "old"
    history.take_out(repository.root, "v0.1.0", folder)
    assert Path(folder, "django_flare", "a.py").read_text() == "then"


def test_a_clone_without_its_past_is_told(repository, tmp_path_factory):
    repository.commit("migrations/0002_more.py")
    clone = tmp_path_factory.mktemp("clones") / "shallow"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.root}", str(clone))
    with pytest.raises(history.NoHistoryError, match="rev-parse"):
        history.previous(clone)


def test_a_folder_that_is_no_repository_is_told(repository):
    shutil.rmtree(repository.root / ".git")
    with pytest.raises(history.NoHistoryError):
        history.previous(repository.root)


def test_another_projects_history_is_not_ours(repository):
    unpacked = repository.root / "vendor"
    shutil.copytree(repository.root / "django_flare", unpacked / "django_flare")
    with pytest.raises(history.NoHistoryError):
        history.previous(unpacked)

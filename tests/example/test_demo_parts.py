"""The demo's parts, without a process."""

import os

import pytest

from django_flare import JobState
from example_project.demo.board import Board, Row, WatchedJob
from example_project.demo.client import Reading
from example_project.demo.errors import DemoError
from example_project.demo.findings import problems
from example_project.demo.site import Site
from example_project.demo.view import Lines, Table, choose_view


def reading(state, attempt=0, error=None, progress=None):
    return Reading(state, attempt, 3, progress, error, None)


class Shop:
    """Answer with the readings it was given, the last one again and again."""

    def __init__(self, **readings):
        self._readings = readings
        self.asked = []

    def read(self, job_id):
        self.asked.append(job_id)
        left = self._readings[job_id]
        return left.pop(0) if len(left) > 1 else left[0]


@pytest.fixture
def board():
    process = WatchedJob("parent", "shop.ProcessOrder", JobState.SUCCEEDED)
    confirm = WatchedJob("child", "shop.SendOrderConfirmation", JobState.SUCCEEDED)
    return Board([Row("order 1: 2 × tea", [process, confirm], "ada@example.com")])


@pytest.fixture
def shop():
    return Shop(
        parent=[
            reading(JobState.PENDING),
            reading(JobState.FAILED, 1, "boom"),
            reading(JobState.SUCCEEDED, 2, "boom"),
        ],
        child=[reading(JobState.SCHEDULED), reading(JobState.SCHEDULED), reading(JobState.SUCCEEDED, 1)],
    )


class TestTheBoard:
    def test_it_tells_changes_alone(self, board, shop):
        seen = [[(each.job.job_id, each.before) for each in board.refresh(shop)] for _ in range(3)]
        assert seen == [
            [("parent", None), ("child", None)],
            [("parent", JobState.PENDING)],
            [("parent", JobState.FAILED), ("child", JobState.SCHEDULED)],
        ]

    def test_a_continuation_is_read_before_its_parent(self, board, shop):
        board.refresh(shop)
        assert shop.asked == ["child", "parent"]

    def test_it_is_final_when_all_have_ended_and_then_asks_no_more(self, board, shop):
        for final in (False, False, True):
            board.refresh(shop)
            assert board.is_final is final
        shop.asked.clear()
        assert board.refresh(shop) == []
        assert shop.asked == []


class TestLines:
    def test_each_change_is_a_line(self, board, shop, capsys):
        for seconds in range(3):
            Lines().show(board, board.refresh(shop), seconds)
        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert lines == [
            "0.0 s order 1: 2 × tea shop.ProcessOrder pending",
            "0.0 s order 1: 2 × tea shop.SendOrderConfirmation scheduled",
            "1.0 s order 1: 2 × tea shop.ProcessOrder pending → failed 1/3 (boom)",
            "2.0 s order 1: 2 × tea shop.ProcessOrder failed → succeeded 2/3",
            "2.0 s order 1: 2 × tea shop.SendOrderConfirmation scheduled → succeeded 1/3",
        ]


class TestTheTable:
    @pytest.fixture(autouse=True)
    def colours(self, monkeypatch):
        monkeypatch.delenv("NO_COLOR", raising=False)

    def test_it_is_drawn_over_itself(self, board, shop, capsys):
        table = Table()
        table.show(board, board.refresh(shop), 0)
        first = capsys.readouterr().out
        table.show(board, board.refresh(shop), 1)
        assert not first.startswith("\x1b[3F")
        assert first.count("\n") == 3
        assert capsys.readouterr().out.startswith("\x1b[3F")

    def test_a_row_has_both_jobs_and_their_colours(self, board, shop, capsys):
        board.refresh(shop)
        Table().show(board, board.refresh(shop), 1)
        row = capsys.readouterr().out.splitlines()[-1]
        assert "\x1b[33mfailed      1/3" in row
        assert "scheduled" in row

    def test_a_running_job_has_its_progress(self, board, capsys):
        board.jobs[0].reading = reading(JobState.PROCESSING, 1, progress=0.25)
        Table().show(board, [], 1)
        assert "processing  1/3 25%" in capsys.readouterr().out

    def test_there_are_no_colours_where_they_are_not_wanted(self, board, shop, capsys, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        board.refresh(shop)
        Table().show(board, board.refresh(shop), 1)
        assert "\x1b[33m" not in capsys.readouterr().out


class TestChoosingAView:
    @pytest.fixture(autouse=True)
    def terminal(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        self._size(monkeypatch, 80, 24)

    def _size(self, monkeypatch, columns, lines):
        monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, lines)))

    def test_a_terminal_gets_the_table(self):
        assert isinstance(choose_view(12), Table)

    def test_a_file_gets_lines(self, monkeypatch):
        monkeypatch.setattr("sys.stdout.isatty", lambda: False)
        assert isinstance(choose_view(12), Lines)

    @pytest.mark.parametrize("size", [(79, 10), (60, 24)])
    def test_a_terminal_without_room_gets_lines(self, monkeypatch, size):
        self._size(monkeypatch, *size)
        assert isinstance(choose_view(12), Lines)

    def test_a_dumb_terminal_gets_lines(self, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(choose_view(12), Lines)


class TestTheFolder:
    def test_one_with_other_files_is_left_alone(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(DemoError, match="holds other files"):
            Site(tmp_path).prepare()
        assert (tmp_path / "thesis.txt").read_text() == "years of work"

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(DemoError, match="cannot be made"):
            Site(tmp_path / "file").prepare()


class TestFindings:
    def test_a_state_that_was_not_expected_is_a_problem(self, board, tmp_path):
        board.jobs[0].reading = reading(JobState.DEAD_LETTER, 3, "boom")
        board.jobs[1].reading = reading(JobState.CANCELLED)
        found = problems(board, Site(tmp_path))
        assert found[0] == "shop.ProcessOrder parent is dead_letter instead of succeeded"
        assert found[1] == "shop.SendOrderConfirmation child is cancelled instead of succeeded"

    def test_so_are_a_missing_mail_and_a_missing_report(self, board, shop, tmp_path):
        for _ in range(3):
            board.refresh(shop)
        assert problems(board, Site(tmp_path)) == [
            "the mails went to [] instead of ['ada@example.com']",
            "0 reports were written instead of 1",
        ]

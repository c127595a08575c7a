"""The files of the results: JSON that reads back, tables, a picture."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import picture, report
from benchmarks.figures import Figures
from benchmarks.plan import Key
from tests.docs.pages import rows

UNDER = {
    "date": "2026-01-31",
    "cores": 2,
    "machine": "Linux x86_64",
    "Python": "3.11.7",
    "rounds": 3,
    "packages": {"Django": "5.2"},
    "databases": ["PostgreSQL 15, fsync=on"],
    "left out": ["django-ox"],
    "queues": {"django_flare": "0.1.0 defaults"},
}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def figures():
    figures = Figures()
    for rate in (6000, 5000, 7000):
        figures.add(Key("drain", "django_flare", "PostgreSQL"), {"jobs/s": rate})
    figures.add(Key("drain", "Celery + Redis", "Redis"), {"jobs/s": 600})
    figures.add(Key("drain2", "django_flare", "PostgreSQL"), {"jobs/s": 9000})
    figures.failures.append("drain, huey, SQLite")
    return figures


@pytest.fixture
def folder(tmp_path, figures):
    report.write(tmp_path, figures, UNDER)
    return tmp_path


def test_the_json_has_every_value_and_reads_back(folder, figures):
    found, under = report.read(folder)
    assert found.values == figures.values
    assert found.failures == figures.failures
    assert under == UNDER
    assert json.loads((folder / "all.json").read_text())["figures"][0]["values"] == {
        "jobs/s": [6000, 5000, 7000]
    }


def test_the_tables_have_medians_and_the_spread(folder):
    text = (folder / "all.md").read_text()
    assert "| drain | django_flare | PostgreSQL | jobs/s | 6,000 | 5,000 – 7,000 |" in text
    assert "| django_flare, PostgreSQL | 6,000 | 9,000 | – |" in text
    assert "| drain, × Celery + Redis | 10 | ≥ 10 ✓ | – |" in text


def test_a_failure_and_what_was_left_out_are_named(folder):
    text = (folder / "all.md").read_text()
    assert "* failed: drain, huey, SQLite" in text
    assert "* left out: django-ox" in text


def test_the_documentation_gets_the_same_tables(folder):
    assert ("drain, × Celery + Redis", "10", "≥ 10 ✓", "–") in rows((folder / "figures.rst").read_text())
    assert rows((folder / "queues.rst").read_text())[1:] == [
        ("django_flare, PostgreSQL", "6,000", "9,000", "–"),
        ("Celery + Redis, Redis", "600", "–", "–"),
    ]
    assert (folder / "settings.rst").read_text() == "* **django_flare**: 0.1.0 defaults.\n"
    assert "Medians of 3 interleaved rounds on 2026-01-31" in (folder / "conditions.rst").read_text()


def test_writing_again_from_the_json_changes_nothing(folder):
    before = {file.name: file.read_text() for file in folder.iterdir()}
    report.write(folder, *report.read(folder))
    assert {file.name: file.read_text() for file in folder.iterdir()} == before


class TestPicture:
    def test_a_bar_for_each_queue_the_longest_first(self, figures):
        root = ElementTree.fromstring(picture.drains(figures))
        bars = root.findall(f"{SVG}rect")
        widths = [float(bar.get("width")) for bar in bars]
        assert len(bars) == 2
        assert widths == sorted(widths, reverse=True)
        assert [bar.get("class") for bar in bars] == ["ours", None]

    def test_it_tells_what_it_shows_in_words(self, figures):
        root = ElementTree.fromstring(picture.drains(figures))
        assert root.get("role") == "img"
        assert root.find(f"{SVG}title").text
        assert "django_flare on PostgreSQL 6,000" in root.find(f"{SVG}desc").text

    def test_no_bar_leaves_the_picture(self, figures):
        figures.add(Key("drain", "slow", "PostgreSQL"), {"jobs/s": 7})
        figures.add(Key("drain", "fast", "PostgreSQL"), {"jobs/s": 99_999})
        root = ElementTree.fromstring(picture.drains(figures))
        width = float(root.get("viewBox").split()[2])
        for bar in root.findall(f"{SVG}rect"):
            assert float(bar.get("width")) > 0
            assert float(bar.get("x")) + float(bar.get("width")) < width

    def test_nothing_measured_is_no_error(self):
        assert not re.search("<rect", picture.drains(Figures()))

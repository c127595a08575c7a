"""Every block of Python compiles, and names only what there is."""

import ast
import re
from importlib import import_module

import pytest

from tests.docs.pages import PAGES, README, ROOT, python_blocks

BLOCKS = [block for page in (README, *PAGES) for block in python_blocks(page)]


def ids(block):
    return f"{block.page}:{block.code.splitlines()[0]}"


def test_blocks_are_found():
    assert len(BLOCKS) > 30


@pytest.mark.parametrize("block", BLOCKS, ids=ids)
def test_it_compiles(block):
    compile(block.code, block.page, "exec")


@pytest.mark.parametrize("block", BLOCKS, ids=ids)
def test_what_it_imports_from_us_exists(block):
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "django_flare":
            for name in node.names:
                assert hasattr(import_module(node.module), name.name)


@pytest.mark.parametrize("block", BLOCKS, ids=ids)
def test_the_verbs_that_it_calls_exist(block):
    jobs = import_module("django_flare.jobs")
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "jobs":
            assert hasattr(jobs, node.attr)


def test_the_links_of_the_readme_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README.read_text()) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []

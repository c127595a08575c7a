"""Read what the documentation holds: blocks of code, and tables as the directive `list-table` writes them."""

import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.rst") if "_build" not in page.parts)

_FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_DIRECTIVE = re.compile(r"^( *)\.\. code-block:: python\n((?:\1 +.*\n|\n)+)", re.MULTILINE)

_SHELL = re.compile(r"^( *)\.\. code-block:: (?:ba)?sh\n((?:\1 +.*\n|\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of Python: the page that it is on, the file that it is meant for, and its code."""

    page: str
    file: str | None
    code: str


def python_blocks(page):
    """Return the blocks of Python on a page, in order."""
    text = page.read_text()
    name = str(page.relative_to(ROOT))
    if page.suffix == ".md":
        return [_fenced(name, code) for code in _FENCE.findall(text)]
    return [_directed(name, body) for _, body in _DIRECTIVE.findall(text)]


def _fenced(page, code):
    named = re.match(r"# (\S+\.py)\n", code)
    return Block(page, named and named[1], code)


def _directed(page, body):
    body = textwrap.dedent(body)
    caption = re.match(r":caption: (\S+)\n", body)
    return Block(page, caption and caption[1], re.sub(r"\A(?::.*\n)+", "", body).strip() + "\n")


def commands(page, program):
    """Return the commands on a page that begin with this program, in order, each as its words."""
    text = page.read_text()
    blocks = [textwrap.dedent(body) for _, body in _SHELL.findall(text)]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if f"{line} ".startswith(f"{program} ")]


def files_of(page):
    """Return the code of a page by the file that it is meant for."""
    return {block.file: block.code for block in python_blocks(page) if block.file}


def table(name, title=None):
    """Return the rows of a table in docs/<name>.rst as tuples of plain cells, without the heading."""
    text = (ROOT / "docs" / f"{name}.rst").read_text()
    found = re.search(
        rf"\.\. list-table::{f' {title}' if title else ''}\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE
    )
    assert found, f"{name}.rst has no table {title}"
    return rows(found[1])[1:]


def rows(text):
    """Return the rows of a list-table's body."""
    cells = [
        re.split(r"^ +- ?", row, flags=re.MULTILINE)
        for row in re.split(r"^ +\* -", text, flags=re.MULTILINE)[1:]
    ]
    return [tuple(_plain(cell) for cell in row) for row in cells]


def _plain(cell):
    return " ".join(cell.replace("``", "").split())

"""What people read in the admin can be translated: no bare string in its code, in models and templates."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "django_flare"
MODULES = sorted(
    path.relative_to(PACKAGE) for folder in ("admin", "models") for path in (PACKAGE / folder).rglob("*.py")
)
TEMPLATES = sorted(path.relative_to(PACKAGE) for path in (PACKAGE / "templates").rglob("*.html"))

GETTEXT = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}
SHOWN_ERRORS = {"ValidationError"}
"""Errors that a person reads; others are for programmers."""

_MARKUP = re.compile(r"<[^>]*>|\{[^}]*\}|%\([^)]*\)[a-z]|%[a-z]")
_PHRASE = re.compile(r"[^\W\d_]{2,},? [^\W\d_]{2,}")
_WORD = re.compile(r"[A-Z][a-z]+")


def is_words(text):
    """Tell whether people would read this: a phrase, or a word that begins with a capital."""
    plain = _MARKUP.sub(" ", text).strip()
    return bool(_PHRASE.search(plain) or _WORD.fullmatch(plain))


def bare_strings(source):
    """Return (line, string) for each string of the module that people read and nothing translates."""
    found = []
    _look(ast.parse(source), found)
    return found


def _look(node, found):
    if _is_exempt(node):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_words(node.value):
        found.append((node.lineno, node.value))
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.AST):
                _look(each, found)


def _is_exempt(node):
    """Tell whether the strings in the node are translated, or read by nobody but programmers."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Call):
        return _name(node.func) in GETTEXT | {"refuse"}
    if isinstance(node, ast.Assign):
        return _name(node.targets[0]) == "__all__"
    return isinstance(node, ast.Raise) and _name(getattr(node.exc, "func", None)) not in SHOWN_ERRORS


def _name(function):
    return getattr(function, "id", getattr(function, "attr", ""))


_TRANSLATED = re.compile(
    r"\{% blocktranslate.*?endblocktranslate %\}|\{% comment.*?endcomment %\}"
    # Names of classes.
    r"|\{% block bodyclass %\}.*?\{% endblock.*?%\}",
    re.DOTALL,
)
_TAGS = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|&#?\w+;", re.DOTALL)
_READ = re.compile(r"""\b(?:aria-label|title|alt|placeholder|value|label)=(["'])(.*?)\1""")
_LETTERS = re.compile(r"[^\W\d_]")
_OWN_VALUES = {"yes", "1"}
"""What forms send without anybody reading it."""


def bare_words(source):
    """Return the texts and readable attributes of a template that nothing translates."""
    left = _TAGS.sub("", _TRANSLATED.sub("", source))
    attributes = [value for _, value in _READ.findall(left) if value not in _OWN_VALUES]
    texts = re.sub(r"<!--.*?-->|<[^>]*>", "\n", left, flags=re.DOTALL).splitlines()
    return [text.strip() for text in [*texts, *attributes] if _LETTERS.search(text)]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_holds_bare_words(module):
    assert bare_strings((PACKAGE / module).read_text()) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=str)
def test_no_template_holds_bare_words(template):
    assert bare_words((PACKAGE / template).read_text()) == []


def test_there_is_something_to_look_at():
    assert Path("admin/actions.py") in MODULES
    assert len(TEMPLATES) >= 5


@pytest.mark.parametrize(
    "code",
    [
        'title = "Cancel jobs"',
        'title = f"Cancel {number} jobs now"',
        'label = "Retry"',
        "message_user(request, 'The job was cancelled.')",
        "format_html('<b>{}</b> Not found', x)",
        'raise ValidationError("control characters are not allowed")',
        'verbose_name = "dead letter"',
        'queue = models.CharField("the queue", max_length=100)',
        'text = str("%d jobs were left") % left',
    ],
)
def test_bare_words_in_code_would_be_found(code):
    assert bare_strings(code) != []


@pytest.mark.parametrize(
    "code",
    [
        '"""A docstring of words."""',
        'title = _("Cancel jobs")',
        'words = ngettext_lazy("%d job was", "%d jobs were")',
        'raise Discard("no such user")',
        "format_html('<span class=\"flare-badge flare-{}\">{}</span>', a, b)",
        'path = "admin/django_flare/job/page.html"',
        'ordering = ("-created_at", "id")',
        'def f() -> "Some Thing": ...',
    ],
)
def test_what_nobody_reads_is_let_through(code):
    assert bare_strings(code) == []


@pytest.mark.parametrize(
    "template",
    [
        "<p>Cancel</p>",
        "{% if a %}Jobs{% endif %}",
        '<input type="submit" value="Search">',
        '<img src="x" alt="A picture">',
        "{% translate 'a' %} more",
        "<td>{{ value }} s</td>",
    ],
)
def test_bare_words_in_a_template_would_be_found(template):
    assert bare_words(template) != []


@pytest.mark.parametrize(
    "template",
    [
        '{% translate "Cancel" %}',
        "{% blocktranslate with a=b %}Cancel {{ a }}{% endblocktranslate %}",
        '<p class="words here">{{ words }} · &rsaquo; 100 %</p>',
        '<input aria-label="{% translate "Progress" %}" value="{{ percent }}">',
        "{# a comment #}",
    ],
)
def test_translated_words_in_a_template_are_let_through(template):
    assert bare_words(template) == []

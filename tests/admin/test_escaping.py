"""Whatever stands in a row: it is shown as text, and no page gets an element of it."""

from unittest import mock

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import CharField, JSONField, TextField

from django_flare import jobs
from django_flare.models import Attempt, Job
from tests.admin.support import LIST, page_of, parse
from tests.support import Driver, force, make_job, row

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

CORPUS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "</svg><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</text><script>alert(1)</script>",
    "</pre><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</summary></details><iframe src=javascript:alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<form action=//evil.example><button>x</button></form>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<body onload=alert(1)>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example>",
    "<style>@import '//evil.example'</style>",
    "<math><mtext></p><script>alert(1)</script></math>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><script>alert(1)</script>'>",
    "<!--<script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version='1.0'?><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "{{ request.user.password }}{% debug %}{% load log %}",
    "{% endblock %}{% include 'admin/base.html' %}",
    "javascript:alert(1)",
    '" onmouseover="alert(1)" x="',
    "' onmouseover='alert(1)' x='",
    "` onmouseover=alert(1) `",
    "\u202egnp.tpircs\u202c<script>alert(1)</script>",
    "＜script＞alert(1)＜/script＞",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "%(count)s %d %s {0} {name}",
]


_expected = {}
"""The shapes of the pages for a harmless text, once they are known."""


def shape(answer):
    """Return the elements of a page with the names of their attributes: all that a text could add to."""
    return [(each.tag, *each.attributes) for each in parse(answer).walk()]


def build(text):
    """Return a parent, a job and a child with `text` wherever a row holds text."""
    driver = Driver()
    parent = make_job(queue="parents")
    job_id = make_job(parents=[parent], queue="shapes", max_attempts=1)
    child = make_job(parents=[job_id], queue="children")
    driver.succeed(parent)
    driver.fail(job_id)
    for each in (parent, job_id, child):
        force(
            each,
            queue=text[:100],
            job_type=text,
            worker_id=text[:64],
            payload={text: [text], "list": {"a": text}},
            result=text,
            result_error=text,
            error_message=text,
            tags={text: text},
            idempotency_scope=f"{each}"[:36] + text[:60],
            idempotency_key=text,
            fingerprint=text[:64],
            headers={text: text},
            backoff={text: text},
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_flare_attempt"
            " SET worker_id = %s, error_class = %s, error_message = %s, traceback = %s",
            [text[:64], text[:255], text, text],
        )
    return job_id


@pytest.mark.parametrize("text", CORPUS)
def test_no_element_comes_of_a_text(operator, text):
    if "plain" not in _expected:
        _expected["plain"] = shapes(operator, "plain")
    assert shapes(operator, text) == _expected["plain"]


def shapes(operator, text):
    """Return the shapes of the pages on which `text` is shown, after a look at each."""
    job_id = build(text)
    key = row(job_id).pk
    pages = [operator.get(page_of(job_id)), operator.get(LIST)]
    with mock.patch("django_flare.admin.graph.MOST_NODES", 1):
        pages.append(operator.get(page_of(job_id)))
    searched = [
        operator.get(LIST, {"q": text}),
        operator.get(LIST, {"queue": text, "job_type": text}),
    ]
    jobs.retry(job_id)
    pages.append(operator.post(page_of(job_id, "act/cancel")))
    chosen = {"action": "cancel_jobs", "_selected_action": key}
    pages.append(operator.post(LIST, chosen))
    pages.append(operator.post(LIST, {**chosen, "select_across": "1"}))
    pages.append(operator.post(page_of(job_id, "act/cancel"), {"confirmed": "yes"}, follow=True))
    pages.append(operator.get(page_of(job_id, "history")))
    pages.append(operator.get("/admin/"))
    for page in pages + searched:
        assert_harmless(page)
    empty()
    return [shape(page) for page in pages]


def assert_harmless(answer):
    for element in parse(answer).walk():
        assert element.tag not in ("iframe", "object", "embed", "base", "style", "template", "noscript")
        for name, value in element.attributes.items():
            assert not name.startswith("on"), (element.tag, name, value)
            if name in ("href", "src", "action"):
                assert not value or value[0] in "/?#.", (element.tag, name, value)
        if element.tag == "script":
            assert element.attributes["src"].startswith(("/static/", "/admin/jsi18n/"))
            assert not element.text


def empty():
    LogEntry.objects.all().delete()
    with connection.cursor() as cursor:
        for table in ("attempt", "continuation", "job"):
            cursor.execute(f"DELETE FROM django_flare_{table}")


def test_the_text_is_there_to_be_read(operator):
    assert len(set(CORPUS)) >= 40
    text = CORPUS[0]
    page = parse(operator.get(page_of(build(text))))
    assert page.text.count(text) > 5


HIDDEN = {"id", "public_id", "state", "outcome"}
"""Columns whose values are ours alone: the database takes no others."""


@pytest.mark.parametrize("model", [Job, Attempt])
def test_no_column_of_text_is_left_out(db, model):
    text = CORPUS[0]
    build(text)
    columns = {
        column.attname
        for column in model._meta.concrete_fields
        if isinstance(column, CharField | TextField | JSONField) and column.attname not in HIDDEN
    }
    stored = model.objects.order_by("-pk").values(*columns)[0]
    assert [name for name in columns if text not in str(stored[name])] == []


def test_an_element_would_be_seen(operator):
    answer = operator.get(page_of(build("plain")))
    before = shape(answer)
    answer.content = answer.content.replace(b"</h1>", CORPUS[0].encode() + b"</h1>")
    assert shape(answer) != before
    with pytest.raises(KeyError):
        assert_harmless(answer)

"""Read what the admin's pages show."""

from html.parser import HTMLParser

LIST = "/admin/django_flare/job/"
_VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "wbr"}


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag = tag
        self.attributes = dict(attributes)
        self.parent = parent
        self.children = []

    @property
    def classes(self):
        return set((self.attributes.get("class") or "").split())

    @property
    def text(self):
        parts = (each if isinstance(each, str) else each.text for each in self.children)
        return " ".join("".join(parts).split())

    def walk(self):
        yield self
        for each in self.children:
            if isinstance(each, Element):
                yield from each.walk()

    def find(self, tag=None, css=None, **attributes):
        """Return the elements below with this tag, class and attributes."""
        return [
            each
            for each in self.walk()
            if (tag is None or each.tag == tag)
            and (css is None or css in each.classes)
            and all(each.attributes.get(name.rstrip("_")) == value for name, value in attributes.items())
        ]


class _Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.top = self.at = Element("", {}, None)

    def handle_starttag(self, tag, attrs):
        element = Element(tag, attrs, self.at)
        self.at.children.append(element)
        if tag not in _VOID:
            self.at = element

    def handle_startendtag(self, tag, attrs):
        self.at.children.append(Element(tag, attrs, self.at))

    def handle_endtag(self, tag):
        open_ = self.at
        while open_.parent is not None and open_.tag != tag:
            open_ = open_.parent
        if open_.parent is not None:
            self.at = open_.parent

    def handle_data(self, data):
        self.at.children.append(data)


def parse(answer):
    """Return the page that the answer holds."""
    assert answer.status_code == 200, (answer.status_code, answer.headers)
    parser = _Parser()
    parser.feed(answer.content.decode())
    return parser.top


def page_of(job_id, part="change"):
    return f"{LIST}{job_id}/{part}/"


def rows(answer):
    """Return the cells of the list's rows by the names of their columns, in order."""
    (table,) = parse(answer).find("table", id="result_list") or [Element("", {}, None)]
    return [
        {
            next(css for css in cell.classes if css.startswith("field-")).removeprefix("field-"): cell.text
            for cell in row.find("td") + row.find("th")
            if any(css.startswith("field-") for css in cell.classes)
        }
        for row in table.find("tr")[1:]
    ]


def listed(answer):
    """Return the ids of the jobs that the list shows, in order."""
    tables = parse(answer).find("table", id="result_list")
    addresses = [link.attributes["href"] for table in tables for link in table.find("a")]
    return [address.split("/")[-3] for address in addresses if "/change/" in address]


def messages(answer):
    """Return what the page says at its top."""
    return [each.text for messages in parse(answer).find(css="messagelist") for each in messages.find("li")]

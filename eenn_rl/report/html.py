"""Small pieces of HTML; all text is escaped, and what is markup already is of type `Markup`."""

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """`value` as HTML: as it is if it is markup, escaped otherwise."""
    return value if isinstance(value, Markup) else Markup(escape(str(value), quote=True))


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element; attributes with value None are left out, `class_` is ``class``, ``_`` in a name is ``-``."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{told}>{''.join(text(child) for child in children)}</{name}>")


def join(parts: Iterable[object]) -> Markup:
    """Pieces one after the other."""
    return Markup("".join(text(part) for part in parts))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "") -> Markup:
    """A table whose first column are row headings, scrolling on its own where it is too wide."""
    heading = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))) if head else ""
    body = tag("tbody", *(tag("tr", tag("th", row[0], scope="row"), *(tag("td", c) for c in row[1:])) for row in rows))
    described = tag("caption", caption) if caption else ""
    return tag("div", tag("table", described, heading, body), class_="scroll")

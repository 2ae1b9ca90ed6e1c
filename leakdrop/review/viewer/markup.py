"""HTML that is made of elements: every text in it is a text, whatever it says.

`element` takes texts and elements; a text is escaped when the page is written, and what would hide or move
other text is spelled out, as on a terminal. There is no way to put markup in.
"""

from xml.etree.ElementTree import Element, SubElement, tostring

from leakdrop.terminal import visible

__all__ = ["Child", "Element", "Lines", "Own", "element", "write_page"]


class Own(str):
    """A text of the reviewer's own, which is given back as they wrote it."""

    __slots__ = ()


class Lines(str):
    """A text whose tabs and ends of lines are meant."""

    __slots__ = ()


Child = Element | str | None


def element(tag: str, *children: Child, **attributes: str | bool | None) -> Element:
    """An element: element("a", "Back", href="/"). None is left out; `class_` is `class`, `for_` is `for`.

    An attribute that is True stands without a value; one that is False or None is left out.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            made.set(name.rstrip("_").replace("_", "-"), "" if value is True else _show(value))
    for child in children:
        _append(made, child)
    return made


def _append(parent: Element, child: Child) -> None:
    if isinstance(child, Element):
        parent.append(child)
    elif child is not None:
        text = _show(child)
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + text
        else:
            parent.text = (parent.text or "") + text


def _show(text: str) -> str:
    return str(text) if isinstance(text, Own) else visible(text, newlines=isinstance(text, Lines))


def write_page(title: str, style: str, *body: Child) -> bytes:
    """A whole page in UTF-8. `style` is the address of its style sheet."""
    head = element("head", element("meta", charset="utf-8"))
    SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    SubElement(head, "meta", name="color-scheme", content="light dark")
    head.append(element("title", title))
    SubElement(head, "link", rel="stylesheet", href=style)
    SubElement(head, "link", rel="icon", href="data:,")
    page = element("html", head, element("body", *body), lang="en")
    written: bytes = tostring(page, encoding="utf-8", method="html")
    return b"<!DOCTYPE html>\n" + written
